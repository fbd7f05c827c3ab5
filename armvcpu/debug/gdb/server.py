"""Who has connected, and what comes while the guest runs: one thread that sleeps until a socket has something.

It never touches the guest. What it finds it tells by `pause`, and the run's thread, which then has the guest stopped,
takes the connection over; while the guest is stopped nobody else reads. Whoever connects and doesn't speak the
protocol, a port scanner or a browser, never stops the guest, and a second gdb is turned away.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from armvcpu.debug import descriptors
from armvcpu.debug.gdb.connection import Connection, Gone

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.gdb.address import Address, Listener
    from armvcpu.machine.console.patience import Patience

_MOST_SILENT = 8
"""Connections that have said nothing yet; the one that has been silent for longest is closed for another."""
_GRACE = 0.5
"""Seconds that a second gdb waits for the first one to leave, which it may be about to."""
_RETRY = 0.2
"""Seconds until the host, which has no descriptor or memory for a connection, is asked again."""
_ONCE = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLONESHOT


class Server:
    """Listens until it is closed; `pause` has the run's thread look, `say` tells the user, from any thread."""

    def __init__(
        self, listener: Listener, pause: Callable[[], object], say: Callable[[str], object], patience: Patience
    ) -> None:
        self._listener, self._pause, self._say, self._patience = listener, pause, say, patience
        self._silent: dict[int, Connection] = {}
        self._ready: Connection | None = None
        self._is_taken = False
        """Is there a gdb, whether the run's thread has it yet or not?"""
        self._second: tuple[float, Connection] | None = None
        """One that waits for that one to leave, and until when."""
        self._listens_from: float | None = None
        """When the host is asked again whether it can take a connection that waits."""
        self._is_standing = False
        """Does the guest stand still, so that nobody has to pause it?"""
        self._lock = threading.Lock()
        self._watched = -1
        self._arrival = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._is_closing = False
        self._epoll = select.epoll()
        listener.socket.setblocking(False)
        self._epoll.register(listener.socket, select.EPOLLIN)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._serve, name="armvcpu-gdb", daemon=True)
        self._thread.start()

    @property
    def address(self) -> Address:
        """Where gdb connects."""
        return self._listener.address

    def close(self) -> None:
        """Listen no longer; may be called twice."""
        if self._is_closing:
            return
        self._is_closing = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._listener.close()
        self._epoll.close()
        waiting = self._ready, None if self._second is None else self._second[1]
        for connection in (*self._silent.values(), *waiting):
            if connection is not None:
                connection.close()
        os.close(self._arrival)
        os.close(self._wake)

    # --- for the run's thread ---------------------------------------------------------------------------------

    def stand(self) -> None:
        """The guest stands still: nothing is watched, and nobody pauses it."""
        with self._lock:
            self._is_standing = True
        if self._watched >= 0:
            with suppress(OSError):
                self._epoll.unregister(self._watched)
            self._watched = -1

    def go(self, connection: Connection | None) -> None:
        """The guest runs: pause it once when something comes from this gdb, or a gdb comes."""
        with self._lock:
            self._is_standing = False
        if connection is not None:
            self._watched = connection.fileno()
            self._epoll.register(self._watched, _ONCE)
        if self._ready is not None:
            self._pause()

    def take(self) -> Connection | None:
        """The gdb that has connected and nobody has taken yet."""
        with self._lock:
            connection, self._ready = self._ready, None
            if connection is not None:
                with suppress(BlockingIOError):
                    os.eventfd_read(self._arrival)
            return connection

    def wait(self) -> bool:
        """Wait until a gdb has connected; False where the run is to end first."""
        return bool(self._patience.wait_for_input((self._arrival,)))

    def give_back(self, connection: Connection) -> None:
        """That gdb has gone: the next one may come."""
        connection.close()
        with self._lock:
            self._is_taken = False
            second, self._second = self._second, None
        if second is not None:
            self._admit(second[1])

    # --- the thread -------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self._is_closing:
            second = self._second
            moments = [*(() if second is None else second[:1]), *filter(None, (self._listens_from,))]
            for fd, _ in self._epoll.poll(max(0.0, min(moments) - time.monotonic()) if moments else None):
                if fd == self._listener.socket.fileno():
                    self._accept()
                elif fd in self._silent:
                    self._hear(self._silent[fd])
                elif fd != self._wake:
                    self._pause_unless_standing()
            self._turn_away()
            if self._listens_from is not None and time.monotonic() >= self._listens_from:
                self._listens_from = None
                self._epoll.register(self._listener.socket, select.EPOLLIN)

    def _pause_unless_standing(self) -> None:
        with self._lock:
            if not self._is_standing:
                self._pause()

    def _accept(self) -> None:
        try:
            made, _ = self._listener.socket.accept()
        except OSError:  # it has gone again; or there are too many files open, and it waits
            self._epoll.unregister(self._listener.socket)
            self._listens_from = time.monotonic() + _RETRY
            return
        if not descriptors.are_left():
            made.close()
            self._say("gdb: the host has too many files open; what has connected now was turned away")
            return
        if len(self._silent) >= _MOST_SILENT:
            self._drop(next(iter(self._silent.values())))
        connection = Connection(made, self._patience)
        self._silent[connection.fileno()] = connection
        self._epoll.register(connection.fileno(), _ONCE)

    def _hear(self, connection: Connection) -> None:
        """Of one that has not said anything before: is it a gdb?"""
        try:
            if not connection.speaks():
                self._epoll.modify(connection.fileno(), _ONCE)
                return
        except Gone:
            self._drop(connection)
            return
        del self._silent[connection.fileno()]
        self._epoll.unregister(connection.fileno())
        self._admit(connection)

    def _admit(self, connection: Connection) -> None:
        """It is a gdb's: the run's thread may have it, where that has no other."""
        with self._lock:
            is_first = not self._is_taken
            if is_first:
                self._is_taken, self._ready = True, connection
                os.eventfd_write(self._arrival, 1)
            elif self._second is None:
                self._second = time.monotonic() + _GRACE, connection
                return
        if is_first:
            self._pause_unless_standing()
        else:
            connection.close()

    def _turn_away(self) -> None:
        """The second one, where the first has stayed."""
        with self._lock:
            second = self._second
            if second is None or time.monotonic() < second[0]:
                return
            self._second = None
        self._say("gdb: another one is connected; what has connected now was turned away")
        second[1].close()

    def _drop(self, connection: Connection) -> None:
        fd = connection.fileno()
        del self._silent[fd]
        self._epoll.unregister(fd)
        connection.close()
