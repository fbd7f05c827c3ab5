"""The exception syndrome ESR_ELx: exception classes and the layouts of ISS. DDI 0487 D17.2.37 (ESR_EL1).

The layout of EC 0x18 is `sysreg.SysRegIss`, beside the other encodings of a system register. What a syndrome
says in words is in `esr_words.py`.
"""

from __future__ import annotations

from enum import IntEnum

from armvcpu.arch.fields import Field, RegisterView
from armvcpu.arch.sysreg import SysRegIss

__all__ = [
    "ESR",
    "BrkIss",
    "DataAbortIss",
    "ExceptionClass",
    "FpExceptionIss",
    "FpIss",
    "HvcIss",
    "InstructionAbortIss",
    "SErrorIss",
    "SoftwareStepIss",
    "SysRegIss",
    "WatchpointIss",
    "WfxIss",
]


class ExceptionClass(IntEnum):
    """ESR_ELx.EC, 6 bits. A value that is reserved becomes a member named `RESERVED_0x02` and the like."""

    UNKNOWN = 0x00
    WFX = 0x01
    CP15_MCR_MRC = 0x03
    CP15_MCRR_MRRC = 0x04
    CP14_MCR_MRC = 0x05
    CP14_LDC_STC = 0x06
    FP = 0x07  # access to SVE, Advanced SIMD or floating point, trapped by CPACR_EL1.FPEN and its like
    CP10_ID = 0x08
    PAUTH = 0x09
    LS64 = 0x0A
    CP14_MRRC = 0x0C
    BTI = 0x0D
    ILLEGAL_STATE = 0x0E
    SVC32 = 0x11
    HVC32 = 0x12
    SMC32 = 0x13
    SYSREG128 = 0x14
    SVC64 = 0x15
    HVC64 = 0x16
    SMC64 = 0x17
    MSR_MRS = 0x18
    SVE = 0x19
    ERET = 0x1A
    TSTART = 0x1B
    PAC_FAIL = 0x1C
    SME = 0x1D
    GPC = 0x1E
    IMPLEMENTATION_DEFINED = 0x1F
    IABT_LOWER = 0x20
    IABT_CURRENT = 0x21
    PC_ALIGNMENT = 0x22
    DABT_LOWER = 0x24
    DABT_CURRENT = 0x25
    SP_ALIGNMENT = 0x26
    MOPS = 0x27
    FP32 = 0x28
    FP64 = 0x2C
    GCS = 0x2D
    SERROR = 0x2F
    BREAKPOINT_LOWER = 0x30
    BREAKPOINT_CURRENT = 0x31
    SOFTSTEP_LOWER = 0x32
    SOFTSTEP_CURRENT = 0x33
    WATCHPOINT_LOWER = 0x34
    WATCHPOINT_CURRENT = 0x35
    BKPT32 = 0x38
    VECTOR_CATCH32 = 0x3A
    BRK64 = 0x3C
    PMU = 0x3D

    @classmethod
    def _missing_(cls, value: object) -> ExceptionClass | None:
        if not isinstance(value, int) or not 0 <= value <= 0x3F:
            return None
        reserved = int.__new__(cls, value)
        reserved._name_ = f"RESERVED_{value:#04x}"
        reserved._value_ = value
        return cls._value2member_map_.setdefault(value, reserved)  # type: ignore[return-value]


class ESR(RegisterView):
    """ESR_ELx: exception class, instruction length (IL: 32 bits when 1) and the class's own syndrome."""

    EC = Field(31, 26, ExceptionClass)
    IL = Field(25)
    ISS = Field(24, 0)


class DataAbortIss(RegisterView):
    """ISS of EC 0x24 and 0x25. SAS to AR mean something only where ISV is 1."""

    ISV = Field(24)
    SAS = Field(23, 22)  # log2 of the access size in bytes
    SSE = Field(21)  # sign extend
    SRT = Field(20, 16)  # the register transferred, 31 is XZR
    SF = Field(15)  # 64-bit register
    AR = Field(14)  # acquire or release
    VNCR = Field(13)
    SET = Field(12, 11)
    FnV = Field(10)  # FAR not valid
    EA = Field(9)
    CM = Field(8)  # cache maintenance or address translation
    S1PTW = Field(7)
    WnR = Field(6)  # a write
    DFSC = Field(5, 0)


class InstructionAbortIss(RegisterView):
    """ISS of EC 0x20 and 0x21."""

    SET = Field(12, 11)
    FnV = Field(10)
    EA = Field(9)
    S1PTW = Field(7)
    IFSC = Field(5, 0)


class WfxIss(RegisterView):
    """ISS of EC 0x01. TI: 0 WFI, 1 WFE, 2 WFIT, 3 WFET."""

    CV = Field(24)
    COND = Field(23, 20)
    RN = Field(9, 5)
    RV = Field(2)
    TI = Field(1, 0)


class HvcIss(RegisterView):
    """ISS of EC 0x15 (SVC), 0x16 (HVC) and 0x17 (SMC)."""

    imm16 = Field(15, 0)


class FpIss(RegisterView):
    """ISS of EC 0x07, a trapped use of SVE, Advanced SIMD or floating point."""

    CV = Field(24)
    COND = Field(23, 20)


class FpExceptionIss(RegisterView):
    """ISS of EC 0x28 and 0x2C, a trapped floating-point exception; TFV tells whether the flags are valid."""

    TFV = Field(23)
    IDF = Field(7)
    IXF = Field(4)
    UFF = Field(3)
    OFF = Field(2)
    DZF = Field(1)
    IOF = Field(0)


class SErrorIss(RegisterView):
    """ISS of EC 0x2F. With IDS set the rest is IMPLEMENTATION DEFINED."""

    IDS = Field(24)
    IESB = Field(13)
    AET = Field(12, 10)
    EA = Field(9)
    DFSC = Field(5, 0)


class SoftwareStepIss(RegisterView):
    """ISS of EC 0x32 and 0x33. EX: the instruction stepped was a Load-Exclusive."""

    ISV = Field(24)
    EX = Field(6)
    IFSC = Field(5, 0)


class WatchpointIss(RegisterView):
    """ISS of EC 0x34 and 0x35."""

    VNCR = Field(13)
    CM = Field(8)
    WnR = Field(6)
    DFSC = Field(5, 0)


class BrkIss(RegisterView):
    """ISS of EC 0x3C, BRK, and 0x38, BKPT."""

    Comment = Field(15, 0)


_WITH_FAR = frozenset(
    (
        ExceptionClass.IABT_LOWER, ExceptionClass.IABT_CURRENT, ExceptionClass.PC_ALIGNMENT, ExceptionClass.DABT_LOWER,
        ExceptionClass.DABT_CURRENT, ExceptionClass.WATCHPOINT_LOWER, ExceptionClass.WATCHPOINT_CURRENT,
    )
)  # fmt: skip


def has_far(esr: int) -> bool:
    """Does an exception with this syndrome write FAR_ELx (D17.2.40)?"""
    return esr >> 26 in _WITH_FAR
