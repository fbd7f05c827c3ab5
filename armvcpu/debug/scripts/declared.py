"""What the decorators of a script leave behind: which function is for what, in the order of the file."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import SimpleNamespace

    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.debug.scripts.site import Site

    Attach = Callable[[Site, Callable[..., Any]], Remove]
    """Puts a function where it is called from now on; gives what takes it away."""


@dataclass(frozen=True)
class Declared:
    """One function of a script, and where it is to be called."""

    function: Callable[..., Any]
    attach: Attach

    @property
    def line(self) -> int:
        """Where it stands in the script; 0 where Python does not know."""
        code = getattr(self.function, "__code__", None)
        return 0 if code is None else int(code.co_firstlineno)


@dataclass
class Loading:
    """A script that is being executed: what its decorators add to, and what it imports from `armvcpu.script`."""

    machine: Any
    state: SimpleNamespace
    declared: list[Declared]


_loading: list[Loading] = []
"""Innermost last: a script may load another one."""


@contextmanager
def loading(script: Loading) -> Iterator[None]:
    """For a `with` block: decorators are those of this script."""
    _loading.append(script)
    try:
        yield
    finally:
        _loading.remove(script)


def current(what: str) -> Loading:
    """The script that is being executed; UsageError where none is."""
    if not _loading:
        raise UsageError(f"{what} is for a script while it is loaded, by run --script F or armvcpu.script.attach")
    return _loading[-1]


def declare(what: str, attach: Attach) -> Callable[[Any], Any]:
    """The decorator that declares a function."""

    def add(function: Any) -> Any:
        if not callable(function):
            raise UsageError(f"{what} is for a function, not for {function!r}")
        current(what).declared.append(Declared(function, attach))
        return function

    return add
