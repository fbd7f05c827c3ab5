"""Rows of the self-hosted debug registers, op0 = 2: DDI 0487 D17.3.

The registers of external debug and the debug communications channel are RAZ/WI: no external debugger exists.
"""

from __future__ import annotations

from armvcpu.arch.sysreg import ABSENT, NATIVE, RAZ, RO, RW, WO, Access, Home, SysReg, op

BREAKPOINTS = 6
"""Hardware breakpoints of the engine (ID_AA64DFR0_EL1.BRPs + 1)."""
WATCHPOINTS = 4
"""Watchpoint registers of the engine (ID_AA64DFR0_EL1.WRPs + 1)."""


def _debug(name: str, crn: int, crm: int, op2: int, access: Access = RW, *, home: Home = NATIVE) -> SysReg:
    return SysReg(name, op(2, 0, crn, crm, op2), access, home)


def _numbered(name: str, op2: int, implemented: int) -> tuple[SysReg, ...]:
    homes = (NATIVE if n < implemented else ABSENT for n in range(16))
    return tuple(_debug(f"{name}{n}_EL1", 0, n, op2, home=home) for n, home in enumerate(homes))


DEBUG_REGISTERS: tuple[SysReg, ...] = (
    _debug("OSDTRRX_EL1", 0, 0, 2, home=RAZ),
    *_numbered("DBGBVR", 4, BREAKPOINTS),
    *_numbered("DBGBCR", 5, BREAKPOINTS),
    *_numbered("DBGWVR", 6, WATCHPOINTS),
    *_numbered("DBGWCR", 7, WATCHPOINTS),
    _debug("MDCCINT_EL1", 0, 2, 0, home=RAZ),
    _debug("MDSCR_EL1", 0, 2, 2),
    _debug("OSDTRTX_EL1", 0, 3, 2, home=RAZ),
    _debug("OSECCR_EL1", 0, 6, 2, home=RAZ),
    _debug("MDRAR_EL1", 1, 0, 0, RO),
    _debug("OSLAR_EL1", 1, 0, 4, WO),
    SysReg("OSLSR_EL1", op(2, 0, 1, 1, 4), RO, NATIVE, is_settable=True),  # OSLK, which OSLAR_EL1 sets
    _debug("OSDLR_EL1", 1, 3, 4, home=RAZ),
    _debug("DBGPRCR_EL1", 1, 4, 4, home=RAZ),
    _debug("DBGCLAIMSET_EL1", 7, 8, 6, home=RAZ),
    _debug("DBGCLAIMCLR_EL1", 7, 9, 6, home=RAZ),
    _debug("DBGAUTHSTATUS_EL1", 7, 14, 6, RO, home=RAZ),
    SysReg("MDCCSR_EL0", op(2, 3, 0, 1, 0), RO, RAZ),
    SysReg("DBGDTR_EL0", op(2, 3, 0, 4, 0), RW, RAZ),
    SysReg("DBGDTRRX_EL0", op(2, 3, 0, 5, 0), RW, RAZ),  # DBGDTRTX_EL0 when written
    SysReg("DBGVCR32_EL2", op(2, 4, 0, 7, 0), RW, RAZ),
)
