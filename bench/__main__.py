"""`make bench`: firmware, Linux, disks, loops, traps, start-up; prints the table of BENCHMARKS.md, and draws it."""

from __future__ import annotations

import argparse
import datetime
import platform
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.firmware.initramfs import busybox_initramfs
from armvcpu.testing.firmware.store import fetch, path
from bench.calls import calls, priority_mask
from bench.chart import write_chart
from bench.coverage import coverage
from bench.disk import disk
from bench.edk2 import edk2
from bench.firmware_chain import chains
from bench.inside import inside
from bench.kvm import kvm
from bench.loads import linux, loads
from bench.pairs import first_byte, pair, run
from bench.rows import HEAD, Pair, Single, paired
from bench.scripted import scripted
from bench.snapshots import small_guest_seconds, snapshot_times, suite_of_hundred
from bench.traps import cpu_creation_ms, levels, machine_creation_ms, traps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.rows import Row

ROOT = Path(__file__).parent.parent
GUESTS = ROOT / "guests" / "bin"
CHART = ROOT / "docs" / "bench.svg"
ARMVCPU = str(Path(sys.executable).parent / "armvcpu")
QEMU = ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg,thread=single"]
QEMU += ["-m", "256", "-nographic", "-nic", "none"]


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="Measure armvcpu against QEMU, in pairs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=SECTIONS, action="append", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--svg", type=Path, metavar="F", help="the chart; docs/bench.svg after a run of all sections")
    options = parser.parse_args()
    if shutil.which(QEMU[0]) is None:
        sys.exit("qemu-system-aarch64 is missing: apt-get install qemu-system-arm")
    about = f"{datetime.date.today()}, {_machine()}, {options.rounds} rounds"
    print(f"{about}, median of ratios\n\n{HEAD}", flush=True)
    rows: list[Row] = []
    for name in options.only or SECTIONS:
        for row in SECTIONS[name](options.rounds):
            print(row.row(), flush=True)
            rows.append(row)
    above = [row.name for row in rows if row.is_above]
    limited = sum(row.limit is not None for row in rows)
    print(f"\n{len(above)} of {limited} rows with a limit are above it" + "".join(f"\n- {name}" for name in above))
    if chart := options.svg or (None if options.only else CHART):
        write_chart(chart, [row for row in rows if isinstance(row, Pair)], about)


def uboot(rounds: int) -> Iterator[Pair]:
    """CPU seconds of U-Boot: to its prompt, a crc32 over 64 MB, power-off."""
    fetch("u-boot")
    image = str(path("u-boot", "u-boot.bin"))
    script = "\n\ncrc32 40000000 4000000\npoweroff\n"
    ours = [ARMVCPU, "run", "--firmware", image]
    theirs = [*QEMU, "-bios", image]
    yield pair("U-Boot to prompt, power-off, CPU", lambda: run(ours, "\n\npoweroff\n", "=> ").cpu,
               lambda: run(theirs, "\n\npoweroff\n", "=> ").cpu, rounds, "s", 1.0)  # fmt: skip
    yield pair("U-Boot, crc32 of 64 MB, power-off, CPU", lambda: run(ours, script, "==>").cpu,
               lambda: run(theirs, script, "==>").cpu, rounds, "s", 1.0)  # fmt: skip


def loops(rounds: int) -> Iterator[Pair]:
    """Nanoseconds an iteration of CPU-bound loops, timed by the guest."""
    image = str(GUESTS / "loops.elf")
    commands = ([ARMVCPU, "run", image], [*QEMU, "-kernel", image])
    results = [tuple(_loop_times(run(command).output) for command in commands) for _ in range(rounds)]
    for name in results[0][0]:
        yield paired(f"loop {name}", [(ours[name], theirs[name]) for ours, theirs in results], "ns", 1.0)


def _loop_times(output: str) -> dict[str, float]:
    """`LOOP load mmu=off iterations=N ticks=T` lines as nanoseconds an iteration."""
    frequency = next(float(line.split()[1]) for line in output.splitlines() if line.startswith("FREQUENCY"))
    times = {}
    for line in output.splitlines():
        if line.startswith("LOOP "):
            _, kind, mmu, iterations, ticks = line.split()
            times[f"{kind}, {mmu}"] = float(ticks.split("=")[1]) / frequency / float(iterations.split("=")[1]) * 1e9
    return times


def start(rounds: int) -> Iterator[Row]:
    """A process from its start to its first byte and to its end; CPU and machine creation."""
    image = str(GUESTS / "hello.elf")
    ours, theirs = [ARMVCPU, "run", image], [*QEMU, "-kernel", image]
    yield pair("hello, start to first byte, wall", lambda: first_byte(ours) * 1e3, lambda: first_byte(theirs) * 1e3,
               rounds, "ms", 2.2)  # fmt: skip
    yield pair("hello, whole run, wall", lambda: run(ours).wall * 1e3, lambda: run(theirs).wall * 1e3,
               rounds, "ms", 2.4)  # fmt: skip
    yield Single("physical CPU: creation and end", cpu_creation_ms(), "ms")
    yield Single("machine with hello loaded: creation and end", machine_creation_ms(Path(image)), "ms")


def testing(rounds: int) -> Iterator[Row]:
    """Small guests in one process beside QEMU's processes, and snapshots of a booted Linux."""
    image = GUESTS / "hello.elf"
    yield pair("hello booted, run and torn down: in one process, beside a QEMU process, CPU",
               lambda: small_guest_seconds(image) * 1e3, lambda: run([*QEMU, "-kernel", str(image)]).cpu * 1e3,
               rounds, "ms", 0.08)  # fmt: skip
    yield suite_of_hundred(image, ARMVCPU, rounds)
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    with tempfile.TemporaryDirectory() as directory:
        initrd = Path(directory) / "initramfs.cpio"
        initrd.write_bytes(busybox_initramfs(path("busybox", "busybox")))
        taken, restored = snapshot_times(path("linux-cloud", "Image"), initrd, rounds)
    yield Single("snapshot of a booted Linux with 512 MiB, wall", taken * 1e3, "ms", 1000)
    yield Single("back to it, to the first instruction, wall", restored * 1e3, "ms", 10)


SECTIONS: dict[str, Callable[[int], Iterable[Row]]] = {
    "uboot": uboot,
    "edk2": lambda rounds: edk2(rounds, ARMVCPU, QEMU),
    "loads": lambda rounds: loads(rounds, ARMVCPU, QEMU),
    "linux": lambda rounds: linux(rounds, ARMVCPU, QEMU),
    "kvm": lambda rounds: kvm(rounds, ARMVCPU, QEMU),
    "chains": lambda rounds: chains(rounds, ARMVCPU, QEMU),
    "disk": lambda rounds: disk(rounds, [ARMVCPU], QEMU),
    "loops": loops,
    "traps": lambda rounds: traps(rounds, GUESTS / "traps.elf", QEMU),
    "levels": lambda rounds: levels(rounds, GUESTS / "levels.elf", ARMVCPU, QEMU),
    "calls": lambda rounds: [*calls(GUESTS / "parser.elf"), priority_mask(rounds, ARMVCPU, QEMU)],
    "inside": lambda rounds: [
        *inside(rounds, ARMVCPU, QEMU, GUESTS),
        *scripted(rounds),
        *coverage(rounds, ARMVCPU, GUESTS),
    ],
    "start": start,
    "testing": testing,
}


def _machine() -> str:
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.processor())  # fmt: skip
    return f"{cpu}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
