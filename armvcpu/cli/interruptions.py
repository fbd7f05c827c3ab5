"""What ends `armvcpu run` from outside, signals and the time-out, whatever it is doing then.

before the guest runs   an exception, wherever the process waits: for a FIFO's reader, a socket, the end of the input
while it runs           the run loop ends the run
after                   what is still to be written is given up soon (`Patience`)
in a script             the same, and a function that is still at work SCRIPT_GRACE later is ended by an exception; one
                        that is called at the end has END_GRACE, unless another signal comes
"""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack

from armvcpu.arch.static import TYPE_CHECKING, Self
from armvcpu.machine.console.patience import ring_in
from armvcpu.machine.outcome import SIGNALLED, TIME_OUT, Ending, Outcome

if TYPE_CHECKING:
    from types import FrameType

    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.machine import Machine

TERMINATING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LONGEST_TIMER = 1e8
"""Seconds: what the host's timer takes without a doubt."""
SCRIPT_GRACE = 0.1
"""Seconds that a script's function has left in the guest's instruction, once the run is to end."""
END_GRACE = 10.0
"""Seconds for what scripts do at the end of a run that was ended from outside: it may have much to tell."""


class Interrupted(BaseException):
    """The host has ended the command before its guest began."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Interruptions:
    """Of one command, in the main thread; a signal that is ignored (nohup, a job in the background) stays so."""

    def __init__(self, timeout: float | None, patience: Patience, *, has_scripts: bool) -> None:
        self._timeout = timeout if timeout is not None and timeout < LONGEST_TIMER else None
        self._patience, self._has_scripts = patience, has_scripts
        self._machine: Machine | None = None
        self._interrupted: Interrupted | None = None
        self._is_over = False
        self._has_grace = has_scripts
        self._began = 0.0
        self._came: int | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        for number in TERMINATING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._undo.callback(signal.signal, number, signal.signal(number, self._on_signal))
        if self._timeout is not None or self._has_scripts:
            self._undo.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, self._on_time))
        if self._timeout is not None:
            self._patience.limit_waits(self._timeout)
        return self

    def __exit__(self, *_exception: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._came is None:
            self._undo.close()
        # else the process ends, and the same signal may come twice, to it and to its job: it is not to end otherwise

    def guest_begins(self, machine: Machine) -> None:
        """From now on they are the machine's, and its time-out counts from here."""
        if self._interrupted is not None:  # in a place that swallows exceptions, as finalizers do
            raise self._interrupted
        self._machine, self._began = machine, time.monotonic()
        if self._has_scripts and self._timeout is not None:
            ring_in(self._timeout + SCRIPT_GRACE)

    def guest_has_ended(self) -> None:
        """From now on nobody waits for the host, once one has come."""
        self._is_over = True
        if self._came is not None and self._has_scripts:
            self._has_grace = False
            ring_in(END_GRACE)
        elif self._timeout is not None:
            ring_in(self._timeout - (time.monotonic() - self._began))

    def status(self, status: int) -> int:
        """The exit status: not 0 where what the guest printed was dropped, since nobody read it."""
        if status or not self._patience.gave_up:
            return status
        return Ending.LIMIT.value if self._came is None else SIGNALLED + self._came

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._came = number
        self._patience.end()
        if self._is_over:
            self._end_script(frame)
        elif self._machine is None:
            self._interrupt(Outcome.by_signal(number))
        else:
            self._machine.interrupt(number)
            if self._has_scripts:
                ring_in(SCRIPT_GRACE)

    def _on_time(self, _number: int, frame: FrameType | None) -> None:
        if self._machine is None:
            self._patience.end()
            self._interrupt(Outcome.of(Ending.LIMIT, TIME_OUT))
        elif not self._is_over:
            self._end_script(frame)
        else:
            self._patience.end()
            if self._has_grace:
                self._has_grace = False
                ring_in(END_GRACE)
            else:
                self._end_script(frame)

    def _end_script(self, frame: FrameType | None) -> None:
        """One that is at work now."""
        if self._has_scripts:
            from armvcpu.debug.scripts.script import cut_short  # loaded by whoever runs them

            timed_out = Outcome.of(Ending.LIMIT, TIME_OUT)
            cut_short(frame, timed_out if self._came is None else Outcome.by_signal(self._came))

    def _interrupt(self, outcome: Outcome) -> None:
        if self._interrupted is None:
            self._interrupted = Interrupted(outcome)
            raise self._interrupted
