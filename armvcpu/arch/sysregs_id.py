"""Rows of the identification registers, and of the IMPLEMENTATION DEFINED registers of known cores.

Values are the CPU models' (`idregs.py`); here are names and encodings, DDI 0487 D17.2 and, for the cores' own
registers, the Cortex-A57 (DDI 0488, 4.3) and Cortex-A72 (100095, 4.3) manuals.
"""

from __future__ import annotations

from armvcpu.arch.sysreg import ABSENT, ID, IMPDEF, NATIVE, RO, RW, SysReg, op


def _id(name: str, crm: int, op2: int) -> SysReg:
    return SysReg(name, op(3, 0, 0, crm, op2), RO, ID)


ID_REGISTERS: tuple[SysReg, ...] = (
    _id("MIDR_EL1", 0, 0),
    _id("MPIDR_EL1", 0, 5),
    _id("REVIDR_EL1", 0, 6),
    _id("ID_PFR0_EL1", 1, 0),
    _id("ID_PFR1_EL1", 1, 1),
    _id("ID_DFR0_EL1", 1, 2),
    _id("ID_AFR0_EL1", 1, 3),
    _id("ID_MMFR0_EL1", 1, 4),
    _id("ID_MMFR1_EL1", 1, 5),
    _id("ID_MMFR2_EL1", 1, 6),
    _id("ID_MMFR3_EL1", 1, 7),
    _id("ID_ISAR0_EL1", 2, 0),
    _id("ID_ISAR1_EL1", 2, 1),
    _id("ID_ISAR2_EL1", 2, 2),
    _id("ID_ISAR3_EL1", 2, 3),
    _id("ID_ISAR4_EL1", 2, 4),
    _id("ID_ISAR5_EL1", 2, 5),
    _id("ID_MMFR4_EL1", 2, 6),
    _id("ID_ISAR6_EL1", 2, 7),
    _id("MVFR0_EL1", 3, 0),
    _id("MVFR1_EL1", 3, 1),
    _id("MVFR2_EL1", 3, 2),
    _id("ID_PFR2_EL1", 3, 4),
    _id("ID_DFR1_EL1", 3, 5),
    _id("ID_MMFR5_EL1", 3, 6),
    _id("ID_AA64PFR0_EL1", 4, 0),
    _id("ID_AA64PFR1_EL1", 4, 1),
    _id("ID_AA64PFR2_EL1", 4, 2),
    _id("ID_AA64ZFR0_EL1", 4, 4),
    _id("ID_AA64SMFR0_EL1", 4, 5),
    _id("ID_AA64DFR0_EL1", 5, 0),
    _id("ID_AA64DFR1_EL1", 5, 1),
    _id("ID_AA64AFR0_EL1", 5, 4),
    _id("ID_AA64AFR1_EL1", 5, 5),
    _id("ID_AA64ISAR0_EL1", 6, 0),
    _id("ID_AA64ISAR1_EL1", 6, 1),
    _id("ID_AA64ISAR2_EL1", 6, 2),
    _id("ID_AA64ISAR3_EL1", 6, 3),
    _id("ID_AA64MMFR0_EL1", 7, 0),
    _id("ID_AA64MMFR1_EL1", 7, 1),
    _id("ID_AA64MMFR2_EL1", 7, 2),
    _id("ID_AA64MMFR3_EL1", 7, 3),
    _id("ID_AA64MMFR4_EL1", 7, 4),
    SysReg("CCSIDR_EL1", op(3, 1, 0, 0, 0), RO, ID),  # of the cache that CSSELR_EL1 selects
    SysReg("CLIDR_EL1", op(3, 1, 0, 0, 1), RO, ID),
    SysReg("CCSIDR2_EL1", op(3, 1, 0, 0, 2), RO, ABSENT),
    SysReg("GMID_EL1", op(3, 1, 0, 0, 4), RO, ABSENT),
    SysReg("AIDR_EL1", op(3, 1, 0, 0, 7), RO, ID),
    SysReg("CSSELR_EL1", op(3, 2, 0, 0, 0), RW, NATIVE),
    SysReg("CTR_EL0", op(3, 3, 0, 0, 1), RO, ID),
    SysReg("DCZID_EL0", op(3, 3, 0, 0, 7), RO, ID),
)

IMPDEF_REGISTERS: tuple[SysReg, ...] = (
    SysReg("L2CTLR_EL1", op(3, 1, 11, 0, 2), RW, IMPDEF),
    SysReg("L2ECTLR_EL1", op(3, 1, 11, 0, 3), RW, IMPDEF),
    SysReg("L2ACTLR_EL1", op(3, 1, 15, 0, 0), RW, IMPDEF),
    SysReg("CPUACTLR_EL1", op(3, 1, 15, 2, 0), RW, IMPDEF),
    SysReg("CPUECTLR_EL1", op(3, 1, 15, 2, 1), RW, IMPDEF),
    SysReg("CPUMERRSR_EL1", op(3, 1, 15, 2, 2), RW, IMPDEF),
    SysReg("L2MERRSR_EL1", op(3, 1, 15, 2, 3), RW, IMPDEF),
    SysReg("CBAR_EL1", op(3, 1, 15, 3, 0), RO, IMPDEF),
)
