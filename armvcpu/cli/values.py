"""What the values of options stand for, beside sizes (`machine/board/sizes.py`); UsageError for what they can't be."""

from __future__ import annotations

from armvcpu.errors import UsageError

LONGEST = 1e9
"""Seconds that may be waited for: more than thirty years, and less than what the host's calls can't take."""


def parse_seconds(text: str) -> float:
    """A time, more than zero."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"{text!r} is no time in seconds: write 10 or 0.5")
    return seconds


def parse_address(text: str) -> int:
    """A number of 64 bits, decimal or 0x hexadecimal."""
    try:
        number = int(text, 0)
    except ValueError:
        raise UsageError(f"{text!r} is no address: write 0x40080000") from None
    if number < 0 or number >> 64:
        raise UsageError(f"{text} is no address of 64 bits")
    return number
