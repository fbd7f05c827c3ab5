"""GICv2's virtual interface control registers as fields: IHI 0048 5.3, GICH_*.

A hypervisor sees them in memory. Those of a GICv3 are system registers of other layouts (ICH_*).
"""

from __future__ import annotations

from armvcpu.arch.fields import Field, RegisterView
from armvcpu.arch.gic_ich import ICH_MISR, LIST_REGISTERS, LrState

__all__ = ["GICH_HCR", "GICH_LR", "GICH_MISR", "GICH_VMCR", "GICH_VTR", "LIST_REGISTERS", "LrState"]


class GICH_HCR(RegisterView):
    """Hypervisor Control Register: the enable of the virtual interface, and of each maintenance interrupt."""

    En = Field(0)
    UIE = Field(1)
    LRENPIE = Field(2)
    NPIE = Field(3)
    VGrp0EIE = Field(4)
    VGrp0DIE = Field(5)
    VGrp1EIE = Field(6)
    VGrp1DIE = Field(7)
    EOICount = Field(31, 27)


class GICH_VTR(RegisterView):
    """VGIC Type Register: one less than what is there of each."""

    ListRegs = Field(5, 0)
    PREbits = Field(28, 26)
    PRIbits = Field(31, 29)


class GICH_VMCR(RegisterView):
    """Virtual Machine Control Register: what the virtual machine has written to GICV_CTLR, ABPR, BPR and PMR."""

    VMGrp0En = Field(0)
    VMGrp1En = Field(1)
    VMAckCtl = Field(2)
    VMFIQEn = Field(3)
    VMCBPR = Field(4)
    VEM = Field(9)
    VMABP = Field(20, 18)
    VMBP = Field(23, 21)
    VMPriMask = Field(31, 27)


GICH_MISR = ICH_MISR
"""Maintenance Interrupt Status Register: why GICH's interrupt is asserted, by the same bits."""


class GICH_LR(RegisterView):
    """List Register: one interrupt of the virtual machine.

    PhysicalID holds, where HW is 0, EOI in its bit 9 (ask for a maintenance interrupt when this one ends) and in its
    lowest three the CPUID that GICV_IAR gives with an SGI.
    """

    VirtualID = Field(9, 0)
    PhysicalID = Field(19, 10)
    CPUID = Field(12, 10)
    EOI = Field(19)
    Priority = Field(27, 23)
    State = Field(29, 28)
    Grp1 = Field(30)
    HW = Field(31)
