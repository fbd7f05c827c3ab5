"""Interrupts that Secure software opens to Non-secure accesses: GICD_NSACR, GICR_NSACR (IHI 0069 12.9, IHI 0048 4.3).

The field of an interrupt, NS_access, says how far; which registers that are stands in `gicv2_secure.py` and
`security.py`. Both versions of the GIC have it with two Security states.
"""

from __future__ import annotations

from armvcpu.arch.static import Any
from armvcpu.devices.gic.device import Fields
from armvcpu.devices.gic.state import InterruptBank


class OpenedBank(InterruptBank):
    """Interrupts with an NS_access each, two bits, which are kept as two bitmaps."""

    nsacr_low = nsacr_high = 0

    @property
    def openable(self) -> int:
        """Bitmap of those that have one."""
        return self.valid

    def reset(self) -> None:
        """The state after reset."""
        self.nsacr_low = self.nsacr_high = 0
        super().reset()

    def opened_to_nonsecure(self, access: int) -> int:
        """Bitmap of those whose NS_access is `access`, 1 to 3, or more."""
        low, high = self.nsacr_low, self.nsacr_high
        return (low | high, high, low & high, 0)[access - 1]

    def nsacr(self, intid: int) -> int:
        """The NS_access of an interrupt."""
        return self.nsacr_low >> intid & 1 | (self.nsacr_high >> intid & 1) << 1

    def set_nsacr(self, covered: int, low: int, high: int) -> None:
        """Set that of the interrupts `covered`, its two bits."""
        covered &= self.openable
        self.nsacr_low = self.nsacr_low & ~covered | low & covered
        self.nsacr_high = self.nsacr_high & ~covered | high & covered

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {"nsacr_low": self.nsacr_low, "nsacr_high": self.nsacr_high}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        self.nsacr_low, self.nsacr_high = state["nsacr_low"], state["nsacr_high"]
        super().load_state(state)


def _read(bank: InterruptBank, first: int, count: int) -> int:
    assert isinstance(bank, OpenedBank)
    return sum(bank.nsacr(first + n) << 2 * n for n in range(count))


def _write(bank: InterruptBank, first: int, count: int, value: int) -> None:
    assert isinstance(bank, OpenedBank)
    low = sum((value >> 2 * n & 1) << n for n in range(count)) << first
    high = sum((value >> 2 * n + 1 & 1) << n for n in range(count)) << first
    bank.set_nsacr((1 << count) - 1 << first, low, high)


NSACR = Fields(2, _read, _write, None)
