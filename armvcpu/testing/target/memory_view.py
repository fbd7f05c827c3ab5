"""A variable of the guest's, by its symbol: `target.symbol("counter").u32`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.errors import UsageError, number_in
from armvcpu.machine.board.memory import page_pieces
from armvcpu.testing.arguments import range_in

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine


class GuestValue:
    """Memory at a guest address, little-endian; virtual where the guest's MMU maps it, else physical."""

    def __init__(self, machine: Machine, address: int, name: str = "") -> None:
        self._machine, self.address = machine, number_in("an address", address, 64)
        self.name = name or f"{address:#x}"

    def __repr__(self) -> str:
        return f"<{self.name} at {self.address:#x}>"

    def __add__(self, offset: int) -> GuestValue:
        return GuestValue(self._machine, self.address + offset, f"{self.name}+{offset:#x}")

    def read(self, size: int) -> bytes:
        """`size` bytes; UsageError where there is no memory."""
        range_in(self._machine, self.address, size)
        data = self._machine.read_virtual(self.address, size)
        return self._machine.read(self.address, size) if data is None else data

    def write(self, data: bytes) -> None:
        """Write, also what the guest executes."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise UsageError(f"{data!r} is no bytes to write at {self.name}")
        range_in(self._machine, self.address, len(data))
        for at, size in page_pieces(self.address, len(data)):
            self._machine.write(self._machine.physical(at), data[at - self.address : at - self.address + size])

    def string(self, limit: int = 4096) -> str:
        """Text up to a zero byte."""
        text = b""
        number_in("a limit in bytes", limit, 64)
        while len(text) < limit and (piece := (self + len(text)).read(1)) != b"\0":
            text += piece
        return text.decode(errors="replace")

    def _get(self, width: int) -> int:
        return int.from_bytes(self.read(width), "little")

    def _set(self, width: int, value: int) -> None:
        if not isinstance(value, int):
            raise UsageError(f"{value!r} is no number to write at {self.name}")
        if not -(1 << 8 * width - 1) <= value < 1 << 8 * width:
            raise UsageError(f"{value:#x} does not fit into {8 * width} bits at {self.name}")
        self.write((value & (1 << 8 * width) - 1).to_bytes(width, "little"))

    @property
    def u8(self) -> int:
        """8 bits, unsigned."""
        return self._get(1)

    @u8.setter
    def u8(self, value: int) -> None:
        self._set(1, value)

    @property
    def u16(self) -> int:
        """16 bits, unsigned."""
        return self._get(2)

    @u16.setter
    def u16(self, value: int) -> None:
        self._set(2, value)

    @property
    def u32(self) -> int:
        """32 bits, unsigned."""
        return self._get(4)

    @u32.setter
    def u32(self, value: int) -> None:
        self._set(4, value)

    @property
    def u64(self) -> int:
        """64 bits, unsigned."""
        return self._get(8)

    @u64.setter
    def u64(self, value: int) -> None:
        self._set(8, value)

    def flip(self, bit: int) -> None:
        """Invert one bit, from bit 0 of the first byte on: a fault in memory."""
        number_in("a bit", bit, 64)
        cell = self + bit // 8
        cell.write(bytes([cell.read(1)[0] ^ 1 << bit % 8]))
