"""MSR instructions that somebody must hear of: the Generic Timer's registers, SCTLR_EL1, those of self-hosted debug.

The engine decodes writes of CTL and CVAL and drops them, and applies those of TVAL without telling anybody. They are
caught as instructions, before the engine's own check of access, so that check is made here first (DDI 0487 D11.2.4;
CNTKCTL_EL1, CNTHCTL_EL2); where it fails the engine is left to raise what it raises. docs/engine.md, "Gaps".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from armvcpu.arch.registers import by_name
from armvcpu.arch.sysregs_debug import WATCHPOINTS
from armvcpu.engine.sys_hooks import DONE, LEFT_TO_THE_ENGINE, RegisterHook

if TYPE_CHECKING:
    from armvcpu.engine.block_counter import BlockCounter
    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers

TimerListener = Callable[[str, str, int], None]
"""Called as listener("V" or "P", "CTL", "CVAL" or "TVAL", the value written)."""
DebugListener = Callable[[int, int], None]
"""Called with the packed encoding of a debug register and what the guest is about to write to it."""
SctlrListener = Callable[[int], int]
"""Called with what the guest writes to SCTLR_EL1; gives what is to be written."""

_CNTKCTL_EL1, _CNTHCTL_EL2 = by_name["CNTKCTL_EL1"].encoding, by_name["CNTHCTL_EL2"].encoding
_SCTLR_EL1, _TTBR0_EL1 = by_name["SCTLR_EL1"].encoding, by_name["TTBR0_EL1"].encoding
WATCHED = ("MDSCR_EL1", *(f"DBGW{kind}R{n}_EL1" for kind in "VC" for n in range(WATCHPOINTS)))
_EL0_TIMER = {"V": 1 << 8, "P": 1 << 9}  # CNTKCTL_EL1.EL0VTEN and EL0PTEN
_EL1PCEN = 1 << 1  # CNTHCTL_EL2
_CONTROL_BITS = 3  # ENABLE and IMASK; ISTATUS is read-only


class MsrHook:
    """The MSRs of one engine."""

    def __init__(
        self,
        lib: Library,
        handle: int,
        registers: Registers,
        counter: BlockCounter,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._registers = registers
        self._flush_tlb = partial(lib.control, handle, lib.const.UC_CTL_TLB_FLUSH)
        self._hook = RegisterHook(lib, handle, registers, counter, fail, lib.reg.UC_ARM64_INS_MSR)
        for timer in ("V", "P"):
            for part in ("CTL", "CVAL", "TVAL"):
                encoding = by_name[f"CNT{timer}_{part}_EL0"].encoding
                self._hook.add_row(encoding, partial(self._timer, encoding, timer, part))
        self.timers: TimerListener | None = None

    def listen_to_sctlr(self, listener: SctlrListener) -> None:
        """Call `listener` at each write of SCTLR_EL1 at EL1, and write what it gives."""

        def heard(_reg: int, value: int) -> int:
            if self._hook.el() == 0:
                return LEFT_TO_THE_ENGINE
            wanted = listener(value)
            if wanted == value:
                return LEFT_TO_THE_ENGINE
            self._registers.write_sysreg(_SCTLR_EL1, wanted)
            self._flush_tlb()
            return DONE

        self._hook.add_row(_SCTLR_EL1, heard)

    def listen_to_debug(self, listener: DebugListener) -> None:
        """Call `listener` before each write of MDSCR_EL1 and the watchpoint registers at EL1."""

        def heard(encoding: int, _reg: int, value: int) -> int:
            if self._hook.el() > 0:
                listener(encoding, value)
            return LEFT_TO_THE_ENGINE

        for name in WATCHED:
            self._hook.add_row(by_name[name].encoding, partial(heard, by_name[name].encoding))

        self._hook.add_row(_TTBR0_EL1, partial(heard, _TTBR0_EL1), wanted=False)

    def want_ttbr0(self, wanted: bool) -> None:
        """Is the listener to debug registers to hear of writes of TTBR0_EL1? Some kernels make two at each entry."""
        self._hook.want(_TTBR0_EL1, wanted)

    def _timer(self, encoding: int, timer: str, part: str, _reg: int, value: int) -> int:
        if not self._may_write(timer):
            return LEFT_TO_THE_ENGINE
        if self.timers is None:
            self._registers.write_sysreg(encoding, value & _CONTROL_BITS if part == "CTL" else value)
        else:
            self.timers(timer, part, value)
        return DONE

    def _may_write(self, timer: str) -> bool:
        read = self._registers.read_sysreg
        if timer == "P" and not read(_CNTHCTL_EL2) & _EL1PCEN:
            return False
        return self._hook.el() > 0 or bool(read(_CNTKCTL_EL1) & _EL0_TIMER[timer])
