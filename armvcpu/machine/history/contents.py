"""What a memory has held at each checkpoint, by pieces of 4096 bytes: RAM by its pages, a disk by what was written.

A checkpoint keeps the pieces that were written since the one before it, as they are then. So what a piece held at a
checkpoint is in the latest one up to there that has it; a piece that none has is as it was before there was a history.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from armvcpu.machine.board.memory import reserve

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from armvcpu.devices.virtio.disk import DiskImage
    from armvcpu.machine.board.memory import GuestMemory

PIECE = 4096
Pieces = dict[int, bytes]
"""By their numbers."""
_ZEROES = bytes(PIECE)
_DONT_NEED = 4  # MADV_DONTNEED of Linux


class Contents(Protocol):
    """One memory of a machine."""

    def take_written(self) -> set[int]:
        """Which pieces have been written since this was asked last."""
        ...

    def note(self, pieces: Collection[int]) -> None:
        """These have been written too."""
        ...

    def read(self, pieces: Iterable[int]) -> Pieces:
        """What they hold now."""
        ...

    def write(self, pieces: set[int], kept: Sequence[Pieces]) -> None:
        """Have them hold what they held at the last of these checkpoints."""
        ...

    def begin_anew(self) -> None:
        """There are no checkpoints: the next one is the first."""
        ...

    def close(self) -> None:
        """Nobody asks any more."""
        ...


def versions(pieces: set[int], kept: Sequence[Pieces]) -> Iterator[Pieces]:
    """Of these pieces what the last checkpoint that has them keeps; what none has is left in `pieces`."""
    for each in reversed(kept):
        if not pieces:
            return
        found = pieces & each.keys()
        pieces -= found
        yield {piece: each[piece] for piece in found}


class Ram:
    """The RAM of a machine. None of it is anything but zeroes where no checkpoint has it: the first one has all."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory, self._log = memory, memory.dirty.new_log()
        self._source = reserve(len(memory.ram))
        self.begin_anew()

    def begin_anew(self) -> None:
        """The first checkpoint has all that may be anything but zeroes."""
        self._log.bits = self._memory.dirty.used_bits()

    def take_written(self) -> set[int]:
        """By the log of written pages."""
        return self._log.take()

    def note(self, pieces: Collection[int]) -> None:
        """In the log."""
        self._log.note(pieces)

    def read(self, pieces: Iterable[int]) -> Pieces:
        """Pages of zeroes share one."""
        ram = self._memory.ram
        found: Pieces = {}
        for piece in pieces:
            data = bytes(ram[piece * PIECE : (piece + 1) * PIECE])
            found[piece] = _ZEROES if data == _ZEROES else data
        return found

    def write(self, pieces: set[int], kept: Sequence[Pieces]) -> None:
        """Only what differs is written, and what was translated from that is forgotten."""
        source, left = self._source, set(pieces)
        for each in versions(left, kept):
            for piece, data in each.items():
                source[piece * PIECE : (piece + 1) * PIECE] = data
        for piece in left:
            source[piece * PIECE : (piece + 1) * PIECE] = _ZEROES
        self._memory.dirty.put(pieces, source)
        source.obj.madvise(_DONT_NEED)  # type: ignore[attr-defined]  # a copy is needed no longer
        self._log.take()

    def close(self) -> None:
        """Give up the log."""
        self._memory.dirty.drop_log(self._log)


class Disk:
    """A disk that can be written. What no checkpoint has is what was there before the first write."""

    def __init__(self, disk: DiskImage) -> None:
        self._log = disk.new_write_log()

    def begin_anew(self) -> None:
        """What is there now is what was there before the first write."""
        self._log.take()
        self._log.originals.clear()

    def take_written(self) -> set[int]:
        """By the log of the disk."""
        return self._log.take()

    def note(self, pieces: Collection[int]) -> None:
        """In the log."""
        self._log.note(pieces)

    def read(self, pieces: Iterable[int]) -> Pieces:
        """From the host's file."""
        return {piece: self._log.read(piece) for piece in pieces}

    def write(self, pieces: set[int], kept: Sequence[Pieces]) -> None:
        """To the host's file; OSError where it cannot, and the disk is as it was, as far as the host lets it."""
        left, then = set(pieces), dict[int, bytes]()
        for each in versions(left, kept):
            then |= each
        then |= {piece: self._log.originals[piece] for piece in left}
        now = self.read(then)
        try:
            self._write_all(then)
        except OSError:
            with suppress(OSError):
                self._write_all(now)
            raise
        self._log.take()

    def _write_all(self, pieces: Pieces) -> None:
        for piece, data in pieces.items():
            self._log.write(piece, data)

    def close(self) -> None:
        """Give up the log."""
        self._log.close()
