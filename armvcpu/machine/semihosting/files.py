"""What a semihosting guest has open: the console, the feature file, and the files that its directory gives.

A failure is an OSError, whose errno the guest reads by SYS_ERRNO. Follows "Semihosting for AArch32 and AArch64"
(Arm 100863), SYS_OPEN and "Semihosting extensions".
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from armvcpu.machine.console.feed import NoInputYet

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.semihosting.disk import Directory

MAX_OPEN_FILES = 64
MAX_SHOWN = 64 << 10
"""Bytes that one SYS_WRITE shows on the console at most, some 10 ms of work; the rest is told as not written."""
FEATURES = b"SHFB\x03"
"""The feature file: magic, then feature byte 0 with SH_EXT_EXIT_EXTENDED and SH_EXT_STDOUT_STDERR."""

MODES = range(12)
"""SYS_OPEN's modes: r, rb, r+, r+b, w, wb, w+, w+b, a, ab, a+, a+b."""
_READ_MODES = range(2)
_CONSOLE_INPUT_MODES = range(4)


def fail(number: int, path: str | None = None) -> OSError:
    """The exception of errno `number`."""
    return OSError(number, os.strerror(number), path)


class OpenFile:
    """An open handle that can do nothing; kinds of files override what they can."""

    is_tty = False

    def read(self, size: int) -> bytes:
        """At most `size` bytes from the file position; none at the end."""
        raise fail(errno.EBADF)

    def write(self, data: bytes) -> int:
        """Write at the file position; how many bytes were taken."""
        raise fail(errno.EBADF)

    def seek(self, position: int) -> None:
        """Set the file position, in bytes from the start."""
        raise fail(errno.ESPIPE)

    def length(self) -> int:
        """The present length in bytes."""
        raise fail(errno.ESPIPE)

    def close(self) -> None:
        """Give back what the host holds for it."""


class TtyInput(OpenFile):
    """`:tt` opened for reading."""

    is_tty = True

    def __init__(self, read_console: Callable[[], int | None]) -> None:
        self._read_console = read_console

    def read(self, size: int) -> bytes:
        """What has come, up to and with the end of a line; NoInputYet where nothing has, but may."""
        line = bytearray()
        try:
            while len(line) < size and (character := self._read_console()) is not None:
                line.append(character)
                if character in b"\r\n":
                    break
        except NoInputYet:
            if not line:
                raise
        return bytes(line)


class TtyOutput(OpenFile):
    """`:tt` opened for writing (stdout) or appending (stderr): one console shows both."""

    is_tty = True

    def __init__(self, write_console: Callable[[bytes], None]) -> None:
        self._write_console = write_console

    def write(self, data: bytes) -> int:
        """MAX_SHOWN bytes of it at most, so that the run loop has its turn: the guest goes on with what is left."""
        self._write_console(data[:MAX_SHOWN])
        return min(len(data), MAX_SHOWN)


class FeatureFile(OpenFile):
    """`:semihosting-features`."""

    def __init__(self) -> None:
        self._position = 0

    def read(self, size: int) -> bytes:
        """Bytes of the feature sequence."""
        data = FEATURES[self._position : self._position + size]
        self._position += len(data)
        return data

    def seek(self, position: int) -> None:
        """Anywhere within the sequence."""
        if position > len(FEATURES):
            raise fail(errno.EINVAL)
        self._position = position

    def length(self) -> int:
        """The whole sequence, with the magic."""
        return len(FEATURES)


class FileTable:
    """Every open handle of one guest: numbers from 1 to MAX_OPEN_FILES, the lowest free one first."""

    def __init__(
        self,
        directory: Directory,
        write_console: Callable[[bytes], None],
        read_console: Callable[[], int | None],
    ) -> None:
        self._directory = directory
        self._write_console = write_console
        self._read_console = read_console
        self._open: dict[int, OpenFile] = {}

    def open(self, path: str, mode: int) -> int:
        """SYS_OPEN; the new handle."""
        handle = next((n for n in range(1, MAX_OPEN_FILES + 1) if n not in self._open), 0)
        if not handle:
            raise fail(errno.EMFILE)
        self._open[handle] = self._new_file(path, mode)
        return handle

    def _new_file(self, path: str, mode: int) -> OpenFile:
        match path:
            case ":tt" if mode in _CONSOLE_INPUT_MODES:
                return TtyInput(self._read_console)
            case ":tt" if mode in MODES:
                return TtyOutput(self._write_console)
            case ":semihosting-features" if mode in _READ_MODES:
                return FeatureFile()
            case ":semihosting-features":
                raise fail(errno.EACCES)
            case _:
                return self._directory.open(path, mode)

    def __getitem__(self, handle: int) -> OpenFile:
        """The file of a handle; EBADF when it is not open."""
        if handle not in self._open:
            raise fail(errno.EBADF)
        return self._open[handle]

    def close(self, handle: int) -> None:
        """SYS_CLOSE."""
        self[handle].close()
        del self._open[handle]

    def close_all(self) -> None:
        """Close every handle."""
        for handle in tuple(self._open):
            self.close(handle)
