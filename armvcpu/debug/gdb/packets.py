"""Packets of the remote serial protocol: framing, checksums, signs, escapes, run lengths. Bytes in, bytes out.

GDB manual, appendix E.1 (Overview) and E.9 (Interrupts): `$data#checksum`, `+` and `-`, and the byte 0x03, which is an
interrupt between two packets only. `}` escapes the byte behind it, which comes XORed with 0x20; `*` and a count stand
for repetitions of the byte before.
"""

from __future__ import annotations

import re
from enum import Enum

PACKET_SIZE = 0x4000
"""Bytes of the longest packet that gdb is told to send, without its frame. More is refused by gdbs before 8."""
_LONGEST = 4 * PACKET_SIZE
"""What is kept of a packet that has no end yet."""
_ESCAPE, _XOR = 0x7D, 0x20
_TO_ESCAPE = re.compile(rb"[#$}*]")
_RUN = re.compile(rb"(.)\1{3,97}", re.DOTALL)
_FIRST_COUNT = 29
"""A count is the character of this value and the number of repetitions."""
_FORBIDDEN = {b"#", b"$", b"+", b"-"}
"""Counts that would be taken for something else: there is one repetition less then."""


class Sign(Enum):
    """What comes beside packets."""

    ACK = "+"
    NACK = "-"
    INTERRUPT = "the byte 3"
    DAMAGED = "a packet with a wrong checksum, or too long"


class Reader:
    """The stream of one connection, cut into packets' data (bytes, with nothing escaped any more) and signs."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes | Sign]:
        """What is complete with these bytes. What is neither packet nor sign is skipped."""
        rest = self._rest + data
        found: list[bytes | Sign] = []
        at = 0
        while at < len(rest):
            first = rest[at : at + 1]
            if first != b"$":
                at += 1
                if (sign := _SIGNS.get(first)) is not None:
                    found.append(sign)
                continue
            end = rest.find(b"#", at)
            if end < 0 or end + 3 > len(rest):
                break
            at = rest.rfind(b"$", at, end)  # data has none: what comes before is half a packet
            found.append(_checked(rest[at + 1 : end], rest[end + 1 : end + 3]))
            at = end + 3
        self._rest = rest[at:]
        if len(self._rest) > _LONGEST:
            self._rest = b""
            found.append(Sign.DAMAGED)
        return found


_SIGNS = {b"+": Sign.ACK, b"-": Sign.NACK, b"\x03": Sign.INTERRUPT}


def _checked(data: bytes, checksum: bytes) -> bytes | Sign:
    try:
        is_whole = int(checksum, 16) == sum(data) & 0xFF
    except ValueError:
        return Sign.DAMAGED
    if not is_whole:
        return Sign.DAMAGED
    return unescaped(data) if b"}" in data else data


def framed(data: bytes) -> bytes:
    """A packet around data that is escaped where it has to be."""
    return b"$%b#%02x" % (data, sum(data) & 0xFF)


def escaped(data: bytes) -> bytes:
    """Binary data as a packet has it."""
    return _TO_ESCAPE.sub(lambda found: bytes((_ESCAPE, found[0][0] ^ _XOR)), data)


def unescaped(data: bytes) -> bytes:
    """Binary data as it was."""
    first, *rest = data.split(b"}")
    return first + b"".join(bytes((each[0] ^ _XOR,)) + each[1:] for each in rest if each)


def shortened(text: bytes) -> bytes:
    """Text without binary data in it, with what repeats told by its count."""
    return _RUN.sub(_run, text)


def _run(found: re.Match[bytes]) -> bytes:
    byte, repetitions = found[1], len(found[0]) - 1
    left = b""
    while (count := bytes((_FIRST_COUNT + repetitions,))) in _FORBIDDEN:
        repetitions -= 1
        left += byte
    return byte + b"*" + count + left
