"""The host's disk as a semihosting guest sees it: regular files inside one directory.

This is the only place where a guest reaches the disk, so every limit on that stands here: no way out of the
directory by name or by symbolic link, no special files, and a budget of bytes written.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from armvcpu.machine.semihosting.files import MODES, OpenFile, fail

NEW_FILE_COST = 4096
"""What a new file takes of the write budget, so that empty files are bounded too."""

_LAST_POSITION = (1 << 63) - 1  # of a host's off_t

_CREATE = os.O_CREAT | os.O_TRUNC
_APPEND = os.O_CREAT | os.O_APPEND
_FLAGS = (
    os.O_RDONLY,  # r
    os.O_RDWR,  # r+
    os.O_WRONLY | _CREATE,  # w
    os.O_RDWR | _CREATE,  # w+
    os.O_WRONLY | _APPEND,  # a
    os.O_RDWR | _APPEND,  # a+
)
"""By SYS_OPEN's mode / 2: the odd modes are the same with `b`, which means nothing here."""


class WriteBudget:
    """The bytes that one guest may still put on the host's disk."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, wanted: int) -> int:
        """Spend up to `wanted` bytes; ENOSPC when nothing is left."""
        granted = min(wanted, self._left)
        if wanted and not granted:
            raise fail(errno.ENOSPC)
        self._left -= granted
        return granted

    def take_all(self, wanted: int) -> None:
        """Spend `wanted` bytes; ENOSPC, and nothing spent, when fewer are left."""
        if wanted > self._left:
            raise fail(errno.ENOSPC)
        self._left -= wanted


class HostFile(OpenFile):
    """A regular file of the host."""

    def __init__(self, fd: int, budget: WriteBudget, *, appends: bool) -> None:
        self._fd = fd
        self._budget = budget
        self._appends = appends

    def read(self, size: int) -> bytes:
        """As the file has it."""
        return os.read(self._fd, size)

    def write(self, data: bytes) -> int:
        """As much as the budget and the disk allow. What the file grows by before them, by zeroes, is paid for too."""
        if data and not self._appends:
            self._budget.take_all(max(0, os.lseek(self._fd, 0, os.SEEK_CUR) - self.length()))
        return os.write(self._fd, data[: self._budget.take(len(data))])

    def seek(self, position: int) -> None:
        """Anywhere. What that means beyond the end SYS_SEEK leaves open; C libraries expect what POSIX has: zeroes."""
        if position > _LAST_POSITION:
            raise fail(errno.EINVAL)
        os.lseek(self._fd, position, os.SEEK_SET)

    def length(self) -> int:
        """As the file has it."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


class Directory:
    """The one directory of the host in which a guest may use files; None: it may use none."""

    def __init__(self, root: Path | None, budget: WriteBudget) -> None:
        self._root = _real(root) if root else None
        self._budget = budget

    def open(self, path: str, mode: int) -> HostFile:
        """Open a regular file in SYS_OPEN's `mode`, 0 to 11."""
        if mode not in MODES:
            raise fail(errno.EINVAL, path)
        flags = _FLAGS[mode >> 1]
        host_path = self._inside(_real(self._entry(path, creates=bool(flags & os.O_CREAT))))
        if flags & os.O_CREAT and not host_path.exists():
            self._budget.take(NEW_FILE_COST)
        # O_NONBLOCK: a FIFO must not hang the run. O_TRUNC waits until the file is known to be a regular one.
        fd = os.open(host_path, flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise fail(errno.EACCES, path)
            if flags & os.O_TRUNC:
                os.ftruncate(fd, 0)
        except OSError:
            os.close(fd)
            raise
        return HostFile(fd, self._budget, appends=bool(flags & os.O_APPEND))

    def remove(self, path: str) -> None:
        """Delete a file, or a symbolic link itself."""
        self._entry(path).unlink()

    def rename(self, old: str, new: str) -> None:
        """Rename a file or directory, over a file that has the new name."""
        self._entry(old).replace(self._entry(new))

    def _entry(self, path: str, *, creates: bool = False) -> Path:
        """Where the name `path` stands on the host. Its last component is not followed if it is a link.

        Without a directory there is no file: C libraries look for a free name until they hear ENOENT.
        """
        parts = Path(path).parts
        if self._root is None:
            raise fail(errno.EACCES if creates else errno.ENOENT, path)
        if Path(path).is_absolute() or ".." in parts or not parts:
            raise fail(errno.EACCES, path)
        entry = self._root / path
        return self._inside(_real(entry.parent)) / entry.name

    def _inside(self, path: Path) -> Path:
        """`path`, resolved already, or EACCES when it leaves the directory."""
        if self._root is None or not path.is_relative_to(self._root):
            raise fail(errno.EACCES, str(path))
        return path


def _real(path: Path) -> Path:
    """`path` with every symbolic link followed; unlike Path.resolve() it takes a loop of links without an error."""
    return Path(os.path.realpath(path))
