"""Fields of the AArch64 ID registers, as far as armvcpu presents or probes them: DDI 0487 D17.2."""

from __future__ import annotations

from armvcpu.arch.fields import Field, RegisterView


class MIDR_EL1(RegisterView):
    """Main ID."""

    Implementer = Field(31, 24)
    Variant = Field(23, 20)
    Architecture = Field(19, 16)
    PartNum = Field(15, 4)
    Revision = Field(3, 0)


class ID_AA64PFR0_EL1(RegisterView):
    """Processor features. EL0 to EL3: 0 absent, 1 AArch64 only, 2 AArch32 too. FP, AdvSIMD: 15 absent."""

    EL0 = Field(3, 0)
    EL1 = Field(7, 4)
    EL2 = Field(11, 8)
    EL3 = Field(15, 12)
    FP = Field(19, 16)
    AdvSIMD = Field(23, 20)
    GIC = Field(27, 24)
    RAS = Field(31, 28)
    SVE = Field(35, 32)
    DIT = Field(51, 48)
    CSV2 = Field(59, 56)
    CSV3 = Field(63, 60)


class ID_AA64DFR0_EL1(RegisterView):
    """Debug features; BRPs, WRPs and CTX_CMPs are counts less one."""

    DebugVer = Field(3, 0)
    TraceVer = Field(7, 4)
    PMUVer = Field(11, 8)
    BRPs = Field(15, 12)
    WRPs = Field(23, 20)
    CTX_CMPs = Field(31, 28)


class ID_AA64ISAR0_EL1(RegisterView):
    """Instruction set attributes."""

    AES = Field(7, 4)
    SHA1 = Field(11, 8)
    SHA2 = Field(15, 12)
    CRC32 = Field(19, 16)
    Atomic = Field(23, 20)
    RDM = Field(31, 28)
    SHA3 = Field(35, 32)
    SM3 = Field(39, 36)
    SM4 = Field(43, 40)
    DP = Field(47, 44)
    FHM = Field(51, 48)
    TS = Field(55, 52)
    TLB = Field(59, 56)
    RNDR = Field(63, 60)


class ID_AA64ISAR1_EL1(RegisterView):
    """Instruction set attributes."""

    DPB = Field(3, 0)
    APA = Field(7, 4)
    API = Field(11, 8)
    JSCVT = Field(15, 12)
    FCMA = Field(19, 16)
    LRCPC = Field(23, 20)
    GPA = Field(27, 24)
    GPI = Field(31, 28)
    FRINTTS = Field(35, 32)
    SB = Field(39, 36)
    SPECRES = Field(43, 40)


class ID_AA64MMFR0_EL1(RegisterView):
    """Memory model. TGran4 and TGran64: 0 supported, 15 not; TGran16: 0 not, 1 supported."""

    PARange = Field(3, 0)
    ASIDBits = Field(7, 4)
    BigEnd = Field(11, 8)
    SNSMem = Field(15, 12)
    BigEndEL0 = Field(19, 16)
    TGran16 = Field(23, 20)
    TGran64 = Field(27, 24)
    TGran4 = Field(31, 28)


class ID_AA64MMFR1_EL1(RegisterView):
    """Memory model."""

    HAFDBS = Field(3, 0)
    VMIDBits = Field(7, 4)
    VH = Field(11, 8)
    HPDS = Field(15, 12)
    LO = Field(19, 16)
    PAN = Field(23, 20)
    SpecSEI = Field(27, 24)
    XNX = Field(31, 28)


class ID_AA64MMFR2_EL1(RegisterView):
    """Memory model."""

    CnP = Field(3, 0)
    UAO = Field(7, 4)
    LSM = Field(11, 8)
    IESB = Field(15, 12)
    VARange = Field(19, 16)


PA_RANGE_BITS = (32, 36, 40, 42, 44, 48, 52, 56)
"""Physical address bits by ID_AA64MMFR0_EL1.PARange."""
