"""Writes of the Generic Timer's control and compare registers, which the engine decodes and then drops.

CNTV_CTL_EL0, CNTV_CVAL_EL0 and their CNTP_ counterparts are caught as MSR instructions, before the engine's own check
of access, so that check is made here first (DDI 0487 D11.2.4; CNTKCTL_EL1, CNTHCTL_EL2). Where it fails the engine is
left to raise what it raises. docs/engine.md, "Gaps".
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import struct
from typing import TYPE_CHECKING

from armvcpu.arch.registers import Encoding, by_name
from armvcpu.engine.library import MSR_CALLBACK

if TYPE_CHECKING:
    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers

_CNTKCTL_EL1, _CNTHCTL_EL2 = by_name["CNTKCTL_EL1"].encoding, by_name["CNTHCTL_EL2"].encoding
_EL0_VIRTUAL, _EL0_PHYSICAL = 1 << 8, 1 << 9  # CNTKCTL_EL1.EL0VTEN and EL0PTEN
_EL1PCEN = 1 << 1  # CNTHCTL_EL2
_CONTROL_BITS = 3  # ENABLE and IMASK; ISTATUS is read-only


class TimerWrites:
    """Stores what the guest writes to CTL and CVAL of its timers."""

    def __init__(self, lib: Library, handle: int, registers: Registers) -> None:
        self._registers, self._pstate = registers, lib.reg.UC_ARM64_REG_PSTATE
        self._rows = {
            _key(by_name[f"CNT{timer}_{part}_EL0"].encoding): (by_name[f"CNT{timer}_{part}_EL0"].encoding, timer, part)
            for timer in ("V", "P")
            for part in ("CTL", "CVAL")
        }
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
        self._registers.write_sysreg(encoding, value & _CONTROL_BITS if part == "CTL" else value)
        return 1

    def _may_write(self, timer: str) -> bool:
        el = self._registers.read(self._pstate) >> 2 & 3
        read = self._registers.read_sysreg
        if timer == "P" and el < 2 and not read(_CNTHCTL_EL2) & _EL1PCEN:
            return False
        return el > 0 or bool(read(_CNTKCTL_EL1) & (_EL0_VIRTUAL if timer == "V" else _EL0_PHYSICAL))


def _key(encoding: int) -> bytes:
    """The first five fields of `uc_arm64_cp_reg`."""
    e = Encoding(encoding)
    return struct.pack("<5I", e.CRn, e.CRm, e.Op0, e.Op1, e.Op2)
