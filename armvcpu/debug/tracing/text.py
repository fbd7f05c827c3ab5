"""A trace as lines, in a format that scripts may rely on.

    cpu0 0x0000000040080010 main+0x10 mmio write address=0x9000000 width=4 value=0x41 device=pl011.UARTDR
    cpu0 0x0000000040080014 - insn 0xd2800020 # mov x0, #1
    <vcpu> <pc> <symbol or -> <kind> <what> <key>=<value>... [# <words>]

Columns are separated by one space and hold none. The PC is 16 hexadecimal digits, other numbers are as short as they
can be: `0x` before hexadecimal ones, widths and interrupt numbers decimal. New keys may be added behind the ones of
kinds.py. What stands behind ` # ` is for people and may change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.tracing.event import Event


def line_of(event: Event) -> str:
    """The event, without a newline."""
    keys = "".join([f" {key}={value}" for key, value in event.keys.items()])
    line = f"cpu{event.vcpu} {event.pc:#018x} {event.symbol or '-'} {event.kind} {event.what}{keys}"
    return f"{line} # {event.words}" if event.words else line


class TextWriter:
    """Lines as above; `write` gets each with its newline."""

    timed = spans = False

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def event(self, event: Event) -> None:
        """One line."""
        self._write(line_of(event) + "\n")

    def pass_by(self, event: Event) -> None:
        """It is not missed."""

    def end(self) -> None:
        """Nothing stands behind the last line."""


class JsonWriter:
    """JSON lines: an object for each event, of its fields by name.

    `pc` is text as in a line, `symbol` and `instructions` are null where they are not known, `keys` is an object.
    Hexadecimal numbers are text, since a JSON number of 64 bits is not safe with every reader.
    """

    timed, spans = True, False

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

    def event(self, event: Event) -> None:
        """One line."""
        fields = event._asdict() | {"pc": f"{event.pc:#018x}", "symbol": event.symbol or None}
        self._write(self._encode(fields) + "\n")

    def pass_by(self, event: Event) -> None:
        """It is not missed."""

    def end(self) -> None:
        """Nothing stands behind the last line."""
