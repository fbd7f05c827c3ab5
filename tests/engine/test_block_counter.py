"""Instruction counts of whole guests, against a hook on every instruction."""

from __future__ import annotations

import itertools
import random
import threading

import pytest

from armvcpu import Machine
from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, branch
from armvcpu.machine.outcome import Ending

GUESTS = ("exceptions", "mmu", "selfmod", "lazyfp", "traps", "smccc", "sysreg", "timer", "wfi")
LENGTH = 120_000


def guest(name: str) -> Machine:
    return Machine(f"guests/bin/{name}.elf", clock="instructions")


@pytest.mark.parametrize("name", GUESTS)
def test_the_count_is_that_of_a_hook_on_every_instruction(name):
    """Whatever traps, faults, changes its code or waits; and a limit ends exactly at the instruction it names."""
    trace: list[int] = []
    with guest(name) as machine:
        machine.trace_instructions(trace.append)
        machine.run(timeout=60, max_instructions=LENGTH)
        assert machine.instructions == len(trace)
    for limit in random.Random(name).sample(range(1, len(trace)), 6):
        with guest(name) as machine:
            assert machine.run(max_instructions=limit).ending is Ending.LIMIT
            assert (machine.instructions, machine.vcpu.state.pc) == (limit, trace[limit])


def test_a_run_in_pieces_is_one_run():
    """Slices of any size end where one run does, and the next one goes on from there."""
    with guest("exceptions") as machine:
        machine.run(max_instructions=60_000)
        pc, registers = machine.vcpu.state.pc, machine.vcpu.state.frame[:31].tolist()
    for size, pieces in ((1, 30), (7, 30), (511, 30), (512, 30), (513, 30), (1000, 20), (19_999, 3)):
        with guest("exceptions") as machine:
            machine.run(max_instructions=60_000 - pieces * size)
            while machine.instructions < 60_000:
                machine.run(max_instructions=min(size, 60_000 - machine.instructions))
            assert (machine.vcpu.state.pc, machine.vcpu.state.frame[:31].tolist()) == (pc, registers)


def test_a_stop_at_a_count_comes_before_the_same_block_every_time():
    """At the first block that begins with the count reached, and the run can go on from there."""
    stops = []
    for count, _ in itertools.product((1, 10_000, 33_333), range(2)):
        with guest("mmu") as machine:
            engine = machine.engine
            engine.stop_at(count)
            assert engine.run() is RunEnd.STOPPED
            assert count <= engine.instructions < count + 512
            stops.append((engine.instructions, engine.state.pc))
            engine.stop_at(None)
            assert machine.run(timeout=60).status == 0
    assert stops[0::2] == stops[1::2]


def test_stops_from_within_and_from_other_threads_leave_the_count_exact(bench):
    """A block that is its own successor, stopped again and again: x0 tells how often it ran."""
    engine = bench.engine
    engine.count_instructions()
    bench.start(ADD_X0_1, ADD_X0_1, ADD_X0_1, branch(-3))
    for _ in range(60):
        stopper = threading.Timer(0.001, engine.request_stop)
        stopper.start()
        assert engine.run() is RunEnd.STOPPED
        stopper.join()
        assert engine.instructions * 3 == bench.gpr(0) * 4
    assert engine.instructions > 10_000


def test_a_step_counts_as_one(bench):
    """Also of a branch to itself, and of an instruction that traps."""
    engine = bench.engine
    engine.count_instructions()
    bench.start(ADD_X0_1, branch(0))
    for count in (1, 2, 3):
        engine.step()
        assert engine.instructions == count
    assert engine.state.pc == CODE + 4
