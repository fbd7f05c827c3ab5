"""What a hook returns that wants a write to have no effect."""

from __future__ import annotations


class Ignore:
    """The class of IGNORE."""

    def __repr__(self) -> str:
        return "IGNORE"


IGNORE = Ignore()
