"""The physical timer as a guest sees it when EL2 keeps the real one: registers trapped by CNTHCTL_EL2.

DDI 0487 D11.2 (the Generic Timer). Counts come in as a function, so that the rules need no clock.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ENABLE, IMASK, ISTATUS = 1, 2, 4
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def _compare_value(count: int, tval: int) -> int:
    """CVAL after a write of TVAL: the count and a signed offset of 32 bits (D11.2.4)."""
    offset = tval & 0xFFFF_FFFF
    return (count + offset - (offset >> 31 << 32)) & _U64


class PhysicalTimer:
    """CNTP_CTL_EL0, CNTP_CVAL_EL0 and CNTP_TVAL_EL0 of one vCPU over a 64-bit count."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._control = 0
        self.cval = 0

    @property
    def count(self) -> int:
        """CNTPCT_EL0."""
        return self._count() & _U64

    @property
    def ctl(self) -> int:
        """CNTP_CTL_EL0: ENABLE, IMASK, and ISTATUS where the timer is enabled and its time has come."""
        expired = self._control & ENABLE and self.count >= self.cval
        return self._control | (ISTATUS if expired else 0)

    @ctl.setter
    def ctl(self, value: int) -> None:
        self._control = value & (ENABLE | IMASK)

    @property
    def tval(self) -> int:
        """CNTP_TVAL_EL0: the low 32 bits of the time that is left, D11.2.4."""
        return (self.cval - self.count) & 0xFFFF_FFFF

    @tval.setter
    def tval(self, value: int) -> None:
        self.cval = _compare_value(self.count, value)


class GuestTimer:
    """A timer that the guest programs directly.

    `count` gives the count that the timer compares with (for the virtual timer, CNTVCT_EL0); `line` is the timer's
    interrupt, a level (D11.2.4).
    """

    def __init__(self, count: Callable[[], int], line: Callable[[bool], None]) -> None:
        self._count, self._line = count, line
        self.level = False
        """The interrupt line's level."""
        self.ctl = self.cval = 0

    @property
    def is_armed(self) -> bool:
        """Is there a moment to come at which something changes: enabled, and its condition not met yet?"""
        return self.ctl & (ENABLE | ISTATUS) == ENABLE

    def write(self, part: str, value: int) -> None:
        """The guest wrote CTL, CVAL or TVAL."""
        if part == "CTL":
            self.ctl = value & (ENABLE | IMASK)
        elif part == "CVAL":
            self.cval = value & _U64
        else:
            self.cval = _compare_value(self._count(), value)
        self.update()

    def read(self, part: str) -> int:
        """The guest reads CTL, CVAL or TVAL; where it sees ISTATUS its interrupt has come too."""
        if part == "CTL":
            self.update()
            return self.ctl
        return self.cval if part == "CVAL" else (self.cval - self._count()) & 0xFFFF_FFFF

    def update(self) -> None:
        """Look at the count: ISTATUS, and the interrupt line."""
        self.ctl &= ~ISTATUS
        if self.ctl & ENABLE and self._count() >= self.cval:
            self.ctl |= ISTATUS
        level = self.ctl & (ENABLE | IMASK | ISTATUS) == ENABLE | ISTATUS
        if level != self.level:
            self.level = level
            self._line(level)

    def connect(self, line: Callable[[bool], None]) -> None:
        """Where the interrupt goes from now on."""
        self._line = line

    def load(self, ctl: int, cval: int, level: bool) -> None:
        """Return to a state, with an interrupt controller that has been told of this level already."""
        self.ctl, self.cval, self.level = ctl, cval, level
        self.update()

    def reset(self) -> None:
        """As after reset: disabled, and its interrupt gone."""
        self.ctl = self.cval = 0
        self.update()
