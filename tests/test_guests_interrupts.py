"""The guests about interrupts, time and several CPUs: what they check from inside, and what sleeping costs the host."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.machine.outcome import Ending, Outcome

GUESTS = Path(__file__).parents[1] / "guests" / "bin"
TIMEOUT = 120
PASSES = {"gic": 95, "timer": 60, "preempt": 20, "smp": 17}
LSE_PASSES = 4
"""More of `smp` where ID_AA64ISAR0_EL1 shows the atomics."""
WFI_PASSES = 12
SLEPT = 2.7
"""Seconds that `wfi` sleeps; it does little else."""
MODELS = ("a72", "max")
ON_TIME = pytest.mark.flaky(reruns=2)
"""For what a host that has much else to do can't do: run a guest every 10 ms."""
CASES = [
    pytest.param(name, cpus, marks=ON_TIME if name == "preempt" else ()) for name in PASSES for cpus in (1, 2, 4)
] + [("smp", 8)]


def boot(name: str, cpus: int, cpu_model: str = "a72") -> tuple[Outcome, list[str]]:
    """Boot a guest; the outcome and the lines it printed."""
    console = MemoryConsole()
    with Machine(GUESTS / f"{name}.elf", console=console, cpus=cpus, cpu_model=cpu_model) as machine:
        outcome = machine.run(timeout=TIMEOUT)
    return outcome, console.output.decode().splitlines()


def check(outcome: Outcome, lines: list[str], name: str, passes: int) -> None:
    """The guest failed nothing, passed `passes` checks, said so, and powered off."""
    assert [line for line in lines if line.startswith("FAIL")] == []
    assert sum(line.startswith("PASS") for line in lines) == passes
    assert lines[-1] == f"{name}: {passes} passed, 0 failed"
    assert (outcome.ending, outcome.status, outcome.ok) == (Ending.POWERED_OFF, 0, True)


@pytest.mark.parametrize("cpu_model", MODELS)
@pytest.mark.parametrize(("name", "cpus"), CASES)
def test_guest_passes_its_checks(name: str, cpus: int, cpu_model: str) -> None:
    """Every check holds on any number of CPUs, and the guest finds as many as the machine has."""
    outcome, lines = boot(name, cpus, cpu_model)
    more = LSE_PASSES if (name, cpu_model) == ("smp", "max") else 0
    check(outcome, lines, name, PASSES[name] + more)
    assert lines[0].startswith(f"{name}: {cpus} CPUs")


@pytest.mark.parametrize("cpu_model", MODELS)
@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_sleeping_takes_its_time_and_costs_nothing(cpus: int, cpu_model: str) -> None:
    """While all CPUs wait in WFI the process uses no CPU time: less than a fifth of what the guest slept."""
    wall, used = time.monotonic(), time.process_time()
    outcome, lines = boot("wfi", cpus, cpu_model)
    wall, used = time.monotonic() - wall, time.process_time() - used
    check(outcome, lines, "wfi", WFI_PASSES)
    assert wall >= SLEPT
    assert used < SLEPT / 5


def test_the_last_redistributor_of_many_cpus_is_found() -> None:
    """All 32 CPUs that a GICv3 board has take SPIs that are routed to them, and SGIs (IHI 0069 2.3)."""
    check(*boot("gic", 32), "gic", PASSES["gic"])
