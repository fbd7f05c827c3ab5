"""Physical CPUs: enabled and disabled, one engine and at most one vCPU each."""

from __future__ import annotations

import pytest
from vcpu_bench import Bench

from armvcpu.arch.esr import ExceptionClass
from armvcpu.engine.fake import LimitReached, ScriptedEngine, StopRequested, Trap
from armvcpu.errors import EngineUnsupported, StateError, UsageError
from armvcpu.vcpu.exits import ExternalInterrupt
from armvcpu.vcpu.hal import BareHal
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.percpu import PerCpu
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig


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
    """They are found there, with their own numbers and engines."""
    registry = PerCpu(2)
    cpus = Aarch64PerCpu.register(registry, ScriptedEngine)
    for cpu in cpus:
        cpu.hardware_enable()
    assert [cpu.cpu_id for cpu in cpus] == [0, 1]
    assert cpus[0].engine is not cpus[1].engine


class Handlers(BareHal):
    """A host with interrupt 33, which writes down what it is to handle."""

    def __init__(self) -> None:
        self.handled: list[int] = []

    def irq_fetch(self) -> int:
        return 33

    def irq_handler(self, vector: int) -> None:
        self.handled.append(vector)


@pytest.mark.parametrize("has_its_own", [False, True])
def test_interrupt_is_handled_by_the_cpus_handler_or_the_host(has_its_own):
    """By one of them, before the exit is seen."""
    hal, mine = Handlers(), []
    bench = Bench(hal=hal)
    if has_its_own:
        bench.pcpu.irq_handler = mine.append
    assert bench.play(StopRequested()) == ExternalInterrupt(33)
    assert (mine, hal.handled) == (([33], []) if has_its_own else ([], [33]))


def test_registered_cpu_has_its_place_in_the_registry():
    """One in each; a second one, or one that there is no place for, is refused."""
    registry = PerCpu(2)
    first = Aarch64PerCpu(0, ScriptedEngine, registry)
    with pytest.raises(UsageError, match="physical CPU 0 is registered already"):
        Aarch64PerCpu(0, ScriptedEngine, registry)
    with pytest.raises(UsageError, match="physical CPU 2 has no place"):
        Aarch64PerCpu(2, ScriptedEngine, registry)
    with pytest.raises(UsageError, match="physical CPU 1 is not registered: make"):
        registry.cpu(1)
    assert (registry.cpus(), registry.cpu(0), first.registry) == ([first], first, registry)


def test_cpu_without_a_registry_has_one_of_its_own():
    """So hooks find it in any case."""
    pcpu = enabled()
    assert (pcpu.registry.cpu(3), pcpu.registry.count) == (pcpu, 4)


def test_all_cpus_are_enabled_and_disabled_together():
    """One that is enabled already stays as it is."""
    registry = PerCpu(3)
    cpus = Aarch64PerCpu.register(registry, ScriptedEngine)
    cpus[1].hardware_enable()
    engine = cpus[1].engine
    registry.enable_all()
    seen = [cpu.is_enabled() for cpu in cpus]
    registry.disable_all()
    assert (seen, [cpu.is_enabled() for cpu in cpus], engine.closed) == ([True] * 3, [False] * 3, True)


def test_cpus_are_enabled_all_or_none():
    """Where the second engine cannot be made, the first is freed; what was enabled before stays."""
    registry, engines = PerCpu(3), [ScriptedEngine(), ScriptedEngine()]

    def make() -> ScriptedEngine:
        if not made:
            raise EngineUnsupported("no more")
        return made.pop(0)

    cpus, made = Aarch64PerCpu.register(registry, make), list(engines)
    cpus[0].hardware_enable()
    with pytest.raises(EngineUnsupported):
        registry.enable_all()
    assert [cpu.is_enabled() for cpu in cpus] == [True, False, False]
    assert [engine.closed for engine in engines] == [False, True]


def test_bound_vcpu_keeps_all_cpus_enabled():
    """`disable_all` does nothing while there is one."""
    registry = PerCpu(2)
    cpus = Aarch64PerCpu.register(registry, ScriptedEngine)
    registry.enable_all()
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    vcpu.setup(Aarch64VCpuSetupConfig())
    vcpu.bind(cpus[1])
    with pytest.raises(StateError, match="physical CPU 1 still has a vCPU bound"):
        registry.disable_all()
    assert [cpu.is_enabled() for cpu in cpus] == [True, True]


def test_hook_finds_its_cpu_and_vcpu():
    """In a handler the current CPU is the one that runs, whichever the thread has entered."""
    registry, seen = PerCpu(2), []
    cpus = Aarch64PerCpu.register(registry, ScriptedEngine)
    registry.enable_all()
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    vcpu.setup(Aarch64VCpuSetupConfig())
    vcpu.set_entry(0x1000)
    vcpu.handlers.hypercalls[9] = lambda _vcpu: seen.append((registry.this_cpu(), registry.current_vcpu()))
    with registry.on(0):
        vcpu.bind(cpus[1])
        cpus[1].engine.script.extend((Trap(2, 0x5A00_0000, regs={0: 9}), LimitReached()))
        vcpu.run()
        outside = registry.this_cpu(), registry.current_vcpu()
    assert (seen, outside) == ([(cpus[1], vcpu)], (cpus[0], None))


@pytest.mark.parametrize("when", ["before bind", "after bind"])
def test_traps_are_counted_where_that_is_wanted(when):
    """By exception class; nothing before."""
    bench = Bench()
    bench.play(Trap(2, 0x5A00_0000))
    before = bench.pcpu.trap_counts
    if when == "before bind":
        bench.vcpu.unbind()
    bench.pcpu.count_traps()
    if when == "before bind":
        bench.vcpu.bind(bench.pcpu)
    for esr in (0x5A00_0000, 0x0600_0000, 0x5A00_0000):  # HVC, WFI, HVC
        bench.play(Trap(2, esr))
    assert (before, bench.pcpu.trap_counts) == ({}, {ExceptionClass.WFX: 1, ExceptionClass.HVC64: 2})
