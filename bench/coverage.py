"""What --coverage costs: a Linux that boots and powers off, and loops, with it beside the same without, CPU seconds."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.firmware.store import fetch, path
from bench.loads import OFF, initramfs
from bench.pairs import pair, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.rows import Pair

LIMIT = 1.3


def coverage(rounds: int, armvcpu: str, guests: Path) -> Iterator[Pair]:
    """To a drcov file, the reading and writing of what was counted included."""
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    with tempfile.TemporaryDirectory() as directory:
        initrd, file = Path(directory) / "initramfs.cpio", str(Path(directory) / "all.drcov")
        initrd.write_bytes(initramfs("poweroff -f\n"))
        kernel = [str(path("linux-cloud", "Image")), "--initrd", str(initrd), "--append", "console=ttyAMA0"]
        for name, guest, end in (
            ("Linux to shell and off", [*kernel, "--memory", "512M"], OFF),
            ("loops of loads, stores, calls and small blocks", [str(guests / "loops.elf")], "loops: "),
        ):
            without = [armvcpu, "run", *guest]
            yield pair(f"{name}, --coverage, CPU", partial(_cpu, [*without, "--coverage", file], end),
                       partial(_cpu, without, end), rounds, "s", LIMIT, "without")  # fmt: skip


def _cpu(command: list[str], end: str) -> float:
    return run(command, "", end).cpu
