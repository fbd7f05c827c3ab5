"""What a trace is written as, by the name of its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from armvcpu.debug.tracing.compressed import bare
from armvcpu.debug.tracing.perfetto import PerfettoWriter
from armvcpu.debug.tracing.text import JsonWriter, TextWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.tracing.event import Event


class Writer(Protocol):
    """Writes events."""

    timed: bool
    """Does it want to know when they were?"""
    spans: bool
    """Does it show how long exceptions took, for which it needs the returns from them?"""

    def event(self, event: Event) -> None:
        """Write one."""

    def pass_by(self, event: Event) -> None:
        """Of one that `spans`: a filter keeps this event out."""

    def end(self) -> None:
        """Write what stands behind the last one."""


def is_of_blocks(path: str | None) -> bool:
    """Is a file of that name a block trace?"""
    return bare(path or "").endswith(".blocks")


def writer_for(path: str | None, write: Callable[[str], object]) -> Writer:
    """The one for a file of that name, or None for stderr; `write` takes text."""
    name = bare(path or "")
    if name.endswith(".jsonl"):
        return JsonWriter(write)
    if name.endswith(".perfetto.json"):
        return PerfettoWriter(write)
    return TextWriter(write)
