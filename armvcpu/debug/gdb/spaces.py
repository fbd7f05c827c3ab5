"""Memory as gdb sees it: by a CPU's virtual addresses in its present regime, or by physical ones; RAM, flash, devices.

A debugger may read what the guest itself could not: permissions are not looked at. A device is accessed as a load or
store of the guest would, with what that does: reading PL011's UARTDR takes a character out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.gdb.guest import Area, Refused
from armvcpu.devices.flash_query import BLOCK
from armvcpu.errors import UsageError
from armvcpu.machine.board.memory import page_pieces
from armvcpu.machine.watching.regimes import regime, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from armvcpu.machine.board.bus import Bus, Window
    from armvcpu.machine.board.flash_banks import FlashBank
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_EVERYTHING = 1 << 64


class Spaces:
    """The addresses of one machine. `highest` is the guest's highest level; `has_flash`: may there be code in flash?"""

    def __init__(self, memory: GuestMemory, bus: Bus, highest: int, *, has_flash: bool) -> None:
        self._memory, self._bus, self._highest, self._has_flash = memory, bus, highest, has_flash

    def areas(self) -> Sequence[Area]:
        """All addresses, with the flash banks in between. gdb takes them for virtual ones.

        So flash is left out for a guest that has its own MMU on from the start, whose programs lie at its addresses.
        """
        areas, start = [], 0
        for bank in sorted(self._memory.flash, key=lambda bank: bank.base) if self._has_flash else ():
            if bank.base > start:
                areas.append(Area(start, bank.base - start))
            areas.append(Area(bank.base, len(bank), BLOCK))
            start = bank.base + len(bank)
        middle = _EVERYTHING // 2  # all of it is more than a number of gdb's holds
        return [*areas, Area(start, middle - start), Area(middle, middle)]

    # --- virtual addresses ------------------------------------------------------------------------------------

    def read(self, vcpu: Aarch64VCpu | None, address: int, size: int) -> bytes:
        """As much as there is of `size` bytes, at physical addresses where there is no vCPU; Refused for nothing."""
        data = b""
        try:
            for at, length in self._physical(vcpu, address, size):
                data += self._read(at, length)
        except Refused:
            if not data:
                raise
        return data

    def write(self, vcpu: Aarch64VCpu | None, address: int, data: bytes) -> None:
        """Write all of it; Refused, with nothing written, where some of it can't be."""
        pieces, at = list(self._physical(vcpu, address, len(data))), 0
        for where, length in pieces:
            if not self._memory.is_ram(where, length):
                self._device(where, length)
        for where, length in pieces:
            self._write(where, data[at : at + length])
            at += length

    def _physical(self, vcpu: Aarch64VCpu | None, address: int, size: int) -> Iterator[tuple[int, int]]:
        """(physical address, bytes) of each piece that lies in one page."""
        for at, length in page_pieces(address, size):
            yield at if vcpu is None else self._translate(vcpu, at & _EVERYTHING - 1), length

    def _translate(self, vcpu: Aarch64VCpu, address: int) -> int:
        level = vcpu.state.el if vcpu.has_state else self._highest
        read = _system_registers(vcpu)
        of = regime(level, self._highest, read)
        found = walk(address, of, read, self._memory.doubleword).physical
        if found is None:
            raise Refused(f"cpu{vcpu.vcpu_id} at EL{level} has nothing at {address:#x} ({of})")
        return found

    # --- physical ones, within a page -------------------------------------------------------------------------

    def _read(self, address: int, size: int) -> bytes:
        if self._memory.holds(address):
            return self._memory.read(address, size)
        window = self._device(address, size)
        return b"".join(
            window.read(at - window.base, width).to_bytes(width, "little") for at, width in _accesses(address, size)
        )

    def _write(self, address: int, data: bytes) -> None:
        if self._memory.is_ram(address, len(data)):
            self._memory.write(address, data)
            return
        window = self._device(address, len(data))
        for at, width in _accesses(address, len(data)):
            value = int.from_bytes(data[at - address : at - address + width], "little")
            window.write(at - window.base, width, value)

    def _device(self, address: int, size: int) -> Window:
        if self._memory.holds(address):
            raise Refused(f"there is flash at physical address {address:#x}, which load programs")
        window = self._bus.find(address)
        if window is None or window in self._bus.empty or address + size > window.base + window.size:
            raise Refused(f"there is no memory and no device at physical address {address:#x}")
        return window

    # --- flash ------------------------------------------------------------------------------------------------

    def erase(self, address: int, size: int) -> None:
        """Have flash hold ones; Refused where there is none."""
        for at, length in self._blocks(address, size):
            self._put(at, b"\xff" * length)

    def program(self, address: int, data: bytes) -> None:
        """Have flash hold this."""
        for at, length in self._blocks(address, len(data)):
            self._put(at, data[at - address : at - address + length])

    def _put(self, address: int, data: bytes) -> None:
        bank = self._bank(address)
        try:
            bank.put(address - bank.base, data)
        except OSError as error:
            raise Refused(f"flash at {address:#x} can't be written: {error.strerror}") from error
        except UsageError as error:
            raise Refused(str(error)) from error

    def _blocks(self, address: int, size: int) -> Iterator[tuple[int, int]]:
        end = address + size
        while address < end:
            self._bank(address)
            following = min(end, (address // BLOCK + 1) * BLOCK)
            yield address, following - address
            address = following

    def _bank(self, address: int) -> FlashBank:
        for bank in self._memory.flash:
            if 0 <= address - bank.base < len(bank):
                return bank
        raise Refused(f"there is no flash at {address:#x}")


def _system_registers(vcpu: Aarch64VCpu) -> Callable[[int], int]:
    """Those of a vCPU that may not be the one that the engine has loaded."""
    engine = vcpu.system_registers.engine
    return vcpu.system_registers.read if engine is None else engine.registers.read


def _accesses(address: int, size: int) -> Iterator[tuple[int, int]]:
    """(address, width) of aligned accesses: 2, 4 and 8 bytes are one, and what is longer is read by 4 bytes."""
    end = address + size
    widths = (8,) if size == 8 and address % 8 == 0 else (4, 2, 1)
    while address < end:
        width = next(width for width in widths if address % width == 0 and address + width <= end)
        yield address, width
        address += width
