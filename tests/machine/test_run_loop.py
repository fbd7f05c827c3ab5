"""How several CPUs take turns on one engine."""

from __future__ import annotations

import itertools
import struct
import time

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.arch.psci import AffinityState
from armvcpu.arch.registers import by_name
from armvcpu.devices.deadline import NEVER
from armvcpu.machine.running.cpu import Cpu
from armvcpu.machine.running.turns import TURN_NS
from armvcpu.vcpu.life import VCpuState


@pytest.fixture
def two():
    """A machine with two CPUs that are on and wait for an interrupt."""
    with Machine("guests/bin/hello.elf", cpus=2) as machine:
        for cpu in machine.cpus:
            cpu.power, cpu.waiting = AffinityState.ON, True
        yield machine


def test_cpus_that_wake_at_the_same_moment_take_turns(two):
    """Whichever wakes first: the one that runs does not keep the engine for good, say by spinning for the other."""
    turns = two.parts.turns
    for cpu in reversed(two.cpus):
        cpu._inputs.set_irq(True)
    assert turns.choose()
    assert turns._end.moment < NEVER


def test_a_cpu_that_is_alone_is_not_interrupted(two):
    """No turn ends where nobody else could run."""
    two.cpus[1]._inputs.set_irq(True)
    assert two.parts.turns.choose()
    assert (two.current_cpu.index, two.parts.turns._end.moment) == (1, NEVER)


def test_a_deadline_that_is_over_is_set_no_more(two, monkeypatch):
    """When a timer's interrupt wakes a CPU while another one runs, the next moment to look is the end of that turn."""
    waiting, running = two.cpus
    running.start(0, 0)
    waiting.waiting = True
    two.parts.turns.switch_to(running)
    waiting.time.timers["V"]._line = waiting._inputs.set_irq
    for part, value in (("CVAL", waiting.time.count() + 1_000_000), ("CTL", 1)):
        waiting.vcpu.sysregs.writers[by_name[f"CNTV_{part}_EL0"].encoding](value)
    assert waiting.time.deadline < NEVER
    time.sleep(0.02)  # the deadline is 16 ms away
    seen: list[int] = []
    monkeypatch.setattr(two.parts.turns, "on_wake", lambda cpu: seen.append(cpu.time.deadline))
    two.parts.schedule.run_due(two.clock.ns())
    assert seen == [NEVER]


@pytest.mark.parametrize(("takes", "by_the_other", "soon"), [(1, 1, True), (0, 1, False), (1, 0, False)])
def test_a_cpu_that_is_interrupted_gets_its_turn_soon(two, monkeypatch, takes, by_the_other, soon):
    """Where the CPU that runs has done it, and it is not masked; and that one goes on soon after the acknowledgement.

    Not before it: the sender would send again what is still pending, and that would be one interrupt.
    """
    turns, (first, other) = two.parts.turns, two.cpus
    first.waiting = other.waiting = False
    monkeypatch.setattr(turns, "_now", lambda: 0)
    monkeypatch.setattr(turns, "_busy", itertools.count(step=TURN_NS).__next__)
    assert turns.choose()
    monkeypatch.setattr(Cpu, "takes_interrupts", bool(takes))
    first.vcpu._life.state = VCpuState.RUNNING if by_the_other else VCpuState.READY
    other._inputs.set_irq(True)
    first.vcpu._life.state = VCpuState.READY
    assert (turns._end.moment < TURN_NS // 2) == soon
    two.parts.schedule.run_due(turns._end.moment)
    assert turns.choose()
    assert two.current_cpu is other
    assert turns._end.moment == TURN_NS
    other._inputs.set_irq(False)
    assert (turns._end.moment < TURN_NS // 2) == soon
    two.parts.schedule.run_due(turns._end.moment)
    assert turns.choose()
    assert two.current_cpu is first
    assert turns._end.moment == TURN_NS


def test_a_turn_lasts_as_long_as_the_host_was_there(two, monkeypatch):
    """A CPU that had nothing of its turn, because the host did something else, has it then."""
    turns = two.parts.turns
    two.cpus[0].waiting = two.cpus[1].waiting = False
    had = 0
    monkeypatch.setattr(turns, "_busy", lambda: had)
    turns.switch_to(two.cpus[0])
    assert turns.choose()
    now = turns._end.moment + 10 * TURN_NS
    monkeypatch.setattr(turns, "_now", lambda: now)
    two.parts.schedule.run_due(now)
    assert turns._end.moment == now + TURN_NS
    had = TURN_NS
    two.parts.schedule.run_due(now + TURN_NS)
    assert turns._end.moment == NEVER


def test_a_cpu_in_reset_takes_no_interrupts(two):
    """PSTATE.I and F are set (DDI 0487 D1.2.3)."""
    other = two.cpus[1]
    other._inputs.set_irq(True)
    assert not other.takes_interrupts
    two.parts.turns.unload()
    other.prepare()
    assert not other.takes_interrupts


def test_nobody_awake_is_idle(two):
    """The loop then sleeps."""
    assert not two.parts.turns.choose()


# --- waiting for another CPU ----------------------------------------------------------------------------------

YIELD, WFE, B_BACK = 0xD503_203F, 0xD503_205F, 0x17FF_FFFF
"""The last: B to the instruction before."""


def turns_taken(machine, seconds):
    """How often a CPU got the engine in a run of so many seconds."""
    taken = []
    switch = machine.parts.turns.switch_to
    machine.parts.turns.switch_to = lambda cpu: (taken.append(cpu.index), switch(cpu))
    machine.run(timeout=seconds)
    return len(taken)


@pytest.mark.parametrize("word", [YIELD, WFE])
def test_a_cpu_that_spins_gives_its_turn_away(tmp_path, word):
    """Each wait ends the turn: no deadline is waited for."""
    image = tmp_path / "spin.bin"
    image.write_bytes(raw.image(word, B_BACK))
    with Machine(image, cpus=2) as machine:
        machine.cpus[1].start(raw.BASE, 0)
        assert turns_taken(machine, 0.2) > 200  # many more than the hundred that turns of 2 ms would make


def test_a_cpu_that_is_alone_waits_without_leaving(tmp_path):
    """A wait of the only CPU that can run is a hint."""
    image = tmp_path / "spin.bin"
    image.write_bytes(raw.image(raw.add(1, 1, 1), WFE, 0x17FF_FFFE))
    with Machine(image, cpus=2) as machine:
        assert turns_taken(machine, 0.1) < 10
        assert machine.vcpu.gpr(1) > 1000


def test_a_cpu_that_works_keeps_its_turn(tmp_path):
    """A loop without such an instruction is no waiting."""
    image = tmp_path / "work.bin"
    image.write_bytes(raw.image(raw.add(1, 1, 1), B_BACK))
    with Machine(image, cpus=2) as machine:
        machine.cpus[1].start(raw.BASE, 0)
        assert turns_taken(machine, 0.1) < 60
        assert all(cpu.vcpu.gpr(1) for cpu in machine.cpus)


def test_semihosting_answers_on_every_cpu(tmp_path):
    """SYS_EXIT by the second CPU, while the first one only turns round."""
    image = tmp_path / "exit.bin"
    code = raw.image(raw.branch(0), raw.mov(0, 0x18), raw.mov(1, raw.BASE + 0x100), raw.HLT_SEMIHOSTING)
    image.write_bytes(code.ljust(0x100, b"\0") + struct.pack("<2Q", 0x2_0026, 0))
    with Machine(image, cpus=2, semihosting=True) as machine:
        machine.cpus[1].start(raw.BASE + 4, 0x18)
        outcome = machine.run(timeout=20)
    assert (outcome.status, outcome.reason) == (0, "semihosting exit: ADP_Stopped_ApplicationExit, status 0")
