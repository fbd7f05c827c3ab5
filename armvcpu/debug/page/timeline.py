"""What happened when, in bounded memory: all events as counts over time, and the first and last ones one by one.

A lane is one kind of event on one vCPU. The counts of all lanes have the same intervals; when time goes beyond the last
of them, two become one each, so that a run of any length has as many, and none of its events is missing in them.
"""

from __future__ import annotations

from array import array
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

FIRST_WIDTH = 1024
"""Nanoseconds of an interval at the beginning."""


class Event(NamedTuple):
    """One event: guest time in ns, its lane, the address it is about, and what else its kind knows of it."""

    time: int
    lane: int
    pc: int
    about: tuple[int, ...]


class Lane:
    """How often one kind of event happened in each interval."""

    __slots__ = ("bins", "count", "key", "vcpu")

    def __init__(self, vcpu: int, key: Hashable, size: int) -> None:
        self.vcpu, self.key, self.count = vcpu, key, 0
        self.bins = array("L", bytes(array("L").itemsize * size))


class Timeline:
    """The events of one machine. `now` gives the guest's time in ns; `size` intervals, `kept` first and last events.

    Of more than `lanes` lanes, each further one of a vCPU is counted in the one with the key None.
    """

    def __init__(self, now: Callable[[], int], size: int, kept: int, lanes: int) -> None:
        self.now, self.size = now, size
        self._most, self._kept = lanes, kept
        self.forget()

    def forget(self) -> None:
        """Begin anew: nothing has happened."""
        self.width = FIRST_WIDTH
        self.lanes: list[Lane] = []
        self._by_key: dict[tuple[int, Hashable], int] = {}
        self._end = self.width * self.size
        self.first: list[Event] = []
        self.last: deque[Event] = deque(maxlen=self._kept)
        self.total = 0

    def add(self, vcpu: int, key: Hashable, pc: int, about: tuple[int, ...] = ()) -> None:
        """Something has happened now."""
        now = max(self.now(), 0)
        index = self._by_key.get((vcpu, key))
        if index is None:
            index = self._new_lane(vcpu, key)
        if now >= self._end:
            self._widen(now)
        lane = self.lanes[index]
        lane.bins[now // self.width] += 1
        lane.count += 1
        self.total += 1
        kept = self.first if len(self.first) < self._kept else self.last
        kept.append(Event(now, index, pc, about))

    @property
    def left_out(self) -> int:
        """Events that are not among the first and last ones."""
        return self.total - len(self.first) - len(self.last)

    def _new_lane(self, vcpu: int, key: Hashable) -> int:
        if len(self.lanes) >= self._most:
            key = None
        index = self._by_key.get((vcpu, key))
        if index is None:
            index = self._by_key[vcpu, key] = len(self.lanes)
            self.lanes.append(Lane(vcpu, key, self.size))
        return index

    def _widen(self, now: int) -> None:
        while now >= self._end:
            for lane in self.lanes:
                bins = lane.bins
                for at in range(self.size // 2):
                    bins[at] = bins[2 * at] + bins[2 * at + 1]
                for at in range(self.size // 2, self.size):
                    bins[at] = 0
            self.width *= 2
            self._end = self.width * self.size
