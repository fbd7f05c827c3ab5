"""Above Linux: Xen with Linux as its dom0, and Trusted Firmware-A to Linux. CPU seconds to the shell and off.

Both sides have the same files and CPU model, a GICv3, and 1 GiB of RAM.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.firmware.initramfs import busybox_initramfs
from armvcpu.testing.firmware.store import fetch, path
from bench.pairs import pair, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Pair

END = "Power down"
KERNEL_AT, INITRD_AT = 0x4900_0000, 0x4C00_0000


def chains(rounds: int, armvcpu: str, qemu: list[str]) -> Iterator[Pair]:
    """Xen 4.17 on two CPUs, and TF-A with U-Boot on four."""
    for name in ("busybox", "linux-cloud", "xen", "tf-a"):
        fetch(name)
    kernel = str(path("linux-cloud", "Image"))
    with tempfile.TemporaryDirectory() as directory:
        initrd = Path(directory) / "initramfs.cpio"
        initrd.write_bytes(busybox_initramfs(path("busybox"), b"poweroff -f\n"))
        for name, ours, theirs, limit in (
            ("Xen's dom0, 2 CPUs", *_xen(armvcpu, qemu, kernel, initrd), 1.1),
            ("TF-A, U-Boot, Linux, 4 CPUs", *_trusted_firmware(armvcpu, qemu, kernel, initrd), None),
        ):
            yield pair(
                f"{name}: to its shell, and off, CPU",
                partial(_cpu_seconds, ours),
                partial(_cpu_seconds, theirs),
                rounds, "s", limit,
            )  # fmt: skip


def _cpu_seconds(command: list[str]) -> float:
    return run(command, "", END).cpu


def _xen(armvcpu: str, qemu: list[str], kernel: str, initrd: Path) -> tuple[list[str], list[str]]:
    image, append, bootargs = str(path("xen")), "dom0_mem=512M console=dtuart", "console=hvc0"
    ours = [
        armvcpu,
        "run",
        image,
        "--el",
        "2",
        "--cpus",
        "2",
        "--cpu-model",
        "a57",
        "--memory",
        "1G",
        "--append",
        append,
    ]
    ours += ["--module", f"{kernel}@{KERNEL_AT:#x},kernel,bootargs={bootargs}"]
    ours += ["--module", f"{initrd}@{INITRD_AT:#x},ramdisk"]
    # Of options that are given twice, as these are in `qemu`, QEMU takes the last.
    theirs = [*qemu, "-M", "virt,gic-version=3,virtualization=on", "-cpu", "cortex-a57", "-smp", "2", "-m", "1024"]
    theirs += ["-kernel", image, "-append", append]
    theirs += ["-device", f"guest-loader,addr={KERNEL_AT:#x},kernel={kernel},bootargs={bootargs}"]
    return ours, [*theirs, "-device", f"guest-loader,addr={INITRD_AT:#x},initrd={initrd}"]


def _trusted_firmware(armvcpu: str, qemu: list[str], kernel: str, initrd: Path) -> tuple[list[str], list[str]]:
    flash, append = str(path("tf-a")), "console=ttyAMA0"
    ours = [armvcpu, "run", kernel, "--firmware", flash, "--el", "3", "--cpus", "4", "--cpu-model", "a57"]
    ours += ["--memory", "1G", "--initrd", str(initrd), "--append", append]
    theirs = [*qemu, "-M", "virt,gic-version=3,virtualization=on,secure=on", "-cpu", "cortex-a57", "-smp", "4"]
    theirs += ["-m", "1024", "-bios", flash, "-kernel", kernel, "-initrd", str(initrd), "-append", append]
    return ours, theirs
