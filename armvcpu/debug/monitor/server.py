"""A monitor's socket: clients ask, each on a thread of its own, and the desk has the run's thread answer.

Nothing that a client does or leaves undone disturbs the guest: garbage is a command that there is not, a client that
goes has gone, and one that reads nothing is dropped.
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from contextlib import suppress
from queue import Full, Queue
from typing import TYPE_CHECKING, Any

from armvcpu.debug import descriptors
from armvcpu.debug.local_socket import LocalSocket, listen_at
from armvcpu.debug.monitor.wire import Lines, decode, encode
from armvcpu.errors import ArmvcpuError, UsageError, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.monitor.desk import Desk

MOST_CLIENTS = 16
MOST_UNREAD = 64
"""Lines that wait for a client to read them."""
UNREAD_S = 5.0
"""How long an answer waits for a client that does not read."""
NO_ROOM = "the host has too many files open for another client"
LAST_S = 0.2
"""How long the last answers wait for clients to read them when the run has ended."""
RETRY_S = 0.2
"""How long the host may have no descriptor, or memory, for a client before it is asked again."""


class MonitorServer:
    """Listens at a path of the host; open until `close`."""

    def __init__(self, path: str) -> None:
        """Listen, before there is a machine.

        Raises:
            UsageError: the path can't be had.
        """
        self._clients = set[_Client]()
        self._lock, self._closing = threading.Lock(), threading.Event()
        self._listener = _listen(path)

    def start(self, desk: Desk, complete: Callable[[str], tuple[int, list[str]]]) -> None:
        """Answer from now on."""
        desk.hear.append(self._tell)
        threading.Thread(target=self._accept, args=(desk, complete), name="monitor", daemon=True).start()

    def close(self) -> None:
        """Hang up. The path is taken away, unless it is another's by now."""
        self._closing.set()
        with suppress(OSError):
            self._listener.socket.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            clients, self._clients = self._clients, set()
        for client in clients:
            client.end()
        until = time.monotonic() + LAST_S
        for client in clients:
            client.join(max(0.0, until - time.monotonic()))
            client.close()

    def _accept(self, desk: Desk, complete: Callable[[str], tuple[int, list[str]]]) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # they are the main thread's
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.socket.accept()
            except OSError:  # closed; or the host has too many files open, or the client has gone already
                self._closing.wait(RETRY_S)
                continue
            client = _Client(connection, desk, complete, self._forget)
            if not descriptors.are_left():
                client.refuse(NO_ROOM)
                continue
            with self._lock:
                is_too_many = len(self._clients) >= MOST_CLIENTS
                if not is_too_many:
                    self._clients.add(client)
            if is_too_many:
                client.refuse(f"{MOST_CLIENTS} clients are there already")
            else:
                client.start()

    def _forget(self, client: _Client) -> None:
        with self._lock:
            self._clients.discard(client)

    def _tell(self, said: str) -> None:
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            client.tell({"stop": said})


class _Client:
    """One connection. A thread of its own sends what is said, so that nobody else waits for it to read."""

    def __init__(
        self, connection: socket.socket, desk: Desk, complete: Callable[[str], tuple[int, list[str]]],
        forget: Callable[[_Client], None],
    ) -> None:  # fmt: skip
        self._connection, self._desk, self._complete, self._forget = connection, desk, complete, forget
        self._unsent = Queue[bytes | None](MOST_UNREAD)
        """None is behind the last line."""
        self._sender = threading.Thread(target=self._send, name="monitor-answers", daemon=True)
        seconds, rest = int(UNREAD_S), int(UNREAD_S % 1 * 1e6)
        timeout = seconds.to_bytes(8, "little") + rest.to_bytes(8, "little")  # struct timeval
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)

    def start(self) -> None:
        """Serve it."""
        threading.Thread(target=self._serve, name="monitor-client", daemon=True).start()
        self._sender.start()

    def refuse(self, why: str) -> None:
        """Hang up in place of serving it."""
        with suppress(OSError):
            self._connection.send(encode({"text": why, "ok": False}), socket.MSG_DONTWAIT)
            self._connection.recv(1 << 16, socket.MSG_DONTWAIT)  # what is left unread would take that from it
        self._connection.close()

    def tell(self, said: dict[str, Any]) -> None:
        """A line that nobody has asked for; a client that has too many unread is dropped."""
        try:
            self._unsent.put_nowait(encode(said))
        except Full:
            self.close()

    def end(self) -> None:
        """Hear nothing more from it, and hang up when it has read its answers."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)

    def join(self, timeout: float) -> None:
        """Wait until it has been hung up on."""
        self._sender.join(timeout)

    def close(self) -> None:
        """Hang up."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        with suppress(Full):  # else the other thread is about to send, which fails
            self._unsent.put_nowait(None)

    def _send(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        with self._connection, suppress(OSError):  # it reads nothing, or has gone
            while (line := self._unsent.get()) is not None:
                self._connection.sendall(line)

    def _serve(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        lines = Lines(self._connection)
        with suppress(Full):  # the other thread has given up
            try:
                while (line := lines.next()) is not None:
                    self._say(self._answer(decode(line)))
            except ArmvcpuError as refused:
                self._say({"text": str(refused), "ok": False})
            finally:
                self._forget(self)
                self._unsent.put(None, timeout=UNREAD_S)

    def _say(self, said: dict[str, Any]) -> None:
        self._unsent.put(encode(said), timeout=UNREAD_S)

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
