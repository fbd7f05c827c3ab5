"""Rows of `inside` about gdb: a condition that is false 10,000 times, by the real gdb and beside QEMU; and steps."""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.debug.gdb.packets import framed
from armvcpu.testing.firmware import programs
from bench.pairs import environment
from bench.rows import Single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FALSE, THEIRS = 10_000, 300
"""How often the condition is false here, and with QEMU, whose gdb asks for registers each time."""
STEPPED = 8_000
"""Calls whose instructions, four of each, are stepped."""
SCRIPT = """
import time, gdb
gdb.execute("set pagination off")
gdb.execute("set architecture aarch64")
gdb.execute("target remote PLACE")
gdb.execute("break *ADDRESS if $x1 == 12345")
began = time.perf_counter()
try:
    gdb.execute("continue")
except gdb.error:  # QEMU goes away without a word when its guest powers off
    pass
print("SECONDS", time.perf_counter() - began)
"""


def gdb_rows(rounds: int, qemu: list[str], image: Callable[[int], bytes], function: int) -> Iterator[Single]:
    """The rows; `image` makes a guest that calls the function at an address so many times, and powers off."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        ours, theirs, stepped = (place / name for name in ("ours.bin", "theirs.bin", "stepped.bin"))
        ours.write_bytes(image(FALSE))
        theirs.write_bytes(image(THEIRS))
        stepped.write_bytes(image(STEPPED))
        here = statistics.median(_condition(_run(ours, place), place / "gdb", function, place) for _ in range(rounds))
        there = statistics.median(_qemus(qemu, theirs, function, place) for _ in range(rounds)) / THEIRS * FALSE
        yield Single("inside: a condition of gdb's that is false 10,000 times", here, "s", 1, there)
        yield Single(
            "inside: a step in a range of gdb's (vCont;r)",
            statistics.median(_steps(_run(stepped, place), place / "gdb") for _ in range(rounds)), "µs", 1e6 / 30_000,
        )  # fmt: skip


def _run(image: Path, place: Path) -> list[str]:
    options = ["--memory", "64M", "--gdb", f"unix:{place / 'gdb'}", "--gdb-wait"]
    return [sys.executable, "-m", "armvcpu", "run", str(image), *options]


def _qemus(qemu: list[str], image: Path, function: int, place: Path) -> float:
    chardev = f"socket,path={place / 'qemu'},server=on,wait=off,id=gdb"
    command = [*qemu, "-kernel", str(image), "-S", "-chardev", chardev, "-gdb", "chardev:gdb"]
    return _condition(command, place / "qemu", function, place)


def _condition(command: list[str], at: Path, function: int, place: Path) -> float:
    """Seconds that gdb takes from `continue` to the guest's end."""
    script = place / "script.py"
    script.write_text(SCRIPT.replace("PLACE", str(at)).replace("ADDRESS", hex(function)))
    process = _started(command, at)
    try:
        done = subprocess.run(
            [programs.path("gdb-multiarch"), "-nx", "-batch", "-x", str(script)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    finally:
        process.kill()
        process.wait()
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("SECONDS")]
    if not found:
        raise RuntimeError(f"gdb-multiarch said {done.stdout[-300:]!r} {done.stderr[-300:]!r}")
    return float(found[0])


def _steps(command: list[str], at: Path) -> float:
    """Microseconds of a step, of as many as the guest's loop has instructions, which are one packet of gdb's."""
    process = _started(command, at)
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(at))
            peer.sendall(framed(b"qSupported"))
            peer.recv(4096)
            began = time.perf_counter()
            peer.sendall(b"+" + framed(b"vCont;r40000000,50000000:1"))
            while b"W00" not in peer.recv(4096):
                pass
            return (time.perf_counter() - began) / (4 * STEPPED) * 1e6
    finally:
        process.kill()
        process.wait()


def _started(command: list[str], at: Path) -> subprocess.Popen[bytes]:
    """Once its socket is there."""
    if at.exists():
        os.unlink(at)
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=environment())
    for _ in range(500):
        if at.exists():
            return process
        time.sleep(0.01)
    process.kill()
    raise RuntimeError(f"nobody listens at {at}")
