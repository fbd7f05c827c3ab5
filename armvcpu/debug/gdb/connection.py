"""The connection to one gdb: bytes of a socket as packets, with their acknowledgements."""

from __future__ import annotations

import socket
from collections import deque
from typing import TYPE_CHECKING

from armvcpu.debug.gdb.packets import Reader, Sign, framed

if TYPE_CHECKING:
    from armvcpu.machine.console.patience import Patience

_AT_ONCE = 1 << 16
_BEGINNINGS = (b"+", b"-", b"$", b"\x03")


class Gone(Exception):
    """The other side has closed the connection, or can't be waited for any longer."""


class Connection:
    """One of them. Whoever waits here waits no longer than the run goes on, which `patience` knows."""

    def __init__(self, made: socket.socket, patience: Patience) -> None:
        self._socket, self._patience = made, patience
        made.setblocking(False)
        if made.family != socket.AF_UNIX:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = Reader()
        self._events: deque[bytes | Sign] = deque()
        self._last = b""
        self.acknowledges = True
        """Are packets acknowledged, in both directions?"""
        self._has_begun = False

    def fileno(self) -> int:
        """Of the socket."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it; may be called twice."""
        self._socket.close()

    def next(self) -> bytes | None:
        """The next packet, waited for; None where the run is to end first. Gone where there will be none."""
        while True:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, bytes):
                    if self.acknowledges:
                        self._put(b"+")
                    return event
                self._on_sign(event)
            if not self._receive() and not self._patience.wait_for_input((self.fileno(),)):
                return None

    def was_interrupted(self) -> bool:
        """Without waiting: has gdb asked for a stop since the guest went on? Gone where it has left.

        A packet does as well: gdb sends none to a guest that runs.
        """
        self._receive()
        while self._events:
            event = self._events[0]
            if isinstance(event, bytes):
                return True
            self._events.popleft()
            if event is Sign.INTERRUPT:
                return True
            self._on_sign(event)
        return False

    def speaks(self) -> bool:
        """Without waiting: has a packet come? Gone where it has left, or what comes first is none of the protocol's."""
        if not self._has_begun and self._peek() not in _BEGINNINGS:
            raise Gone
        self._has_begun = True
        self._receive()
        return any(isinstance(event, bytes) for event in self._events)

    def _peek(self) -> bytes:
        try:
            return self._socket.recv(1, socket.MSG_PEEK)
        except OSError as error:
            raise Gone from error

    def send(self, data: bytes) -> None:
        """Send a packet's data; Gone where it can't be."""
        self._last = framed(data)
        self._put(self._last)

    def _on_sign(self, sign: Sign) -> None:
        if sign is Sign.NACK and self._last:
            self._put(self._last)
        elif sign is Sign.DAMAGED and self.acknowledges:
            self._put(b"-")

    def _receive(self) -> bool:
        """Has something come?"""
        try:
            data = self._socket.recv(_AT_ONCE)
        except BlockingIOError:
            return False
        except OSError as error:
            raise Gone from error
        if not data:
            raise Gone
        self._events += self._reader.feed(data)
        return True

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            try:
                left = left[self._socket.send(left, socket.MSG_NOSIGNAL) :]
            except BlockingIOError:
                if not self._patience.wait_for_room(self.fileno()):
                    raise Gone from None
            except OSError as error:
                raise Gone from error
