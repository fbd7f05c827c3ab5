"""The process's standard streams, as commands write to them: nothing that stands still behind them stops a command.

stderr is for what people should know, so what it does not take is no error: a full disk or a closed terminal behind it
changes no status. What can't be written to stdout is one, since it is what was asked for; a command that prints nothing
needs none.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress

from armvcpu.arch.static import Any
from armvcpu.machine.console.host_writer import HostFile, HostWriter
from armvcpu.machine.console.patience import Patience

PATIENCE = Patience()
"""This process's: it ends when the run is to."""


class StdoutError(OSError):
    """stdout does not take what a command prints: a full disk, or it is closed. That its reader has gone is none."""

    def __str__(self) -> str:
        return no_stdout(self)


class _Stdout(io.FileIO):
    """Descriptor 1, whose errors can be told from those of files."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StdoutError(error.errno, error.strerror) from error


def open_streams() -> None:
    """Have stderr never fail and never wait longer than PATIENCE, and a stdout that refuses say StdoutError."""
    for descriptor in range(3):  # so that no other file gets their numbers
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)  # to write there is EBADF, as before
    if sys.stdout is None or sys.stdout is sys.__stdout__:  # None is Python's word for a closed one
        encoding, errors = (
            ("utf-8", "backslashreplace") if sys.stdout is None else (sys.stdout.encoding, sys.stdout.errors)
        )
        sys.stdout = io.TextIOWrapper(io.BufferedWriter(_Stdout()), encoding, errors, line_buffering=os.isatty(1))
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        sys.stderr = io.TextIOWrapper(
            HostFile(2, PATIENCE, is_quiet=True), encoding, "backslashreplace", line_buffering=True
        )


def say(message: str) -> None:
    """One line on stderr."""
    words = message.replace("\n", " ")
    sys.stderr.write(f"armvcpu: {words}\n")


def write_stdout(text: str) -> None:
    """Write to stdout and wait no longer than PATIENCE; where its reader has gone, to nowhere.

    Raises:
        OSError: the disk is full, ...
    """
    with suppress(BrokenPipeError):
        HostWriter(1, PATIENCE).write(os.fsencode(text))


def no_stdout(error: OSError) -> str:
    """What a user reads where stdout refuses."""
    return f"stdout can't be written: {'it is closed' if error.errno == errno.EBADF else error.strerror}"


def drop_stdout() -> None:
    """Have stdout lead nowhere: Python writes what it holds once more at its end, which must neither fail nor wait."""
    os.close(1)
    os.open(os.devnull, os.O_WRONLY)  # is 1, the lowest number that is free; there may be no other
