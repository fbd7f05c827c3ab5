"""A network backend over a stream socket: each frame is preceded by its length, 32 bits, big-endian.

That is how QEMU's `-netdev stream` and `-netdev socket` frame, and with them passt, gvproxy and another virtual
machine. So a guest has the Internet without root by way of a maintained program (`passt --socket PATH`), whose TCP/IP
is better than any that could stand here, and nothing of it runs in this process.

The socket never blocks. `fileno()` is to be watched for input while `wants_read`, and for output while `wants_write`;
`poll()` then moves what there is. Nothing is dropped while the link is up: frames for a guest without room stay in the
socket, and once BACKLOG bytes wait for the other program the guest's stay in its own queue.
"""

from __future__ import annotations

import socket
import struct
from contextlib import nullcontext
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from armvcpu.devices.virtio.net import Station

    Waiting = Callable[[], AbstractContextManager[object]]
    """Around whatever may wait for the host."""

LENGTH = 4
LONGEST = 0x1_1000
"""More than any frame has; a length beyond it means that the other side does not speak this protocol."""
BACKLOG = 0x4_0000
READ_SIZE = 0x1_0000
PATIENCE = 5
"""Seconds that the other side has to take the connection."""
READS = 8
"""Reads in one `poll`, so that a flood leaves the guest time."""


def _connected(address: str) -> socket.socket:
    kind, _, path = address.partition(":")
    if kind != "unix":
        host, _, port = address.rpartition(":")
        connection = socket.create_connection((host.strip("[]") or "localhost", int(port)), timeout=PATIENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # How long connect() waits where the listener's queue is full; without a limit, for ever (unix(7))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", PATIENCE, 0))
        connection.connect(path)
    except BlockingIOError as error:
        connection.close()
        raise TimeoutError(error.errno, "its listener takes no more connections") from error
    except BaseException:
        connection.close()
        raise
    return connection


class NoStation:
    """Nobody is at this end of the cable: frames that arrive are lost."""

    def receive(self, frame: bytes) -> None:
        """Lost."""

    def has_room(self) -> bool:
        """Always."""
        return True

    def link_changed(self) -> None:
        """Nobody looks."""

    def drained(self) -> None:
        """Nobody sends."""


class SocketBackend:
    """Frames to and from a connected stream socket, which it owns."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._received = bytearray()
        self._unsent = bytearray()
        self.is_up = True
        self._splitting = False
        self._station: Station = NoStation()
        self._on_interest: Callable[[], object] = _nobody_watches

    @classmethod
    def dial(cls, address: str, waiting: Waiting = nullcontext) -> SocketBackend:
        """Connect to `unix:PATH` or to `HOST:PORT`, and wait for the other side `waiting`, at most PATIENCE seconds.

        Raises:
            UsageError: nobody listens there, or it is no such address.
        """
        try:
            with waiting():
                connection = _connected(address)
            return cls(connection)
        except (OSError, ValueError) as error:
            said = getattr(error, "strerror", None) or error
            raise UsageError(
                f"network {address}: {said}; give unix:PATH or HOST:PORT, and start the other side first, "
                "for example `passt --socket PATH`"
            ) from error

    def attach(self, station: Station) -> None:
        """Have frames go to a network interface."""
        self._station = station

    def watch(self, on_interest: Callable[[], object]) -> None:
        """Have `on_interest` called when `wants_read` or `wants_write` has changed outside of `poll`.

        The one watcher is whoever waits for the descriptor; who watched before no longer does.
        """
        self._on_interest = on_interest

    def fileno(self) -> int:
        """The socket's descriptor, for select; -1 once the link is down."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Is output waiting for the other side to read?"""
        return bool(self._unsent)

    @property
    def wants_read(self) -> bool:
        """May more input come? While not, it waits in the socket, whose other side drops what is too much."""
        return self.is_up and self._station.has_room()

    @property
    def can_send(self) -> bool:
        """May the guest send, or should frames wait until `Station.drained`? Where there is no link they go nowhere."""
        return len(self._unsent) <= BACKLOG

    def resume(self) -> None:
        """There is room again: first for what has been read already."""
        self._split()
        self._on_interest()

    def send(self, frame: bytes) -> None:
        """Send a frame; it waits here while the other side does not read."""
        if not self.is_up:
            return
        waited = bool(self._unsent)
        self._unsent += len(frame).to_bytes(LENGTH, "big") + frame
        if not waited:
            self._flush()
            if self._unsent:
                self._on_interest()

    def poll(self) -> None:
        """Move what the socket has and takes; never waits."""
        if self._unsent:
            could_send = self.can_send
            self._flush()
            if self.can_send and not could_send:
                self._station.drained()
        for _ in range(READS):
            if not self.wants_read or not self._read():
                return

    def close(self) -> None:
        """Close the socket: the link goes down."""
        if self.is_up:
            self.is_up = False
            self._socket.close()
            self._unsent.clear()
            self._station.link_changed()
            self._station.drained()

    def _flush(self) -> None:
        try:
            while self._unsent:
                sent = self._socket.send(self._unsent)
                del self._unsent[:sent]
        except BlockingIOError:
            pass
        except OSError:  # the other side is gone
            self.close()

    def _read(self) -> bool:
        """Read once; is there perhaps more?"""
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.close()
            return False
        self._received += data
        self._split()
        return True

    def _split(self) -> None:
        """Hand on the complete frames that there is room for."""
        if self._splitting:  # `resume` while a frame is handed on: the loop goes on by itself
            return
        self._splitting = True
        try:
            self._hand_on()
        finally:
            self._splitting = False

    def _hand_on(self) -> None:
        start = 0
        while len(self._received) - start >= LENGTH and self._station.has_room():
            length = int.from_bytes(self._received[start : start + LENGTH], "big")
            if length > LONGEST:
                self.close()
                return
            end = start + LENGTH + length
            if end > len(self._received):
                break
            self._station.receive(bytes(self._received[start + LENGTH : end]))
            start = end
        del self._received[:start]


def _nobody_watches() -> None:
    """Before `watch`."""
