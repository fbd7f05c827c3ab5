"""Hearing of single instructions and of accesses of memory: the Python side of shim/probes.c and shim/watches.c."""

from __future__ import annotations

import ctypes as C

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine import native

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.handle import Handle

    CodeHandler = Callable[[int], object]
    WatchHandler = Callable[[int, int, bool], object]

_READ, _WRITE, _IS_PHYSICAL = 1, 2, 4
_ALL = (1 << 64) - 1


class Probe:
    """A function that is called before the instruction at an address; `remove` ends that, and may be called twice."""

    __slots__ = ("_probes", "address", "handler")

    def __init__(self, probes: Probes, address: int, handler: CodeHandler) -> None:
        self._probes, self.address, self.handler = probes, address, handler

    def remove(self) -> None:
        """Call it no more."""
        self._probes.remove(self)


class Probes:
    """The probes of one engine."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._at: dict[int, tuple[Probe, ...]] = {}
        """By address, in the order in which they came."""
        self.on_reached = native.PROBE(self._reached)

    def add(self, address: int, handler: CodeHandler) -> Probe:
        """Call `handler` with the PC."""
        probe = Probe(self, address, handler)
        there = self._at.get(address, ())
        if not there and not self._handle.shim.probe(self._handle.engine, address, 1):
            raise MemoryError
        self._at[address] = (*there, probe)
        return probe

    def remove(self, probe: Probe) -> None:
        """Call it no more; one that is not there is fine."""
        there = self._at.get(probe.address, ())
        left = tuple(each for each in there if each is not probe)
        if left:
            self._at[probe.address] = left
        elif there:
            del self._at[probe.address]
            if self._handle.is_open:
                self._handle.shim.probe(self._handle.engine, probe.address, 0)

    def _reached(self, pc: int) -> None:
        try:
            for probe in self._at.get(pc, ()):
                probe.handler(pc)
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)


class Watched:
    """A range of which accesses are told; `remove` ends that, and may be called twice."""

    __slots__ = ("_watches", "begin", "handler", "is_physical", "kind", "last")

    def __init__(self, watches: Watches, begin: int, size: int, kind: int, handler: WatchHandler) -> None:
        self._watches, self.begin, self.last, self.kind, self.handler = watches, begin, begin + size - 1, kind, handler
        self.is_physical = bool(kind & _IS_PHYSICAL)

    def remove(self) -> None:
        """Tell no more."""
        self._watches.remove(self)


class Watches:
    """The watched ranges of one engine."""

    def __init__(self, handle: Handle, translate: Callable[[int], int | None]) -> None:
        self._handle, self._translate = handle, translate
        self._all: tuple[Watched, ...] = ()
        self.on_access = native.WATCHED(self._accessed)

    def add(
        self, address: int, size: int, handler: WatchHandler, *, reads: bool, writes: bool, is_physical: bool
    ) -> Watched:
        """Call `handler` with virtual address, width in bytes, and whether it is a write."""
        kind = (_READ if reads else 0) | (_WRITE if writes else 0) | (_IS_PHYSICAL if is_physical else 0)
        watched = Watched(self, address, size, kind, handler)
        self._set((*self._all, watched))
        return watched

    def remove(self, watched: Watched) -> None:
        """Tell no more; one that is not there is fine."""
        left = tuple(each for each in self._all if each is not watched)
        if len(left) < len(self._all):
            self._set(left)

    def _set(self, watches: tuple[Watched, ...]) -> None:
        self._all = watches
        if not self._handle.is_open:
            return
        words = (C.c_uint64 * (3 * len(watches)))()
        for number, each in enumerate(watches):
            words[3 * number : 3 * number + 3] = [each.begin & _ALL, each.last & _ALL, each.kind]
        if not self._handle.shim.watch(self._handle.engine, words, len(watches)):
            raise MemoryError

    def suspend(self, is_off: bool) -> None:
        """Have accesses made unwatched for now, or watched again."""
        self._handle.shim.suspend_watches(self._handle.engine, is_off)

    def _accessed(self, address: int, width: int, is_write: int) -> None:
        try:
            wanted, last, physical = (_WRITE if is_write else _READ), address + width - 1, None
            for each in self._all:
                if not each.kind & wanted:
                    continue
                if each.is_physical:
                    physical = self._translate(address) if physical is None else physical
                    is_hit = physical is not None and physical <= each.last and physical + width > each.begin
                else:
                    is_hit = address <= each.last and last >= each.begin
                if is_hit:
                    each.handler(address, width, bool(is_write))
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)
