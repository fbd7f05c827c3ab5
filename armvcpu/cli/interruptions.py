"""What ends `armvcpu run` from outside, signals and the time-out, whatever it is doing then.

before the guest runs   an exception, wherever the process waits: for a FIFO's reader, a socket, the end of the input
while it runs           the run loop ends the run
after                   what is still to be written is given up soon (`Patience`)
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


class Interrupted(BaseException):
    """The host has ended the command before its guest began."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


class Interruptions:
    """Of one command, in the main thread; a signal that is ignored (nohup, a job in the background) stays so."""

    def __init__(self, timeout: float | None, patience: Patience) -> None:
        self._timeout, self._patience = timeout, patience
        self._machine: Machine | None = None
        self._interrupted: Interrupted | None = None
        self._is_over = False
        self._began = 0.0
        self._came: int | None = None
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        for number in TERMINATING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._undo.callback(signal.signal, number, signal.signal(number, self._on_signal))
        if self._timeout is not None and self._timeout < LONGEST_TIMER:
            self._undo.callback(signal.signal, signal.SIGALRM, signal.signal(signal.SIGALRM, self._on_time))
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

    def guest_has_ended(self) -> None:
        """From now on nobody waits for the host, once one has come."""
        self._is_over = True
        if self._timeout is not None and self._timeout < LONGEST_TIMER:
            ring_in(self._timeout - (time.monotonic() - self._began))

    def status(self, status: int) -> int:
        """The exit status: not 0 where what the guest printed was dropped, since nobody read it."""
        if status or not self._patience.gave_up:
            return status
        return Ending.LIMIT.value if self._came is None else SIGNALLED + self._came

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._came = number
        self._patience.end()
        if self._is_over:
            return
        if self._machine is None:
            self._interrupt(Outcome.by_signal(number))
        else:
            self._machine.interrupt(number)

    def _on_time(self, _number: int, _frame: FrameType | None) -> None:
        if self._machine is None or self._is_over:
            self._patience.end()
        if self._machine is None:
            self._interrupt(Outcome.of(Ending.LIMIT, TIME_OUT))

    def _interrupt(self, outcome: Outcome) -> None:
        if self._interrupted is None:
            self._interrupted = Interrupted(outcome)
            raise self._interrupted
