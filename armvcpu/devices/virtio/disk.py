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
from weakref import WeakSet

from armvcpu.devices.virtio.queue import after
from armvcpu.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
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
        self._logs: WeakSet[UndoLog | WriteLog] = WeakSet()
        try:
            # Without O_NONBLOCK, opening a FIFO would wait for its other end.
            self._fd = os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise ImageError(path, f"cannot be opened: {error.strerror}", _remedy(error)) from error
        try:
            self.size = self._checked_size()
            self._lock()
        except OSError as error:
            os.close(self._fd)
            raise ImageError(path, f"cannot be read: {error.strerror}", "give a raw disk image") from error
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
        for log in self._logs:
            log.remember(offset, sum(map(len, buffers)))
        self._transfer(os.pwritev, buffers, offset)

    def new_undo_log(self) -> UndoLog:
        """Begin to remember what is overwritten, for as long as somebody has the log."""
        log = UndoLog(self)
        self._logs.add(log)
        return log

    def new_write_log(self) -> WriteLog:
        """Begin to note which pieces are overwritten, for as long as somebody has the log."""
        log = WriteLog(self)
        self._logs.add(log)
        return log

    def read(self, offset: int, size: int) -> bytes:
        """Some of its bytes."""
        return os.pread(self._fd, size, offset)

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


class UndoLog:
    """What an image held, a piece at a time, when the log began: enough to go back to that moment."""

    PIECE = 4096

    def __init__(self, disk: DiskImage) -> None:
        self._disk = disk
        self._before: dict[int, bytes] = {}

    def remember(self, offset: int, size: int) -> None:
        """This range is about to be overwritten."""
        for piece in range(offset // self.PIECE, -(-(offset + size) // self.PIECE)):
            if piece not in self._before:
                at = piece * self.PIECE
                self._before[piece] = self._disk.read(at, min(self.PIECE, self._disk.size - at))

    def undo(self) -> None:
        """Put back what was there; OSError where the host cannot: another call goes on with the rest."""
        left, self._before = self._before, {}  # the writes below are heard of too
        try:
            for piece in list(left):
                self._disk.write_from([memoryview(left[piece])], piece * self.PIECE)
                del left[piece]
        finally:
            self._before = left

    def close(self) -> None:
        """Remember nothing any more."""
        self._disk._logs.discard(self)
        self._before = {}


class WriteLog:
    """Which pieces of an image have been written since they were taken last, and what each held before that."""

    PIECE = 4096

    def __init__(self, disk: DiskImage) -> None:
        self._disk = disk
        self._written: set[int] = set()
        self.originals: dict[int, bytes] = {}
        """By the number of a piece, of all that have been written since the log began."""

    def remember(self, offset: int, size: int) -> None:
        """This range is about to be overwritten."""
        for piece in range(offset // self.PIECE, -(-(offset + size) // self.PIECE)):
            self._written.add(piece)
            if piece not in self.originals:
                self.originals[piece] = self.read(piece)

    def take(self) -> set[int]:
        """The numbers of the pieces that have been written; none is noted after."""
        written, self._written = self._written, set()
        return written

    def note(self, pieces: Iterable[int]) -> None:
        """These have been written, too."""
        self._written.update(pieces)

    def read(self, piece: int) -> bytes:
        """A piece; the last one of an image may be shorter."""
        at = piece * self.PIECE
        return self._disk.read(at, min(self.PIECE, self._disk.size - at))

    def write(self, piece: int, data: bytes) -> None:
        """Have a piece hold this; OSError where the host cannot."""
        self._disk.write_from([memoryview(data)], piece * self.PIECE)

    def close(self) -> None:
        """Note nothing any more."""
        self._disk._logs.discard(self)
        self.originals = {}
