"""Reading a virtio disk under Linux: through the page cache, and in direct requests, timed by the guest."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.firmware.initramfs import VIRTIO_MODULES, busybox_initramfs
from armvcpu.testing.firmware.store import fetch, path
from bench.pairs import run
from bench.rows import paired

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.rows import Pair

MIB = 1 << 20
SIZE = 128 * MIB
READS = (
    # name, block size, blocks, dd's further options, unit, units read
    ("sequential read, page cache, 1 MB", "1M", SIZE // MIB, "", "ms", SIZE / MIB),
    ("sequential read, direct, 64 KB requests, 1 MB", "64k", SIZE // 0x10000, "iflag=direct", "ms", SIZE / MIB),
    ("sequential read, direct, one request of 4 KB", "4k", 4096, "iflag=direct", "ms", 4096),
)
SCRIPT = "".join(
    "echo 3 > /proc/sys/vm/drop_caches; read start x < /proc/uptime; "
    f"dd if=/dev/vda of=/dev/null bs={block} count={count} {options} 2>/dev/null; "
    "read end x < /proc/uptime; echo TIME $start $end\n"
    for _, block, count, options, _, _ in READS
)
TIME = re.compile(r"^TIME ([0-9.]+) ([0-9.]+)", re.MULTILINE)


def disk(rounds: int, armvcpu: Sequence[str], qemu: Sequence[str]) -> Iterator[Pair]:
    """Both sides read the same file, which the host has in its memory; the first of two passes does not count."""
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    kernel = str(path("linux-cloud", "Image"))
    with tempfile.TemporaryDirectory() as directory:
        image, initrd = Path(directory) / "disk", Path(directory) / "initramfs.cpio"
        with image.open("wb") as file:
            for _ in range(SIZE // MIB):
                file.write(os.urandom(MIB))
        modules = [path("linux-cloud", name) for name in VIRTIO_MODULES]
        script = (SCRIPT * 2 + "poweroff -f\n").encode()
        initrd.write_bytes(busybox_initramfs(path("busybox", "busybox"), script, modules=modules))
        append = "console=ttyAMA0 quiet nokaslr"
        ours = [*armvcpu, "run", kernel, "--initrd", str(initrd), "--append", append, "--memory", "512M"]
        ours += ["--disk", str(image)]
        theirs = [*qemu, "-m", "512", "-kernel", kernel, "-initrd", str(initrd), "-append", append]
        theirs += ["-drive", f"if=none,id=disk,format=raw,file={image}", "-device", "virtio-blk-device,drive=disk"]
        results = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
    for index, (name, _, _, _, unit, units) in enumerate(READS):
        sides = [(mine[index] * 1e3 / units, other[index] * 1e3 / units) for mine, other in results]
        yield paired(f"disk: {name}", sides, unit, 1.5)


def _seconds(command: list[str]) -> list[float]:
    """Of the second pass, one for each of READS."""
    times = [float(end) - float(start) for start, end in TIME.findall(run(command, "", "Power down").output)]
    return times[len(READS) :]
