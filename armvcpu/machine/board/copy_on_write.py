"""RAM as a file of memory that can be mapped over a machine's own, copy-on-write.

The host pages in what is read and copies what is written, so mapping takes the same time for 64 MiB and 64 GiB.
"""

from __future__ import annotations

import ctypes as C
import mmap
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from armvcpu.errors import InternalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000  # Linux, all architectures that Python runs on
_FAILED = C.c_void_p(-1).value
MIB = 1 << 20


@cache
def _libc() -> Any:
    libc = C.CDLL(None, use_errno=True)
    libc.mmap.argtypes = (C.c_void_p, C.c_size_t, C.c_int, C.c_int, C.c_int, C.c_long)
    libc.mmap.restype = C.c_void_p
    return libc


def _address(memory: memoryview) -> int:
    return C.addressof(C.c_char.from_buffer(memory))


class Image:
    """The contents of a memory of `size` bytes, in the file `fd` from `offset` on; zeroes but for `extents`.

    What holds data is found once: a read of a hole through a mapping makes it data in some file systems.
    """

    def __init__(self, fd: int, offset: int = 0, size: int = 0) -> None:
        self.fd, self.offset, self.size = fd, offset, size
        self.extents: list[tuple[int, int]] = []
        """(start, end), from the image's own start."""
        self._contents: memoryview | None = None

    @classmethod
    def of(cls, memory: memoryview, used: list[tuple[int, int]]) -> Image:
        """A copy of a mapping's contents; only the ranges (start, end) of `used` may be anything but zeroes."""
        try:
            fd = os.memfd_create("armvcpu-snapshot", os.MFD_CLOEXEC)
        except OSError as error:
            raise UsageError(f"no memory file for a snapshot: {error.strerror}") from error
        image = cls(fd, 0, len(memory))
        os.truncate(fd, len(memory))
        for start, end in used:
            for at in range(start, end, MIB):
                os.pwrite(fd, memory[at : min(at + MIB, end)], at)
        image.extents = used
        return image

    def find_extents(self) -> None:
        """Of a file that was there before."""
        self.extents = list(self._data())

    def map_over(self, memory: memoryview) -> None:
        """Have a mapping of the same size hold this; what is written there later stays there."""
        if len(memory) != self.size:
            raise InternalError(f"an image of {self.size} bytes for a memory of {len(memory)}")
        flags = mmap.MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        at = _libc().mmap(_address(memory), self.size, protection, flags, self.fd, self.offset)
        if at == _FAILED:
            raise UsageError(f"cannot map the snapshot's RAM: {os.strerror(C.get_errno())}")

    def contents(self) -> memoryview:
        """All of it, mapped once: what is read costs no copy. Nobody writes there."""
        if self._contents is None:
            flags = mmap.MAP_PRIVATE | MAP_NORESERVE
            protection = mmap.PROT_READ | mmap.PROT_WRITE  # ctypes takes the address of what can be written
            try:
                mapped = mmap.mmap(self.fd, self.size, flags=flags, prot=protection, offset=self.offset)
            except (OSError, ValueError) as error:
                raise UsageError(f"cannot map the snapshot's RAM: {error}") from error
            self._contents = memoryview(mapped)
        return self._contents

    def _data(self) -> Iterator[tuple[int, int]]:
        end, at = self.offset + self.size, self.offset
        while at < end:
            try:
                start = os.lseek(self.fd, at, os.SEEK_DATA)
            except OSError:  # no data from here on
                return
            if start >= end:
                return
            at = min(os.lseek(self.fd, start, os.SEEK_HOLE), end)
            yield start - self.offset, at - self.offset

    def read(self, start: int, size: int) -> bytes:
        """Some of its bytes."""
        return os.pread(self.fd, size, self.offset + start)

    @property
    def is_closed(self) -> bool:
        """Has it been freed?"""
        return self.fd < 0

    def close(self, close_file: Callable[[int], None] = os.close) -> None:
        """Free it; what is mapped stays. `close_file` is there when a process ends, and modules no longer are."""
        if not self.is_closed:
            close_file(self.fd)
            self.fd, self._contents = -1, None

    def __del__(self) -> None:
        self.close()
