"""Per-CPU storage: each physical CPU has its own copy of every declared variable."""

from __future__ import annotations

import threading

import pytest

from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.percpu import PerCpu


def test_each_cpu_has_its_own_value() -> None:
    """A value set on one CPU is not seen on another."""
    percpu = PerCpu(count=2)
    variable = percpu.declare("hits", initial=0)
    variable.set(7, cpu_id=1)
    assert list(variable.for_all()) == [(0, 0), (1, 7)]


def test_current_cpu_is_the_default() -> None:
    """Inside `on`, get and set reach the current CPU's copy."""
    percpu = PerCpu(count=2)
    variable = percpu.declare("hits", initial=0)
    with percpu.on(1):
        variable.set(5)
        assert (percpu.current, variable.get()) == (1, 5)
    assert variable.get(0) == 0


def test_on_nests_and_restores_after_an_error() -> None:
    """Leaving `on`, even by an exception, makes the CPU before current again."""
    percpu = PerCpu(count=2)
    with percpu.on(0):
        with pytest.raises(ZeroDivisionError), percpu.on(1):
            raise ZeroDivisionError
        assert percpu.current == 0


def test_each_thread_has_its_own_current_cpu() -> None:
    """One that is in another thread's `on` block has entered none; each sees what it has entered itself."""
    percpu, met, seen = PerCpu(count=2), threading.Barrier(2), {}
    name = percpu.declare("name", factory=lambda cpu_id: f"cpu{cpu_id}")

    def enter(cpu_id: int) -> None:
        with percpu.on(cpu_id):
            met.wait(10)
            seen[cpu_id] = (percpu.current, name.get())
            met.wait(10)

    threads = [threading.Thread(target=enter, args=(cpu_id,)) for cpu_id in range(2)]
    for thread in threads:
        thread.start()
    with pytest.raises(StateError, match="no physical CPU is current"):
        _ = percpu.current
    for thread in threads:
        thread.join()
    assert seen == {0: (0, "cpu0"), 1: (1, "cpu1")}


def test_no_current_cpu_is_a_state_error() -> None:
    """Outside `on` there is no current CPU to default to."""
    percpu = PerCpu()
    variable = percpu.declare("hits", initial=0)
    with pytest.raises(StateError, match="no physical CPU is current"):
        variable.get()


@pytest.mark.parametrize("cpu_id", [-1, 2])
def test_unknown_cpu_is_refused(cpu_id: int) -> None:
    """An id outside the registry is refused by variables and by `on`, and `on` changes nothing."""
    percpu = PerCpu(count=2)
    variable = percpu.declare("hits", initial=0)
    with pytest.raises(UsageError, match="not registered"):
        variable.set(1, cpu_id)
    with percpu.on(0):
        with pytest.raises(UsageError, match="not registered"), percpu.on(cpu_id):
            pass
        assert percpu.current == 0


def test_factory_makes_one_object_for_each_cpu() -> None:
    """A factory is called with each id, so mutable values are not shared."""
    percpu = PerCpu(count=2)
    queues = percpu.declare("queue", factory=lambda cpu_id: [cpu_id])
    queues.get(0).append(9)
    assert dict(queues.for_all()) == {0: [0, 9], 1: [1]}


def test_a_name_is_declared_once() -> None:
    """Declaring a name again is refused and keeps the values."""
    percpu = PerCpu()
    variable = percpu.declare("hits", initial=3)
    with pytest.raises(UsageError, match="'hits' is declared already"):
        percpu.declare("hits", initial=0)
    assert variable.get(0) == 3


def test_registries_share_nothing() -> None:
    """Two registries may declare the same name."""
    first, second = PerCpu().declare("hits", initial=1), PerCpu().declare("hits", initial=2)
    assert (first.get(0), second.get(0)) == (1, 2)


def test_variables_of_a_cpu_are_listed_by_name() -> None:
    """A debugger can show everything one CPU has."""
    percpu = PerCpu()
    percpu.declare("hits", initial=1)
    percpu.declare("name", initial="cpu")
    assert percpu.values_of(0) == {"hits": 1, "name": "cpu"}


def test_a_registry_without_cpus_is_refused() -> None:
    """There is at least one physical CPU."""
    with pytest.raises(UsageError, match="at least one"):
        PerCpu(count=0)


@pytest.mark.parametrize("count", [-1, 1 << 17, 1 << 70, "two", 1.5, None])
def test_a_registry_that_cannot_be_is_refused(count: object) -> None:
    """At once, and not when memory is used up; so for the number of a physical CPU in a registry of its own."""
    with pytest.raises(UsageError):
        PerCpu(count)
    with pytest.raises(UsageError):
        Aarch64PerCpu(count)


def test_registration_of_all_cpus_is_all_or_nothing() -> None:
    """One place is taken: no other CPU is registered."""
    percpu = PerCpu(3)
    second = Aarch64PerCpu(1, registry=percpu)
    with pytest.raises(UsageError, match="physical CPU 1 is registered already"):
        Aarch64PerCpu.register(percpu)
    assert percpu.cpus() == [second]


def test_message_names_the_current_cpu() -> None:
    """By its number, where nobody named one."""
    percpu = PerCpu(2)
    with percpu.on(1), pytest.raises(UsageError, match="physical CPU 1 is not registered"):
        percpu.this_cpu()
    with pytest.raises(UsageError, match="is a number"), percpu.on("x"):
        pass
    with pytest.raises(UsageError, match="is a function"):
        percpu.declare("hits", factory=5)


def test_the_name_of_the_cpus_themselves_is_taken() -> None:
    """`this_cpu` looks there."""
    with pytest.raises(UsageError, match="'aarch64_percpu' is declared already"):
        PerCpu().declare("aarch64_percpu", initial=0)
