"""Option types that several commands share."""

from __future__ import annotations

from typing import Any

import click

from armvcpu.errors import UsageError
from armvcpu.machine.sizes import parse_size

LONGEST = 1e9
"""Seconds that may be waited for: more than thirty years, and less than what the host's calls can't take."""


class Size(click.ParamType[int]):
    """A number of bytes with K, M or G (powers of 1024)."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


class Seconds(click.ParamType[float]):
    """A time, more than zero."""

    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of seconds."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= LONGEST:
            self.fail(f"{value!r} is no time in seconds: write 10 or 0.5", param, ctx)
        return seconds


class Address(click.ParamType[int]):
    """A number, decimal or 0x hexadecimal."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        try:
            number = int(str(value), 0)
        except ValueError:
            self.fail(f"{value!r} is no address: write 0x40080000", param, ctx)
        if number < 0 or number >> 64:
            self.fail(f"{value} is no address of 64 bits", param, ctx)
        return number
