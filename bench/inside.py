"""What looking inside costs: nothing while it is off, beside the last commit without it; and little while it is on.

Python at a symbol and at an HVC is measured beside QEMU with GDB's Python: a breakpoint whose `stop` says no.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from struct import pack
from typing import TYPE_CHECKING

from armvcpu.machine.machine import Machine
from armvcpu.testing.firmware import programs
from armvcpu.testing.firmware.store import fetch, path
from bench.gdb import gdb_rows
from bench.loads import OFF, initramfs
from bench.pairs import environment, pair, run
from bench.rows import Pair, Single

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.rows import Row

ROOT = Path(__file__).parent.parent
BEFORE = "d2d0152"
"""The last commit without any of it."""
OFF_LIMIT, PROFILE_LIMIT, REPORT_LIMIT, EXITS_LIMIT, BLOCKS_LIMIT = 1.03, 1.2, 2.0, 1.3, 2.5
CHILD = """
import sys, time
from armvcpu.machine.machine import Machine
kind, image, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Machine(image, memory="128M") as machine:
    machine.on_hypercall(1)(lambda vcpu: vcpu.gpr(1))
    if kind == "hvc":
        start = time.process_time()
        assert machine.run(timeout=120).ok
        print((time.process_time() - start) / count * 1e6)
    else:
        snapshot, spent = machine.snapshot(), 0.0
        for _ in range(count):
            machine.run(max_instructions=500)
            start = time.process_time()
            machine.restore(snapshot)
            spent += time.process_time() - start
        print(spent / count * 1e6)
"""
"""Both trees run it: microseconds of processor time of an HVC, or of a return to a snapshot."""
BASE, FUNCTION = 0x4008_0000, 0x4008_0000 + 4 * 8
CALLS = (
    0xD280_0000, 0xF2A0_0000,  # mov x0, #CALLS
    0x9400_0006,  # bl FUNCTION
    0xD100_0400, 0xB5FF_FFC0,  # sub x0, x0, #1; cbnz x0, back to the call
    0x5280_0100, 0x72B0_8000,  # SYSTEM_OFF
    0xD400_0002,  # hvc #0
    0xD65F_03C0,  # FUNCTION: ret
)  # fmt: skip
OURS, THEIRS = 200_000, 300
"""How many calls: by QEMU and GDB each takes most of a millisecond."""
SCRIPT = """
import gdb, time
class Here(gdb.Breakpoint):
    count = 0
    def stop(self):
        self.count += 1
        if self.count == 1: self.began = time.perf_counter()
        return self.count > COUNT
gdb.execute("set pagination off")
gdb.execute("set architecture aarch64")
gdb.execute("target remote :PORT")
here = Here("*ADDRESS")
gdb.execute("continue")
print("MICROSECONDS", (time.perf_counter() - here.began) / COUNT * 1e6)
gdb.execute("kill")
"""


def inside(rounds: int, armvcpu: str, qemu: list[str], guests: Path) -> Iterator[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        before = _tree(BEFORE, place / "before")
        yield from _off(rounds, before, guests, place)
        yield from _python(rounds, qemu, place)
        yield _with(rounds, armvcpu, place, "a profile", ["--profile", "profile.pb.gz"], PROFILE_LIMIT)
        yield _with(rounds, armvcpu, place, "a report page", ["--report", "report.html"], REPORT_LIMIT)
        yield _with(rounds, armvcpu, place, "its exits in a file", ["--trace", "exits:exits.txt"], EXITS_LIMIT)
        blocks = ["--trace", "insn:boot.blocks.zst"]
        yield _with(rounds, armvcpu, place, "all its instructions in a file, by block", blocks, BLOCKS_LIMIT)
        yield from gdb_rows(rounds, qemu, _calls, FUNCTION)
        yield from _history(rounds, place)


def _tree(commit: str, place: Path) -> Path:
    """The project as it was, with its native part built."""
    place.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x", "-C", str(place)], input=archive, check=True)
    build = place / "armvcpu" / "engine" / "shim" / "build.py"
    subprocess.run([sys.executable, str(build)], cwd=place, check=True, capture_output=True)
    return place


def _in(tree: Path, *words: str) -> list[str]:
    """A command of Python's with the package of a tree, whatever is installed."""
    return ["env", "-C", str(tree), f"PYTHONPATH={tree}", sys.executable, *words]


def _linux(place: Path) -> list[str]:
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    initrd = place / "initramfs.cpio"
    initrd.write_bytes(initramfs("poweroff -f\n"))
    kernel = str(path("linux-cloud", "Image"))
    append = "console=ttyAMA0 loglevel=1"
    return ["run", kernel, "--initrd", str(initrd), "--append", append, "--memory", "512M", "--cpus", "2"]


def _off(rounds: int, before: Path, guests: Path, place: Path) -> Iterator[Pair]:
    """Everything off, beside the tree that had none of it."""
    linux, hello = _linux(place), ["run", str(guests / "hello.elf")]
    rows: tuple[tuple[str, list[str], Callable[[list[str]], float], str], ...] = (
        ("Linux to shell and off, 2 CPUs, CPU", ["-m", "armvcpu", *linux], partial(_cpu, OFF), "s"),
        ("the same by instructions", ["-m", "armvcpu", *linux, "--clock", "instructions"], partial(_cpu, OFF), "s"),
        ("hello, whole run, CPU", ["-m", "armvcpu", *hello], partial(_cpu, "PASS hello"), "s"),
        ("HVC, answered by Python, CPU", ["-c", CHILD, "hvc", str(_hypercalls(place)), str(OURS)], _told, "µs"),
        ("return to a snapshot, CPU", ["-c", CHILD, "snapshot", str(guests / "hello.elf"), "3000"], _told, "µs"),
    )
    for name, words, measure, unit in rows:
        ours, theirs = partial(measure, _in(ROOT, *words)), partial(measure, _in(before, *words))
        yield pair(f"inside, all off: {name}", ours, theirs, rounds, unit, OFF_LIMIT, BEFORE)


def _cpu(expect: str, command: list[str]) -> float:
    return run(command, "", expect).cpu


def _told(command: list[str]) -> float:
    return float(run(command).output.split()[-1])


def _python(rounds: int, qemu: list[str], place: Path) -> Iterator[Row]:
    """Microseconds of a call of Python: at a symbol, and at an HVC; beside QEMU with GDB's Python."""
    image = place / "calls.bin"
    image.write_bytes(_calls(OURS))
    other = place / "fewer.bin"
    other.write_bytes(_calls(THEIRS * 10))
    theirs = [_gdb(qemu, other, place) for _ in range(rounds)]
    median = statistics.median(theirs)
    at_symbol = statistics.median(_at_function(image) for _ in range(rounds))
    yield Single("inside: a Python function at a symbol, a call", at_symbol, "µs", 1.5, median)
    hypercalls = _in(ROOT, "-c", CHILD, "hvc", str(_hypercalls(place)), str(OURS))
    at_hvc = statistics.median(_told(hypercalls) for _ in range(rounds))
    yield Single("inside: a Python function at an HVC, a call", at_hvc, "µs", 0.9, median)
    yield Pair("inside: Python at a symbol, beside QEMU with GDB's", at_symbol, median, at_symbol / median, "µs", 0.01)


def _calls(count: int) -> bytes:
    first, second, *rest = CALLS
    return pack(f"<{len(CALLS)}I", first | (count & 0xFFFF) << 5, second | count >> 16 << 5, *rest)


def _at_function(image: Path) -> float:
    """Of a loop that calls a function, without what the loop takes by itself; of processor time, as at an HVC."""
    return (_seconds(image, hears=True) - _seconds(image, hears=False)) / OURS * 1e6


def _seconds(image: Path, *, hears: bool) -> float:
    with Machine(image, memory="64M") as machine:
        seen = [0]

        def heard(_vcpu: object) -> None:
            seen[0] += 1

        if hears:
            machine.on_address(FUNCTION)(heard)
        start = time.process_time()
        outcome = machine.run(timeout=120)
        elapsed = time.process_time() - start
    if not outcome.ok or seen[0] != (OURS if hears else 0):
        raise RuntimeError(f"{image} ended otherwise: {outcome}, {seen[0]} calls")
    return elapsed


def _hypercalls(place: Path) -> Path:
    """An image: a loop of hypercalls with x0 = 1."""
    words = (
        0xD280_0013 | (OURS & 0xFFFF) << 5, 0xF2A0_0013 | OURS >> 16 << 5,  # mov x19, #OURS
        0xD280_0020, 0xD400_0002,  # mov x0, #1; hvc #0
        0xD100_0673, 0xB5FF_FFB3,  # sub x19, x19, #1; cbnz x19, back
        *CALLS[5:8],
    )  # fmt: skip
    image = place / "hypercalls.bin"
    image.write_bytes(pack(f"<{len(words)}I", *words))
    return image


def _gdb(qemu: list[str], image: Path, place: Path) -> float:
    """Microseconds of a breakpoint whose function in GDB's Python says that it is not to stop."""
    port = _free_port()
    script = place / "script.py"
    script.write_text(SCRIPT.replace("PORT", str(port)).replace("ADDRESS", hex(FUNCTION)).replace("COUNT", str(THEIRS)))
    with _running([*qemu, "-kernel", str(image), "-S", "-gdb", f"tcp:127.0.0.1:{port}"]):
        _wait_for(port)
        done = subprocess.run(
            [programs.path("gdb-multiarch"), "-nx", "-batch", "-x", str(script)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    found = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("MICROSECONDS")]
    if not found:
        raise RuntimeError(f"gdb-multiarch said {done.stdout[-300:]!r} {done.stderr[-300:]!r}")
    return float(found[0])


@contextmanager
def _running(command: list[str]) -> Iterator[None]:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    """Until somebody listens there, without connecting: QEMU's stub takes one client."""
    word = f":{port:04X} "
    for _ in range(500):
        if any(word in line and " 0A " in line for line in Path("/proc/net/tcp").read_text().splitlines()):
            return
        time.sleep(0.01)
    raise RuntimeError(f"nobody listens on port {port}")


def _with(rounds: int, armvcpu: str, place: Path, what: str, words: list[str], limit: float) -> Pair:
    """A boot of Linux with something that writes a file, beside one without; both by the host's clock."""
    plain = [armvcpu, *_linux(place)]
    option, value = words
    kinds, colon, name = value.rpartition(":")
    looked_at = [*plain, option, kinds + colon + os.fspath(place / name)]
    return pair(f"inside: Linux to shell and off with {what}, beside without, CPU", partial(_cpu, OFF, looked_at),
                partial(_cpu, OFF, plain), rounds, "s", limit, "armvcpu")  # fmt: skip


BACKWARDS = """
import sys, time
from armvcpu.machine.machine import Machine
kernel, initrd, append, what = sys.argv[1:]
with Machine(kernel, initrd=initrd, append=append, memory="512M", cpus=2, clock="instructions") as machine:
    history = None if what == "plain" else machine.keep_history()
    start = time.process_time()
    assert machine.run(timeout=300).ok
    spent = time.process_time() - start
    if what == "back":
        machine.debugger.breakpoints.add(4)  # where the guest never is
        start = time.process_time()
        assert history.continue_back().kind.name == "BEGINNING"
        spent = time.process_time() - start
    if what == "step":
        history.step_back()
        start = time.process_time()
        for _ in range(100):
            history.step_back()
        spent = (time.process_time() - start) * 10
    print(history.used >> 20 if what == "size" else spent)
"""
"""A boot of Linux: processor seconds of the run or of a search through it, milliseconds of a step back, or MiB."""


def _history(rounds: int, place: Path) -> Iterator[Row]:
    """A run with a history beside one without, the way back through all of it, one step of it, and the memory."""
    _, kernel, _, initrd, _, append, *_ = _linux(place)
    told = {what: partial(_told, _in(ROOT, "-c", BACKWARDS, kernel, initrd, append, what)) for what in
            ("plain", "kept", "back", "step", "size")}  # fmt: skip
    name = "inside: Linux to shell and off by instructions, 2 CPUs, CPU"
    yield pair(f"{name}: with a history, beside without", told["kept"], told["plain"], rounds, "s", 1.3, "armvcpu")
    yield pair(f"{name}: reverse-continue through all of it", told["back"], told["plain"], rounds, "s", 2.0, "the run")
    yield Single("inside: reverse-stepi at its end", statistics.median(told["step"]() for _ in range(rounds)), "ms", 20)
    yield Single("inside: memory of its history", told["size"](), "MiB", 256)
