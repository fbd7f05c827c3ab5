"""Who answers for a vCPU's registers, and who hears of what it does; and what the engine has to know of them."""

from __future__ import annotations

from armvcpu.arch.esr import ExceptionClass
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.observer import check_observer, heard
from armvcpu.vcpu.traps.guest import TrapHandlers

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.sysreg import SysRegTable
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    TellSysReg = Callable[[int, bool, int], None]


class Listeners:
    """Those of one vCPU."""

    def __init__(self, sysregs: SysRegTable, highest: int = 1) -> None:
        self.sysregs, self._highest = sysregs, highest
        self.handlers: TrapHandlers[Aarch64VCpu] = TrapHandlers()
        self.observer: Observer | None = None
        self._heard: frozenset[str] = frozenset()

    def observe(self, observer: Observer | None, tell_sysreg: TellSysReg) -> None:
        """Have `observer` hear what it wants, of accesses of registers by `tell_sysreg`; UsageError where it can't."""
        if observer is not None:
            check_observer(observer)
        self.observer = observer
        self._heard = frozenset() if observer is None else heard(observer)
        self.sysregs.observe(tell_sysreg if "sysreg" in self._heard else None)

    def settle(self, engine: Engine) -> None:
        """Have the engine call whom it should."""
        engine.registers.use(self.sysregs.rows)
        engine.listen.hear_semihosting(self.handlers.semihosting is not None)
        if self._highest > 1:
            hypercalls = 1 << ExceptionClass.HVC64 if self.handlers.hypercalls else 0
            engine.listen.hear_exceptions(hypercalls, 2)
            engine.listen.hear_exceptions(1 << ExceptionClass.SMC64 if self.handlers.smc else 0, 3)
        engine.listen.observe_exceptions("exception" in self._heard)
