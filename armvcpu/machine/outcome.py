"""How a run ended."""

from __future__ import annotations

from enum import Enum

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.machine.end_report import Details, EndReport

TIME_OUT = "time-out"
QUIT = "ended from the console"
"""Reasons of ends that the host wanted, where the guest may hang."""
SIGNALLED = 128
"""And the number of the signal that ended a run: its status, as a shell has it."""


class Ending(Enum):
    """The kinds of end, with the command's exit status."""

    POWERED_OFF = 0
    REPORTED_FAILURE = 1
    """A semihosting exit that is not success. Its status is the guest's own code (`Outcome.exited`)."""
    CRASHED = 3
    LIMIT = 4
    STOPPED = -1
    """At a place that the embedding program has named, or by a script's mistake; the guest can go on."""


class Outcome(Row):
    """How a run ended: the kind, one line of reason, the exit status, and of a crash or a hang the report."""

    ending: Ending
    reason: str
    status: int
    told: str | EndReport = ""
    """What there is to tell of a crash, a time-out, a limit or Ctrl-A X; of every other end nothing."""
    exit_code: int | None = None
    """What the guest ended itself with by semihosting, 64 bits; None where it ended otherwise."""

    @classmethod
    def of(cls, ending: Ending, reason: str, status: int | None = None) -> Outcome:
        """The outcome with the kind's own status, unless another is given."""
        return cls(ending, reason, ending.value if status is None else status)

    @classmethod
    def by_signal(cls, number: int) -> Outcome:
        """The end by a signal of the host's."""
        return cls.of(Ending.LIMIT, f"ended by signal {number}", SIGNALLED + number)

    @classmethod
    def exited(cls, code: int, reason: str) -> Outcome:
        """The guest's own exit with a code of 64 bits, 0 for success; the status is what a process can have of it."""
        kind = Ending.REPORTED_FAILURE if code else Ending.POWERED_OFF
        return cls(kind, reason, code & 0xFF, exit_code=code)

    @property
    def report(self) -> str:
        """What a developer wants to know of a crash, or of a guest that hangs, in some 40 lines; else empty.

        At a time-out, an instruction limit, and Ctrl-A X where the guest does not wait, it is made when it is read: do
        that before the guest goes on, since after that it only tells where the run ended.
        """
        return self.told if isinstance(self.told, str) else self.told.text

    @property
    def details(self) -> Details | None:
        """The report as data, which has `render_short()` and `as_dict()`; None where there is none."""
        return None if isinstance(self.told, str) else self.told.details

    @property
    def may_hang(self) -> bool:
        """Did the host end it by a time-out, a limit or from the console, and no signal?"""
        return self.reason == QUIT or (self.ending is Ending.LIMIT and self.status == Ending.LIMIT.value)

    @property
    def ok(self) -> bool:
        """Did the guest end by itself, and well?"""
        return self.status == 0 and self.ending is not Ending.REPORTED_FAILURE  # a code of 256 leaves a status of 0


STOPPED = Outcome.of(Ending.STOPPED, "stopped by the debugger")
"""What a run of the engine has ended with that a debugger has stopped: the machine's own run goes on."""
