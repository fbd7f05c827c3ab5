"""The kinds of error armvcpu tells apart; every layer may import this file and it imports none.

What the guest did wrong is none of these: it becomes an architectural exception inside the guest.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = "\ufdd0"
"""Unicode keeps this for a program's own use: no text of a user has it."""


def named(option: str) -> str:
    """The name of an option in the words of an error, which is shown as the reader writes it: `memory`, `--memory`."""
    return f"{_MARK}{option}{_MARK}"


def spell_names(words: str, spell: Callable[[str], str]) -> str:
    """The words with each `named` option as `spell` writes it."""
    return "".join(spell(part) if number % 2 else part for number, part in enumerate(words.split(_MARK)))


class ArmvcpuError(Exception):
    """Base of every error armvcpu raises on purpose. `str()` of it is one line for the user."""

    def __str__(self) -> str:
        """The words, with options as Python and suites write them."""
        return self.said(str)

    def said(self, spell: Callable[[str], str]) -> str:
        """The words, with each option's name as `spell` writes it."""
        return spell_names(super().__str__(), spell)


class UsageError(ArmvcpuError):
    """The caller asked for something that cannot be: bad option, unusable image, illegal state change."""


class ImageError(UsageError):
    """A file cannot be used: names the file, what is wrong with it and what to do."""

    def __init__(self, path: object, problem: str, remedy: str = "") -> None:
        self.path, self.problem, self.remedy = str(path), problem, remedy
        super().__init__(f"{self.path or repr(self.path)}: {problem}" + (f"; {remedy}" if remedy else ""))


class StateError(UsageError):
    """An operation is not allowed in the object's present state; nothing was changed."""


def no_number(who: str, value: object) -> UsageError:
    """The error of a caller's function that gives the guest something else than a number."""
    return UsageError(f"{who} gave {value!r}: return a number")


class EngineUnsupported(ArmvcpuError):
    """The installed Unicorn does not behave as the engine layer needs; says which check failed."""


class Unmodelled(ArmvcpuError):
    """The guest used something armvcpu does not model; says what, and the row that would add it."""


class GuestCrash(ArmvcpuError):
    """The guest can make no further progress; says why."""


class InternalError(ArmvcpuError):
    """A bug in armvcpu itself."""
