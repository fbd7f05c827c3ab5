"""`--clock instructions`: the same image and input give the same exits, console and counts, byte for byte."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from armvcpu import Machine
from armvcpu.testing.firmware.initramfs import busybox_initramfs
from armvcpu.testing.firmware.store import fetch, path

ARMVCPU = str(Path(sys.executable).parent / "armvcpu")
GUESTS = (
    "el2",
    "el3",
    "exceptions",
    "gic",
    "lazyfp",
    "mmio",
    "mmu",
    "selfmod",
    "smccc",
    "smp",
    "sysreg",
    "timer",
    "traps",
    "wfi",
)
ABOVE_EL1 = {"el2": ("--el", "2", "--cpus", "2", "--cpu-model", "max"), "el3": ("--el", "3")}
LIMITS = {"timer": "3000000", "traps": "200000"}
"""The traced exits of their last millions of instructions add nothing."""
SHELL = b"""echo forks; i=0; while [ $i -lt 20 ]; do /bin/true; i=$((i+1)); done
dd if=/dev/urandom bs=1k count=64 2>/dev/null | md5sum
date; sleep 3; date; cat /proc/interrupts
poweroff -f
"""


def run(tmp_path: Path, *arguments: str, typed: bytes = b"") -> tuple[int, bytes, bytes, bytes]:
    """Status, stdout with the JSON of the outcome, stderr, the trace of exits and exceptions."""
    trace = tmp_path / "trace"
    command = [ARMVCPU, "run", *arguments, "--clock", "instructions", "--json", "--timeout", "100"]
    done = subprocess.run(
        [*command, "--trace", f"exits,exception:{trace}"], input=typed, capture_output=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr, trace.read_bytes()


@pytest.mark.parametrize("name", GUESTS)
def test_guests(name, tmp_path):
    """Every guest with timers, traps, faults or several CPUs."""
    arguments = [f"guests/bin/{name}.elf", *(["--cpus", "4"] if name == "smp" else []), *ABOVE_EL1.get(name, ())]
    if name in LIMITS:
        arguments += ["--max-instructions", LIMITS[name]]
    first, second = (run(tmp_path, *arguments) for _ in range(2))
    assert first == second
    status, stdout, stderr, trace = first
    assert status in {0, 4}, stderr
    assert json.loads(stdout.splitlines()[-1])["instructions"] > 10_000
    assert trace or name == "timer"  # which makes no exit so early


def test_a_count_is_what_no_trace_or_limit_changes(tmp_path):
    """Watched and unwatched, in one run and up to a limit: the same instructions."""
    image = "guests/bin/mmu.elf"
    _, stdout, _, _ = run(tmp_path, image)
    count = json.loads(stdout.splitlines()[-1])["instructions"]
    command = [ARMVCPU, "run", image, "--clock", "instructions", "--json"]
    for limit, status in ((count, 0), (count - 1, 4)):
        done = subprocess.run(
            [*command, "--max-instructions", str(limit)], capture_output=True, timeout=60, check=False
        )
        facts = json.loads(done.stdout.splitlines()[-1])
        assert (done.returncode, facts["instructions"]) == (status, limit)


def test_piped_input_comes_at_the_same_moment(tmp_path):
    """All of it is there before the guest begins."""
    typed = b"first\rsecond line\rquit\r"
    first, second = (run(tmp_path, "guests/bin/echo.elf", typed=typed) for _ in range(2))
    assert first == second
    assert first[0] == 0
    assert b"second line" in first[1]


@pytest.mark.parametrize(
    "cpus", [pytest.param("1", marks=pytest.mark.slow), "2", pytest.param("4", marks=pytest.mark.slow)]
)
def test_linux(cpus, tmp_path):
    """Processes, random numbers, dates and interrupts: nothing of the host's shines through."""
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    initrd = tmp_path / "initramfs.cpio"
    initrd.write_bytes(busybox_initramfs(path("busybox", "busybox"), SHELL))
    arguments = [str(path("linux-cloud", "Image")), "--initrd", str(initrd), "--append", "console=ttyAMA0"]
    first, second = (run(tmp_path, *arguments, "--cpus", cpus) for _ in range(2))
    status, stdout, stderr, trace = first
    assert status == 0, stderr
    assert b"Nov 14 22:13" in stdout  # the machine's own date
    assert first == second
    assert trace.count(b"\n") > 1000


def test_a_run_in_pieces_is_the_same_run():
    """Of Linux on two CPUs: limits, single steps and pauses anywhere leave the same memory, registers and output."""
    fetch("linux-cloud")

    def run(*, in_pieces: bool) -> tuple[str, int | None, bytes]:
        options = {"clock": "instructions", "cpus": 2, "append": "console=ttyAMA0 nokaslr"}
        with Machine(path("linux-cloud", "Image"), **options) as machine:
            sizes = random.Random(14)
            while (left := 100_000_000 - (machine.instructions or 0)) > 0:
                most = min(left, int(10 ** sizes.uniform(0, 7.5))) if in_pieces else left
                if most < 100 and in_pieces:
                    for _ in range(most):
                        machine.step()
                else:
                    machine.run(max_instructions=most)
            state = hashlib.sha256(machine.memory.ram)
            for cpu in machine.cpus:
                state.update(repr(cpu.vcpu.registers.save()).encode())
            return state.hexdigest(), machine.instructions, bytes(machine.console.output)

    assert run(in_pieces=True) == run(in_pieces=False)
