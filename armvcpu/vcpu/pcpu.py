"""A physical CPU: one engine, with EL2 set up on it or not yet."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine
    from armvcpu.vcpu.percpu import PerCpu
    from armvcpu.vcpu.vcpu_life import VCpuLife

    EngineFactory = Callable[[], Engine]


def unicorn_engine() -> Engine:
    """A new engine on Unicorn, which has proved once that it behaves as this layer needs."""
    from armvcpu.engine.selftest_stamp import ensure_selftest  # noqa: PLC0415  a fake engine needs no Unicorn
    from armvcpu.engine.unicorn_engine import UnicornEngine  # noqa: PLC0415

    ensure_selftest()
    return UnicornEngine()


class Aarch64PerCpu:
    """What EL2 keeps for one physical CPU: whether it is enabled, its engine, the host's interrupt handler."""

    def __init__(self, cpu_id: int = 0, engine_factory: EngineFactory = unicorn_engine) -> None:
        self.cpu_id = cpu_id
        self._factory = engine_factory
        self._engine: Engine | None = None
        self.irq_handler: Callable[[int], None] = _ignore
        self.bound: VCpuLife | None = None
        """The vCPU that is bound to this CPU."""

    @classmethod
    def register(cls, registry: PerCpu, engine_factory: EngineFactory = unicorn_engine) -> list[Aarch64PerCpu]:
        """One for each CPU of `registry`, found again there as the variable `aarch64_percpu`."""
        variable = registry.declare("aarch64_percpu", factory=lambda cpu_id: cls(cpu_id, engine_factory))
        return [cpu for _, cpu in variable.for_all()]

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
        if self.bound is not None:
            raise StateError(f"physical CPU {self.cpu_id} still has a vCPU bound: unbind it first")
        self._engine.close()
        self._engine = None

    @property
    def engine(self) -> Engine:
        """The engine; StateError before `hardware_enable`."""
        if self._engine is None:
            raise StateError(f"physical CPU {self.cpu_id} is not enabled: call hardware_enable() first")
        return self._engine


def _ignore(_vector: int) -> None:
    """The interrupt handler until the host sets one."""
