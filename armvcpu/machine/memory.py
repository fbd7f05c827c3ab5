"""Guest memory: RAM and flash as host buffers, in the engine and in the guest's address space.

RAM starts execute-never and becomes executable page by page as the guest executes it, since a store to a page that
the engine takes for executable costs fifteen times as much (docs/engine.md, "Stage 2"). The erased part of a flash bank
is one block of 0xFF that all of its addresses share.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from armvcpu.devices.virtqueue import BadAddress
from armvcpu.errors import UsageError
from armvcpu.machine.board import FLASH_BASES, FLASH_SIZE, INPUT_BITS, MIB, RAM_BASE, check_ram_size
from armvcpu.vcpu.addrspace import AddressSpace
from armvcpu.vcpu.mapping import MappingFlags
from armvcpu.vcpu.table_pool import TablePool

if TYPE_CHECKING:
    from armvcpu.engine.api import Engine

RWX = MappingFlags.READ | MappingFlags.WRITE | MappingFlags.EXECUTE
ROM = MappingFlags.READ | MappingFlags.EXECUTE
BLOCK = 2 * MIB
FLASH_HOST_BASE = 0xE00_0000_0000
"""Where flash contents lie in the engine's physical memory: away from the guest's addresses, which alias it."""


MAP_NORESERVE = 0x4000  # Linux; Python names it from 3.13 on


def reserve(size: int) -> memoryview:
    """`size` bytes of zeroes that cost host memory only when they are touched."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
    try:
        return memoryview(mmap.mmap(-1, size, flags=flags))
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"cannot reserve {size // MIB} MiB for the guest's memory: {error}; lower --memory") from error


class FlashBank:
    """A bank as a sequence of bytes, whatever of it has memory of its own."""

    def __init__(self, memory: GuestMemory, bank: int) -> None:
        self._memory, self._base = memory, FLASH_BASES[bank]

    def __len__(self) -> int:
        return FLASH_SIZE

    def __getitem__(self, where: slice) -> bytes:
        start, stop, _ = where.indices(FLASH_SIZE)
        return self._memory.read(self._base + start, stop - start)


class GuestMemory:
    """RAM and flash of one machine, by guest-physical address."""

    def __init__(self, ram_size: int) -> None:
        check_ram_size(ram_size)
        self.ram = reserve(ram_size)
        self.flash: list[memoryview] = [memoryview(b""), memoryview(b"")]

    def load_flash(self, bank: int, contents: bytes) -> None:
        """What the bank holds from its start; the rest is erased. Before `attach`."""
        self.flash[bank] = memoryview(bytearray(contents))

    def flash_bank(self, bank: int) -> FlashBank:
        """The bank's contents as a sequence of bytes."""
        return FlashBank(self, bank)

    def attach(self, engine: Engine, space: AddressSpace) -> None:
        """Show all of it to the guest."""
        engine.map_ram(RAM_BASE, self.ram)
        space.map_linear(RAM_BASE, RAM_BASE, len(self.ram), RWX, lazy_execute=True)
        erased = reserve(BLOCK)
        erased[:] = b"\xff" * BLOCK
        engine.map_ram(FLASH_HOST_BASE, erased)
        for bank, base in enumerate(FLASH_BASES):
            self._attach_flash(engine, space, bank, base)

    def _attach_flash(self, engine: Engine, space: AddressSpace, bank: int, base: int) -> None:
        used = -(-len(self.flash[bank]) // BLOCK) * BLOCK
        if used:
            host = reserve(used)
            host[: len(self.flash[bank])] = self.flash[bank]
            host[len(self.flash[bank]) :] = b"\xff" * (used - len(self.flash[bank]))
            host_base = FLASH_HOST_BASE + (bank + 1) * 2 * FLASH_SIZE
            engine.map_ram(host_base, host)
            space.map_linear(base, host_base, used, ROM)
            self.flash[bank] = host
        for block in range(base + used, base + FLASH_SIZE, BLOCK):
            space.map_linear(block, FLASH_HOST_BASE, BLOCK, ROM)

    def hide_page(self, space: AddressSpace, page: int) -> None:
        """Have a page of RAM be a hole for the guest."""
        if not self.is_ram(page, 4096):
            raise UsageError(f"no RAM at {page:#x}")
        space.unmap(page, 4096)

    def show_page(self, space: AddressSpace, page: int) -> None:
        """Have it be RAM again."""
        space.map_linear(page, page, 4096, RWX, lazy_execute=True)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of RAM or flash at a guest-physical address; UsageError where there is neither."""
        return bytes(self._view(address, size))

    def view(self, address: int, size: int) -> memoryview:
        """RAM for a device's DMA, without a copy; BadAddress where part of it is none.

        A device that writes code relies on the guest's IC, as on hardware.
        """
        if not self.is_ram(address, size):
            raise BadAddress(address, size)
        return self.ram[address - RAM_BASE : address - RAM_BASE + size]

    def is_ram(self, address: int, size: int) -> bool:
        """Are all these bytes RAM?"""
        return address >= RAM_BASE and address + size <= RAM_BASE + len(self.ram)

    def write(self, address: int, data: bytes) -> None:
        """Write RAM; the caller has stale code forgotten where the guest may execute it."""
        if not self.is_ram(address, len(data)):
            raise UsageError(f"no RAM for {len(data)} bytes at {address:#x}")
        self.ram[address - RAM_BASE : address - RAM_BASE + len(data)] = data

    def _view(self, address: int, size: int) -> memoryview | bytes:
        for base, memory in ((RAM_BASE, self.ram), *zip(FLASH_BASES, self.flash, strict=True)):
            if base <= address and address + size <= base + len(memory):
                return memory[address - base : address - base + size]
        if any(base <= address and address + size <= base + FLASH_SIZE for base in FLASH_BASES):
            return b"\xff" * size
        raise UsageError(f"no memory for {size} bytes at {address:#x}")


def new_address_space(engine: Engine, tables_base: int) -> AddressSpace:
    """An empty guest-physical address space of the board's width, in EL2's table memory."""
    pool = TablePool(tables_base, engine.tables)
    return AddressSpace(
        pool, levels=3, input_bits=INPUT_BITS, pa_bits=44, on_change=lambda _gpa, _size: engine.flush_tlb()
    )
