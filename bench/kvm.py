"""KVM inside: Linux at EL2, a guest of nothing but exits, and Linux in Linux. The user of KVM is guests/linux/kvm.c.

Both sides have the same kernel, initramfs and CPU model, a GICv3 and one CPU; QEMU's CPU starts at EL2 by
`virtualization=on`.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.firmware.initramfs import busybox_initramfs
from armvcpu.testing.firmware.store import fetch, path
from bench.loads import APPEND, BOOT, MARK, marks
from bench.pairs import run
from bench.rows import paired

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Pair

PROGRAM = Path(__file__).parent.parent / "guests" / "bin" / "linux" / "kvm.elf"
INNER = "Linux in Linux to its shell and off"
EXITS = 20000
EXIT = re.compile(r"^EXIT (.*) ns=(\d+)", re.MULTILINE)
KERNELS = {"nVHE": ("linux-cloud", "a57", "cortex-a57"), "VHE": ("linux-cloud-trixie", "max", "max")}
"""Debian's kernel by firmware's name, and the CPU model that has it run KVM so; ours and QEMU's name of that."""


def kvm(rounds: int, armvcpu: str, qemu: list[str]) -> Iterator[Pair]:
    """CPU seconds to the outer shell and of the inner Linux; nanoseconds of one exit, by the guest's clock."""
    fetch("busybox")
    for mode, (kernel, *models) in KERNELS.items():
        fetch(kernel)
        with tempfile.TemporaryDirectory() as directory:
            initrd = Path(directory) / "initramfs.cpio"
            initrd.write_bytes(_linux_in_linux(kernel))
            ours, theirs = _commands(armvcpu, qemu, kernel, models, initrd)
            results = [(marks(ours), marks(theirs)) for _ in range(rounds)]
            for name, limit in ((BOOT, 1.0), (INNER, 1.1)):
                sides = [(mine[name], other[name]) for mine, other in results]
                yield paired(f"Linux at EL2 ({mode}): {name}, CPU", sides, "s", limit)
            initrd.write_bytes(_initramfs(f"kvm exits {EXITS}\npoweroff -f\n"))
            times = [(_exits(ours), _exits(theirs)) for _ in range(rounds)]
            for name in times[0][0]:
                yield paired(
                    f"KVM ({mode}): exit, {name}", [(mine[name], other[name]) for mine, other in times], "µs", None
                )


def _initramfs(script: str, **files: bytes) -> bytes:
    files = {"bin/kvm": PROGRAM.read_bytes(), **files}
    return busybox_initramfs(path("busybox", "busybox"), script.encode(), files=files)


def _linux_in_linux(kernel: str) -> bytes:
    start = f"kvm /Image /inner.cpio '{APPEND}' 256 || echo failed"
    script = f"echo '{MARK}{BOOT}'\n{start}\necho '{MARK}{INNER}'\npoweroff -f\n"
    inner = busybox_initramfs(path("busybox", "busybox"), b"poweroff -f\n")
    return _initramfs(script, **{"Image": path(kernel, "Image").read_bytes(), "inner.cpio": inner})


def _commands(
    armvcpu: str, qemu: list[str], kernel: str, models: list[str], initrd: Path
) -> tuple[list[str], list[str]]:
    image, (our_model, their_model) = str(path(kernel, "Image")), models
    guest = ["-kernel", image, "-initrd", str(initrd), "-append", APPEND]
    # Of options that are given twice, as these are in `qemu`, QEMU takes the last.
    theirs = [*qemu, "-M", "virt,gic-version=3,virtualization=on", "-cpu", their_model, "-m", "1024", *guest]
    ours = [armvcpu, "run", image, "--el", "2", "--cpu-model", our_model, "--memory", "1G"]
    return [*ours, "--initrd", str(initrd), "--append", APPEND], theirs


def _exits(command: list[str]) -> dict[str, float]:
    """Microseconds of each kind."""
    found = EXIT.findall(run(command, "", "Power down").output.replace("\r", ""))
    return {name: int(nanoseconds) / 1e3 for name, nanoseconds in found}
