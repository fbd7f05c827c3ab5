"""A timer of the Generic Timer that the engine only stores: DDI 0487 D11.2.

Counts come in as a function, so that the rules need no clock.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ENABLE, IMASK, ISTATUS = 1, 2, 4
NS_PER_COUNT = 16
"""The system counter runs at 62.5 MHz: the engine's is CLOCK_MONOTONIC divided by this (docs/engine.md)."""
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def _compare_value(count: int, tval: int) -> int:
    """CVAL after a write of TVAL: the count and a signed offset of 32 bits (D11.2.4)."""
    offset = tval & 0xFFFF_FFFF
    return (count + offset - (offset >> 31 << 32)) & _U64


def _unconnected(_level: bool) -> None:
    """No interrupt."""


class GuestTimer:
    """One timer: CTL, CVAL and TVAL.

    The timer compares with `count`, the physical count, less `offset` (CNTVOFF_EL2, of the virtual timer); `line` is
    its interrupt, a level (D11.2.4).
    """

    def __init__(
        self, count: Callable[[], int], line: Callable[[bool], None] = _unconnected, offset: int = 0
    ) -> None:  # fmt: skip
        self._count, self._line = count, line
        self.offset = offset
        self.level = False
        """The interrupt line's level."""
        self.ctl = self.cval = 0
        self.is_armed = False
        """Is there a moment to come at which something changes: enabled, and its condition not met yet?"""
        self.due = 0
        """The physical count of that moment, which may be more than 64 bits."""

    def write_ctl(self, value: int) -> bool:
        """The guest writes CTL: may `due` be another now? Not that of a timer that is and was disabled."""
        before, self.ctl = self.ctl, value & (ENABLE | IMASK)
        return bool((before | value) & ENABLE) and self.update()

    def write_cval(self, value: int) -> bool:
        """The same of CVAL."""
        self.cval = value & _U64
        return bool(self.ctl & ENABLE) and self.update()

    def write_tval(self, value: int) -> bool:
        """The same of TVAL."""
        return self.write_cval(_compare_value(self._count() - self.offset, value))

    def read_ctl(self) -> int:
        """The guest reads CTL; where it sees ISTATUS its interrupt has come too."""
        if self.ctl & ENABLE:
            self.update()
        return self.ctl

    def read_cval(self) -> int:
        """The guest reads CVAL."""
        return self.cval

    def read_tval(self) -> int:
        """The guest reads TVAL: what is left, 32 bits."""
        return (self.cval - self._count() + self.offset) & 0xFFFF_FFFF

    def move(self, offset: int) -> bool:
        """CNTVOFF_EL2 is this from now on; as `write_ctl`."""
        self.offset = offset
        return bool(self.ctl & ENABLE) and self.update()

    def update(self) -> bool:
        """Look at the count: ISTATUS, and the interrupt line. True, for who is asked whether it has."""
        control, is_met, self.is_armed = self.ctl & ~ISTATUS, False, False
        if control & ENABLE:
            count = self._count()
            left = self.cval - (count - self.offset & _U64)
            is_met, self.is_armed, self.due = left <= 0, left > 0, count + left
        self.ctl = control | ISTATUS if is_met else control
        level = is_met and not control & IMASK
        if level != self.level:
            self.level = level
            self._line(level)
        return True

    def load(self, ctl: int, cval: int, level: bool) -> None:
        """Return to a state, with an interrupt controller that has been told of this level already."""
        self.ctl, self.cval, self.level = ctl, cval, level
        self.update()

    def reset(self) -> None:
        """As after reset: disabled, and its interrupt gone."""
        self.ctl = self.cval = 0
        self.update()
