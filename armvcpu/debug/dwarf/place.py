"""Where the bytes of a value are: in the guest's memory, or in registers from which they have been copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    Memory = Callable[[int, int], bytes | None]
    """read(virtual address, bytes), as `Machine.read_virtual`: None where part of it is no memory."""

_MASK = (1 << 64) - 1


class Unreadable(UsageError):
    """A value is at an address where the guest has no memory."""

    def __init__(self, address: int) -> None:
        self.address = address
        super().__init__(f"{address:#x} can't be read: the guest has no memory there")


class Place(Protocol):
    """The bytes of a value, and the memory that its pointers are about."""

    memory: Memory

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; Unreadable where they are no memory."""
        ...

    def address(self, offset: int) -> int | None:
        """The virtual address of the byte at `offset`; None where it is in a register."""
        ...


class InMemory:
    """At a virtual address, and read when somebody asks."""

    __slots__ = ("_at", "memory")

    def __init__(self, memory: Memory, address: int) -> None:
        self.memory, self._at = memory, address & _MASK

    def read(self, offset: int, size: int) -> bytes:
        """The bytes as the guest would read them now."""
        if not size:
            return b""
        at = self._at + offset & _MASK
        data = self.memory(at, size)
        if data is None:
            raise Unreadable(at)
        return data

    def address(self, offset: int) -> int:
        """Of a byte."""
        return self._at + offset & _MASK


class InRegisters:
    """Bytes that were in registers; nothing changes them."""

    __slots__ = ("_data", "memory")

    def __init__(self, memory: Memory, data: bytes) -> None:
        self.memory, self._data = memory, data

    def read(self, offset: int, size: int) -> bytes:
        """The bytes; zeros behind the last."""
        return self._data[offset : offset + size].ljust(size, b"\0")

    def address(self, offset: int) -> None:
        """There is none."""
