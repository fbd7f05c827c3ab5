"""A monitor's socket: clients ask, each on a thread of its own, and the desk has the run's thread answer.

Nothing that a client does or leaves undone disturbs the guest: garbage is a command that there is not, a client that
goes has gone, and one that reads nothing is dropped.
"""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from armvcpu.debug.local_socket import LocalSocket, listen_at
from armvcpu.debug.monitor.wire import Lines, decode, encode
from armvcpu.errors import ArmvcpuError, UsageError, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.monitor.desk import Desk

MOST_CLIENTS = 16
UNREAD_S = 5.0
"""How long an answer waits for a client that does not read."""


class MonitorServer:
    """Listens at a path of the host; open until `close`."""

    def __init__(self, path: str) -> None:
        """Listen, before there is a machine.

        Raises:
            UsageError: the path can't be had.
        """
        self._clients = set[_Client]()
        self._lock = threading.Lock()
        self._listener = _listen(path)

    def start(self, desk: Desk, complete: Callable[[str], tuple[int, list[str]]]) -> None:
        """Answer from now on."""
        desk.hear.append(self._tell)
        threading.Thread(target=self._accept, args=(desk, complete), name="monitor", daemon=True).start()

    def close(self) -> None:
        """Hang up. The path is taken away, unless it is another's by now."""
        with suppress(OSError):
            self._listener.socket.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            clients, self._clients = self._clients, set()
        for client in clients:
            client.close()

    def _accept(self, desk: Desk, complete: Callable[[str], tuple[int, list[str]]]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
        while True:
            try:
                connection, _ = self._listener.socket.accept()
            except OSError:  # closed
                return
            client = _Client(connection, desk, complete, self._forget)
            with self._lock:
                is_too_many = len(self._clients) >= MOST_CLIENTS
                if not is_too_many:
                    self._clients.add(client)
            if is_too_many:
                client.send({"text": f"{MOST_CLIENTS} clients are there already", "ok": False})
                client.close()
            else:
                client.start()

    def _forget(self, client: _Client) -> None:
        with self._lock:
            self._clients.discard(client)

    def _tell(self, said: str) -> None:
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.send({"stop": said})


class _Client:
    """One connection."""

    def __init__(
        self, connection: socket.socket, desk: Desk, complete: Callable[[str], tuple[int, list[str]]],
        forget: Callable[[_Client], None],
    ) -> None:  # fmt: skip
        self._connection, self._desk, self._complete, self._forget = connection, desk, complete, forget
        self._sending = threading.Lock()
        seconds, rest = int(UNREAD_S), int(UNREAD_S % 1 * 1e6)
        timeout = seconds.to_bytes(8, "little") + rest.to_bytes(8, "little")  # struct timeval
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)

    def start(self) -> None:
        """Serve it."""
        threading.Thread(target=self._serve, name="monitor-client", daemon=True).start()

    def send(self, said: dict[str, Any]) -> None:
        """A line to it; where it does not take that it is dropped."""
        try:
            with self._sending:
                self._connection.sendall(encode(said))
        except OSError:
            self.close()

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        lines = Lines(self._connection)
        try:
            while (line := lines.next()) is not None:
                self.send(self._answer(decode(line)))
        except ArmvcpuError as refused:
            self.send({"text": str(refused), "ok": False})
        finally:
            self._forget(self)
            self.close()

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            if "complete" in asked:
                start, words = self._desk.do(lambda: self._complete(asked["complete"]))
                return {"start": start, "words": words}
            return {"text": self._desk.ask(asked.get("line", "")).text, "ok": True}
        except ArmvcpuError as refused:
            return {"text": str(refused), "ok": False}


def _listen(path: str) -> LocalSocket:
    try:
        return listen_at(path, MOST_CLIENTS)
    except (OSError, ValueError) as refusal:
        raise UsageError(f"the monitor can't listen at {path}: {words_of(refusal)}; name another path") from refusal
