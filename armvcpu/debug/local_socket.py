"""A socket in the file system at which this process listens, for gdb or a monitor's clients.

It is its owner's alone. One that nobody listens at any more, left by a process that was killed, is replaced; what else
there is stays, another's socket and any file.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class LocalSocket(NamedTuple):
    """One that listens."""

    socket: socket.socket
    close: Callable[[], None]
    """Listen no more, and take the path away, unless it is another's by now. May be called twice."""


def listen_at(path: str, backlog: int) -> LocalSocket:
    """Listen at a path; OSError, or ValueError for a NUL character in it, where that can't be."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), 0o600)  # which the path has then, as unix(7) has it, from the beginning
        _bind(made, path)
        made.listen(backlog)
    except BaseException:
        made.close()
        raise
    there = os.stat(path)

    def close() -> None:
        if made.fileno() < 0:
            return
        made.close()
        with suppress(OSError):
            if os.path.samestat(os.stat(path), there):
                os.unlink(path)

    return LocalSocket(made, close)


def _bind(made: socket.socket, path: str) -> None:
    try:
        made.bind(path)
    except OSError as refusal:
        if "too long" in str(refusal):
            raise OSError(errno.ENAMETOOLONG, "the path is too long") from refusal
        if refusal.errno != errno.EADDRINUSE:
            raise
        _require_deserted(path)
        os.unlink(path)
        made.bind(path)


def _require_deserted(path: str) -> None:
    """OSError unless there is a socket that refuses whoever connects."""
    if not stat.S_ISSOCK(os.stat(path).st_mode):
        raise OSError(errno.EADDRINUSE, "it is in use by a file that is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # it may have as many who wait as it takes
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, "it is in use, somebody listens there already")
