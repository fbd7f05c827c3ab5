"""Guest memory: RAM and flash as host buffers, in the engine and in the guest's address space.

RAM starts execute-never and becomes executable page by page as the guest executes it, since a store to a page that
the engine takes for executable costs fifteen times as much (docs/engine.md, "Stage 2"). The erased part of a flash bank
is one block of 0xFF that all of its addresses share.
"""

from __future__ import annotations

import mmap

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.dma import BadAddress
from armvcpu.errors import UsageError, named
from armvcpu.machine.board.dirty_pages import DirtyPages
from armvcpu.machine.board.flash_banks import HOST_BASE, FlashBank, erased_block
from armvcpu.machine.board.ram import RamLayout
from armvcpu.machine.board.virt import INPUT_BITS, MIB, RAM_BASE
from armvcpu.machine.config import check_ram_size
from armvcpu.vcpu.addrspace import AddressSpace
from armvcpu.vcpu.stage2.mapping import RWX, MappingFlags
from armvcpu.vcpu.stage2.pool import TablePool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from armvcpu.engine.api import Engine
    from armvcpu.machine.layout import Ram

PAGE = 4096

MAP_NORESERVE = 0x4000  # Linux; Python names it from 3.13 on


def reserve(size: int) -> memoryview:
    """`size` bytes of zeroes that cost host memory only when they are touched."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    try:
        return memoryview(mmap.mmap(-1, size, flags=flags))
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"cannot reserve {size // MIB} MiB for the guest's memory: {error}; lower {named('memory')}"
        ) from error


def page_pieces(address: int, size: int) -> Iterator[tuple[int, int]]:
    """A range page by page: (address, size) of each piece."""
    end = address + size
    while address < end:
        following = min(end, (address & -PAGE) + PAGE)
        yield address, following - address
        address = following


class GuestMemory:
    """RAM and flash of one machine, by guest-physical address."""

    def __init__(
        self, ram_size: int, flash: tuple[FlashBank, ...] | None = None, more: Sequence[Ram] = (),
        secure: Sequence[Ram] = (),
    ) -> None:  # fmt: skip
        check_ram_size(ram_size)
        self.layout = RamLayout(RAM_BASE, ram_size, more, secure)
        """Where RAM is, and which part of `ram` is where."""
        self.ram = reserve(self.layout.size)
        self.flash = (FlashBank(0), FlashBank(1)) if flash is None else flash
        self._forget_code: Callable[[int, int], None] = lambda _address, _size: None
        self.noted: set[tuple[int, int]] = set()
        """Ranges of RAM (address, bytes) that devices have written without `view`."""
        self.dirty: DirtyPages
        """Which pages have been written; there is one when an engine has the memory."""

    def load_flash(self, writes: Iterable[tuple[int, bytes]], zeroes: Iterable[tuple[int, int]]) -> None:
        """Before `attach`: have flash hold from power-on what of this, (address, contents or size), lies in it."""
        for bank in self.flash:
            held = range(bank.base, bank.base + len(bank))
            for address, data in writes:
                if address in held:
                    bank.load(address - bank.base, data)
            for address, size in zeroes:
                if address in held:
                    bank.load(address - bank.base, bytes(size))

    def attach(
        self, engine: Engine, space: AddressSpace, *, exact_mmio: bool = False, is_lazy: bool = True,
        has_stage2: bool = True,
    ) -> None:  # fmt: skip
        """Show all of it to the guest; with `exact_mmio` every access of a flash chip traps.

        `is_lazy`: what costs time, and few guests look at, may come by a stage-2 fault. `has_stage2`: is it ours?
        """
        self._forget_code = engine.code.invalidate
        for piece in self.layout.pieces:
            engine.memory.map_ram(piece.base, self.ram[piece.offset : piece.offset + piece.size])
        self.dirty = DirtyPages(engine.memory, self.layout, self.noted)
        for piece in self.layout.pieces:
            space.map_linear(piece.base, piece.base, piece.size, RWX, lazy_execute=True)
        if not has_stage2:
            for bank in self.flash:
                bank.attach_whole(engine)
            return
        engine.memory.map_ram(HOST_BASE, erased_block())
        for bank in self.flash:
            bank.attach(engine, space, shows_device=not exact_mmio, is_lazy=is_lazy)

    def populate(self, address: int) -> bool:
        """After a stage-2 fault: was it an erased block of flash, which is there from now on?"""
        return any(bank.populate(address) for bank in self.flash)

    def note_execution(self, address: int) -> None:
        """The guest is about to execute code there that it could not before."""
        for bank in self.flash:
            if 0 <= address - bank.base < len(bank):
                bank.is_executed = True

    def holds(self, address: int) -> bool:
        """Is it an address of RAM or flash?"""
        return self.is_ram(address, 1) or any(0 <= address - bank.base < len(bank) for bank in self.flash)

    def check_page(self, page: int) -> None:
        """UsageError where there is no page of RAM."""
        if not self.is_ram(page, PAGE):
            raise UsageError(f"no RAM at {page:#x}")

    def allow(self, space: AddressSpace, page: int, allowed: MappingFlags) -> None:
        """Let the guest do only this with a page of RAM: RWX as at first, nothing makes it a hole."""
        space.unmap(page, PAGE)
        if allowed:
            space.map_linear(page, page, PAGE, allowed, lazy_execute=allowed == RWX)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of RAM or flash at a guest-physical address; UsageError where there is neither."""
        return bytes(self._view(address, size))

    def view(self, address: int, size: int, *, is_written: bool = False) -> memoryview:
        """RAM for a device's DMA, without a copy; BadAddress where part of it is none, or Secure: devices are not.

        `is_written`: it is written now, before the guest goes on; code that was translated from it is forgotten, and
        its pages are `dirty`.
        """
        at = self.layout.offset(address, size)
        if at < 0 or self.layout.is_secure(address, size):
            raise BadAddress(address, size)
        if is_written:
            self._forget_code(address, size)
        return self.ram[at : at + size]

    def is_ram(self, address: int, size: int) -> bool:
        """Are all these bytes RAM?"""
        return self.layout.offset(address, size) >= 0

    def write(self, address: int, data: bytes) -> None:
        """Write RAM; code that was translated from it is forgotten."""
        at = self.layout.offset(address, len(data))
        if at < 0:
            raise UsageError(f"no RAM for {len(data)} bytes at {address:#x}")
        self._forget_code(address, len(data))  # refuses where the engine is closed, before anything is written
        self.ram[at : at + len(data)] = data

    def doubleword(self, address: int) -> int | None:
        """What is at a guest-physical address, 8 bytes; None where there is neither RAM nor flash."""
        return int.from_bytes(self._view(address, 8), "little") if self.holds(address) else None

    def _view(self, address: int, size: int) -> memoryview | bytes:
        at = self.layout.offset(address, size)
        if at >= 0:
            return self.ram[at : at + size]
        for bank in self.flash:
            if bank.base <= address and 0 <= size <= bank.base + len(bank) - address:
                return bank[address - bank.base : address - bank.base + size]
        raise UsageError(f"no memory for {size} bytes at {address:#x}")


def new_address_space(engine: Engine, tables_base: int) -> AddressSpace:
    """An empty guest-physical address space of the board's width, in EL2's table memory."""
    pool = TablePool(tables_base, engine.memory.tables)
    return AddressSpace(
        pool, levels=3, input_bits=INPUT_BITS, pa_bits=44, on_change=lambda _gpa, _size: engine.memory.flush_tlb()
    )
