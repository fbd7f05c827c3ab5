"""Packets about memory: m, M and X; a search; and flash, which is erased and programmed (vFlash...)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.gdb.guest import Refused
from armvcpu.debug.gdb.packets import PACKET_SIZE
from armvcpu.debug.gdb.state import Malformed, address_in, bytes_in, number, numbers

if TYPE_CHECKING:
    from armvcpu.debug.gdb.state import State

_MOST = PACKET_SIZE // 2 - 8
_SEARCHED_AT_ONCE = 1 << 16


class MemoryPackets:
    """Those of one session."""

    def __init__(self, state: State) -> None:
        self._state, self._guest = state, state.guest
        self._to_program: list[tuple[int, bytes]] = []
        """What flash is to hold when gdb says that it is all."""
        self._held = 0
        """Bytes of that."""
        self.packets = {
            b"m": self._read,
            b"M": self._write,
            b"X": self._write_binary,
            b"qSearch": self._search,
            b"vFlashErase": self._erase,
            b"vFlashWrite": self._program,
            b"vFlashDone": self._program_all,
        }

    def _read(self, rest: bytes) -> bytes:
        address, size = _range(rest)
        return self._memory(address, min(size, _MOST)).hex().encode() if size else b""

    def _memory(self, address: int, size: int) -> bytes:
        return self._guest.read(self._state.chosen, address, size, physical=self._state.physical)

    def _write(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._put(where, bytes_in(data))

    def _write_binary(self, rest: bytes) -> bytes:
        where, _, data = rest.partition(b":")
        return self._put(where, data)

    def _put(self, where: bytes, data: bytes) -> bytes:
        address, size = _range(where)
        if size != len(data):
            raise Malformed
        if data:  # gdb tries X with no data, to learn whether it is there
            self._guest.write(self._state.chosen, address, data, physical=self._state.physical)
        return b"OK"

    def _search(self, rest: bytes) -> bytes:
        kind, _, where = rest.partition(b":")
        if kind != b"memory" or where.count(b";") < 2:
            raise Malformed
        start, length, pattern = where.split(b";", 2)
        address, left = address_in(start), number(length)
        if not pattern:
            raise Malformed
        before = b""
        while left > 0:
            piece = self._memory(address, min(left, _SEARCHED_AT_ONCE))
            found = (before + piece).find(pattern)
            if found >= 0:
                return f"1,{address - len(before) + found:x}".encode()
            before = (before + piece)[-(len(pattern) - 1) :] if len(pattern) > 1 else b""
            address, left = address + len(piece), left - len(piece)
        return b"0"

    # --- flash ------------------------------------------------------------------------------------------------

    def _erase(self, rest: bytes) -> bytes:
        self._guest.erase(*_range(rest))
        return b"OK"

    def _program(self, rest: bytes) -> bytes:
        address, _, data = rest.partition(b":")
        self._to_program.append((address_in(address), data))
        self._held += len(data)
        room = sum(area.size for area in self._guest.areas() if area.block)
        if self._held > room:  # which nobody who programs flash sends
            self._to_program, self._held = [], 0
            raise Refused(f"that is more than the {room:#x} bytes of flash that there are")
        return b"OK"

    def _program_all(self, _rest: bytes) -> bytes:
        pieces, self._to_program, self._held = self._to_program, [], 0
        for address, data in pieces:
            self._guest.program(address, data)
        return b"OK"


def _range(text: bytes) -> tuple[int, int]:
    address, size = numbers(text, 2)
    if address >> 64:
        raise Malformed
    if size > 1 << 48:
        raise Refused(f"{size:#x} bytes are more than there are")
    return address, size
