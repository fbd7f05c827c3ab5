"""What a machine gives back when it is closed, and what ends with it that nobody has ended before."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Held:
    """The functions that do that, of one machine; what has come last goes first."""

    def __init__(self) -> None:
        self._all: dict[object, Callable[[], object]] = {}

    def callback(self, give_back: Callable[..., object], *arguments: object) -> Callable[[], None]:
        """Have a function called when the machine is closed; what has it forgotten, where it is called before."""
        key = object()
        self._all[key] = partial(give_back, *arguments)
        return partial(self._forget, key)

    def _forget(self, key: object) -> None:
        self._all.pop(key, None)

    def close(self) -> None:
        """Call all of them, whatever one of them raises; may be called twice."""
        with ExitStack() as closing:
            for give_back in self._all.values():
                closing.callback(give_back)
            self._all = {}
