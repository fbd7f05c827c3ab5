"""MSR instructions that somebody must hear of: writes of the Generic Timer's registers and of SCTLR_EL1.

The engine decodes writes of CTL and CVAL and drops them, and applies those of TVAL without telling anybody. They are
caught as instructions, before the engine's own check of access, so that check is made here first (DDI 0487 D11.2.4;
CNTKCTL_EL1, CNTHCTL_EL2); where it fails the engine is left to raise what it raises. docs/engine.md, "Gaps".
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from armvcpu.arch.registers import by_name
from armvcpu.engine.library import MSR_CALLBACK
from armvcpu.engine.native import Filter
from armvcpu.engine.sys_hooks import CpRegViews, key_of

if TYPE_CHECKING:
    from armvcpu.engine.block_counter import BlockCounter
    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers

TimerListener = Callable[[str, str, int], None]
"""Called as listener("V" or "P", "CTL", "CVAL" or "TVAL", the value written)."""
SctlrListener = Callable[[int], int]
"""Called with what the guest writes to SCTLR_EL1; gives what is to be written."""

_CNTKCTL_EL1, _CNTHCTL_EL2 = by_name["CNTKCTL_EL1"].encoding, by_name["CNTHCTL_EL2"].encoding
_SCTLR_EL1 = by_name["SCTLR_EL1"].encoding
_EL0_TIMER = {"V": 1 << 8, "P": 1 << 9}  # CNTKCTL_EL1.EL0VTEN and EL0PTEN
_EL1PCEN = 1 << 1  # CNTHCTL_EL2
_CONTROL_BITS = 3  # ENABLE and IMASK; ISTATUS is read-only
_DONE, _LEFT_TO_THE_ENGINE = 1, 0


class MsrHook:
    """Hears the MSRs of one engine; those that are none of its rows cost next to nothing (native.py)."""

    def __init__(
        self,
        lib: Library,
        handle: int,
        registers: Registers,
        counter: BlockCounter,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._registers, self._counter, self._fail = registers, counter, fail
        self._pc = lib.reg.UC_ARM64_REG_PC
        self._flush_tlb = partial(lib.control, handle, lib.const.UC_CTL_TLB_FLUSH)
        self._pstate = lib.reg.UC_ARM64_REG_PSTATE
        self._views = CpRegViews()
        self._rows: dict[tuple[int, int, int], Callable[[int], int]] = {}
        self._filter = Filter(MSR_CALLBACK(self._on_msr))
        for timer in ("V", "P"):
            for part in ("CTL", "CVAL", "TVAL"):
                encoding = by_name[f"CNT{timer}_{part}_EL0"].encoding
                self._add_row(encoding, partial(self._timer, encoding, timer, part))
        self.timers: TimerListener | None = None
        lib.add_hook(
            handle, lib.const.UC_HOOK_INSN, self._filter.function,
            instruction=lib.reg.UC_ARM64_INS_MSR, data=self._filter.data,
        )  # fmt: skip

    def listen_to_sctlr(self, listener: SctlrListener) -> None:
        """Call `listener` at each write of SCTLR_EL1 at EL1, and write what it gives."""

        def heard(value: int) -> int:
            if self._el() == 0:
                return _LEFT_TO_THE_ENGINE
            wanted = listener(value)
            if wanted == value:
                return _LEFT_TO_THE_ENGINE
            self._registers.write_sysreg(_SCTLR_EL1, wanted)
            self._flush_tlb()
            return _DONE

        self._add_row(_SCTLR_EL1, heard)

    def _add_row(self, encoding: int, row: Callable[[int], int]) -> None:
        self._rows[key_of(encoding)] = row
        self._filter.add(encoding)

    def _on_msr(self, _uc: int, _reg: int, cp_reg: int, _data: int) -> int:
        """1 when the write is done; called before the MSRs that the filter lets through."""
        words = self._views.at(cp_reg)
        row = self._rows.get((words[0], words[1], words[2] & 0xFFFF_FFFF))
        if row is None:
            return _LEFT_TO_THE_ENGINE
        try:
            if self._counter.active:
                self._counter.reached(self._registers.read(self._pc))
            return row(words[3])
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._fail(failure)
            return _DONE

    def _timer(self, encoding: int, timer: str, part: str, value: int) -> int:
        if not self._may_write(timer):
            return _LEFT_TO_THE_ENGINE
        if self.timers is None:
            self._registers.write_sysreg(encoding, value & _CONTROL_BITS if part == "CTL" else value)
        else:
            self.timers(timer, part, value)
        return _DONE

    def _may_write(self, timer: str) -> bool:
        read = self._registers.read_sysreg
        if timer == "P" and not read(_CNTHCTL_EL2) & _EL1PCEN:
            return False
        return self._el() > 0 or bool(read(_CNTKCTL_EL1) & _EL0_TIMER[timer])

    def _el(self) -> int:
        return self._registers.read(self._pstate) >> 2 & 3
