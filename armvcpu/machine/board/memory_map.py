"""Where the memory of a board is, and what of an image may lie where."""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import ImageError, named

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1 << 20


class Region(Row):
    """`size` bytes of guest physical address space from `base`."""

    name: str
    base: int
    size: int

    @property
    def end(self) -> int:
        """First address behind the region."""
        return self.base + self.size

    def overlaps(self, base: int, size: int) -> bool:
        """Whether any of the `size` bytes from `base` belong to the region."""
        return base < self.end and self.base < base + size

    def contains(self, base: int, size: int) -> bool:
        """Whether all `size` bytes from `base` belong to the region."""
        return self.base <= base and base + size <= self.end

    def __str__(self) -> str:
        return f"{self.name} ({self.base:#x} to {self.end - 1:#x})"


class MemoryMap(Row):
    """Where an image may be loaded: RAM and flash; `devices` give better messages."""

    ram: Region
    flash: tuple[Region, ...] = ()
    devices: tuple[Region, ...] = ()
    more: tuple[Region, ...] = ()
    """RAM beside the board's own."""
    secure: tuple[Region, ...] = ()
    """RAM of the Secure world, which no other software is told of."""

    def holding(self, address: int) -> Region | None:
        """The memory that has the byte at an address."""
        regions = (self.ram, *self.more, *self.flash, *self.secure)
        return next((each for each in regions if each.base <= address < each.end), None)

    def is_flash(self, address: int) -> bool:
        """Does a flash bank hold the byte at an address?"""
        return self.holding(address) in self.flash

    def pieces(self, base: int, size: int) -> Iterator[tuple[Region | None, int, int]]:
        """(memory or None, address, bytes) of a range, cut where another memory begins; None ends it."""
        end = base + size
        while base < end:
            region = self.holding(base)
            following = end if region is None else min(end, region.end)
            yield region, base, following - base
            base = following

    def place(self, path: object, what: str, base: int, size: int, remedy: str = "") -> None:
        """Check that memory holds all `size` bytes from `base`; it may be more than one memory.

        `remedy` is what to do where it does not, in place of linking the image elsewhere.

        Raises:
            ImageError: they lie outside RAM and flash, at least in part.
        """
        hole = next((at for region, at, _ in self.pieces(base, size) if region is None), None)
        if hole is None:
            return
        spot = f"{what} at {base:#x} to {base + max(size, 1) - 1:#x}"
        for device in self.devices:
            if device.overlaps(base, size):
                raise ImageError(path, f"{spot} overlaps the device {device}", remedy or f"link it into {self.ram}")
        if base >> 48 and not remedy:
            raise ImageError(
                path,
                f"{spot} has a virtual address as its load address",
                f"link its segments into {self.ram}; of a Linux kernel, use arch/arm64/boot/Image",
            )
        more = f" or raise {named('memory')}" if self.ram.base <= base else ""
        if self.ram.end <= base and not remedy:
            start = base & -_MIB
            more += f", or give RAM there: {named('ram')} {start:#x}:{(base + size - start + _MIB - 1) // _MIB}M"
        nothing = "" if hole == base else f": nothing lies from {hole:#x} on"
        raise ImageError(path, f"{spot} is outside {self.ram}{nothing}", f"{remedy or 'link it into RAM'}{more}")
