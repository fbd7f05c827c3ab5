"""What a command of the monitor is: its name, its arguments and their kinds, its help, and what does it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from armvcpu.arch.rows import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from armvcpu.debug.monitor.view import View


class Then(Enum):
    """What whoever has asked does after an answer."""

    STAY = "stay"
    """Ask for the next line."""
    HOLD = "hold"
    """The same, and the guest stays where it is."""
    GO_ON = "go on"
    """Let the guest go on."""
    QUIT = "quit"
    """End the run."""


class Answer(Row):
    """What a command has to say, and what comes then."""

    text: str
    then: Then = Then.STAY


class Kind(Row):
    """A kind of argument: `read` makes its value of a word, `complete` gives the words that there are."""

    read: Callable[[View, str], Any]
    complete: Callable[[View, str], Iterable[str]] = lambda _view, _word: ()

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Argument(Row):
    """One of a command's. `is_rest`: the rest of the line, spaces included."""

    name: str
    kind: Kind
    is_optional: bool = False
    is_rest: bool = False

    def __str__(self) -> str:
        return f"[{self.name.upper()}]" if self.is_optional else self.name.upper()


class Command(Row):
    """A row of the table. `has_format`: its name may have `/FORMAT` behind it, which comes first."""

    name: str
    function: Callable[..., str | Answer]
    arguments: tuple[Argument, ...]
    help: str
    aliases: tuple[str, ...] = ()
    has_format: bool = False

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @property
    def usage(self) -> str:
        """As `x/FORMAT ADDRESS`."""
        return " ".join([f"{self.name}{'[/FORMAT]' if self.has_format else ''}", *map(str, self.arguments)])
