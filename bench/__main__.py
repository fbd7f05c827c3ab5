"""`make bench`: firmware, Linux, disks, loops, traps, start-up; prints the tables that BENCHMARKS.md keeps."""

from __future__ import annotations

import argparse
import datetime
import platform
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.testing.firmware import fetch, path
from armvcpu.testing.initramfs import busybox_initramfs
from bench.disk import disk
from bench.edk2 import edk2
from bench.pairs import Pair, first_byte, pair, run
from bench.snapshots import small_guest_seconds, snapshot_times, suite_of_hundred
from bench.traps import engine_creation_ms, machine_creation_ms, trap_costs

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
GUESTS = ROOT / "guests" / "bin"
ARMVCPU = str(Path(sys.executable).parent / "armvcpu")
QEMU = ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a72", "-accel", "tcg,thread=single"]
QEMU += ["-m", "256", "-nographic", "-nic", "none"]


SECTIONS = ("uboot", "edk2", "linux", "disk", "loops", "traps", "start", "testing")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="Measure armvcpu against QEMU, in pairs.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=SECTIONS, action="append")
    options = parser.parse_args()
    if shutil.which(QEMU[0]) is None:
        sys.exit("qemu-system-aarch64 is missing: apt-get install qemu-system-arm")
    wanted = options.only or SECTIONS
    print(f"{datetime.date.today()}, {_machine()}, {options.rounds} rounds, median of ratios\n")
    print("| what | armvcpu | QEMU | ratio | at most |\n|---|---|---|---|---|")
    sections = {"uboot": uboot, "edk2": firmware, "linux": linux, "disk": disks, "loops": loops, "traps": traps,
                "start": start, "testing": testing}  # fmt: skip
    for name in wanted:
        for row in sections[name](options.rounds):
            print(row.row() if isinstance(row, Pair) else row, flush=True)


def uboot(rounds: int) -> Iterator[Pair]:
    """CPU seconds of U-Boot: to its prompt, a crc32 over 64 MB, power-off."""
    fetch("u-boot")
    image = str(path("u-boot", "u-boot.bin"))
    script = "\n\ncrc32 40000000 4000000\npoweroff\n"
    ours = [ARMVCPU, "run", "--firmware", image]
    theirs = [*QEMU, "-bios", image]
    yield pair("U-Boot to prompt, power-off, CPU", lambda: run(ours, "\n\npoweroff\n", "=> ").cpu,
               lambda: run(theirs, "\n\npoweroff\n", "=> ").cpu, rounds, "s")  # fmt: skip
    yield pair("U-Boot, crc32 of 64 MB, power-off, CPU", lambda: run(ours, script, "==>").cpu,
               lambda: run(theirs, script, "==>").cpu, rounds, "s", 1.2)  # fmt: skip


def firmware(rounds: int) -> Iterator[Pair]:
    """CPU seconds of EDK2."""
    return edk2(rounds, ARMVCPU, QEMU)


WORK = """i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done
dd if=/dev/zero bs=1M count=32 2>/dev/null | md5sum
poweroff -f
"""


def linux(rounds: int) -> Iterator[Pair]:
    """CPU seconds of Debian's cloud kernel: to a shell and off; with 200 forks and an md5 of 32 MB; on two CPUs."""
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    kernel, busybox = str(path("linux-cloud", "Image")), path("busybox", "busybox")
    with tempfile.TemporaryDirectory() as directory:
        for name, script in (("shell and off", "poweroff -f\n"), ("200 forks, md5 of 32 MB", WORK)):
            initrd = Path(directory) / "initramfs.cpio"
            initrd.write_bytes(busybox_initramfs(busybox, script.encode()))
            common = ["--initrd", str(initrd), "--append", "console=ttyAMA0 quiet"]
            ours = [ARMVCPU, "run", kernel, *common, "--memory", "512M"]
            theirs = [*QEMU, "-m", "512", "-kernel", kernel, *(option[1:] for option in common[:1]), common[1]]
            theirs += ["-append", common[3]]
            yield pair(f"Linux to {name}, CPU", lambda a=ours: run(a, "", "Power down").cpu,
                       lambda b=theirs: run(b, "", "Power down").cpu, rounds, "s", 1.1)  # fmt: skip
            if name == "shell and off":
                counted = [*ours, "--clock", "instructions"]
                yield pair("Linux to shell and off, by instructions beside the host's clock (both armvcpu), CPU",
                           lambda a=counted: run(a, "", "Power down").cpu, lambda b=ours: run(b, "", "Power down").cpu,
                           rounds, "s", 3)  # fmt: skip
                two = [*ours, "--cpus", "2"]
                yield pair("Linux to shell and off, 2 CPUs beside 1 (both armvcpu), CPU",
                           lambda a=two: run(a, "", "Power down").cpu, lambda b=ours: run(b, "", "Power down").cpu,
                           rounds, "s", 1.3)  # fmt: skip


def disks(rounds: int) -> Iterator[Pair]:
    """Milliseconds for what is read from a virtio disk."""
    return disk(rounds, [ARMVCPU], QEMU)


def loops(rounds: int) -> Iterator[Pair]:
    """Nanoseconds an iteration of CPU-bound loops, timed by the guest."""
    image = str(GUESTS / "loops.elf")
    commands = ([ARMVCPU, "run", image], [*QEMU, "-kernel", image])
    results = [tuple(_loop_times(run(command).output) for command in commands) for _ in range(rounds)]
    for name in results[0][0]:
        limit = 1.3 if name.split(",")[0] in {"load", "store"} else 1.8
        sides = [(ours[name], theirs[name]) for ours, theirs in results]
        yield Pair(f"loop {name}", statistics.median(a for a, _ in sides), statistics.median(b for _, b in sides),
                   statistics.median(a / b for a, b in sides), "ns", limit)  # fmt: skip


def _loop_times(output: str) -> dict[str, float]:
    """`LOOP load mmu=off iterations=N ticks=T` lines as nanoseconds an iteration."""
    frequency = next(float(line.split()[1]) for line in output.splitlines() if line.startswith("FREQUENCY"))
    times = {}
    for line in output.splitlines():
        if line.startswith("LOOP "):
            _, kind, mmu, iterations, ticks = line.split()
            times[f"{kind}, {mmu}"] = float(ticks.split("=")[1]) / frequency / float(iterations.split("=")[1]) * 1e9
    return times


def traps(rounds: int) -> Iterator[str]:
    """Microseconds a trap, beside QEMU's where it has the same one."""
    image = GUESTS / "traps.elf"
    ours = [trap_costs(image) for _ in range(rounds)]
    theirs = [_trap_times(run([*QEMU, "-kernel", str(image)]).output) for _ in range(rounds)]
    limits = {"hvc-hook": "2 µs", "hvc-exit": "6 µs"}
    for name in ours[0]:
        mine = statistics.median(each[name] for each in ours)
        other = [each[name] for each in theirs if name in each]
        shown = f"{statistics.median(other):.3g} µs" if other and not name.startswith("hvc") else ""
        yield f"| trap {name} | {mine:.3g} µs | {shown} | | {limits.get(name, '')} |"


def _trap_times(output: str) -> dict[str, float]:
    frequency = next(float(line.split()[1]) for line in output.splitlines() if line.startswith("FREQUENCY"))
    rows = (line.split() for line in output.splitlines() if line.startswith("TRAP ") and "ticks=" in line)
    return {row[1]: float(row[3].split("=")[1]) / frequency / float(row[2].split("=")[1]) * 1e6 for row in rows}


def start(rounds: int) -> Iterator[Pair | str]:
    """Start of a process to its first byte and to its end; engine and machine creation."""
    image = str(GUESTS / "hello.elf")
    ours, theirs = [ARMVCPU, "run", image], [*QEMU, "-kernel", image]
    yield pair("hello, start to first byte, wall", lambda: first_byte(ours) * 1e3,
               lambda: first_byte(theirs) * 1e3, rounds, "ms", 2.2)  # fmt: skip
    yield pair("hello, start to end, wall", lambda: run(ours, "", "1 passed").wall * 1e3,
               lambda: run(theirs, "", "1 passed").wall * 1e3, rounds, "ms", 2.4)  # fmt: skip
    yield f"| engine creation | {engine_creation_ms():.3g} ms | | | |"
    yield f"| machine creation, with hello loaded | {machine_creation_ms(Path(image)):.3g} ms | | | |"


def testing(rounds: int) -> Iterator[Pair | str]:
    """Small guests in one process beside QEMU's processes, and snapshots of a booted Linux."""
    image = GUESTS / "hello.elf"
    yield pair("hello booted, run and torn down: in one process, beside a QEMU process, CPU",
               lambda: small_guest_seconds(image) * 1e3, lambda: run([*QEMU, "-kernel", str(image)]).cpu * 1e3,
               rounds, "ms", 0.05)  # fmt: skip
    yield suite_of_hundred(image, ARMVCPU, rounds)
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    with tempfile.TemporaryDirectory() as directory:
        initrd = Path(directory) / "initramfs.cpio"
        initrd.write_bytes(busybox_initramfs(path("busybox", "busybox")))
        taken, restored = snapshot_times(path("linux-cloud", "Image"), initrd, rounds)
    yield f"| snapshot of a booted Linux with 512 MiB, wall | {taken * 1e3:.3g} ms | | | 1000 ms |"
    yield f"| back to it, to the first instruction, wall | {restored * 1e3:.3g} ms | | | 10 ms |"


def _machine() -> str:
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.processor())  # fmt: skip
    return f"{cpu}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
