"""The scripted engine's physical memory: what was mapped where, for the code under test and for its test."""

from __future__ import annotations

from dataclasses import dataclass

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.api import PRIVATE_SIZE, TABLES_OFFSET
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.api import IoRead, IoWrite

PAGE = 4096


@dataclass(frozen=True, slots=True)
class IoRegion:
    """One device region: its size and callbacks."""

    size: int
    read: IoRead
    write: IoWrite


class FakeMemory:
    """RAM and devices by address, and a guest's view of them with its MMU off."""

    def __init__(self) -> None:
        self.ram: dict[int, memoryview] = {}
        self.io: dict[int, IoRegion] = {}
        self.tables = memoryview(bytearray(PRIVATE_SIZE - TABLES_OFFSET))
        self.io_heard: list[Callable[[int, bool], None]] = []
        self.tlb_flushes = 0
        self.secure: list[tuple[int, int]] = []
        self.elsewhere: dict[int, tuple[int, int | None]] = {}
        self.tracked: tuple[int, int] | None = None
        self.dirty = 0

    def set_secure(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Note them in `secure`."""
        self.secure = list(ranges)

    def read_elsewhere(self, base: int, size: int, where: int | None) -> None:
        """Note it in `elsewhere`."""
        self.elsewhere[base] = size, where

    def flush_tlb(self) -> None:
        """Count it."""
        self.tlb_flushes += 1

    def track_dirty(self, address: int, size: int) -> None:
        """Begin a log, which a test fills by `written`."""
        self.tracked, self.dirty = (address, size), 0

    def untrack_dirty(self) -> None:
        """End it."""
        self.tracked = None

    def take_dirty(self) -> bytes:
        """The pages that were `written`."""
        assert self.tracked is not None
        taken, self.dirty = self.dirty, 0
        return taken.to_bytes(-(-self.tracked[1] // (64 * PAGE)) * 8, "little")

    def copy_pages(self, pages: bytes, source: memoryview) -> None:
        """Copy them."""
        assert self.tracked is not None
        base, memory = self.tracked[0], self.ram[self.tracked[0]]
        left = int.from_bytes(pages, "little")
        while left:
            at = ((left & -left).bit_length() - 1) * PAGE
            memory[at : at + PAGE] = source[at : at + PAGE]
            self.written(base + at, PAGE)
            left &= left - 1

    def written(self, address: int, size: int) -> None:
        """For tests, and `code.invalidate`: these bytes are written."""
        if self.tracked is None or not 0 <= address - self.tracked[0] < self.tracked[1]:
            return
        first, last = (at - self.tracked[0] >> 12 for at in (address, address + size - 1))
        self.dirty |= (1 << last + 1) - (1 << first)

    def map_ram(self, address: int, memory: memoryview) -> None:
        """Note it in `ram`."""
        self.ram[address] = memory

    def map_io(self, address: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Note it in `io`."""
        self.io[address] = IoRegion(size, read, write)

    def hear_io(self, heard: Callable[[int, bool], None]) -> None:
        """Note who hears."""
        self.io_heard.append(heard)

    def replace_io(self, address: int, read: IoRead, write: IoWrite) -> None:
        """Other callbacks in `io`."""
        self.io[address] = IoRegion(self.io[address].size, read, write)

    def unmap(self, address: int, size: int) -> None:
        """Remove what was mapped at `address`."""
        if self.ram.pop(address, None) is None and self.io.pop(address, None) is None:
            raise UsageError(f"nothing is mapped at {address:#x} ({size:#x} bytes)")

    def io_read(self, address: int, width: int) -> int:
        """What a guest's load of `width` bytes from a device at this physical address gets."""
        base, region = self._io_at(address)
        for heard in self.io_heard:
            heard(address, True)
        return region.read(address - base, width)

    def io_write(self, address: int, width: int, value: int) -> None:
        """A guest's store of `width` bytes to a device at this physical address."""
        base, region = self._io_at(address)
        for heard in self.io_heard:
            heard(address, False)
        region.write(address - base, width, value)

    def _io_at(self, address: int) -> tuple[int, IoRegion]:
        for base, region in self.io.items():
            if base <= address < base + region.size:
                return base, region
        raise UsageError(f"no device is mapped at {address:#x}")

    def translate(self, address: int) -> int | None:
        """The address itself where RAM is mapped: the fake guest's MMU is off."""
        return None if self.read_virtual(address, 1) is None else address

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """Bytes of one RAM region, or None."""
        for base, memory in self.ram.items():
            if base <= address and address + size <= base + len(memory):
                return bytes(memory[address - base : address - base + size])
        return None

    def fetch_word(self, address: int) -> int | None:
        """The word in RAM at an aligned address, or None."""
        data = self.read_virtual(address, 4) if address % 4 == 0 else None
        return None if data is None else int.from_bytes(data, "little")
