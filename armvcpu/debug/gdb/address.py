"""Where gdb connects: `[HOST:]PORT` or `unix:PATH`. A host is this one's loopback interface unless it is named."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.local_socket import listen_at
from armvcpu.errors import UsageError, named, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK = "127.0.0.1"
LONGEST_PORT = 5
"""Digits."""
_BACKLOG = 8


class Address(NamedTuple):
    """A place to listen at: a TCP port of a host, or a socket in the file system."""

    host: str = LOOPBACK
    port: int = 0
    path: str = ""

    @classmethod
    def of(cls, text: str) -> Address:
        """Read one; UsageError where it is none."""
        if text.startswith("unix:") and len(text) > 5:
            return cls("", 0, text[5:])
        host, _, port = text.rpartition(":")
        if not _is_port(port):
            raise UsageError(
                f"{named('gdb')} {text!r} is no place for gdb to connect to: give [HOST:]PORT or unix:PATH"
            )
        return cls(host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port))

    def __str__(self) -> str:
        """As gdb's `target remote` takes it."""
        if self.path:
            return self.path
        if self.host == LOOPBACK:
            return f":{self.port}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_PORT and int(text) <= 0xFFFF


class Listener(NamedTuple):
    """A socket that listens; closing it frees the place."""

    socket: socket.socket
    address: Address
    """Where it is: with the port that the host has chosen, where 0 was asked for."""
    close: Callable[[], None]
    """May be called twice."""
    is_as_asked: bool = True
    """Is it where it was asked for, and not at a port that the host has chosen?"""


def listen(address: Address) -> Listener:
    """Listen there; UsageError where that can't be, say since the port is in use."""
    try:
        return _listen_in_files(address) if address.path else _listen_on_network(address)
    except (OSError, ValueError) as error:  # ValueError: no name of a host, or a NUL character in a path
        where = f"unix:{address.path}" if address.path else f"port {address.port} of {address.host}"
        raise UsageError(f"gdb can't connect at {where}: {words_of(error)}; choose another place") from error


def _listen_on_network(address: Address) -> Listener:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(_BACKLOG)
    except BaseException:
        made.close()
        raise
    return Listener(made, address._replace(port=made.getsockname()[1]), made.close, bool(address.port))


def _listen_in_files(address: Address) -> Listener:
    made = listen_at(address.path, _BACKLOG)
    return Listener(made.socket, address, made.close)
