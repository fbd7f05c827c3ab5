"""Where the memory of a board is, and what of an image may lie where."""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.errors import ImageError, named


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

    def place(self, path: object, what: str, base: int, size: int) -> Region:
        """The memory that holds all `size` bytes from `base`.

        Raises:
            ImageError: they lie outside RAM and flash, at least in part.
        """
        for region in (self.ram, *self.flash):
            if region.contains(base, size):
                return region
        spot = f"{what} at {base:#x} to {base + max(size, 1) - 1:#x}"
        for device in self.devices:
            if device.overlaps(base, size):
                raise ImageError(path, f"{spot} overlaps the device {device}", f"link it into {self.ram}")
        if base >> 48:
            raise ImageError(
                path,
                f"{spot} has a virtual address as its load address",
                f"link its segments into {self.ram}; of a Linux kernel, use arch/arm64/boot/Image",
            )
        more = f" or raise {named('memory')}" if self.ram.base <= base else ""
        raise ImageError(path, f"{spot} is outside {self.ram}", f"link it into RAM{more}")
