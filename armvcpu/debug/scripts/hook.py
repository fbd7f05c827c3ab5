"""What goes between hooks and where they are put: IGNORE, which has a write have no effect, and a hook's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Remove = Callable[[], object]
    """Takes a hook away: it is called no more."""


class Ignore:
    """The class of IGNORE."""

    def __repr__(self) -> str:
        return "IGNORE"


IGNORE = Ignore()
