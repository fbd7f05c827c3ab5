"""The desk: where those who ask from outside of the run come together, and the run's own thread answers.

    Ctrl-A C (console's thread) --- want_prompt ---+
    a socket's client (its thread) --- ask --------+---> Debugger.pause ---> stopped(), on the run's thread

A line that only looks holds the guest up for as long as it takes. `stop`, `step`, a breakpoint and a watchpoint keep
it standing until somebody says `continue`; the terminal's prompt, for as long as it is there.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import contextmanager
from threading import Condition
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from armvcpu.debug.monitor.command import Answer, Then
from armvcpu.debug.monitor.stops import describe_stop
from armvcpu.errors import ArmvcpuError, InternalError, StateError
from armvcpu.machine.debugging.stop import StopKind
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.debugging.stop import Stop
    from armvcpu.machine.outcome import Outcome

T = TypeVar("T")
ENDED = "the run has ended"
BACK_HINT = "back, rcontinue, goto and restore take the guest back from here; continue ends the run"


class Talk(Protocol):
    """A prompt on the terminal of the run."""

    def converse(self, desk: Desk, said: str) -> Then:
        """Say what there is to say, and ask for lines until one of them has the guest go on or the run end."""


class _Request:
    """What another thread wants done, and what becomes of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.is_done = False
        self.answer: Any = None
        self.error: ArmvcpuError | None = None


class Desk:
    """Of one machine. It is a client of the debugger: `armvcpu.machine.debugging.debugger.Client`."""

    def __init__(
        self, view: View, answer: Callable[[str], Answer], pause: Callable[[], None], patience: Patience
    ) -> None:
        """`answer` does what a line says. `pause` has the guest stopped soon, from any thread.

        `patience` knows whether the run is to end.
        """
        self._view, self._answer, self._pause, self._patience = view, answer, pause, patience
        self._changed = Condition()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Written to when something is asked of a guest that stands."""
        self._requests: deque[_Request] = deque()
        self._is_standing = self._is_closed = self._wants_prompt = False
        self.is_held = False
        """Is the guest kept standing?"""
        self.talk: Talk | None = None
        """The prompt, where the run has a terminal."""
        self.hear: list[Callable[[str], None]] = []
        """Who is told, on the run's thread, that the guest stands somewhere."""

    # --- from any thread --------------------------------------------------------------------------------------

    def ask(self, line: str) -> Answer:
        """Have a line answered between two instructions of the guest.

        Raises:
            ArmvcpuError: it can't be done; StateError where the run has ended.
        """
        return self.do(lambda: self._answer(line))

    def do(self, work: Callable[[], T]) -> T:
        """Have the run's thread do this between two instructions of the guest; what it gives.

        Raises:
            ArmvcpuError: what it raises; StateError where the run has ended.
        """
        request = _Request(work)
        with self._changed:
            if self._is_closed:
                raise StateError(ENDED)
            self._requests.append(request)
            self._call()
        with self._changed:
            self._changed.wait_for(lambda: request.is_done)
        if request.error is not None:
            raise request.error
        answer: T = request.answer
        return answer

    def want_prompt(self) -> None:
        """The terminal wants its prompt."""
        with self._changed:
            self._wants_prompt = True
            if not self._is_closed:
                self._call()

    def _call(self) -> None:
        """Have the run's thread look."""
        if self._is_standing:
            os.eventfd_write(self._wake, 1)
        else:
            self._pause()

    def close(self) -> None:
        """Nobody is answered any more; may be called twice."""
        with self._changed:
            if not self._is_closed:
                self._is_closed = True
                os.close(self._wake)
            self._refuse_all()

    def _refuse_all(self) -> None:
        for request in self._requests:
            request.error, request.is_done = StateError(ENDED), True
        self._requests.clear()
        self._changed.notify_all()

    # --- on the run's thread ----------------------------------------------------------------------------------

    def stopped(self, stop: Stop) -> None:
        """Answer what has been asked; return when the guest may go on."""
        with self._standing():
            said = ""
            if stop.kind in {StopKind.BREAKPOINT, StopKind.WATCHPOINT} and self._view.has_point(stop):
                said, self.is_held = describe_stop(self._view, stop), True
                self._tell(said)
            while True:
                self.serve()
                if self.talk is not None and (self._wants_prompt or self.is_held):
                    self._converse(self.talk, said)
                    said = ""
                with self._changed:
                    if self._patience.is_over or not (self.is_held or self._requests or self._wants_prompt):
                        self._is_standing = False
                        return
                self._wait()

    @contextmanager
    def _standing(self) -> Iterator[None]:
        """The guest stands still for the desk; what is asked when it does not any more has it stopped again."""
        with self._changed:
            self._is_standing = True
        try:
            yield
        finally:
            with self._changed:
                was_left, self._is_standing, self.is_held = self._is_standing, False, False
                if was_left and self._requests:
                    self._pause()

    def _wait(self) -> None:
        """Until something is asked, or the run is to end."""
        if self._patience.wait_for_input((self._wake,)):
            os.eventfd_read(self._wake)

    def _converse(self, talk: Talk, said: str) -> None:
        self._wants_prompt = False
        self._take(talk.converse(self, said))

    def ended(self, outcome: Outcome) -> bool:
        """The guest has ended. At a terminal a crash is looked at first, where there is a way back from it.

        Who asks later waits for another run, or that there will be none.
        """
        has_moved = self._looks_at(outcome)
        if not has_moved:
            with self._changed:
                self._refuse_all()
        return has_moved

    def _looks_at(self, outcome: Outcome) -> bool:
        """Has somebody taken the guest back from this end?"""
        view = self._view
        can_go_back = view.machine.history is not None or bool(view.snapshots)
        if self.talk is None or outcome.ending is not Ending.CRASHED or not can_go_back:
            return False
        view.has_moved = False
        with self._standing():
            self._converse(self.talk, f"armvcpu: {outcome.reason}\n{BACK_HINT}")
        return view.has_moved and not self._patience.is_over

    def serve(self) -> bool:
        """Do all that waits; has any of it the guest go on, or the run end?"""
        goes_on = False
        while True:
            with self._changed:
                if not self._requests:
                    return goes_on
                request = self._requests.popleft()
            try:
                request.answer = request.work()
                if isinstance(request.answer, Answer):
                    goes_on = self._take(request.answer.then) or goes_on
            except ArmvcpuError as refused:
                request.error = refused
            except Exception as bug:
                request.error = InternalError(f"{type(bug).__name__}: {bug}")
            with self._changed:
                request.is_done = True
                self._changed.notify_all()

    def _take(self, then: Then) -> bool:
        """Does the guest go on, or the run end?"""
        if then in {Then.STAY, Then.HOLD}:
            self.is_held = self.is_held or then is Then.HOLD
            return False
        self.is_held = False
        return True

    def _tell(self, said: str) -> None:
        for hear in self.hear:
            hear(said)
