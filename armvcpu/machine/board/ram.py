"""Where RAM is: the board's own and the user's, as pieces of one buffer of the host's.

Snapshots and the log of written pages know the buffer only. Unicorn numbers RAM in the order in which it is mapped, and
begins each block at a multiple of 256 KiB. So do the pieces in the buffer: one log of the engine covers them all.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError, named
from armvcpu.machine.board.memory_map import Region
from armvcpu.machine.board.virt import (
    FLASH_BASES,
    FLASH_SIZE,
    INPUT_BITS,
    RAM_BASE,
    SECURE_RAM_BASE,
    SECURE_RAM_SIZE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.layout import Ram

BLOCK_ALIGNMENT = 256 << 10


class Piece(Row):
    """`size` bytes of RAM at the guest-physical address `base`, which lie in the buffer from `offset` on."""

    base: int
    size: int
    offset: int

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.base + self.size


class RamLayout:
    """The board's RAM, `size` bytes at `base`, and more, and Secure RAM. What lies side by side is one piece."""

    def __init__(self, base: int, size: int, more: Sequence[Ram] = (), secure: Sequence[Ram] = ()) -> None:
        self._secure = tuple(secure)
        joined: list[list[int]] = []
        for start, end in sorted([(base, base + size), *((ram.base, ram.end) for ram in (*more, *secure))]):
            if joined and joined[-1][1] == start:
                joined[-1][1] = end
            else:
                joined.append([start, end])
        joined.sort(key=lambda piece: not piece[0] <= base < piece[1])  # the board's own comes first
        pieces, offset = [], 0
        for start, end in joined:
            pieces.append(Piece(start, end - start, offset))
            offset = -(-(offset + end - start) // BLOCK_ALIGNMENT) * BLOCK_ALIGNMENT
        self.pieces: tuple[Piece, ...] = tuple(pieces)
        self.size = pieces[-1].offset + pieces[-1].size
        """Of the buffer, in bytes."""

    def offset(self, address: int, size: int) -> int:
        """Where in the buffer these bytes are; -1 where not all of them are RAM."""
        for piece in self.pieces:
            if piece.base <= address and 0 <= size <= piece.end - address:
                return address - piece.base + piece.offset
        return -1

    def is_secure(self, address: int, size: int) -> bool:
        """Is any of these bytes Secure RAM?"""
        return any(ram.overlaps(address, size) for ram in self._secure)

    def addresses(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """(address, bytes) of what the guest has of a range of the buffer."""
        for piece in self.pieces:  # in the order of their offsets
            first, behind = max(start, piece.offset), min(end, piece.offset + piece.size)
            if first < behind:
                yield first - piece.offset + piece.base, behind - first


def users_ram(config: MachineConfig) -> tuple[Ram, ...]:
    """The RAM that the options name beside the board's own.

    Raises:
        UsageError: it lies over other RAM, where there can be none, or over a flash bank that another option uses.
    """
    if not config.ram:
        return ()
    from armvcpu.machine.layout import parse_ram  # most boards have their own RAM only

    more = tuple(parse_ram(text) for text in config.ram)
    taken = [Region(f"RAM of {named('memory')}", RAM_BASE, config.memory)]
    if config.el == 3:
        taken.append(Region("Secure RAM", SECURE_RAM_BASE, SECURE_RAM_SIZE))
    for ram in more:
        if ram.end >> INPUT_BITS:
            raise UsageError(f"{named('ram')} {ram}: guest-physical addresses have {INPUT_BITS} bits")
        if other := next((each for each in taken if each.overlaps(ram.base, ram.size)), None):
            raise UsageError(f"{named('ram')} {ram} overlaps {other}; give another place")
        taken.append(Region(f"{named('ram')} {ram}", ram.base, ram.size))
        for option, bank in (("firmware", FLASH_BASES[0]), ("vars", FLASH_BASES[1])):
            if getattr(config, option) is not None and ram.overlaps(bank, FLASH_SIZE):
                raise UsageError(f"{named('ram')} {ram} covers the flash bank of {named(option)}; leave one out")
    return more
