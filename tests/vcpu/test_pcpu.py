"""Physical CPUs: enabled and disabled, one engine and at most one vCPU each."""

from __future__ import annotations

import pytest
from vcpu_bench import Bench

from armvcpu.engine.fake import ScriptedEngine
from armvcpu.errors import StateError
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.percpu import PerCpu


def enabled() -> Aarch64PerCpu:
    pcpu = Aarch64PerCpu(3, ScriptedEngine)
    pcpu.hardware_enable()
    return pcpu


def test_enable_makes_the_engine_and_disable_frees_it():
    """`is_enabled` follows, and the engine is closed."""
    pcpu = Aarch64PerCpu(3, ScriptedEngine)
    seen = [pcpu.is_enabled()]
    pcpu.hardware_enable()
    engine = pcpu.engine
    seen.append(pcpu.is_enabled())
    pcpu.hardware_disable()
    assert ([*seen, pcpu.is_enabled()], engine.closed) == ([False, True, False], True)


def test_cpu_can_be_enabled_again():
    """With a new engine."""
    pcpu = enabled()
    first = pcpu.engine
    pcpu.hardware_disable()
    pcpu.hardware_enable()
    assert pcpu.engine is not first


def test_enable_twice_is_refused_and_keeps_the_engine():
    """StateError names the CPU."""
    pcpu = enabled()
    engine = pcpu.engine
    with pytest.raises(StateError, match="physical CPU 3 is enabled already"):
        pcpu.hardware_enable()
    assert pcpu.engine is engine


def test_disabled_cpu_has_no_engine():
    """Neither to use nor to free."""
    pcpu = Aarch64PerCpu(3, ScriptedEngine)
    with pytest.raises(StateError, match="call hardware_enable"):
        _ = pcpu.engine
    with pytest.raises(StateError, match="not enabled"):
        pcpu.hardware_disable()


def test_enable_that_fails_leaves_the_cpu_disabled():
    """An engine that cannot be made is no engine."""

    def broken() -> ScriptedEngine:
        raise RuntimeError("no engine")

    pcpu = Aarch64PerCpu(0, broken)
    with pytest.raises(RuntimeError):
        pcpu.hardware_enable()
    assert not pcpu.is_enabled()


def test_disable_while_a_vcpu_is_bound_is_refused():
    """Its registers are in the engine."""
    bench = Bench()
    with pytest.raises(StateError, match="unbind it first"):
        bench.pcpu.hardware_disable()
    assert (bench.pcpu.is_enabled(), bench.engine.closed) == (True, False)
    bench.vcpu.unbind()
    bench.pcpu.hardware_disable()


def test_register_gives_one_for_each_cpu_of_a_registry():
    """They are the per-CPU variable `aarch64_percpu`, with their own numbers and engines."""
    registry = PerCpu(2)
    cpus = Aarch64PerCpu.register(registry, ScriptedEngine)
    for cpu in cpus:
        cpu.hardware_enable()
    assert [cpu.cpu_id for cpu in cpus] == [0, 1]
    assert cpus[0].engine is not cpus[1].engine


def test_host_sets_the_interrupt_handler_of_each_cpu():
    """Until it does, an interrupt is dropped."""
    pcpu, handled = enabled(), []
    pcpu.irq_handler(1)
    pcpu.irq_handler = handled.append
    pcpu.irq_handler(33)
    assert handled == [33]
