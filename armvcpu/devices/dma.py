"""Guest memory as a device reaches it by itself: direct memory access."""

from __future__ import annotations

from armvcpu.arch.static import Protocol


class DmaError(Exception):
    """What software has a device do to memory cannot be done; `str()` says why."""


class BadAddress(DmaError):
    """Not all of these guest-physical addresses are RAM."""

    def __init__(self, address: int, size: int) -> None:
        super().__init__(f"{size} bytes at {address:#x} are not all RAM")


class DmaMemory(Protocol):
    """The RAM of a machine."""

    noted: set[tuple[int, int]]
    """Ranges (address, bytes) that have been written through a view that is older: who keeps track looks here."""

    def view(self, address: int, size: int, *, is_written: bool = False) -> memoryview:
        """`size` bytes of RAM at a guest-physical address, writable and without a copy; is it to be written?

        Raises:
            BadAddress: some of them are not RAM.
        """


class NoMemory:
    """What a device has before a machine gives it RAM: no address is."""

    def __init__(self) -> None:
        self.noted: set[tuple[int, int]] = set()

    def view(self, address: int, size: int, *, is_written: bool = False) -> memoryview:
        """BadAddress, always."""
        del is_written
        raise BadAddress(address, size)
