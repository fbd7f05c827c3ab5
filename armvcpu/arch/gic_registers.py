"""The GIC's memory-mapped registers as fields: IHI 0069 (GICv3) chapter 12 and IHI 0048 (GICv2) chapter 4.

Only fields that the machine has are here: one Security state, no LPIs, no extended INTID ranges. Where the
registers stand is in the devices; the encodings of the ICC_* system registers are in `sysregs_gic.py`.
"""

from __future__ import annotations

from armvcpu.arch.fields import Field, RegisterView

SGIS, PPIS, MAX_SPIS = 16, 16, 988
ALL_SGIS = (1 << SGIS) - 1
"""As a bitmap, by INTID."""
FIRST_PPI, FIRST_SPI = 16, 32
"""INTIDs 0 to 15 are SGIs, 16 to 31 PPIs (both private to a CPU), 32 to 1019 SPIs (IHI 0069 2.2, "INTIDs")."""
SPURIOUS, OTHER_GROUP = 1023, 1022
"""Special INTIDs: nothing to acknowledge, and (GICv2) the interrupt is one of Group 1 (IHI 0048 4.4.4)."""
DEFAULT_PRIORITY = 0xA0
"""Of an interrupt whose priority nobody has chosen; Linux gives it to all of its own."""

IMPLEMENTER = 0x43B
"""GICD_IIDR.Implementer: Arm Limited."""


class GICD_CTLR(RegisterView):
    """Distributor Control Register, the view of GICD_CTLR.DS = 1; GICv2 has only the two enables."""

    EnableGrp0 = Field(0)
    EnableGrp1 = Field(1)
    ARE = Field(4)
    DS = Field(6)


class GICD_CTLR_SECURE(RegisterView):
    """GICD_CTLR as Secure accesses see it with two Security states."""

    EnableGrp0 = Field(0)
    EnableGrp1NS = Field(1)
    EnableGrp1S = Field(2)
    ARE_S = Field(4)
    ARE_NS = Field(5)
    DS = Field(6)


class GICD_CTLR_NONSECURE(RegisterView):
    """GICD_CTLR as Non-secure accesses see it with two Security states."""

    EnableGrp1A = Field(1)
    ARE_NS = Field(4)


class GICD_TYPER(RegisterView):
    """Interrupt Controller Type Register; CPUNumber and up to ITLinesNumber are those of GICv2, too."""

    ITLinesNumber = Field(4, 0)
    CPUNumber = Field(7, 5)
    SecurityExtn = Field(10)
    MBIS = Field(16)
    LPIS = Field(17)
    IDbits = Field(23, 19)
    A3V = Field(24)
    No1N = Field(25)
    RSS = Field(26)


class GICD_IROUTER(RegisterView):
    """Interrupt Routing Register of one SPI."""

    Aff0 = Field(7, 0)
    Aff1 = Field(15, 8)
    Aff2 = Field(23, 16)
    Interrupt_Routing_Mode = Field(31)
    Aff3 = Field(39, 32)

    @property
    def affinity(self) -> int:
        """Aff3.Aff2.Aff1.Aff0 as 32 bits."""
        return affinity(self)


class GICD_SGIR(RegisterView):
    """Software Generated Interrupt Register (GICv2)."""

    INTID = Field(3, 0)
    NSATT = Field(15)
    CPUTargetList = Field(23, 16)
    TargetListFilter = Field(25, 24)


class GICR_TYPER(RegisterView):
    """Redistributor Type Register."""

    PLPIS = Field(0)
    Last = Field(4)
    DPGS = Field(5)
    Processor_Number = Field(23, 8)
    Affinity_Value = Field(63, 32)


class GICR_WAKER(RegisterView):
    """Redistributor Wake Register."""

    ProcessorSleep = Field(1)
    ChildrenAsleep = Field(2)


class ICC_CTLR(RegisterView):
    """ICC_CTLR_EL1, and ICV_CTLR_EL1, which a guest reads in its place."""

    CBPR = Field(0)
    EOImode = Field(1)
    PRIbits = Field(10, 8)
    IDbits = Field(13, 11)
    A3V = Field(15)
    RSS = Field(18)


class ICC_CTLR_EL3(RegisterView):
    """Interrupt Controller Control Register of EL3: the modes of each Security state, and its own."""

    CBPR_EL1S = Field(0)
    CBPR_EL1NS = Field(1)
    EOImode_EL3 = Field(2)
    EOImode_EL1S = Field(3)
    EOImode_EL1NS = Field(4)
    RM = Field(5)
    PMHE = Field(6)
    PRIbits = Field(10, 8)
    IDbits = Field(13, 11)
    SEIS = Field(14)
    A3V = Field(15)
    nDS = Field(17)
    RSS = Field(18)


class ICC_SGIR(RegisterView):
    """ICC_SGI0R_EL1, ICC_SGI1R_EL1 and ICC_ASGI1R_EL1."""

    TargetList = Field(15, 0)
    Aff1 = Field(23, 16)
    INTID = Field(27, 24)
    Aff2 = Field(39, 32)
    IRM = Field(40)
    RS = Field(47, 44)
    Aff3 = Field(55, 48)


class GICC_CTLR(RegisterView):
    """CPU Interface Control Register (GICv2); EOImodeNS is there in the Secure copy only (IHI 0048 4.4.1)."""

    EnableGrp0 = Field(0)
    EnableGrp1 = Field(1)
    AckCtl = Field(2)
    FIQEn = Field(3)
    CBPR = Field(4)
    FIQBypDisGrp0 = Field(5)
    IRQBypDisGrp0 = Field(6)
    FIQBypDisGrp1 = Field(7)
    IRQBypDisGrp1 = Field(8)
    EOImode = Field(9)
    EOImodeNS = Field(10)


class GICC_CTLR_NS(RegisterView):
    """Its Non-secure copy: what concerns Group 1, each bit an alias of one in the Secure copy."""

    EnableGrp1 = Field(0)
    FIQBypDisGrp1 = Field(5)
    IRQBypDisGrp1 = Field(6)
    EOImodeNS = Field(9)


def affinity(mpidr: int) -> int:
    """Aff3.Aff2.Aff1.Aff0 of an MPIDR_EL1 (or GICD_IROUTER) value as 32 bits, as GICR_TYPER has them."""
    return mpidr >> 8 & 0xFF00_0000 | mpidr & 0xFF_FFFF
