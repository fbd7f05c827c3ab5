"""The control registers of EL1 to EL3 as fields: what a hypervisor sets up and a dump decodes.

DDI 0487 D17.2 (general), D17.3 (MDSCR_EL1, MDCR_EL2), D17.11 (CNTHCTL_EL2); names letter for letter. Fields
are those up to Armv8.5, which is what the engine knows. VTCR_EL2 stands in `stage2.py`, beside its tables.
"""

from __future__ import annotations

from armvcpu.arch.fields import Field, RegisterView


class HCR_EL2(RegisterView):
    """Hypervisor Configuration Register: what of EL1 and EL0 is trapped to EL2, and virtual interrupts."""

    VM = Field(0)
    SWIO = Field(1)
    PTW = Field(2)
    FMO = Field(3)
    IMO = Field(4)
    AMO = Field(5)
    VF = Field(6)
    VI = Field(7)
    VSE = Field(8)
    FB = Field(9)
    BSU = Field(11, 10)
    DC = Field(12)
    TWI = Field(13)
    TWE = Field(14)
    TID0 = Field(15)
    TID1 = Field(16)
    TID2 = Field(17)
    TID3 = Field(18)
    TSC = Field(19)
    TIDCP = Field(20)
    TACR = Field(21)
    TSW = Field(22)
    TPCP = Field(23)
    TPU = Field(24)
    TTLB = Field(25)
    TVM = Field(26)
    TGE = Field(27)
    TDZ = Field(28)
    HCD = Field(29)
    TRVM = Field(30)
    RW = Field(31)
    CD = Field(32)
    ID = Field(33)
    E2H = Field(34)
    TLOR = Field(35)
    TERR = Field(36)
    TEA = Field(37)
    MIOCNCE = Field(38)
    APK = Field(40)
    API = Field(41)
    NV = Field(42)
    NV1 = Field(43)
    AT = Field(44)
    NV2 = Field(45)
    FWB = Field(46)
    FIEN = Field(47)
    TID4 = Field(49)
    TICAB = Field(50)
    TOCU = Field(52)
    TTLBIS = Field(54)
    TTLBOS = Field(55)
    ATA = Field(56)
    DCT = Field(57)
    TID5 = Field(58)


class SCR_EL3(RegisterView):
    """Secure Configuration Register. Bits 5:4 are RES1."""

    NS = Field(0)
    IRQ = Field(1)
    FIQ = Field(2)
    EA = Field(3)
    RES1 = Field(5, 4)
    SMD = Field(7)
    HCE = Field(8)
    SIF = Field(9)
    RW = Field(10)
    ST = Field(11)
    TWI = Field(12)
    TWE = Field(13)
    TLOR = Field(14)
    TERR = Field(15)
    APK = Field(16)
    API = Field(17)
    EEL2 = Field(18)
    NMEA = Field(20)
    FIEN = Field(21)
    ATA = Field(26)


class CNTHCTL_EL2(RegisterView):
    """Counter-timer Hypervisor Control, with HCR_EL2.E2H = 0. A 0 in EL1PCTEN and EL1PCEN traps."""

    EL1PCTEN = Field(0)  # EL1 and EL0 may read the physical counter
    EL1PCEN = Field(1)  # EL1 and EL0 may use the physical timer
    EVNTEN = Field(2)
    EVNTDIR = Field(3)
    EVNTI = Field(7, 4)


class MDCR_EL2(RegisterView):
    """Monitor Debug Configuration: traps of debug and PMU registers, and where debug exceptions go."""

    HPMN = Field(4, 0)
    TPMCR = Field(5)
    TPM = Field(6)
    HPME = Field(7)
    TDE = Field(8)
    TDA = Field(9)
    TDOSA = Field(10)
    TDRA = Field(11)
    E2PB = Field(13, 12)
    TPMS = Field(14)
    HPMD = Field(17)
    TTRF = Field(19)
    HCCD = Field(23)
    HLP = Field(26)


class CPTR_EL2(RegisterView):
    """Architectural Feature Trap, with HCR_EL2.E2H = 0. Bits 13, 12, 9 and 7:0 are RES1 in Armv8.0."""

    RES1_7_0 = Field(7, 0)
    TZ = Field(8)
    RES1_9 = Field(9)
    TFP = Field(10)
    RES1_13_12 = Field(13, 12)
    TTA = Field(20)
    TAM = Field(30)
    TCPAC = Field(31)


class CPACR_EL1(RegisterView):
    """Architectural Feature Access Control. FPEN, ZEN: 0 and 2 trap EL0 and EL1, 1 traps EL0, 3 nothing."""

    ZEN = Field(17, 16)
    FPEN = Field(21, 20)
    TTA = Field(28)


class SCTLR_EL1(RegisterView):
    """System Control Register of EL1 and EL0."""

    M = Field(0)
    A = Field(1)
    C = Field(2)
    SA = Field(3)
    SA0 = Field(4)
    CP15BEN = Field(5)
    nAA = Field(6)
    ITD = Field(7)
    SED = Field(8)
    UMA = Field(9)
    EnRCTX = Field(10)
    EOS = Field(11)
    I = Field(12)
    EnDB = Field(13)
    DZE = Field(14)
    UCT = Field(15)
    nTWI = Field(16)
    nTWE = Field(18)
    WXN = Field(19)
    TSCXT = Field(20)
    IESB = Field(21)
    EIS = Field(22)
    SPAN = Field(23)
    E0E = Field(24)
    EE = Field(25)
    UCI = Field(26)
    EnDA = Field(27)
    nTLSMD = Field(28)
    LSMAOE = Field(29)
    EnIB = Field(30)
    EnIA = Field(31)
    BT0 = Field(35)
    BT1 = Field(36)
    DSSBS = Field(44)


class TCR_EL1(RegisterView):
    """Translation Control Register of stage 1 at EL1 and EL0."""

    T0SZ = Field(5, 0)
    EPD0 = Field(7)
    IRGN0 = Field(9, 8)
    ORGN0 = Field(11, 10)
    SH0 = Field(13, 12)
    TG0 = Field(15, 14)  # 0: 4 KiB, 1: 64 KiB, 2: 16 KiB
    T1SZ = Field(21, 16)
    A1 = Field(22)
    EPD1 = Field(23)
    IRGN1 = Field(25, 24)
    ORGN1 = Field(27, 26)
    SH1 = Field(29, 28)
    TG1 = Field(31, 30)  # 1: 16 KiB, 2: 4 KiB, 3: 64 KiB
    IPS = Field(34, 32)
    AS = Field(36)
    TBI0 = Field(37)
    TBI1 = Field(38)
    HA = Field(39)
    HD = Field(40)
    HPD0 = Field(41)
    HPD1 = Field(42)
    TBID0 = Field(51)
    TBID1 = Field(52)
    NFD0 = Field(53)
    NFD1 = Field(54)


class MDSCR_EL1(RegisterView):
    """Monitor Debug System Control."""

    SS = Field(0)
    ERR = Field(6)
    TDCC = Field(12)
    KDE = Field(13)
    HDE = Field(14)
    MDE = Field(15)
    TDA = Field(21)
    TXU = Field(26)
    RXO = Field(27)
    TXfull = Field(29)
    RXfull = Field(30)


class CNTKCTL_EL1(RegisterView):
    """Counter-timer Kernel Control: what of the timers EL0 may use."""

    EL0PCTEN = Field(0)
    EL0VCTEN = Field(1)
    EVNTEN = Field(2)
    EVNTDIR = Field(3)
    EVNTI = Field(7, 4)
    EL0VTEN = Field(8)
    EL0PTEN = Field(9)
