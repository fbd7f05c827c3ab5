"""Rows of the registers that software at EL1 and EL0 works with: memory, exceptions, threads, timers, PMU.

DDI 0487 D17.2 (general), D17.5 (Performance Monitors), D17.11 (Generic Timer).
"""

from __future__ import annotations

from armvcpu.arch.pstate import DAIF, PState
from armvcpu.arch.sysreg import ABSENT, NATIVE, RAZ, RO, RW, TRAPPED, WO, Access, Home, SysReg, op


def _el1(name: str, crn: int, crm: int, op2: int, access: Access = RW, *, reset: int | None = None) -> SysReg:
    return SysReg(name, op(3, 0, crn, crm, op2), access, NATIVE, reset)


def _absent(name: str, crn: int, crm: int, op2: int) -> SysReg:
    return SysReg(name, op(3, 0, crn, crm, op2), RW, ABSENT)


def _pstate(name: str, op1: int, op2: int, bits: int, access: Access = RW) -> SysReg:
    return SysReg(name, op(3, op1, 4, 2, op2), access, NATIVE, pstate=int(bits))


def _tval(name: str, crm: int) -> SysReg:
    return SysReg(name, op(3, 3, 14, crm, 0), RW, NATIVE, is_window=True)


def _el0(name: str, crn: int, crm: int, op2: int, access: Access = RW, *, home: Home = NATIVE) -> SysReg:
    return SysReg(name, op(3, 3, crn, crm, op2), access, home)


_EL1 = (
    _el1("SCTLR_EL1", 1, 0, 0, reset=0x30D0_0800),  # every enable off; the rest is RES1 in Armv8.0
    _el1("ACTLR_EL1", 1, 0, 1),
    _el1("CPACR_EL1", 1, 0, 2, reset=0),
    _el1("TTBR0_EL1", 2, 0, 0),
    _el1("TTBR1_EL1", 2, 0, 1),
    _el1("TCR_EL1", 2, 0, 2),
    _el1("SPSR_EL1", 4, 0, 0),
    _el1("ELR_EL1", 4, 0, 1),
    _el1("SP_EL0", 4, 1, 0),
    _pstate("SPSel", 0, 0, 1),
    _pstate("CurrentEL", 0, 2, 0b1100, RO),
    _pstate("PAN", 0, 3, PState.of(PAN=1)),
    _pstate("UAO", 0, 4, PState.of(UAO=1)),
    _el1("AFSR0_EL1", 5, 1, 0),
    _el1("AFSR1_EL1", 5, 1, 1),
    _el1("ESR_EL1", 5, 2, 0),
    _el1("FAR_EL1", 6, 0, 0),
    _el1("PAR_EL1", 7, 4, 0),
    _el1("MAIR_EL1", 10, 2, 0),
    _el1("AMAIR_EL1", 10, 3, 0),
    _el1("LORSA_EL1", 10, 4, 0),
    _el1("LOREA_EL1", 10, 4, 1),
    _el1("LORN_EL1", 10, 4, 2),
    _el1("LORC_EL1", 10, 4, 3),
    _el1("LORID_EL1", 10, 4, 7, RO),
    _el1("VBAR_EL1", 12, 0, 0),
    SysReg("RVBAR_EL1", op(3, 0, 12, 0, 1), RO, RAZ, is_highests=True),  # flash, at 0, is for reset
    _el1("ISR_EL1", 12, 1, 0, RO),
    _el1("CONTEXTIDR_EL1", 13, 0, 1),
    _el1("TPIDR_EL1", 13, 0, 4),
    _el1("CNTKCTL_EL1", 14, 1, 0, reset=0),
)

_EL0 = (
    _pstate("NZCV", 3, 0, PState.of(N=1, Z=1, C=1, V=1)),
    _pstate("DAIF", 3, 1, DAIF),
    _el0("FPCR", 4, 4, 0),
    _el0("FPSR", 4, 4, 1),
    _el0("TPIDR_EL0", 13, 0, 2),
    _el0("TPIDRRO_EL0", 13, 0, 3),  # EL0 may only read it
    _el0("CNTFRQ_EL0", 14, 0, 0),  # only the highest implemented Exception level may write it
    _el0("CNTPCT_EL0", 14, 0, 1, RO),
    _el0("CNTVCT_EL0", 14, 0, 2, RO),
    _tval("CNTP_TVAL_EL0", 2),
    _el0("CNTP_CTL_EL0", 14, 2, 1),
    _el0("CNTP_CVAL_EL0", 14, 2, 2),
    _tval("CNTV_TVAL_EL0", 3),
    _el0("CNTV_CTL_EL0", 14, 3, 1),
    _el0("CNTV_CVAL_EL0", 14, 3, 2),
)

_ABSENT = (
    _absent("ZCR_EL1", 1, 2, 0),
    _absent("APIAKeyLo_EL1", 2, 1, 0),
    _absent("APIAKeyHi_EL1", 2, 1, 1),
    _absent("APIBKeyLo_EL1", 2, 1, 2),
    _absent("APIBKeyHi_EL1", 2, 1, 3),
    _absent("APDAKeyLo_EL1", 2, 2, 0),
    _absent("APDAKeyHi_EL1", 2, 2, 1),
    _absent("APDBKeyLo_EL1", 2, 2, 2),
    _absent("APDBKeyHi_EL1", 2, 2, 3),
    _absent("APGAKeyLo_EL1", 2, 3, 0),
    _absent("APGAKeyHi_EL1", 2, 3, 1),
    _absent("RMR_EL1", 12, 0, 2),
    _el0("DIT", 4, 2, 5, home=ABSENT),
    _el0("SSBS", 4, 2, 6, home=ABSENT),
    _el0("TCO", 4, 2, 7, home=ABSENT),
)

_EVENT_COUNTERS = range(31)

_PMU = (
    SysReg("PMINTENSET_EL1", op(3, 0, 9, 14, 1), RW, TRAPPED),
    SysReg("PMINTENCLR_EL1", op(3, 0, 9, 14, 2), RW, TRAPPED),
    SysReg("PMMIR_EL1", op(3, 0, 9, 14, 6), RO, TRAPPED),
    _el0("PMCR_EL0", 9, 12, 0, home=TRAPPED),
    _el0("PMCNTENSET_EL0", 9, 12, 1, home=TRAPPED),
    _el0("PMCNTENCLR_EL0", 9, 12, 2, home=TRAPPED),
    _el0("PMOVSCLR_EL0", 9, 12, 3, home=TRAPPED),
    _el0("PMSWINC_EL0", 9, 12, 4, WO, home=TRAPPED),
    _el0("PMSELR_EL0", 9, 12, 5, home=TRAPPED),
    _el0("PMCEID0_EL0", 9, 12, 6, RO, home=TRAPPED),
    _el0("PMCEID1_EL0", 9, 12, 7, RO, home=TRAPPED),
    _el0("PMCCNTR_EL0", 9, 13, 0, home=TRAPPED),
    _el0("PMXEVTYPER_EL0", 9, 13, 1, home=TRAPPED),
    _el0("PMXEVCNTR_EL0", 9, 13, 2, home=TRAPPED),
    _el0("PMUSERENR_EL0", 9, 14, 0, home=TRAPPED),  # EL0 may only read it
    _el0("PMOVSSET_EL0", 9, 14, 3, home=TRAPPED),
    *(_el0(f"PMEVCNTR{n}_EL0", 14, 8 + (n >> 3), n & 7, home=TRAPPED) for n in _EVENT_COUNTERS),
    *(_el0(f"PMEVTYPER{n}_EL0", 14, 12 + (n >> 3), n & 7, home=TRAPPED) for n in _EVENT_COUNTERS),
    _el0("PMCCFILTR_EL0", 14, 15, 7, home=TRAPPED),
)

EL1_REGISTERS: tuple[SysReg, ...] = (*_EL1, *_EL0, *_ABSENT, *_PMU)
