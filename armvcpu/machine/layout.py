"""What of a machine's layout is said in a text: a file at an address, RAM at an address, a device at an address.

`FILE@ADDRESS`, `BASE:SIZE` and `NAME@ADDRESS[,spi=N]`, as the options `loads`, `ram` and `board_devices` have them.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.errors import UsageError, named
from armvcpu.machine.kinds import parse_address


class Load(Row):
    """A file whose bytes are in memory from `address` on."""

    path: str
    address: int


def split_load(text: str) -> tuple[str, str]:
    """The name of the file, and what stands behind it, `@ADDRESS`."""
    path, at, address = text.rpartition("@")
    return (path, at + address) if at else (text, "")


def parse_load(text: str) -> Load:
    """UsageError where it is no file at an address."""
    path, behind = split_load(text)
    if not path or not behind:
        raise UsageError(f"{named('loads')} {text}: give FILE@ADDRESS, kernel.bin@0x40200000 say")
    return Load(path, _address("loads", text, behind[1:]))


def _address(option: str, text: str, digits: str) -> int:
    try:
        return parse_address(digits)
    except UsageError as error:
        raise UsageError(f"{named(option)} {text}: {error}") from error
