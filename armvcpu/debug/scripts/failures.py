"""What happens when a function of a script raises: its own traceback, and the run ends or goes on as told.

The traceback has the script's frames only: how armvcpu got there helps nobody who wrote the script.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from typing import TYPE_CHECKING

from armvcpu.errors import ArmvcpuError
from armvcpu.machine.outcome import Ending, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.machine import Machine

_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
STATUS = 1
"""The exit status of a run that a script's mistake has ended."""


class CutShort(BaseException):
    """A script's function is still at work when the run is to end so; raised in it, from a signal's handler."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


MISTAKES = (Exception, SystemExit, CutShort)
"""What a script's function may raise by mistake; a script that exits is none that ends its run."""
MOST_SHOWN = 20
"""Tracebacks, where the run goes on: a mistake in a function that is called a million times is told of so often."""


class ScriptFailed(ArmvcpuError):
    """A function of a script has raised."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.status = outcome.status


class Failures:
    """Of all scripts of one machine; `goes_on`: a mistake does not end the run."""

    def __init__(self, machine: Machine, write: Callable[[str], object], *, goes_on: bool = False) -> None:
        self._machine, self._write, self._goes_on = machine, write, goes_on
        self.count = 0

    def in_trap(self, error: BaseException) -> None:
        """In the guest's instruction: it does not go on behind that."""
        if outcome := self._tell(error):
            self._machine.end(outcome)

    def between(self, error: BaseException) -> None:
        """Between two instructions, or where nobody knows."""
        if outcome := self._tell(error):
            self._machine.parts.end.by_host(outcome)

    def at_end(self, error: BaseException) -> ArmvcpuError | None:
        """When the run has ended."""
        if isinstance(error, BrokenPipeError):
            return None
        outcome = self._tell(error)
        return None if outcome is None else ScriptFailed(outcome)

    def _tell(self, error: BaseException) -> Outcome | None:
        if isinstance(error, BrokenPipeError):  # nobody reads what the script prints, `| head` say
            return Outcome.by_signal(signal.SIGPIPE)
        if isinstance(error, CutShort):
            self._write(f"armvcpu: {place_of(error)}: {error}, and this was still at work\n")
            return error.outcome
        self.count += 1
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:  # no mistake of the script's: it prints
            self._write(f"armvcpu: {one_line(error)}\n" * (self.count == 1))
        elif self.count <= MOST_SHOWN or not self._goes_on:
            self._write(own_traceback(error))
        if self._goes_on:
            if self.count == MOST_SHOWN:
                self._write(f"armvcpu: the scripts' next mistakes are counted and not shown, {MOST_SHOWN} have been\n")
            return None
        return Outcome.of(Ending.STOPPED, f"a script failed: {one_line(error)}", STATUS)

    def tell_rest(self) -> None:
        """The run is over: how many there were, where not all have been shown."""
        if self._goes_on and self.count > MOST_SHOWN:
            self._write(f"armvcpu: {self.count} mistakes of scripts in all\n")


def own_traceback(error: BaseException) -> str:
    """Python's words for an exception, with no frame of armvcpu's or Python's own machinery above the script's."""
    told = traceback.TracebackException.from_exception(error)
    _drop_ours(told)
    return "".join(told.format())


def _drop_ours(told: traceback.TracebackException) -> None:
    told.stack[:] = [frame for frame in told.stack if not frame.filename.startswith((_OURS, "<frozen "))]
    for inner in (told.__cause__, told.__context__):
        if inner is not None:
            _drop_ours(inner)


def one_line(error: BaseException) -> str:
    """`hooks.py:12: ZeroDivisionError: division by zero`."""
    words = "".join(traceback.format_exception_only(error)).strip().splitlines()[0]
    place = place_of(error)
    return f"{place}: {words}" if place else words


def place_of(error: BaseException) -> str:
    """`hooks.py:12`, the innermost place in a script; empty where there is none."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((_OURS, "<frozen "))
    ]  # fmt: skip
    return f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""


def to_stderr(text: str) -> None:
    """Where tracebacks go, unless somebody says otherwise."""
    sys.stderr.write(text)
