"""The engine's physical memory: host buffers as RAM, callbacks as devices; and what the guest's addresses lead to.

Host writes to RAM go straight to the buffer and never invalidate translated code by themselves; whoever writes what the
guest may execute says so (`engine.code`).
"""

from __future__ import annotations

import ctypes as C
import mmap
from itertools import count

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.engine.api import PRIVATE_BASE, PRIVATE_SIZE, TABLES_OFFSET
from armvcpu.engine.library import PROT_ALL, PROT_EXEC, PROT_READ
from armvcpu.engine.native import IO_READ, IO_WRITE
from armvcpu.errors import InternalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.api import IoRead, IoWrite
    from armvcpu.engine.handle import Handle

PAGE = 0x1000


class EngineMemory:
    """What lies where, and the callbacks that must stay alive as long as it does."""

    def __init__(self, handle: Handle) -> None:
        self._handle, self._unicorn = handle, handle.unicorn
        self._regions: dict[int, Any] = {}
        self._ram: dict[int, memoryview] = {}
        self._devices: dict[int, tuple[IoRead, IoWrite]] = {}
        self._heard: Callable[[int, bool], None] | None = None
        self._elsewhere: dict[int, tuple[int, int]] = {}
        self._dirty: C.Array[C.c_uint64] | None = None
        self.io_read, self.io_write = IO_READ(self._on_read), IO_WRITE(self._on_write)
        self._found, self._word = C.c_uint64(), C.c_uint32()
        self._found_at, self._word_at = C.addressof(self._found), C.addressof(self._word)
        private = memoryview(mmap.mmap(-1, PRIVATE_SIZE))
        self.map_ram(PRIVATE_BASE, private)
        self.tables = private[TABLES_OFFSET:]
        """EL2's memory for stage-2 tables, at PRIVATE_BASE + TABLES_OFFSET."""

    # --- physical ---------------------------------------------------------------------------------------------

    def map_ram(self, address: int, memory: memoryview) -> None:
        """Map a writable buffer; execution and write permission are stage 2's affair. Multiples of 4096 bytes."""
        buffer = (C.c_char * len(memory)).from_buffer(memory)
        error = self._unicorn.quick.uc_mem_map_ptr(self._handle.uc, address, len(memory), PROT_ALL, C.addressof(buffer))
        self._unicorn.require(error, f"mapping RAM at {address:#x}")
        if self._handle.engine:  # else it is the first
            self._handle.shim.number_ram(self._handle.engine, address)
        self._regions[address] = buffer
        self._ram[address] = memory

    def map_io(self, address: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Map a device; its callbacks run inside the guest's access, in one piece of 1, 2, 4 or 8 bytes."""
        number = next(number for number in count(1) if number not in self._devices)  # a tally has room for few
        self._devices[number] = (read, write) if self._heard is None else _heard(self._heard, address, read, write)
        device = self._handle.shim.device
        error = self._unicorn.quick.uc_mmio_map(self._handle.uc, address, size, device, number, device, number)
        self._unicorn.require(error, f"mapping a device at {address:#x}")
        self._regions[address] = number

    def hear_io(self, heard: Callable[[int, bool], None]) -> None:
        """Call `heard` with the physical address of each access of a device, and whether it is a read; before it."""
        for address, number in self._regions.items():
            if isinstance(number, int):  # else it is RAM
                self._devices[number] = _heard(heard, address, *self._devices[number])
        self._heard = heard if self._heard is None else _both(self._heard, heard)

    def replace_io(self, address: int, read: IoRead, write: IoWrite) -> None:
        """Have other callbacks answer for the device that `map_io` has put at this address; at any time."""
        if self._heard is not None:
            read, write = _heard(self._heard, address, read, write)
        self._devices[self._regions[address]] = read, write

    def device_places(self) -> dict[int, int]:
        """Where each device is, by the number that the shim knows it by."""
        return {number: address for address, number in self._regions.items() if isinstance(number, int)}

    def unmap(self, address: int, size: int) -> None:
        """Unmap what `map_ram` or `map_io` put there; not while running."""
        error = self._unicorn.quick.uc_mem_unmap(self._handle.uc, address, size)
        self._unicorn.require(error, f"unmapping {address:#x}")
        self._devices.pop(self._regions.pop(address, None), None)
        self._ram.pop(address, None)

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes of RAM at a physical address, or None where it is none."""
        for base, memory in self._ram.items():
            if base <= address and address + size <= base + len(memory):
                return bytes(memory[address - base : address - base + size])
        return None

    # --- what has been written ----------------------------------------------------------------------------------

    def track_dirty(self, address: int, size: int) -> None:
        """Log which pages of a range of RAM are written from now on; a log that there was is over."""
        if not self._handle.shim.track_dirty(self._handle.engine, address, size):
            raise InternalError(f"no RAM to be watched at {address:#x}, {size:#x} bytes")
        self._dirty = (C.c_uint64 * -(-size // (64 * PAGE)))()

    def untrack_dirty(self) -> None:
        """End the log."""
        self._handle.shim.untrack_dirty(self._handle.engine)
        self._dirty = None

    def take_dirty(self) -> bytes:
        """A bit for each page that has been written since the last time; bit n of byte m is page 8m + n.

        As far as there is something written.
        """
        if self._dirty is None:
            raise InternalError("no RAM is watched")
        words = self._handle.shim.take_dirty(self._handle.engine, self._dirty)
        return C.string_at(self._dirty, 8 * words)

    def copy_pages(self, pages: bytes, source: memoryview) -> None:
        """Have those pages of the watched RAM that a bitmap names hold what `source` has, a copy of all of that RAM."""
        if self._dirty is None:
            raise InternalError("no RAM is watched")
        if len(pages) % 8 or len(pages) > C.sizeof(self._dirty):
            raise InternalError(f"a bitmap of {len(pages)} bytes for a log of {C.sizeof(self._dirty)}")
        at = C.addressof(C.c_char.from_buffer(source))
        self._handle.shim.copy_pages(self._handle.engine, pages, len(pages) // 8, at)

    def _on_read(self, device: int, offset: int, width: int) -> int:
        try:
            return self._devices[device][0](offset, width)
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)
            return 0

    def _on_write(self, device: int, offset: int, width: int, value: int) -> None:
        try:
            self._devices[device][1](offset, width, value)
        except BaseException as failure:
            self._handle.fail(failure)

    # --- by the guest's addresses -----------------------------------------------------------------------------

    def set_secure(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Have Non-secure accesses to these physical ranges, (base, size) in bytes, end in an External abort."""
        words = [word for base, size in ranges for word in (base, base + size)]
        if not self._handle.shim.set_secure(self._handle.engine, (C.c_uint64 * len(words))(*words), len(ranges)):
            raise UsageError(f"{len(ranges)} ranges of Secure memory: 16 at most")

    def read_elsewhere(self, base: int, size: int, where: int | None) -> None:
        """Have loads and fetches of a physical range find what is at `where`; stores go where they say."""
        self._elsewhere.pop(base, None)
        if where is not None:
            self._elsewhere[base] = size, where
        words = [word for base, (size, where) in self._elsewhere.items() for word in (base, base + size, where)]
        count = len(self._elsewhere)
        if not self._handle.shim.set_aliases(self._handle.engine, (C.c_uint64 * len(words))(*words), count):
            raise UsageError(f"{count} ranges that are read elsewhere: 4 at most")

    def flush_tlb(self) -> None:
        """Forget where addresses lead, after stage-2 tables changed; in a trap handler as outside."""
        self._handle.shim.flush_tlb(self._handle.engine)

    def translate(self, address: int) -> int | None:
        """The physical address behind a virtual one that can be read or executed, or None."""
        for access in (PROT_READ, PROT_EXEC):
            if not self._unicorn.quick.uc_vmem_translate(self._handle.uc, address, access, self._found_at):
                return self._found.value
        return None

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """`size` bytes at a virtual address, or None where part of them is no memory."""
        pieces = []
        while size > 0:
            piece = min(size, PAGE - address % PAGE)
            physical = self.translate(address)
            data = None if physical is None else self.read(physical, piece)
            if data is None:
                return None
            pieces.append(data)
            address, size = address + piece, size - piece
        return b"".join(pieces)

    def fetch_word(self, address: int) -> int | None:
        """The instruction word at a virtual address; of memory that can't be executed (yet), too."""
        if address & 3:
            return None
        if not self._unicorn.quick.uc_vmem_read(self._handle.uc, address, PROT_EXEC, self._word_at, 4):
            return self._word.value
        data = self.read_virtual(address, 4)
        return None if data is None else int.from_bytes(data, "little")


def _heard(heard: Callable[[int, bool], None], base: int, read: IoRead, write: IoWrite) -> tuple[IoRead, IoWrite]:
    """A device's callbacks, heard by somebody."""

    def heard_read(offset: int, width: int) -> int:
        heard(base + offset, True)
        return read(offset, width)

    def heard_write(offset: int, width: int, value: int) -> None:
        heard(base + offset, False)
        write(offset, width, value)

    return heard_read, heard_write


def _both(first: Callable[[int, bool], None], second: Callable[[int, bool], None]) -> Callable[[int, bool], None]:
    def heard(address: int, is_read: bool) -> None:
        first(address, is_read)
        second(address, is_read)

    return heard
