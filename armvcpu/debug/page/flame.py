"""A profile as a flame graph: the stacks of the guest by its time, as a tree that is no larger than a page can show."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, TypedDict

from armvcpu.debug.page.text import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALLEST = 1000
"""A frame with less than this part of the time is one with its like."""
MOST_FRAMES = 1500


class FlameFacts(TypedDict):
    """Frames (parent's number or -1, name, ns of the guest's time with all that it called), parents before children."""

    frames: list[tuple[int, str, int]]
    idle_ns: int
    """In which all CPUs waited, which is no frame."""


def flame_facts(stacks: Mapping[tuple[str, ...], int], idle: str) -> FlameFacts | None:
    """Of stacks, outermost frame first; `idle` is the frame of all CPUs' waiting. None where nothing has run."""
    busy = {stack: ns for stack, ns in stacks.items() if stack != (idle,)}
    total = sum(busy.values())
    if not total:
        return None
    times: dict[tuple[str, ...], int] = {}
    for stack, ns in busy.items():
        for depth in range(1, len(stack) + 1):
            times[stack[:depth]] = times.get(stack[:depth], 0) + ns
    kept = sorted((path for path, ns in times.items() if ns * SMALLEST >= total), key=lambda path: -times[path])
    kept = sorted(kept[:MOST_FRAMES], key=lambda path: (len(path), path))
    numbers = {path: number for number, path in enumerate(kept)}
    return FlameFacts(
        frames=[(numbers.get(path[:-1], -1), plain(path[-1]), times[path]) for path in kept],
        idle_ns=stacks.get((idle,), 0),
    )


def colour(name: str) -> str:
    """A warm one, the same for the same function on every page."""
    number = zlib.crc32(name.encode())
    return f"hsl({8 + number % 40}, {62 + number // 64 % 20}%, {58 + number // 2048 % 12}%)"
