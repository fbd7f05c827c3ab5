"""What a benchmark gives: rows of a table, each with its limit."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = "| what | armvcpu | beside it | ratio | at most |\n|---|---|---|---|---|"


@dataclass(frozen=True)
class Pair:
    """Medians of both sides and of the ratio ours / theirs; `limit` is the ratio's."""

    name: str
    ours: float
    theirs: float
    ratio: float
    unit: str
    limit: float | None = None
    beside: str = "QEMU"
    """Whose `theirs` is."""

    def row(self) -> str:
        """A row of the Markdown table."""
        limit = "" if self.limit is None else f"{self.limit:g}"
        ours, theirs = (_amount(value, self.unit) for value in (self.ours, self.theirs))
        return f"| {self.name} | {ours} | {self.beside} {theirs} | {self.ratio:.2f} | {limit} |"

    @property
    def is_above(self) -> bool:
        """Is it more than its limit?"""
        return self.limit is not None and self.ratio > self.limit


@dataclass(frozen=True)
class Single:
    """A median of one side; `limit` is in the same unit. `theirs` is what QEMU takes, where it has the same thing."""

    name: str
    ours: float
    unit: str
    limit: float | None = None
    theirs: float | None = None

    def row(self) -> str:
        """A row of the Markdown table."""
        limit = "" if self.limit is None else f"{self.limit:g} {self.unit}"
        theirs = "" if self.theirs is None else f"QEMU {_amount(self.theirs, self.unit)}"
        return f"| {self.name} | {_amount(self.ours, self.unit)} | {theirs} | | {limit} |"

    @property
    def is_above(self) -> bool:
        """Is it more than its limit?"""
        return self.limit is not None and self.ours > self.limit


Row = Pair | Single


def paired(
    name: str, sides: Sequence[tuple[float, float]], unit: str, limit: float | None, beside: str = "QEMU"
) -> Pair:
    """Of what both sides gave in each round."""
    return Pair(
        name,
        statistics.median(ours for ours, _ in sides),
        statistics.median(theirs for _, theirs in sides),
        statistics.median(ours / theirs for ours, theirs in sides),
        unit,
        limit,
        beside,
    )


def _amount(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}"
