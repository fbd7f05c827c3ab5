"""RAM as a file of memory that can be mapped over a machine's own, copy-on-write.

The host pages in what is read and copies what is written, so mapping takes the same time for 64 MiB and 64 GiB.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import mmap
import os
from functools import cache
from typing import TYPE_CHECKING, Any

from armvcpu.errors import InternalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = mmap.PAGESIZE
MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000  # Linux, all architectures that Python runs on
_FAILED = C.c_void_p(-1).value
MIB = 1 << 20


@cache
def _libc() -> Any:
    libc = C.CDLL(None, use_errno=True)
    libc.mmap.argtypes = (C.c_void_p, C.c_size_t, C.c_int, C.c_int, C.c_int, C.c_long)
    libc.mmap.restype = C.c_void_p
    libc.mincore.argtypes = (C.c_void_p, C.c_size_t, C.c_void_p)
    return libc


def _address(memory: memoryview) -> int:
    return C.addressof(C.c_char.from_buffer(memory))


def touched(memory: memoryview) -> Iterator[tuple[int, int]]:
    """(start, end) of the parts of a mapping that may hold anything but zeroes."""
    pages = len(memory) // PAGE
    resident = C.create_string_buffer(pages)
    if _libc().mincore(_address(memory), len(memory), resident):
        raise InternalError(f"mincore: {os.strerror(C.get_errno())}")
    flags = resident.raw.translate(bytes(index & 1 for index in range(256)))
    start = flags.find(1)
    while start >= 0:
        end = flags.find(0, start)
        end = pages if end < 0 else end
        yield start * PAGE, end * PAGE
        start = flags.find(1, end)


class Image:
    """The contents of a memory of `size` bytes, in the file `fd` from `offset` on."""

    def __init__(self, fd: int, offset: int, size: int) -> None:
        self.fd, self.offset, self.size = fd, offset, size

    @classmethod
    def of(cls, memory: memoryview) -> Image:
        """A copy of a mapping's contents; only what was touched takes memory."""
        try:
            fd = os.memfd_create("armvcpu-snapshot", os.MFD_CLOEXEC)
        except OSError as error:
            raise UsageError(f"no memory file for a snapshot: {error.strerror}") from error
        os.truncate(fd, len(memory))
        for start, end in touched(memory):
            for at in range(start, end, MIB):
                os.pwrite(fd, memory[at : min(at + MIB, end)], at)
        return cls(fd, 0, len(memory))

    def map_over(self, memory: memoryview) -> None:
        """Have a mapping of the same size hold this; what is written there later stays there."""
        if len(memory) != self.size:
            raise InternalError(f"an image of {self.size} bytes for a memory of {len(memory)}")
        flags = mmap.MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE
        protection = mmap.PROT_READ | mmap.PROT_WRITE
        at = _libc().mmap(_address(memory), self.size, protection, flags, self.fd, self.offset)
        if at == _FAILED:
            raise UsageError(f"cannot map the snapshot's RAM: {os.strerror(C.get_errno())}")

    def extents(self) -> Iterator[tuple[int, int]]:
        """(start, end) of what holds data, from the image's own start."""
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

    def close(self) -> None:
        """Free it; what is mapped stays."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        self.close()
