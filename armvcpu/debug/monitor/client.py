"""The other end of a monitor's socket: asks, and hears of stops meanwhile."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self

from armvcpu.debug.monitor.wire import LONGEST_ANSWER, Lines, encode
from armvcpu.errors import StateError, UsageError, words_of

if TYPE_CHECKING:
    from collections.abc import Callable


class MonitorClient:
    """A connection to the monitor that `armvcpu run --monitor unix:PATH` has; a context manager.

    `on_stop` is called in another thread, with some lines, when the guest has come to a breakpoint or a watchpoint.
    """

    def __init__(self, path: str, on_stop: Callable[[str], object] = lambda _said: None) -> None:
        """Connect; UsageError where nobody listens there."""
        self._on_stop, self._answers = on_stop, SimpleQueue[dict[str, Any] | None]()
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.has_ended = False
        """Has the run gone?"""
        try:
            self._connection.connect(path)
        except (OSError, ValueError) as refusal:
            self._connection.close()
            words = "the path is too long" if "too long" in str(refusal) else words_of(refusal)
            raise UsageError(
                f"no monitor is at {path}: {words}; `armvcpu run --monitor unix:{path}` has one"
            ) from refusal
        threading.Thread(target=self._receive, name="monitor-answers", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(self, line: str) -> tuple[str, bool]:
        """What the monitor says to a line, and whether that is done; StateError where the run has ended."""
        said = self._exchange({"line": line})
        return str(said.get("text", "")), bool(said.get("ok"))

    def complete(self, text: str) -> tuple[int, list[str]]:
        """What may come next, as `Monitor.complete` has it; nothing where the run has ended."""
        try:
            said = self._exchange({"complete": text})
        except StateError:
            return len(text), []
        return int(said.get("start", len(text))), list(said.get("words", ()))

    def _exchange(self, asked: dict[str, Any]) -> dict[str, Any]:
        with suppress(OSError):  # what has come before is an answer, too
            self._connection.sendall(encode(asked))
        said = self._answers.get()
        if said is None:
            self._answers.put(None)
            raise StateError("the run has ended")
        return said

    def _receive(self) -> None:
        lines = Lines(self._connection, LONGEST_ANSWER)
        try:
            while (line := lines.next()) is not None:
                said = json.loads(line)
                if "stop" in said:
                    self._on_stop(said["stop"])
                else:
                    self._answers.put(said)
        except (ValueError, TypeError, UsageError):  # no monitor speaks so
            pass
        self.has_ended = True
        self._answers.put(None)
