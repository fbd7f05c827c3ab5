"""What the two ends of a monitor's socket say: one JSON object a line, in both directions.

client: {"line": "info cpus"}         server: {"text": "...", "ok": true}, or {"text": "why not", "ok": false}
client: {"complete": "info c"}        server: {"start": 5, "words": ["cpus"]}
client: anything else                 server: the line as it stands is a command, so that `socat` will do
server, at any time: {"stop": "cpu0 has come to a breakpoint ..."}
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    import socket

LONGEST_LINE, LONGEST_ANSWER = 1 << 16, 1 << 24
"""Bytes of one, as a client may send it, and as the server may."""


def encode(said: dict[str, Any]) -> bytes:
    """One line of it."""
    return json.dumps(said).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """What a client's line says; one that is no JSON object is a command as it stands."""
    text = line.decode(errors="replace").strip()
    if text.startswith("{"):
        try:
            said = json.loads(text)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict) and all(isinstance(value, str) for value in said.values()):
            return said
    return {"line": text}


class Lines:
    """The lines that come over a socket."""

    def __init__(self, connection: socket.socket, longest: int = LONGEST_LINE) -> None:
        self._connection, self._longest, self._rest = connection, longest, b""

    def next(self) -> bytes | None:
        """The next one without its end; None where the other side has gone.

        Raises:
            UsageError: it is longer than any that makes sense.
        """
        while b"\n" not in self._rest:
            if len(self._rest) > self._longest:
                raise UsageError(f"a line of more than {self._longest} bytes is no command")
            try:
                data = self._connection.recv(1 << 16)
            except OSError:
                return None
            if not data:
                line, self._rest = self._rest, b""
                return line or None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line
