"""The process's standard streams, as commands write to them: nothing that stands still behind them stops a command.

stderr is for what people should know, so what it does not take is no error: a full disk or a closed terminal behind it
changes no status. What can't be written to stdout is one, since it is what was asked for.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress

from armvcpu.machine.console.host_writer import HostFile, HostWriter
from armvcpu.machine.console.patience import Patience

PATIENCE = Patience()
"""This process's: it ends when the run is to."""


def open_streams() -> None:
    """Have stderr never fail and never wait longer than PATIENCE, and what was closed before the start lead nowhere."""
    for descriptor in range(3):  # so that no other file gets their numbers
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:  # Python's word for a closed one
        sys.stdout = io.TextIOWrapper(HostFile(1, PATIENCE, is_quiet=True), "utf-8", "backslashreplace")
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


def close_stdout() -> None:
    """Write what Python still holds; what can't be written leads nowhere, so that the end of the process is quiet.

    Raises:
        OSError: the disk is full, or the reader has gone.
    """
    try:
        sys.stdout.flush()
    except BaseException:
        drop_stdout()
        raise


def drop_stdout() -> None:
    """Have stdout lead nowhere: Python writes what it holds once more at its end, which must neither fail nor wait."""
    os.close(1)
    os.open(os.devnull, os.O_WRONLY)  # is 1, the lowest number that is free; there may be no other
