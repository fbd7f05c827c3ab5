"""A physical CPU: one engine, with EL2 set up on it or not yet, and what EL2 keeps for this CPU alone."""

from __future__ import annotations

from armvcpu.arch.esr import ExceptionClass
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import StateError, callable_in, kind_in, number_in
from armvcpu.vcpu.percpu import PerCpu

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine, TrapHandler
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    EngineFactory = Callable[[], Engine]


def unicorn_engine() -> Engine:
    """A new engine on Unicorn, which has proved once that it behaves as this layer needs."""
    from armvcpu.engine.selftest_stamp import ensure_selftest  # a fake engine needs no Unicorn
    from armvcpu.engine.unicorn_engine import UnicornEngine

    ensure_selftest()
    return UnicornEngine()


class Aarch64PerCpu:
    """What EL2 keeps for one physical CPU: its engine, the vCPU that is bound, the host's interrupt handler.

    It takes its place in `registry`; without one it is in a registry of its own.
    """

    def __init__(
        self, cpu_id: int = 0, engine_factory: EngineFactory = unicorn_engine, registry: PerCpu | None = None
    ) -> None:
        self.cpu_id = cpu_id
        self._factory = engine_factory
        self._engine: Engine | None = None
        self.irq_handler: Callable[[int], None] | None = None
        """Called with the INTID of each physical interrupt that ends a run here; None: the vCPU's `Hal` has it."""
        self.bound: Aarch64VCpu | None = None
        """The vCPU that is bound to this CPU."""
        self._counts: dict[int, int] | None = None
        self.shown: dict[int, int] = {}
        """Which VMs' memory the engine maps, by VMID, and the version of their tables that its TLB is up to."""
        if registry is None:
            number_in("the number of a physical CPU", cpu_id, 64)
            registry = PerCpu(cpu_id + 1)
        kind_in("a registry of physical CPUs", registry, PerCpu)
        callable_in("what makes an engine", engine_factory)
        self.registry = registry
        self.registry.register(self)

    @classmethod
    def register(cls, registry: PerCpu, engine_factory: EngineFactory = unicorn_engine) -> list[Aarch64PerCpu]:
        """One for each CPU of `registry`, found again there by `this_cpu` and `cpu`.

        UsageError, and none registered, where one of them has its place taken.
        """
        kind_in("a registry of physical CPUs", registry, PerCpu)
        for cpu_id in range(registry.count):
            registry.require_place(cpu_id)
        return [cls(cpu_id, engine_factory, registry) for cpu_id in range(registry.count)]

    def hardware_enable(self) -> None:
        """Create the engine: SCR_EL3, HCR_EL2 and, at first use, the self-test.

        Raises StateError when it is enabled already, EngineUnsupported when the installed Unicorn cannot do it.
        """
        if self._engine is not None:
            raise StateError(f"physical CPU {self.cpu_id} is enabled already")
        self._engine = self._factory()

    def is_enabled(self) -> bool:
        """Has `hardware_enable` been called?"""
        return self._engine is not None

    def hardware_disable(self) -> None:
        """Free the engine; StateError while a vCPU is bound, or when not enabled."""
        if self._engine is None:
            raise StateError(f"physical CPU {self.cpu_id} is not enabled")
        self.require_unbound()
        self._engine.close()
        self._engine = None
        self.shown.clear()

    def require_free(self) -> None:
        """StateError where no vCPU can be bound: one is, or the CPU is not enabled."""
        if self._engine is None:
            raise StateError(f"physical CPU {self.cpu_id} is not enabled: call hardware_enable() first")
        if self.bound is not None:
            raise StateError(f"physical CPU {self.cpu_id} has another vCPU bound: unbind that first")

    def require_unbound(self) -> None:
        """StateError while a vCPU is bound."""
        if self.bound is not None:
            raise StateError(f"physical CPU {self.cpu_id} still has a vCPU bound: unbind it first")

    @property
    def engine(self) -> Engine:
        """The engine; StateError before `hardware_enable`."""
        if self._engine is None:
            raise StateError(f"physical CPU {self.cpu_id} is not enabled: call hardware_enable() first")
        return self._engine

    def runs_on(self, thread: int) -> bool:
        """Does a guest run here now, in the thread with this identifier?"""
        return self.bound is not None and self.bound.runs_on(thread)

    # --- trap counters ----------------------------------------------------------------------------------------

    def count_traps(self) -> None:
        """Count the traps to EL2 from now on, by exception class; without this they cost nothing."""
        if self._counts is None:
            self._counts = {}
            if self.bound is not None:
                self.bound.count_traps()

    @property
    def trap_counts(self) -> dict[ExceptionClass, int]:
        """How many traps of each class there were since `count_traps`; empty before."""
        counts = self._counts or {}
        return {ExceptionClass(number): count for number, count in sorted(counts.items())}

    def counting(self, handler: TrapHandler) -> TrapHandler:
        """`handler`, or one that counts first where counters are wanted."""
        counts = self._counts
        if counts is None:
            return handler

        def counted(target: int, esr: int, far: int) -> None:
            number = esr >> 26
            counts[number] = counts.get(number, 0) + 1
            handler(target, esr, far)

        return counted
