"""Output to the host that never waits where nobody asked it to, whatever stands behind the descriptor.

A write to a pipe, a terminal or a socket may block for ever, and no signal handler of Python's ends it (PEP 475). To
set O_NONBLOCK would change the descriptors of all other processes that share it, the user's shell above all. So pipes
and terminals are opened anew by /proc, and sockets told at each call; where /proc refuses (a pipe of another user's),
poll() is asked first and little is written at once.
"""

from __future__ import annotations

import io
import os
import select
import stat

from armvcpu.arch.static import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.machine.console.patience import Patience

LITTLE = select.PIPE_BUF // 8
"""What a pipe takes that has any room (PIPE_BUF), with a margin for another writer that comes in between."""


def reopened(fd: int, flags: int) -> int:
    """The same pipe or terminal behind a descriptor of our own that does not block; -1 where it is none, or can't be.

    What else there is does not block (files, /dev/null), or is not opened so (sockets).
    """
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(fd))):
        return -1
    try:
        return os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1


class HostWriter:
    """Writes to a descriptor, which stays its owner's; `close` gives back what it has opened beside it."""

    def __init__(self, fd: int, patience: Patience) -> None:
        self._fd, self._patience = fd, patience
        self._own = -1
        self._blocks = self._is_socket = self._is_known = False

    def fileno(self) -> int:
        """The descriptor to watch for output."""
        return self._fd if self._own < 0 else self._own

    def try_write(self, data: bytes | bytearray | memoryview) -> int:
        """Write what there is room for, and tell how much; BlockingIOError where that is nothing.

        Raises:
            OSError: the reader has gone, the disk is full, ...
        """
        if not self._is_known:
            self._look()
        if self._own >= 0:
            return os.write(self._own, data)
        if self._is_socket:
            return self._send(data)
        if not self._blocks:
            return os.write(self._fd, data)
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        if not poll.poll(0):
            raise BlockingIOError
        return os.write(self._fd, data[:LITTLE])

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write all of it, and wait where there is no room; how much was written before the patience ended.

        Raises:
            OSError: as `try_write`.
        """
        done, view = 0, memoryview(data)
        while done < len(view):
            try:
                done += self.try_write(view[done:])
            except BlockingIOError:
                if not self._patience.wait_for_room(self.fileno()):
                    break
        return done

    def close(self) -> None:
        """Close what was opened; a later write opens it again."""
        own, self._own, self._is_known = self._own, -1, False
        if own >= 0:
            os.close(own)

    def __del__(self) -> None:
        self.close()

    def _look(self) -> None:
        """Find out what it is: at the first write, since most are never written to."""
        mode = os.fstat(self._fd).st_mode
        self._is_socket = stat.S_ISSOCK(mode)
        self._own = reopened(self._fd, os.O_WRONLY)
        self._blocks = self._own < 0 and (stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(self._fd)))
        self._is_known = True

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        import socket  # stdout is seldom one

        with socket.socket(fileno=os.dup(self._fd)) as connection:
            return connection.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)


class HostFile(io.RawIOBase):
    """A `HostWriter` as a file, for text streams over it. What the patience does not suffice for is dropped."""

    def __init__(self, fd: int, patience: Patience, held: IO[bytes] | None = None, *, is_quiet: bool = False) -> None:
        """`held`: the file that the descriptor is of, closed with this one. `is_quiet`: errors of the host are none."""
        self._writer, self._held, self._is_quiet, self._fd = HostWriter(fd, patience), held, is_quiet, fd

    def writable(self) -> bool:
        """It is for nothing else."""
        return True

    def fileno(self) -> int:
        """The descriptor that it is for."""
        return self._fd

    def isatty(self) -> bool:
        """Is it a terminal?"""
        return os.isatty(self._fd)

    def write(self, data: object, /) -> int:
        """All of it, as far as its users are concerned."""
        assert isinstance(data, bytes | bytearray | memoryview)
        try:
            self._writer.write(data)
        except OSError:
            if not self._is_quiet:
                raise
        return len(data)

    def close(self) -> None:
        """Give back what it holds."""
        if not self.closed:
            super().close()
            self._writer.close()
            if self._held is not None:
                self._held.close()
