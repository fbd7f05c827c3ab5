"""Collapsed stacks: `outermost;...;innermost number` for each, the number in microseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.debug.profile.profile import Profile

_SEPARATORS = str.maketrans({";": ":", "\n": " ", "\r": " "})


def encode(profile: Profile) -> bytes:
    """The file, sorted by stack; what has had less than a microsecond counts as one."""
    lines = [
        f"{';'.join(name.translate(_SEPARATORS) for name in stack)} {max(1, round(ns / 1000))}\n"
        for stack, ns in sorted(profile.stacks().items())
        if ns
    ]
    return "".join(lines).encode(errors="replace")
