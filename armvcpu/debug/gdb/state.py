"""What the parts of a session share: the threads that gdb has chosen, what it understands, the last stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.debug.gdb.guest import Guest
    from armvcpu.debug.gdb.stops import Report


class Malformed(Exception):
    """A packet is not as the protocol has it."""


class State:
    """Of one session. Threads are CPUs: their ids are one more than the CPUs' numbers, for 0 is any thread."""

    def __init__(self, guest: Guest, stop: Report) -> None:
        self.guest = guest
        self.stop = stop
        """Why the guest has stopped last."""
        self.end = b""
        """How it has ended, as a stop reply; empty where it has not. It has no threads then."""
        self.chosen = self.continued = stop.cpu
        """The CPU whose registers and memory are meant, and the one that steps."""
        self.physical = False
        """Are addresses physical ones?"""
        self.acknowledges = True
        """Are packets acknowledged? It holds from the packet behind the one that ended it."""
        self.reads_errors = self.reads_break_reasons = self.is_extended = False
        """Does gdb know errors in words, and which kind of breakpoint it was; does it stay when the guest has ended?"""

    @property
    def cpus(self) -> range:
        """Those that gdb has as threads."""
        return range(0 if self.end else self.guest.cpus)

    def cpu(self, thread: bytes) -> int | None:
        """The CPU of a thread id; None where all or any are meant. Malformed where there is none."""
        found = signed_number(thread)
        if found in {0, -1}:
            return None
        if found - 1 not in self.cpus:
            raise Malformed
        return found - 1


def number(text: bytes) -> int:
    """A number in hexadecimal digits; Malformed where it is none."""
    if not text or not set(text) <= set(b"0123456789abcdefABCDEF"):  # int() takes signs, spaces and underscores, too
        raise Malformed
    return int(text, 16)


def address_in(text: bytes) -> int:
    """An address, 64 bits."""
    found = number(text)
    if found >> 64:
        raise Malformed
    return found


def signed_number(text: bytes) -> int:
    """The same with a sign."""
    return -number(text[1:]) if text.startswith(b"-") else number(text)


def numbers(text: bytes, count: int, separator: bytes = b",") -> list[int]:
    """So many numbers with separators between them."""
    found = text.split(separator)
    if len(found) != count:
        raise Malformed
    return [number(each) for each in found]


def bytes_in(text: bytes) -> bytes:
    """Bytes, two hexadecimal digits each."""
    try:
        return bytes.fromhex(text.decode("ascii"))
    except (ValueError, UnicodeDecodeError):
        raise Malformed from None
