"""Semihosting: a guest asks its host for console, files, time and its end, by HLT 0xF000 on AArch64.

One object serves one guest. It stands in machine/ because it joins guest memory with the host's console and disk;
the trap itself is the vCPU's. Follows "Semihosting for AArch32 and AArch64" (Arm 100863) for the 64-bit ABI:
operation in W0, parameter in X1, result in X0, argument blocks of 64-bit little-endian fields.
"""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING, NamedTuple, Protocol

from armvcpu.arch.rows import Row
from armvcpu.arch.semihosting import STOP_REASON_NAMES, StopReason
from armvcpu.arch.semihosting import SemihostingOperation as Op
from armvcpu.machine.semihosting.disk import Directory, WriteBudget
from armvcpu.machine.semihosting.files import FileTable, fail

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_TRANSFER = 16 << 20
"""Bytes that one SYS_READ or SYS_WRITE moves at most; of a longer one the rest is reported as not moved."""
MAX_PATH = 4096
MAX_STRING = 64 << 10
"""Bytes of one SYS_WRITE0; a string that has no end by then is cut."""
WRITE_LIMIT = 256 << 20
"""Bytes that a guest may put on the host's disk, unless told otherwise."""
TICKS_PER_SECOND = 1_000_000

_STRING_BLOCK = 256  # divides a page, so that reading a block never runs into an unmapped page


class BadGuestAddress(Exception):
    """An address range that the guest gave is not memory."""


class CallerMemory(Protocol):
    """The memory that the guest's pointers name. Both raise BadGuestAddress where there is none."""

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Write `data`."""
        ...


class SemihostingExit(Row):
    """The guest ended itself: `status` 0 is success, `reason` a StopReason or any other 64-bit number."""

    status: int
    reason: int

    def __str__(self) -> str:
        return f"{STOP_REASON_NAMES.get(self.reason, hex(self.reason))}, status {self.status}"


class HeapInfo(NamedTuple):
    """What SYS_HEAPINFO answers; a zero lets the guest's C library take its own default."""

    heap_base: int = 0
    heap_limit: int = 0
    stack_base: int = 0
    stack_limit: int = 0


class Semihosting:
    """The semihosting host of one guest.

    `read_console` gives the next byte, or None after the last one (then SYS_READC answers -1 and SYS_READ what it has),
    or raises NoInputYet, which `call` passes on: it is to be called again when something has come. `clock` gives
    seconds since 1970. Files exist only inside `directory`.
    """

    def __init__(
        self,
        memory: CallerMemory,
        write_console: Callable[[bytes], None],
        read_console: Callable[[], int | None],
        command_line: str,
        directory: Path | None,
        clock: Callable[[], float],
        *,
        heap: HeapInfo = HeapInfo(),  # noqa: B008 it is immutable
        write_limit: int = WRITE_LIMIT,
    ) -> None:
        self._memory = memory
        self._write_console = write_console
        self._read_console = read_console
        self._command_line = command_line
        self._directory = Directory(directory, WriteBudget(write_limit))
        self._files = FileTable(self._directory, write_console, read_console)
        self._clock = clock
        self._start = clock()
        self._heap = heap
        self._errno = 0

    def call(self, operation: int, parameter: int) -> int | SemihostingExit:
        """Carry out `operation` (W0) on `parameter` (X1): the value for X0, where -1 is a failure, or the end."""
        handler = _OPERATIONS.get(operation & 0xFFFF_FFFF, Semihosting._not_supported)
        try:
            return handler(self, parameter)
        except (BadGuestAddress, OSError) as failure:
            self._note(failure)
        return -1

    def _note(self, failure: BadGuestAddress | OSError) -> None:
        """What SYS_ERRNO gives from now on."""
        self._errno = failure.errno or errno.EIO if isinstance(failure, OSError) else errno.EFAULT

    def close(self) -> None:
        """Close the guest's files; it may open others after."""
        self._files.close_all()

    def _not_supported(self, _parameter: int) -> int:
        raise fail(errno.ENOSYS)

    # --- console

    def _writec(self, parameter: int) -> int:
        self._write_console(self._memory.read(parameter, 1))
        return 0

    def _write0(self, parameter: int) -> int:
        end = parameter + MAX_STRING
        while parameter < end:
            block = self._memory.read(parameter, _STRING_BLOCK - parameter % _STRING_BLOCK)
            text, terminator, _ = block.partition(b"\0")
            self._write_console(text)
            if terminator:
                break
            parameter += len(block)
        return 0

    def _readc(self, _parameter: int) -> int:
        character = self._read_console()
        return -1 if character is None else character

    # --- files

    def _open(self, parameter: int) -> int:
        name, mode, length = self._fields(parameter, 3)
        return self._files.open(self._path(name, length), mode)

    def _close(self, parameter: int) -> int:
        self._files.close(self._field(parameter))
        return 0

    def _write(self, parameter: int) -> int:
        """SYS_WRITE: the number of bytes not written, after a failure all of them."""
        handle, buffer, count = self._fields(parameter, 3)
        try:
            return count - self._files[handle].write(self._memory.read(buffer, min(count, MAX_TRANSFER)))
        except (BadGuestAddress, OSError) as failure:
            self._note(failure)
            return count

    def _read(self, parameter: int) -> int:
        """SYS_READ: the number of bytes not filled, so `count` at the end of the file, and after a failure."""
        handle, buffer, count = self._fields(parameter, 3)
        try:
            data = self._files[handle].read(min(count, MAX_TRANSFER))
            self._memory.write(buffer, data)
        except (BadGuestAddress, OSError) as failure:
            self._note(failure)
            return count
        return count - len(data)

    def _istty(self, parameter: int) -> int:
        return int(self._files[self._field(parameter)].is_tty)

    def _seek(self, parameter: int) -> int:
        handle, position = self._fields(parameter, 2)
        self._files[handle].seek(position)
        return 0

    def _flen(self, parameter: int) -> int:
        return self._files[self._field(parameter)].length()

    def _remove(self, parameter: int) -> int:
        name, length = self._fields(parameter, 2)
        self._directory.remove(self._path(name, length))
        return 0

    def _rename(self, parameter: int) -> int:
        old, old_length, new, new_length = self._fields(parameter, 4)
        self._directory.rename(self._path(old, old_length), self._path(new, new_length))
        return 0

    # --- time, environment and end

    def _clock_centiseconds(self, _parameter: int) -> int:
        return int((self._clock() - self._start) * 100)

    def _time(self, _parameter: int) -> int:
        return int(self._clock())

    def _elapsed(self, parameter: int) -> int:
        ticks = int((self._clock() - self._start) * TICKS_PER_SECOND)
        self._memory.write(parameter, struct.pack("<Q", ticks))
        return 0

    def _iserror(self, parameter: int) -> int:
        """SYS_ISERROR: every operation reports failure by a negative value."""
        return self._field(parameter) >> 63

    def _get_cmdline(self, parameter: int) -> int:
        buffer, size = self._fields(parameter, 2)
        text = os.fsencode(self._command_line)
        if len(text) >= size:
            raise fail(errno.E2BIG)
        self._memory.write(buffer, text + b"\0")
        self._memory.write(parameter, struct.pack("<2Q", buffer, len(text)))
        return 0

    def _heapinfo(self, parameter: int) -> int:
        """SYS_HEAPINFO: the parameter points to a pointer to the block."""
        self._memory.write(self._field(parameter), struct.pack("<4Q", *self._heap))
        return 0

    def _exit(self, parameter: int) -> SemihostingExit:
        """SYS_EXIT and SYS_EXIT_EXTENDED, which are one in the 64-bit ABI."""
        reason, subcode = self._fields(parameter, 2)
        return SemihostingExit(subcode if reason == StopReason.ADP_Stopped_ApplicationExit else 1, reason)

    # --- arguments

    def _fields(self, address: int, count: int) -> tuple[int, ...]:
        """The argument block at `address`."""
        return struct.unpack(f"<{count}Q", self._memory.read(address, 8 * count))

    def _field(self, address: int) -> int:
        return self._fields(address, 1)[0]

    def _path(self, address: int, length: int) -> str:
        """The file name of `length` bytes at `address`."""
        if length > MAX_PATH:
            raise fail(errno.ENAMETOOLONG)
        name = self._memory.read(address, length)
        if b"\0" in name:
            raise fail(errno.EINVAL)
        return os.fsdecode(name)


_OPERATIONS: dict[int, Callable[[Semihosting, int], int | SemihostingExit]] = {
    Op.SYS_OPEN: Semihosting._open,
    Op.SYS_CLOSE: Semihosting._close,
    Op.SYS_WRITEC: Semihosting._writec,
    Op.SYS_WRITE0: Semihosting._write0,
    Op.SYS_WRITE: Semihosting._write,
    Op.SYS_READ: Semihosting._read,
    Op.SYS_READC: Semihosting._readc,
    Op.SYS_ISERROR: Semihosting._iserror,
    Op.SYS_ISTTY: Semihosting._istty,
    Op.SYS_SEEK: Semihosting._seek,
    Op.SYS_FLEN: Semihosting._flen,
    Op.SYS_TMPNAM: Semihosting._not_supported,  # a guest has no directory but its own
    Op.SYS_REMOVE: Semihosting._remove,
    Op.SYS_RENAME: Semihosting._rename,
    Op.SYS_CLOCK: Semihosting._clock_centiseconds,
    Op.SYS_TIME: Semihosting._time,
    Op.SYS_SYSTEM: Semihosting._not_supported,  # a guest runs no commands of the host
    Op.SYS_ERRNO: lambda host, _parameter: host._errno,
    Op.SYS_GET_CMDLINE: Semihosting._get_cmdline,
    Op.SYS_HEAPINFO: Semihosting._heapinfo,
    Op.SYS_EXIT: Semihosting._exit,
    Op.SYS_EXIT_EXTENDED: Semihosting._exit,
    Op.SYS_ELAPSED: Semihosting._elapsed,
    Op.SYS_TICKFREQ: lambda _host, _parameter: TICKS_PER_SECOND,
}
