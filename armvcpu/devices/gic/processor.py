"""What a GIC with the Security Extensions or virtualization asks of the PE that a CPU interface belongs to.

A Protocol, since devices know nothing of vCPUs; the machine has one for each CPU. DDI 0487 D1.1 (Exception levels and
Security states), IHI 0069 4.6 and 12.2.
"""

from __future__ import annotations

from armvcpu.arch.static import Protocol


class Processor(Protocol):
    """One PE, as it is while it accesses a register."""

    @property
    def el(self) -> int:
        """The Exception level that executes, 0 to 3."""

    @property
    def is_secure(self) -> bool:
        """Is it in Secure state: at EL3, or at a level below while SCR_EL3.NS is 0? False where there is no EL3."""

    @property
    def hcr_el2(self) -> int:
        """HCR_EL2, 64 bits; 0 where there is no EL2, and in Secure state, where it has no effect."""

    @property
    def scr_el3(self) -> int:
        """SCR_EL3, 64 bits; 0 where there is no EL3."""

    def trap(self, el: int) -> None:
        """The system register access under way becomes an exception to this level, EC 0x18 with its ISS.

        Called inside the reader or writer of that register; what the reader gives is then of no account.
        """
