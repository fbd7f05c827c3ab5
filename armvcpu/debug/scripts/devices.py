"""Devices that scripts look at: their callbacks, with the scripts' between; and windows of scripts' own, where none is.

Of a read a function hears what the device gives, of a write what is written; what it returns is taken in place of that.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.debug.scripts.hook import IGNORE
from armvcpu.errors import UsageError
from armvcpu.machine.board.bus import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.machine.board.bus import Bus, Window
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Look = Callable[[Aarch64VCpu, bool, int, int, int], Any]
    """look(vcpu, is a write, address, width, value): another value, IGNORE for a write, or None."""


class _Range(NamedTuple):
    base: int
    end: int
    look: Look


class Devices:
    """Of one machine."""

    def __init__(self, bus: Bus, turns: Turns) -> None:
        self._bus, self._turns = bus, turns
        self._watched: list[_Watched] = []

    def add(self, base: int, size: int, look: Look) -> Remove:
        """Have `look` called at each access of `size` bytes from `base` on, whatever is there.

        Raises:
            UsageError: there is RAM or flash.
        """
        part = _Range(base, base + size, look)
        covered = []
        try:
            for window in self._windows(base, size):
                covered.append(window)
                window.looks.append(part)
        except BaseException:
            self._remove(part, covered)
            raise
        return partial(self._remove, part, covered)

    def _windows(self, base: int, size: int) -> Iterator[_Watched]:
        """The windows of a range, watched; what no window has becomes one. Each has looks before the next one comes."""
        address = base
        while address < base + size:
            window = self._bus.find(address)
            if window is None or window in self._bus.empty:
                end = self._end_of_hole(address, base + size)
                yield self._own_window(address & -PAGE, -(-end // PAGE) * PAGE)
                address = -(-end // PAGE) * PAGE
                continue
            if not window.io:
                raise UsageError(f"on_mmio: there is flash at {address:#x}, which the guest reads as memory")
            yield self._watch(window)
            address = window.base + window.size

    def _end_of_hole(self, address: int, end: int) -> int:
        return min([end, *(window.base for window in self._bus.windows if window.base > address)])

    def _own_window(self, base: int, end: int) -> _Watched:
        self._bus.add(base, end - base, _reads_zero, _nothing)
        window = self._bus.find(base)
        assert window is not None
        return self._watch(window, is_own=True)

    def _watch(self, window: Window, *, is_own: bool = False) -> _Watched:
        for watched in self._watched:
            if watched.window == window:
                return watched
        watched = _Watched(self._bus, self._turns, window, is_own=is_own)
        self._watched.append(watched)
        return watched

    def _remove(self, part: _Range, covered: list[_Watched]) -> None:
        for window in covered:
            if part in window.looks:
                window.looks.remove(part)
            if not window.looks and window in self._watched:
                self._watched.remove(window)
                window.end()


class _Watched:
    """One window, with its own callbacks behind those that look."""

    def __init__(self, bus: Bus, turns: Turns, window: Window, *, is_own: bool) -> None:
        self._bus, self._turns, self._before, self._is_own = bus, turns, window, is_own
        self.looks: list[_Range] = []
        self.window = bus.answer_with(window, self._read, self._write)

    def _read(self, offset: int, width: int) -> int:
        self._bus.look()
        address, vcpu = self._before.base + offset, self._turns.cpu.vcpu
        value = self._before.read(offset, width)
        for part in self.looks:
            if part.base <= address < part.end:
                changed = part.look(vcpu, False, address, width, value)
                if changed is not None:
                    value = changed & (1 << 8 * width) - 1
        return value

    def _write(self, offset: int, width: int, value: int) -> None:
        self._bus.look()
        address, vcpu = self._before.base + offset, self._turns.cpu.vcpu
        for part in self.looks:
            if part.base <= address < part.end:
                changed = part.look(vcpu, True, address, width, value)
                if changed is IGNORE:
                    return
                if changed is not None:
                    value = changed & (1 << 8 * width) - 1
        self._before.write(offset, width, value)

    def end(self) -> None:
        """The window as it was."""
        if self._is_own:
            self._bus.remove(self.window)
        else:
            self._bus.answer_with(self.window, self._before.read, self._before.write)


def _reads_zero(_offset: int, _width: int) -> int:
    return 0


def _nothing(_offset: int, _width: int, _value: int) -> None:
    pass
