"""A raw disk image: a host file or block device that a block device reads and writes in sectors of 512 bytes.

Data moves between the file and the guest's memory by `preadv` and `pwritev`, without a copy in between. The file is
locked (flock) while it is open, exclusively or, read-only, together with other readers, so that no two machines write
one image. Nothing but the guest's own writes changes the file, which never grows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Self

from armvcpu.devices.virtqueue import after
from armvcpu.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SECTOR = 512
VECTORS = 1024
"""Buffers that one preadv or pwritev takes (IOV_MAX)."""


def _remedy(error: OSError) -> str:
    """What helps against an open that failed."""
    if error.errno == errno.ENOENT:
        return "check the path, or create it with `truncate -s 64M`"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "make it accessible, or attach it read-only"
    return "give a raw disk image"


class DiskImage:
    """An open image. Close it, or use it as a context manager.

    Raises:
        ImageError: there is no such file, it is no raw image of whole sectors, or another machine has it.
    """

    def __init__(self, path: str | Path, *, read_only: bool = False) -> None:
        self.path, self.read_only = path, read_only
        try:
            # Without O_NONBLOCK, opening a FIFO would wait for its other end.
            self._fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise ImageError(path, f"cannot be opened: {error.strerror}", _remedy(error)) from error
        try:
            self.size = self._checked_size()
            self._lock()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def sectors(self) -> int:
        """Size in sectors of 512 bytes."""
        return self.size // SECTOR

    def _checked_size(self) -> int:
        mode = os.fstat(self._fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            raise ImageError(self.path, "is not a file or a block device", "give a raw disk image")
        if os.pread(self._fd, 4, 0) == b"QFI\xfb":
            raise ImageError(self.path, "is a qcow2 image", "convert it with `qemu-img convert -O raw`")
        size = os.lseek(self._fd, 0, os.SEEK_END)
        if not size:
            raise ImageError(self.path, "is empty", "give it a size, as `truncate -s 64M` does")
        if size % SECTOR:
            whole = (size // SECTOR + 1) * SECTOR
            raise ImageError(
                self.path, f"has {size} bytes, not a multiple of {SECTOR}", f"extend it with `truncate -s {whole}`"
            )
        return size

    def _lock(self) -> None:
        kind = fcntl.LOCK_SH if self.read_only else fcntl.LOCK_EX
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ImageError(
                self.path, "is in use by another machine", "stop that one, use a copy, or attach it read-only to both"
            ) from error
        except OSError as error:
            raise ImageError(self.path, f"cannot be locked: {error.strerror}", "use a copy on a local disk") from error

    def read_into(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Fill the buffers from `offset`, bytes; OSError where the host cannot."""
        self._transfer(os.preadv, buffers, offset)

    def write_from(self, buffers: Sequence[memoryview], offset: int) -> None:
        """Write the buffers at `offset`, bytes; OSError where the host cannot."""
        self._transfer(os.pwritev, buffers, offset)

    def _transfer(
        self, call: Callable[[int, Sequence[memoryview], int], int], buffers: Sequence[memoryview], offset: int
    ) -> None:
        """All of the buffers, however little of them the host takes at once (Linux: at most 2 GiB)."""
        while buffers:
            done = call(self._fd, buffers[:VECTORS], offset)
            if not done:
                raise OSError(errno.EIO, "the file has become shorter", str(self.path))
            offset += done
            buffers = after(buffers, done)

    def flush(self) -> None:
        """Have all that was written reach the disk; OSError where the host cannot."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file, which unlocks it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()
