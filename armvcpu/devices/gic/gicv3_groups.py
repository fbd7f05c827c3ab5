"""The three groups of interrupts of a GICv3 with two Security states: IHI 0069 4.6, "Interrupt grouping".

    IGROUPR  IGRPMODR
       0        0       Group 0: Secure, for EL3 by preference; always signalled as FIQ
       0        1       Secure Group 1
       1        -       Non-secure Group 1: what a GIC with one Security state calls Group 1

GICD_CTLR.DS = 1 leaves the first and the last. Group 1's number stays 1, and Secure Group 1 has number 2.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import GROUP0, GROUP1
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.device import bitmap_fields
from armvcpu.devices.gic.nsacr import OpenedBank

if TYPE_CHECKING:
    from armvcpu.devices.gic.state import InterruptBank

SECURE_GROUP1 = 0b100
ALL_GROUPS = GROUP0 | GROUP1 | SECURE_GROUP1
"""Groups as a bitmap, as GICD_CTLR enables them."""


class GroupedBank(OpenedBank):
    """Interrupts of three groups, with what GICD_NSACR (or GICR_NSACR) lets Non-secure software do to Secure ones.

    `is_private`: of SGIs and PPIs it says who may send an SGI, and opens no register (12.11, GICR_NSACR).
    """

    def __init__(self, intids: range, *, always_edge: int = 0, is_private: bool = False) -> None:
        self._is_private = is_private
        super().__init__(intids, always_edge=always_edge)

    def reset(self) -> None:
        """The state after reset."""
        self.have_states(2)
        super().reset()

    def have_states(self, number: int) -> None:
        """GICD_CTLR.DS: with one Security state IGRPMODR and NSACR are RAZ/WI."""
        self.modifier = self.nsacr_low = self.nsacr_high = 0
        self._writable = self.valid if number == 2 else 0

    def set_modifier(self, covered: int, ones: int) -> None:
        """IGRPMODR of the interrupts `covered`: those that are in Group 0 by IGROUPR are in Secure Group 1."""
        covered &= self._writable
        self.modifier = self.modifier & ~covered | ones & covered

    def set_nsacr(self, covered: int, low: int, high: int) -> None:
        """NSACR of the interrupts `covered`, its two bits."""
        super().set_nsacr(covered & self._writable, low, high)

    def group_of(self, intid: int) -> int:
        """The number of an interrupt's group."""
        return 1 if self.group1 >> intid & 1 else 2 * (self.modifier >> intid & 1)

    def highest(self, candidates: int, groups: int = ALL_GROUPS) -> int:
        """As where there are two groups; the last bit of the rank is 1 for Non-secure Group 1, 0 for both others."""
        if groups != ALL_GROUPS:
            group1, modifier = self.group1, self.modifier
            allowed = group1 if groups & GROUP1 else 0
            if groups & GROUP0:
                allowed |= ~group1 & ~modifier
            if groups & SECURE_GROUP1:
                allowed |= ~group1 & modifier
            candidates &= allowed
        return super().highest(candidates)

    def opened_to_nonsecure(self, access: int) -> int:
        """Bitmap of those whose NSACR field is `access`, 1 to 3, or more."""
        return 0 if self._is_private else super().opened_to_nonsecure(access)

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {"modifier": self.modifier}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        self.modifier = state["modifier"]
        super().load_state(state)


def _set_modifier(bank: InterruptBank, covered: int, ones: int) -> None:
    assert isinstance(bank, GroupedBank)
    bank.set_modifier(covered, ones)


IGRPMODR = bitmap_fields("modifier", _set_modifier, None)
