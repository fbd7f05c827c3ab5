"""Rows of the registers of EL2 and EL3: the guest's own where it starts there, else those of armvcpu as its hypervisor.

DDI 0487 D17.2 and D17.11. Those of AArch32 (DACR32_EL2, SPSR_abt, ...) hold what is written to them, as firmware that
saves them for its lower levels expects.
"""

from __future__ import annotations

from armvcpu.arch.sysreg import ABSENT, NATIVE, RAZ, RO, RW, Home, SysReg, op


def _el2(name: str, crn: int, crm: int, op2: int, *, home: Home = NATIVE) -> SysReg:
    return SysReg(name, op(3, 4, crn, crm, op2), RW, home)


def _vhe(name: str, crn: int, crm: int, op2: int, *, is_window: bool = False) -> SysReg:
    return SysReg(name, op(3, 4, crn, crm, op2), RW, NATIVE, is_window=is_window, needs_vhe=True)


def _secure_timer(name: str, op2: int, *, is_window: bool = False) -> SysReg:
    return SysReg(name, op(3, 7, 14, 2, op2), RW, NATIVE, is_window=is_window, of_el=3)


def _el3(name: str, crn: int, crm: int, op2: int, *, home: Home = NATIVE) -> SysReg:
    return SysReg(name, op(3, 6, crn, crm, op2), RW, home)


EL2_REGISTERS: tuple[SysReg, ...] = (
    _el2("VPIDR_EL2", 0, 0, 0),
    _el2("VMPIDR_EL2", 0, 0, 5),
    _el2("SCTLR_EL2", 1, 0, 0),
    _el2("ACTLR_EL2", 1, 0, 1),
    _el2("HCR_EL2", 1, 1, 0),
    _el2("MDCR_EL2", 1, 1, 1),
    _el2("CPTR_EL2", 1, 1, 2),
    _el2("HSTR_EL2", 1, 1, 3),
    _el2("HACR_EL2", 1, 1, 7),
    _el2("ZCR_EL2", 1, 2, 0, home=ABSENT),
    _el2("TTBR0_EL2", 2, 0, 0),
    _vhe("TTBR1_EL2", 2, 0, 1),
    _el2("TCR_EL2", 2, 0, 2),
    _el2("VTTBR_EL2", 2, 1, 0),
    _el2("VTCR_EL2", 2, 1, 2),
    _el2("DACR32_EL2", 3, 0, 0),
    _el2("SPSR_EL2", 4, 0, 0),
    _el2("ELR_EL2", 4, 0, 1),
    SysReg("SP_EL1", op(3, 4, 4, 1, 0), RW, NATIVE, of_el=1),
    _el2("SPSR_irq", 4, 3, 0),
    _el2("SPSR_abt", 4, 3, 1),
    _el2("SPSR_und", 4, 3, 2),
    _el2("SPSR_fiq", 4, 3, 3),
    _el2("IFSR32_EL2", 5, 0, 1),
    _el2("AFSR0_EL2", 5, 1, 0),
    _el2("AFSR1_EL2", 5, 1, 1),
    _el2("ESR_EL2", 5, 2, 0),
    _el2("FPEXC32_EL2", 5, 3, 0),
    _el2("FAR_EL2", 6, 0, 0),
    _el2("HPFAR_EL2", 6, 0, 4),
    _el2("MAIR_EL2", 10, 2, 0),
    _el2("AMAIR_EL2", 10, 3, 0),
    _el2("VBAR_EL2", 12, 0, 0),
    SysReg("RVBAR_EL2", op(3, 4, 12, 0, 1), RO, RAZ, is_highests=True),  # flash, at 0, is for reset
    _el2("RMR_EL2", 12, 0, 2, home=ABSENT),
    _vhe("CONTEXTIDR_EL2", 13, 0, 1),
    _el2("TPIDR_EL2", 13, 0, 2),
    _el2("CNTVOFF_EL2", 14, 0, 3),
    _el2("CNTHCTL_EL2", 14, 1, 0),
    SysReg("CNTHP_TVAL_EL2", op(3, 4, 14, 2, 0), RW, NATIVE, is_window=True),
    _el2("CNTHP_CTL_EL2", 14, 2, 1),
    _el2("CNTHP_CVAL_EL2", 14, 2, 2),
    _vhe("CNTHV_TVAL_EL2", 14, 3, 0, is_window=True),
    _vhe("CNTHV_CTL_EL2", 14, 3, 1),
    _vhe("CNTHV_CVAL_EL2", 14, 3, 2),
)

# How EL2 reaches the EL1 and EL0 registers when HCR_EL2.E2H is set: the same encodings with op1 = 5
EL12_REGISTERS: tuple[SysReg, ...] = tuple(
    SysReg(name, op(3, 5, crn, crm, op2), RW, ABSENT if name.startswith("ZCR") else NATIVE, needs_vhe=True)
    for name, crn, crm, op2 in (
        ("SCTLR_EL12", 1, 0, 0),
        ("CPACR_EL12", 1, 0, 2),
        ("ZCR_EL12", 1, 2, 0),
        ("TTBR0_EL12", 2, 0, 0),
        ("TTBR1_EL12", 2, 0, 1),
        ("TCR_EL12", 2, 0, 2),
        ("SPSR_EL12", 4, 0, 0),
        ("ELR_EL12", 4, 0, 1),
        ("AFSR0_EL12", 5, 1, 0),
        ("AFSR1_EL12", 5, 1, 1),
        ("ESR_EL12", 5, 2, 0),
        ("FAR_EL12", 6, 0, 0),
        ("MAIR_EL12", 10, 2, 0),
        ("AMAIR_EL12", 10, 3, 0),
        ("VBAR_EL12", 12, 0, 0),
        ("CONTEXTIDR_EL12", 13, 0, 1),
        ("CNTKCTL_EL12", 14, 1, 0),
        ("CNTP_TVAL_EL02", 14, 2, 0),
        ("CNTP_CTL_EL02", 14, 2, 1),
        ("CNTP_CVAL_EL02", 14, 2, 2),
        ("CNTV_TVAL_EL02", 14, 3, 0),
        ("CNTV_CTL_EL02", 14, 3, 1),
        ("CNTV_CVAL_EL02", 14, 3, 2),
    )
)

EL3_REGISTERS: tuple[SysReg, ...] = (
    _el3("SCTLR_EL3", 1, 0, 0),
    _el3("ACTLR_EL3", 1, 0, 1),
    _el3("SCR_EL3", 1, 1, 0),
    _el3("SDER32_EL3", 1, 1, 1),
    _el3("CPTR_EL3", 1, 1, 2),
    _el3("ZCR_EL3", 1, 2, 0, home=ABSENT),
    _el3("MDCR_EL3", 1, 3, 1),
    _el3("TTBR0_EL3", 2, 0, 0),
    _el3("TCR_EL3", 2, 0, 2),
    _el3("SPSR_EL3", 4, 0, 0),
    _el3("ELR_EL3", 4, 0, 1),
    SysReg("SP_EL2", op(3, 6, 4, 1, 0), RW, NATIVE, of_el=2),
    _el3("AFSR0_EL3", 5, 1, 0),
    _el3("AFSR1_EL3", 5, 1, 1),
    _el3("ESR_EL3", 5, 2, 0),
    _el3("FAR_EL3", 6, 0, 0),
    _el3("MAIR_EL3", 10, 2, 0),
    _el3("AMAIR_EL3", 10, 3, 0),
    _el3("VBAR_EL3", 12, 0, 0),
    SysReg("RVBAR_EL3", op(3, 6, 12, 0, 1), RO, NATIVE, is_highests=True),
    _el3("RMR_EL3", 12, 0, 2, home=ABSENT),
    _el3("TPIDR_EL3", 13, 0, 2),
    # The Secure timer: at EL3, and at EL1 in Secure state (D17.11.11)
    _secure_timer("CNTPS_TVAL_EL1", 0, is_window=True),
    _secure_timer("CNTPS_CTL_EL1", 1),
    _secure_timer("CNTPS_CVAL_EL1", 2),
)
