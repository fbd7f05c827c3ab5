"""The CPU models: ID register values as rows, and what of a model a guest on this engine is told.

Values follow the cores' Technical Reference Manuals (Cortex-A53 DDI 0500, Cortex-A57 DDI 0488, Cortex-A72
100095, chapter 4, AArch64 register summary). `max` is what the engine itself has, without what is slow, not
repeatable or newer than armvcpu models: PAuth, SVE, BTI, RNDR. `presented` then corrects each to what is there:
AArch64 only, EL2 and EL3 up to the level that the guest starts at, GICv3 and PMU only where the machine has them.
"""

from __future__ import annotations

from armvcpu.arch.idfields import (
    ID_AA64DFR0_EL1,
    ID_AA64ISAR0_EL1,
    ID_AA64ISAR1_EL1,
    ID_AA64MMFR0_EL1,
    ID_AA64MMFR1_EL1,
    ID_AA64MMFR2_EL1,
    ID_AA64PFR0_EL1,
)
from armvcpu.arch.rows import Row
from armvcpu.arch.sysreg import Home, op
from armvcpu.arch.sysregs_debug import BREAKPOINTS, WATCHPOINTS
from armvcpu.arch.sysregs_id import ID_REGISTERS
from armvcpu.errors import UsageError

CLIDR_L1_SPLIT_L2 = 0x0A20_0023
"""CLIDR_EL1: separate instruction and data caches at level 1, a unified level 2; LoC 2, LoUIS and LoUU 1."""


class CacheIds(Row):
    """CCSIDR_EL1 by what CSSELR_EL1 selects; the models have two levels."""

    l1_data: int
    l1_instruction: int
    l2: int


class CpuModel(Row):
    """One CPU model: what its ID registers say. A register not named here reads as zero."""

    name: str
    MIDR_EL1: int
    CTR_EL0: int
    caches: CacheIds
    ID_AA64PFR0_EL1: ID_AA64PFR0_EL1
    ID_AA64ISAR0_EL1: ID_AA64ISAR0_EL1
    ID_AA64MMFR0_EL1: ID_AA64MMFR0_EL1
    ID_AA64ISAR1_EL1: ID_AA64ISAR1_EL1 = ID_AA64ISAR1_EL1()
    ID_AA64MMFR1_EL1: ID_AA64MMFR1_EL1 = ID_AA64MMFR1_EL1()
    ID_AA64MMFR2_EL1: ID_AA64MMFR2_EL1 = ID_AA64MMFR2_EL1()
    CLIDR_EL1: int = CLIDR_L1_SPLIT_L2
    DCZID_EL0: int = 4  # DC ZVA zeroes 64 bytes
    PMCR_EL0: int = 0x4101_3000  # implementer and identification code of the Performance Monitors

    @property
    def full_name(self) -> str:
        """As Arm's manuals, QEMU and device trees have it: cortex-a72."""
        return self.name if self.name == "max" else f"cortex-{self.name}"

    def ccsidr(self, csselr: int) -> int:
        """CCSIDR_EL1 with this CSSELR_EL1 (Level in bits 3:1, InD in bit 0); 0 where no such cache is."""
        by_selection = {0: self.caches.l1_data, 1: self.caches.l1_instruction, 2: self.caches.l2}
        return by_selection.get(csselr & 0xF, 0)

    @property
    def has_vhe(self) -> bool:
        """Has it the Virtualization Host Extensions (ID_AA64MMFR1_EL1.VH)? A guest sees them from EL2 on."""
        return self.ID_AA64MMFR1_EL1.VH != 0


_V8_0_PFR0 = ID_AA64PFR0_EL1()  # FP and AdvSIMD without half precision
_V8_0_ISAR0 = ID_AA64ISAR0_EL1.of(AES=2, SHA1=1, SHA2=1, CRC32=1)
_V8_0_MMFR0 = ID_AA64MMFR0_EL1.of(PARange=4, ASIDBits=2, BigEnd=1, SNSMem=1)
_A57_CACHES = CacheIds(l1_data=0x701F_E00A, l1_instruction=0x201F_E012, l2=0x70FF_E07A)

MODELS: tuple[CpuModel, ...] = (
    CpuModel(
        name="a53",
        MIDR_EL1=0x410F_D034,
        CTR_EL0=0x8444_8004,
        caches=CacheIds(l1_data=0x700F_E01A, l1_instruction=0x201F_E00A, l2=0x707F_E07A),
        ID_AA64PFR0_EL1=_V8_0_PFR0,
        ID_AA64ISAR0_EL1=_V8_0_ISAR0,
        ID_AA64MMFR0_EL1=_V8_0_MMFR0.replace(PARange=2),
        PMCR_EL0=0x4103_3000,
    ),
    CpuModel(
        name="a57",
        MIDR_EL1=0x411F_D070,
        CTR_EL0=0x8444_C004,
        caches=_A57_CACHES,
        ID_AA64PFR0_EL1=_V8_0_PFR0,
        ID_AA64ISAR0_EL1=_V8_0_ISAR0,
        ID_AA64MMFR0_EL1=_V8_0_MMFR0,
    ),
    CpuModel(
        name="a72",
        MIDR_EL1=0x410F_D083,
        CTR_EL0=0x8444_C004,
        caches=CacheIds(l1_data=0x701F_E00A, l1_instruction=0x201F_E012, l2=0x707F_E07A),
        ID_AA64PFR0_EL1=_V8_0_PFR0,
        ID_AA64ISAR0_EL1=_V8_0_ISAR0,
        ID_AA64MMFR0_EL1=_V8_0_MMFR0,
        PMCR_EL0=0x4102_3000,
    ),
    CpuModel(
        name="max",
        MIDR_EL1=0x000F_0510,
        CTR_EL0=0x8444_C004,
        caches=_A57_CACHES,
        ID_AA64PFR0_EL1=ID_AA64PFR0_EL1.of(FP=1, AdvSIMD=1),
        ID_AA64ISAR0_EL1=ID_AA64ISAR0_EL1.of(
            AES=2, SHA1=1, SHA2=2, CRC32=1, Atomic=2, RDM=1, SHA3=1, SM3=1, SM4=1, DP=1, FHM=1, TS=2
        ),
        ID_AA64ISAR1_EL1=ID_AA64ISAR1_EL1.of(DPB=2, JSCVT=1, FCMA=1, LRCPC=2, FRINTTS=1, SB=1, SPECRES=1),
        ID_AA64MMFR0_EL1=_V8_0_MMFR0.replace(TGran16=1),
        ID_AA64MMFR1_EL1=ID_AA64MMFR1_EL1.of(VMIDBits=2, VH=1, HPDS=1, LO=1, PAN=2),
        ID_AA64MMFR2_EL1=ID_AA64MMFR2_EL1.of(CnP=1, UAO=1),
    ),
)

_BY_NAME = {row.name: row for row in MODELS}
_BY_FULL_NAME = {row.full_name: row for row in MODELS}


def model(name: str) -> CpuModel:
    """The CPU model of this name or full name; UsageError, listing the names, where there is none."""
    found = _BY_NAME.get(name) or _BY_FULL_NAME.get(name)
    if found is None:
        raise UsageError(f"no CPU model {name!r}: choose one of {', '.join(_BY_NAME)}")
    return found


_IDC, _IMINLINE, _LINE_OF_512_BYTES = 1 << 28, 0xF, 7


def _coherent(ctr: int) -> int:
    """CTR_EL0 (DDI 0487 D17.2.34) of this machine: nothing to clean (IDC), and IC IVAU invalidates 512 bytes at once.

    Both are true here, and save a guest that makes code most of its cache maintenance.
    """
    return ctr & ~_IMINLINE | _LINE_OF_512_BYTES | _IDC


def presented(cpu: CpuModel, *, el: int = 1, gicv3: bool = False, pmu: bool = False) -> dict[int, int]:
    """Every ID register's value by packed encoding, 64 bits each, but MPIDR_EL1, which is each vCPU's own.

    `el` is the guest's highest Exception level, 1 to 3.

    The AArch32 ID registers are UNKNOWN without AArch32 (DDI 0487 D17.2) and read as zero here. CCSIDR_EL1 is
    given for CSSELR_EL1 = 0; `CpuModel.ccsidr` has the others.
    """
    values = {
        "MIDR_EL1": cpu.MIDR_EL1,
        "ID_AA64PFR0_EL1": cpu.ID_AA64PFR0_EL1.replace(EL0=1, EL1=1, EL2=el >= 2, EL3=el >= 3, GIC=gicv3),
        "ID_AA64DFR0_EL1": ID_AA64DFR0_EL1.of(
            DebugVer=6, PMUVer=pmu, BRPs=BREAKPOINTS - 1, WRPs=WATCHPOINTS - 1, CTX_CMPs=1
        ),
        "ID_AA64ISAR0_EL1": cpu.ID_AA64ISAR0_EL1,
        "ID_AA64ISAR1_EL1": cpu.ID_AA64ISAR1_EL1,
        "ID_AA64MMFR0_EL1": cpu.ID_AA64MMFR0_EL1,
        "ID_AA64MMFR1_EL1": cpu.ID_AA64MMFR1_EL1 if el >= 2 else cpu.ID_AA64MMFR1_EL1.replace(VMIDBits=0, VH=0),
        "ID_AA64MMFR2_EL1": cpu.ID_AA64MMFR2_EL1,
        "CTR_EL0": _coherent(cpu.CTR_EL0),
        "DCZID_EL0": cpu.DCZID_EL0,
        "CLIDR_EL1": cpu.CLIDR_EL1,
        "CCSIDR_EL1": cpu.ccsidr(0),
    }
    rows = (row for row in ID_REGISTERS if row.home is Home.ID and row.name != "MPIDR_EL1")
    return {row.encoding: int(values.get(row.name, 0)) for row in rows}


def translated_features(cpu: CpuModel) -> tuple[int, int, int, int, int, int]:
    """ID_AA64ISAR0_EL1, ISAR1, PFR0, PFR1, MMFR1, MMFR2: which instructions and PSTATE fields a model has."""
    return (
        cpu.ID_AA64ISAR0_EL1, cpu.ID_AA64ISAR1_EL1, cpu.ID_AA64PFR0_EL1.replace(EL0=1, EL1=1, EL2=1, EL3=1), 0,
        cpu.ID_AA64MMFR1_EL1, cpu.ID_AA64MMFR2_EL1,
    )  # fmt: skip


def absent_registers(cpu: CpuModel) -> frozenset[int]:
    """Registers and system instructions of features that a model lacks and the engine has: UNDEFINED there."""
    absent: set[int] = set()
    if not cpu.ID_AA64ISAR0_EL1.RNDR:
        absent |= {op(3, 3, 2, 4, 0), op(3, 3, 2, 4, 1)}  # RNDR, RNDRRS
    if not cpu.ID_AA64MMFR1_EL1.PAN:
        absent |= {op(3, 0, 4, 2, 3), op(1, 0, 7, 9, 0), op(1, 0, 7, 9, 1)}  # PAN, AT S1E1RP, AT S1E1WP
    if not cpu.ID_AA64MMFR2_EL1.UAO:
        absent.add(op(3, 0, 4, 2, 4))
    if not cpu.ID_AA64MMFR1_EL1.LO:
        absent |= {op(3, 0, 10, 4, op2) for op2 in (0, 1, 2, 3, 7)}  # LORSA_EL1 to LORID_EL1
    if cpu.ID_AA64ISAR1_EL1.DPB < 1:
        absent.add(op(1, 3, 7, 12, 1))  # DC CVAP
    if cpu.ID_AA64ISAR1_EL1.DPB < 2:
        absent.add(op(1, 3, 7, 13, 1))  # DC CVADP
    if not cpu.ID_AA64ISAR1_EL1.SPECRES:
        absent |= {op(1, 3, 7, 3, op2) for op2 in (4, 5, 7)}  # CFP, DVP, CPP RCTX
    return frozenset(absent)
