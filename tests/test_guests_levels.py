"""The guests that start at EL2 and EL3: what they check from inside, and the same lines as on QEMU 7.2.

`el2` is a hypervisor with a guest at EL1, `el3` a monitor of two worlds (guests/README.md). Their lines differ in what
QEMU 7.2 lacks, which `LACKING` names, and in the sum at their end.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.testing.firmware import programs

GUESTS = Path(__file__).parents[1] / "guests" / "bin"
TIMEOUT = 120
MODELS = {"a57": "cortex-a57", "max": "max"}
EL2_PASSES = {"a57": 71, "max": 149}
"""Of one CPU; `max` has VHE, and does it all twice."""
EL3_PASSES = 53
LACKING = re.compile(r"(PASS|SKIP) (cpu \d, VHE: )?(CNTHV is INTID 28|SCR_EL3[.]EA).*")
"""QEMU 7.2 wires no interrupt of CNTHV, and takes an External abort to EL2 whatever SCR_EL3.EA says."""
PREFIX = "cpu 0: "

ours = pytest.mark.parametrize("model", MODELS)
both_gics = pytest.mark.parametrize("gic", [2, 3])


def boot(name: str, **options: object) -> tuple[Outcome, list[str]]:
    """Boot a guest; the outcome and the lines it printed."""
    console = MemoryConsole()
    with Machine(GUESTS / f"{name}.elf", console=console, **options) as machine:
        outcome = machine.run(timeout=TIMEOUT)
    return outcome, console.output.decode().splitlines()


def on_qemu(name: str, model: str, board: str, cpus: int = 1) -> list[str]:
    """The lines that it prints there."""
    command = [programs.path("qemu-system-aarch64"), "-M", f"virt,{board}", "-cpu", MODELS[model], "-smp", str(cpus)]
    command += ["-m", "256", "-nographic", "-nic", "none", "-kernel", str(GUESTS / f"{name}.elf")]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=True)
    return done.stdout.decode().splitlines()


def check(outcome: Outcome, lines: list[str], name: str, passes: int) -> None:
    """The guest failed and skipped nothing, passed `passes` checks, said so, and powered off."""
    assert [line for line in lines if line.startswith(("FAIL", "SKIP"))] == []
    assert sum(line.startswith("PASS") for line in lines) == passes
    assert lines[-1] == f"{name}: {passes} passed, 0 failed"
    assert (outcome.ending, outcome.status, outcome.ok) == (Ending.POWERED_OFF, 0, True)


def comparable(lines: list[str]) -> list[str]:
    """Without what QEMU lacks, and the sum."""
    assert lines[-1].endswith(" 0 failed"), lines
    return [line for line in lines[:-1] if not LACKING.match(line)]


@both_gics
@ours
@pytest.mark.parametrize("cpus", [1, 2])
def test_a_hypervisor_passes_as_on_qemu(gic: int, model: str, cpus: int) -> None:
    """Calls, an emulated device, both stages, traps, virtual interrupts, timers, VHE; every CPU by PSCI's SMC."""
    outcome, lines = boot("el2", el=2, gic=gic, cpu_model=model, cpus=cpus)
    check(outcome, lines, "el2", EL2_PASSES[model] * cpus + (cpus - 1) + 1)
    theirs = on_qemu("el2", model, f"virtualization=on,gic-version={gic}", cpus)
    assert comparable(lines) == comparable(theirs)


@ours
def test_a_monitor_passes_as_on_qemu(model: str) -> None:
    """Two worlds, what Non-secure can't reach, traps to EL3, FIQ to EL3 and IRQ to the world it is for."""
    outcome, lines = boot("el3", el=3, cpu_model=model)
    check(outcome, lines, "el3", EL3_PASSES)
    assert comparable(lines) == comparable(on_qemu("el3", model, "virtualization=on,secure=on,gic-version=3"))


@pytest.mark.parametrize(("name", "el", "cpus"), [("el2", 2, 1), ("el2", 2, 4), ("el3", 3, 1)])
def test_it_passes_while_instructions_are_counted(name: str, el: int, cpus: int) -> None:
    """The instruction clock changes nothing that the guest can check, and gives the same lines again."""
    first, second = (boot(name, el=el, cpus=cpus, cpu_model="max", clock="instructions") for _ in range(2))
    assert first == second
    check(*first, name, EL3_PASSES if el == 3 else (EL2_PASSES["max"] + 1) * cpus)


@pytest.mark.parametrize(("name", "el", "cpus"), [("el2", 2, 2), ("el3", 3, 1)])
def test_a_recording_is_replayed(name: str, el: int, cpus: int, tmp_path: Path) -> None:
    """Interrupts of every level and world come at the same instructions: the same lines, and the same count."""
    options = {"el": el, "cpus": cpus, "cpu_model": "max", "clock": "instructions"}
    counts, outputs = [], []
    for option in ("record", "replay"):
        console = MemoryConsole()
        with Machine(GUESTS / f"{name}.elf", console=console, **options, **{option: tmp_path / "run"}) as machine:
            assert machine.run(timeout=TIMEOUT).ok
            counts.append(machine.instructions)
        outputs.append(bytes(console.output))
    assert counts[0] == counts[1]
    assert outputs[0] == outputs[1]


def goes_on(machine: Machine, other: Machine, consoles: tuple[MemoryConsole, MemoryConsole]) -> None:
    """Two machines go on from the first one's state, and print the same lines."""
    before = len(consoles[0].output)
    other.restore(machine.snapshot())
    assert [each.run(timeout=TIMEOUT).ending for each in (machine, other)] == [Ending.POWERED_OFF] * 2
    assert consoles[1].output == consoles[0].output[before:]
    assert b"PASS" in consoles[1].output
    assert b" 0 failed" in consoles[1].output


@pytest.mark.parametrize(("name", "el", "switch"), [("el2", 2, "enter_guest"), ("el3", 3, "enter_world")])
@pytest.mark.parametrize("nth", [1, 20, 40])
def test_a_snapshot_between_levels_goes_on_in_another_machine(name: str, el: int, switch: str, nth: int) -> None:
    """At the `nth` switch: the guest of a hypervisor, or the world that waits, with all that is saved of it."""
    consoles, count = (MemoryConsole(), MemoryConsole()), 0
    image = GUESTS / f"{name}.elf"
    with (
        Machine(image, console=consoles[0], el=el, cpu_model="max") as machine,
        Machine(image, console=consoles[1], el=el, cpu_model="max") as other,
    ):

        @machine.on_symbol(switch)
        def switching(_vcpu: object) -> None:
            nonlocal count
            count += 1
            if count == nth:
                machine.quit("in the middle")

        assert machine.run(timeout=TIMEOUT).reason == "in the middle"
        goes_on(machine, other, consoles)


@pytest.mark.parametrize(("name", "el"), [("el2", 2), ("el3", 3)])
@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_a_snapshot_anywhere_goes_on_in_another_machine(name: str, el: int, part: float) -> None:
    """After so many of all instructions, at whatever level they are."""
    image, consoles = GUESTS / f"{name}.elf", (MemoryConsole(), MemoryConsole())
    with Machine(image, el=el, cpu_model="max", clock="instructions") as machine:
        assert machine.run(timeout=TIMEOUT).ok
        total = machine.instructions
    assert total
    with (
        Machine(image, console=consoles[0], el=el, cpu_model="max", clock="instructions") as machine,
        Machine(image, console=consoles[1], el=el, cpu_model="max", clock="instructions") as other,
    ):
        assert machine.run(timeout=TIMEOUT, max_instructions=int(total * part)).ending is Ending.LIMIT
        goes_on(machine, other, consoles)


def test_a_hypervisor_of_the_guest_is_timed() -> None:
    """`levels`: so many calls and aborts to its own EL2, each of which came back."""
    outcome, lines = boot("levels", el=2)
    check(outcome, lines, "levels", 3)
    assert [line.split()[1:3] for line in lines if line.startswith("TRAP")] == [
        [name, "count=200000"] for name in ("el2-hvc", "el2-exit", "el2-abort")
    ]


@pytest.mark.parametrize(("name", "el"), [("el2", 2), ("el3", 3)])
def test_the_wrong_level_is_one_line(name: str, el: int) -> None:
    """Without `el` the guest says at which level it wants to start, and powers off."""
    outcome, lines = boot(name)
    assert outcome.ending is Ending.POWERED_OFF
    assert lines[0].startswith("FAIL start: this")
    assert f"armvcpu run --el {el}" in lines[0]
