"""Writes of the Generic Timer's registers, which the engine decodes and then drops or applies without telling anybody.

CTL, CVAL and TVAL of the virtual and the physical timer are caught as MSR instructions, before the engine's own check
of access, so that check is made here first (DDI 0487 D11.2.4; CNTKCTL_EL1, CNTHCTL_EL2). Where it fails the engine is
left to raise what it raises. Who keeps the timers is told (`listen`) and stores CTL and CVAL. docs/engine.md, "Gaps".
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from armvcpu.arch.registers import Encoding, by_name
from armvcpu.engine.library import MSR_CALLBACK

if TYPE_CHECKING:
    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers

TimerListener = Callable[[str, str, int], None]
"""Called as listener("V" or "P", "CTL", "CVAL" or "TVAL", the value written)."""

_CNTKCTL_EL1, _CNTHCTL_EL2 = by_name["CNTKCTL_EL1"].encoding, by_name["CNTHCTL_EL2"].encoding
_EL0_TIMER = {"V": 1 << 8, "P": 1 << 9}  # CNTKCTL_EL1.EL0VTEN and EL0PTEN
_EL1PCEN = 1 << 1  # CNTHCTL_EL2
_CONTROL_BITS = 3  # ENABLE and IMASK; ISTATUS is read-only


class TimerWrites:
    """Catches what the guest writes to its timers."""

    def __init__(self, lib: Library, handle: int, registers: Registers, fail: Callable[[BaseException], None]) -> None:
        self._registers, self._fail = registers, fail
        self._pstate = lib.reg.UC_ARM64_REG_PSTATE
        self._rows = {
            _key(by_name[f"CNT{timer}_{part}_EL0"].encoding): (by_name[f"CNT{timer}_{part}_EL0"].encoding, timer, part)
            for timer in ("V", "P")
            for part in ("CTL", "CVAL", "TVAL")
        }
        self.listener: TimerListener | None = None
        self._callback = MSR_CALLBACK(self._on_msr)
        lib.add_hook(handle, lib.const.UC_HOOK_INSN, self._callback, instruction=lib.reg.UC_ARM64_INS_MSR)

    def _on_msr(self, _uc: int, _reg: int, cp_reg: int, _data: int) -> int:
        """1 when the write is done; called before every MSR, so what is no timer's leaves at once."""
        row = self._rows.get(C.string_at(cp_reg, 20))
        if row is None:
            return 0
        encoding, timer, part = row
        if not self._may_write(timer):
            return 0
        value = int.from_bytes(C.string_at(cp_reg + 24, 8), "little")
        if self.listener is None:
            self._registers.write_sysreg(encoding, value & _CONTROL_BITS if part == "CTL" else value)
            return 1
        try:
            self.listener(timer, part, value)
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._fail(failure)
        return 1

    def _may_write(self, timer: str) -> bool:
        read = self._registers.read_sysreg
        if timer == "P" and not read(_CNTHCTL_EL2) & _EL1PCEN:
            return False
        el = self._registers.read(self._pstate) >> 2 & 3
        return el > 0 or bool(read(_CNTKCTL_EL1) & _EL0_TIMER[timer])


def _key(encoding: int) -> bytes:
    """The first five fields of `uc_arm64_cp_reg`."""
    e = Encoding(encoding)
    return struct.pack("<5I", e.CRn, e.CRm, e.Op0, e.Op1, e.Op2)
