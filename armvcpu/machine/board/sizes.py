"""Sizes as people write them: 256M, 1G, 4096."""

from __future__ import annotations

from armvcpu.errors import UsageError

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def parse_size(given: str) -> int:
    """A number of bytes with K, M or G (powers of 1024); UsageError for what is none."""
    text = given.upper().removesuffix("IB").removesuffix("B")
    digits, unit = (text[:-1], text[-1]) if text[-1:] in {"K", "M", "G"} else (text, "")
    if not digits.isdecimal():
        raise UsageError(f"{given!r} is no size: write 256M or 1G")
    return int(digits) * _UNITS[unit]
