"""The checkpoints of a run, in the order of its count: which are kept, and how a machine returns to one of them.

They lie close together where the machine is, and further apart with the distance from there: one is forgotten where its
neighbours are near for that distance, and where all of them together take more memory than they may. What was written
before it is then its successor's to keep, so that no state is lost but its own.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING

from armvcpu.machine.history import checkpoint
from armvcpu.machine.history.contents import Disk, Ram

if TYPE_CHECKING:
    from armvcpu.machine.history.checkpoint import Checkpoint
    from armvcpu.machine.history.contents import Contents
    from armvcpu.machine.parts import Parts

DENSITY = 64
"""So many checkpoints, about, within any distance from where the machine is and its double."""
_NEVER = float("inf")
_COUNT = attrgetter("count")


class Keeper:
    """Those of one machine, which take `size` bytes at most, the first one aside."""

    def __init__(self, parts: Parts, size: int) -> None:
        self._parts, self._size = parts, size
        disks = [Disk(disk) for disk in parts.peripherals.disks if not disk.read_only]
        self._memories: list[Contents] = [Ram(parts.memory), *disks]
        self._all: list[Checkpoint] = []
        self._last: Checkpoint | None = None
        """The one that the logs of what is written go back to."""
        self.used = 0
        """Bytes that all of them take."""

    def close(self) -> None:
        """Forget all."""
        for memory in self._memories:
            memory.close()
        self._all.clear()
        self._last, self.used = None, 0

    @property
    def first(self) -> Checkpoint | None:
        """The earliest state that there is a way back to."""
        return self._all[0] if self._all else None

    @property
    def counts(self) -> list[int]:
        """Of each, in ascending order."""
        return [*map(_COUNT, self._all)]

    def before(self, count: int) -> Checkpoint | None:
        """The latest one that has this count, or an earlier one."""
        at = bisect_right(self._all, count, key=_COUNT)
        return self._all[at - 1] if at else None

    def take(self, changed_at: int | None = None) -> None:
        """Keep the state that the machine has now; `changed_at` this count somebody changed it."""
        parts, count = self._parts, self._parts.engine.instructions
        known = self.before(count)
        is_known = known is not None and known.count == count and changed_at is None
        if is_known or not checkpoint.can_take(parts):
            return
        taken = checkpoint.take(parts, self._memories)
        taken.begins_at = changed_at
        self._all.insert(bisect_right(self._all, count, key=_COUNT), taken)
        self._last = taken
        self.used += taken.size
        self._thin(count)

    def restore(self, then: Checkpoint, live_from: int) -> None:
        """Return to one; OSError where the host can't write a disk."""
        kept = self._all[: self._all.index(then) + 1]
        for number, memory in reversed([*enumerate(self._memories)]):  # disks first: RAM never refuses
            pieces = memory.take_written()
            for each in self._between(then):
                pieces |= each.written[number].keys()
            try:
                memory.write(pieces, [each.written[number] for each in kept])
            except OSError:
                memory.note(pieces)
                raise
        self._last = then
        checkpoint.restore(self._parts, then, live_from)

    def _between(self, then: Checkpoint) -> list[Checkpoint]:
        """Those with what may differ between `then` and the one that the logs go back to."""
        last = self._last
        if last is None:
            return self._all
        low, high = sorted((self._all.index(last), self._all.index(then)))
        return self._all[low + 1 : high + 1]

    def next_change(self, then: Checkpoint) -> int | None:
        """The count at which somebody changed the guest, the first one after a checkpoint."""
        following = self._all[self._all.index(then) + 1 :]
        return next((each.begins_at for each in following if each.begins_at is not None), None)

    def after(self, then: Checkpoint) -> Checkpoint | None:
        """The one after it."""
        number = self._all.index(then) + 1
        return self._all[number] if number < len(self._all) else None

    def previous(self, then: Checkpoint) -> Checkpoint | None:
        """The one before it."""
        number = self._all.index(then)
        return self._all[number - 1] if number else None

    def clear(self) -> None:
        """Forget all: the machine has another state."""
        self._all.clear()
        self._last, self.used = None, 0
        for memory in self._memories:
            memory.begin_anew()

    def forget_after(self, count: int) -> None:
        """What comes after this count will be another story."""
        while self._all and (self._all[-1].count > count or self._all[-1].begins_at == count):
            self._forget_end()

    # --- how many

    def _thin(self, now: int) -> None:
        """Forget those that are too near to each other, seen from here, and as many as take too much memory."""
        while len(self._all) > 2:
            best, found = min((self._spread(number, now), number) for number in range(1, len(self._all) - 1))
            if best * DENSITY >= 1 and (self.used <= self._size or best >= _NEVER):
                break
            self._forget(found)
        while self.used > self._size and len(self._all) > 1:
            self._forget_end()

    def _spread(self, number: int, now: int) -> float:
        """How far apart its neighbours are, as a share of how far away they are."""
        here = self._all[number]
        if here is self._last or here.begins_at is not None:
            return _NEVER
        return (self._all[number + 1].count - self._all[number - 1].count) / max(1, abs(now - here.count))

    def _forget(self, number: int) -> None:
        gone, following = self._all[number], self._all[number + 1]
        self.used -= gone.size + following.size
        gone.join(following)
        self.used += following.size
        del self._all[number]

    def _forget_end(self) -> None:
        """The latest one: where the logs go back to it, they have what it has, and go back to the one before."""
        gone = self._all.pop()
        self.used -= gone.size
        if gone is self._last:
            for memory, written in zip(self._memories, gone.written, strict=True):
                memory.note(written.keys())
            self._last = self._all[-1] if self._all else None

    @property
    def is_full(self) -> bool:
        """Is there no memory for as many as are wanted?"""
        return 4 * self.used > 3 * self._size
