"""The file behind a flash bank (`--vars`): one machine's at a time, and changed only by what the guest programs.

It is read and written by calls that can fail, and is not mapped: where a mapped file becomes shorter, or a disk without
room is behind it, the next access of its memory is a SIGBUS, which ends the process. So what the host refuses is an
error of the flash chip in the guest.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import ImageError, words_of
from armvcpu.machine.board.virt import FLASH_SIZE, MIB

if TYPE_CHECKING:
    from armvcpu.machine.kinds import PathLike

_REMEDY = f"give a file of {FLASH_SIZE} bytes, or a name of none, which is then created erased"


class FlashFile:
    """An open, locked file of the size of a bank; created, erased, where there is none.

    Raises:
        ImageError: it is no such file, the host refuses, or another machine has it.
    """

    def __init__(self, path: PathLike) -> None:
        self.path, self._fd = path, -1
        try:
            try:
                # O_NONBLOCK: to open a device must not wait
                self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
            except FileNotFoundError:
                self._fd = _create(path)
            check_flash_file(path, self._fd)
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise ImageError(path, "is in use by another machine", "stop that one, or use a copy") from error
        except (OSError, ValueError) as error:
            self.close()
            raise ImageError(path, f"cannot be used as flash: {words_of(error)}", _REMEDY) from error
        except BaseException:
            self.close()
            raise

    def read_into(self, memory: memoryview, offset: int) -> None:
        """Fill the memory from `offset`, bytes. ImageError where the host can't."""
        try:
            while memory:
                done = os.preadv(self._fd, [memory], offset)
                if not done:
                    raise OSError(errno.EIO, "it has become shorter")
                memory, offset = memory[done:], offset + done
        except OSError as error:
            raise ImageError(self.path, f"cannot be read: {error.strerror}", _REMEDY) from error

    def write(self, offset: int, data: bytes, before: bytes) -> None:
        """Write all of it, or raise an OSError and leave what was there `before`, as far as the host lets us."""
        if os.fstat(self._fd).st_size != FLASH_SIZE:  # to write behind the end would fill it up with zeroes
            raise OSError(errno.EIO, "its size has changed", os.fspath(self.path))
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(self._fd, data[done:], offset + done)
        except OSError:
            with suppress(OSError):
                os.pwrite(self._fd, before[:done], offset)
            raise

    def close(self) -> None:
        """Close the file, which unlocks it; may be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def check_flash_file(path: PathLike, file: PathLike | int) -> None:
    """ImageError unless `file`, that or its descriptor, has the size of a flash bank."""
    size = os.stat(file).st_size
    if size != FLASH_SIZE:
        raise ImageError(path, f"has {size} bytes, not the {FLASH_SIZE} of a flash bank", _REMEDY)


def _create(path: PathLike) -> int:
    """A new file, erased; none where that does not succeed."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    try:
        erased = b"\xff" * MIB
        left = FLASH_SIZE
        while left:
            left -= os.write(fd, erased[:left])
    except BaseException:
        os.close(fd)
        os.unlink(path)
        raise
    return fd
