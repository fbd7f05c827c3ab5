"""Host I/O packets (vFile) and qXfer:exec-file: gdb reads one file here, that of the symbols, and no file of the host.

GDB manual, appendix E.7 (Host I/O Packets) and E.13 (File-I/O Remote Protocol Extension, for `struct stat`).
"""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from armvcpu.debug.gdb.packets import PACKET_SIZE, escaped
from armvcpu.debug.gdb.state import Malformed, bytes_in, number, numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.gdb.state import State

NAME = "/armvcpu/guest.elf"
_ENOENT, _EBADF, _EPERM = b"F-1,2", b"F-1,9", b"F-1,1"
_DESCRIPTOR = 3
_REGULAR_READABLE = 0o100444
_MOST = PACKET_SIZE // 2 - 64
"""Bytes of contents in a packet, in which each may be escaped."""


class FilePackets:
    """Those of one session."""

    def __init__(self, state: State) -> None:
        self._guest = state.guest
        self.packets = {b"vFile": self._file}
        self._operations: dict[bytes, Callable[[bytes], bytes]] = {
            b"setfs": lambda _arguments: b"F0",
            b"open": self._open,
            b"close": lambda _arguments: b"F0",
            b"fstat": self._status,
            b"pread": self._read,
            b"readlink": lambda _arguments: _ENOENT,
            b"stat": lambda _arguments: _ENOENT,
            b"pwrite": lambda _arguments: _EPERM,
            b"unlink": lambda _arguments: _EPERM,
        }

    def _file(self, rest: bytes) -> bytes:
        operation, _, arguments = rest.partition(b":")
        carry_out = self._operations.get(operation)
        return b"" if carry_out is None else carry_out(arguments)

    def _open(self, arguments: bytes) -> bytes:
        if arguments.count(b",") != 2:
            raise Malformed
        name, flags, _ = arguments.split(b",")
        if bytes_in(name) != NAME.encode() or self._guest.symbol_file is None:
            return _ENOENT
        return _EPERM if number(flags) else b"F%x" % _DESCRIPTOR  # 0 is to read only

    def _status(self, arguments: bytes) -> bytes:
        if number(arguments) != _DESCRIPTOR or self._guest.symbol_file is None:
            return _EBADF
        size = len(self._guest.symbol_file)
        status = pack(">7I3Q3I", 0, 1, _REGULAR_READABLE, 1, 0, 0, 0, size, 512, -(-size // 512), 0, 0, 0)
        return b"F%x;" % len(status) + escaped(status)

    def _read(self, arguments: bytes) -> bytes:
        descriptor, count, offset = numbers(arguments, 3)
        if descriptor != _DESCRIPTOR or self._guest.symbol_file is None:
            return _EBADF
        piece = self._guest.symbol_file[offset : offset + min(count, _MOST)]
        return b"F%x;" % len(piece) + escaped(piece)
