"""The kinds of error armvcpu tells apart; every layer may import this file and it imports none.

What the guest did wrong is none of these: it becomes an architectural exception inside the guest.
"""

from __future__ import annotations


class ArmvcpuError(Exception):
    """Base of every error armvcpu raises on purpose. `str()` of it is one line for the user."""


class UsageError(ArmvcpuError):
    """The caller asked for something that cannot be: bad option, unusable image, illegal state change."""


class ImageError(UsageError):
    """A file cannot be used: names the file, what is wrong with it and what to do."""

    def __init__(self, path: object, problem: str, remedy: str = "") -> None:
        self.path, self.problem, self.remedy = str(path), problem, remedy
        super().__init__(f"{self.path or repr(self.path)}: {problem}" + (f"; {remedy}" if remedy else ""))


class StateError(UsageError):
    """An operation is not allowed in the object's present state; nothing was changed."""


class EngineUnsupported(ArmvcpuError):
    """The installed Unicorn does not behave as the engine layer needs; says which check failed."""


class Unmodelled(ArmvcpuError):
    """The guest used something armvcpu does not model; says what, and the row that would add it."""


class GuestCrash(ArmvcpuError):
    """The guest can make no further progress; says why."""


class InternalError(ArmvcpuError):
    """A bug in armvcpu itself."""
