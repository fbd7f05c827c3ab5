"""How several CPUs take turns on one engine."""

from __future__ import annotations

import pytest

from armvcpu import Machine
from armvcpu.arch.psci import AffinityState
from armvcpu.machine.cpus import NO_DEADLINE


@pytest.fixture
def two():
    """A machine with two CPUs that are on and wait for an interrupt."""
    with Machine("guests/bin/hello.elf", cpus=2) as machine:
        for cpu in machine.cpus:
            cpu.power, cpu.waiting = AffinityState.ON, True
        yield machine


def test_cpus_that_wake_at_the_same_moment_take_turns(two):
    """Whichever wakes first: the one that runs does not keep the engine for good, say by spinning for the other."""
    loop = two._loop
    for cpu in reversed(two.cpus):
        cpu.set_irq(True)
    assert loop._choose()
    assert loop._turn_ends < NO_DEADLINE


def test_a_cpu_that_is_alone_is_not_interrupted(two):
    """No turn ends where nobody else could run."""
    two.cpus[1].set_irq(True)
    assert two._loop._choose()
    assert (two.current_cpu.index, two._loop._turn_ends) == (1, NO_DEADLINE)


def test_nobody_awake_is_idle(two):
    """The loop then sleeps."""
    assert not two._loop._choose()
