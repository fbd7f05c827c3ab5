"""Option types that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from armvcpu.cli.values import parse_address, parse_seconds
from armvcpu.errors import UsageError
from armvcpu.machine.board.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Size(click.ParamType[int]):
    """A number of bytes with K, M or G (powers of 1024)."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        return value if isinstance(value, int) else _read(self, parse_size, str(value), param, ctx)


class Seconds(click.ParamType[float]):
    """A time, more than zero."""

    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of seconds."""
        return _read(self, parse_seconds, str(value), param, ctx)


class Address(click.ParamType[int]):
    """A number, decimal or 0x hexadecimal."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number."""
        return _read(self, parse_address, str(value), param, ctx)


def _read(
    kind: click.ParamType[T], parse: Callable[[str], T], text: str, param: click.Parameter | None,
    ctx: click.Context | None,
) -> T:  # fmt: skip
    """What `parse` makes of the text, its error as click's."""
    try:
        return parse(text)
    except UsageError as error:
        kind.fail(str(error), param, ctx)
