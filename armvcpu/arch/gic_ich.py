"""The registers by which a hypervisor gives its guests interrupts, as fields: IHI 0069 12.4, ICH_*_EL2.

There are four list registers, five bits of virtual priority and of preemption, and virtual INTIDs of 16 bits, so one
active priorities register of 32 bits for each group is all of its array. Bits that aren't named are RES0.
"""

from __future__ import annotations

from enum import IntEnum

from armvcpu.arch.fields import Field, RegisterView

LIST_REGISTERS = 4
MAINTENANCE_INTID = 25
"""Of the PPI that tells a hypervisor that its list registers need attention (the SBSA's number, and QEMU's)."""
FIRST_SPECIAL_INTID, FIRST_LPI = 1020, 8192


class LrState(IntEnum):
    """ICH_LR<n>_EL2.State; both bits set are pending and active."""

    INVALID = 0
    PENDING = 1
    ACTIVE = 2
    PENDING_AND_ACTIVE = 3


class ICH_LR(RegisterView):
    """List Register: one virtual interrupt.

    With HW its end deactivates the physical interrupt pINTID; without, EOI asks for a maintenance interrupt then.
    """

    vINTID = Field(15, 0)
    pINTID = Field(44, 32)
    EOI = Field(41)
    Priority = Field(55, 51)
    Group = Field(60)
    HW = Field(61)
    State = Field(63, 62)


class ICH_HCR(RegisterView):
    """Hyp Control Register: the interface's enable, which maintenance interrupts there are, and traps of ICC_*_EL1."""

    En = Field(0)
    UIE = Field(1)
    LRENPIE = Field(2)
    NPIE = Field(3)
    VGrp0EIE = Field(4)
    VGrp0DIE = Field(5)
    VGrp1EIE = Field(6)
    VGrp1DIE = Field(7)
    TC = Field(10)
    TALL0 = Field(11)
    TALL1 = Field(12)
    TSEI = Field(13)
    TDIR = Field(14)
    EOIcount = Field(31, 27)


class ICH_VTR(RegisterView):
    """VGIC Type Register. ListRegs, PREbits and PRIbits are one less than what there is."""

    ListRegs = Field(4, 0)
    TDS = Field(19)
    nV4 = Field(20)
    A3V = Field(21)
    SEIS = Field(22)
    IDbits = Field(25, 23)
    PREbits = Field(28, 26)
    PRIbits = Field(31, 29)


class ICH_VMCR(RegisterView):
    """Virtual Machine Control Register: the state of ICV_*_EL1 in one word."""

    VENG0 = Field(0)
    VENG1 = Field(1)
    VFIQEn = Field(3)
    VCBPR = Field(4)
    VEOIM = Field(9)
    VBPR1 = Field(20, 18)
    VBPR0 = Field(23, 21)
    VPMR = Field(31, 24)


class ICH_MISR(RegisterView):
    """Maintenance Interrupt Status Register: why the maintenance interrupt is asserted."""

    EOI = Field(0)
    U = Field(1)
    LRENP = Field(2)
    NP = Field(3)
    VGrp0E = Field(4)
    VGrp0D = Field(5)
    VGrp1E = Field(6)
    VGrp1D = Field(7)
