"""Who wants a run to end, and how the last one did."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.outcome import STOPPED, Ending

if TYPE_CHECKING:
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.outcome import Outcome
    from armvcpu.machine.running.attention import Attention


class EndRequest:
    """Asked for by the guest's own doing or by the host; the run loop takes it, and notes how the run has ended.

    After an end that the host wanted (a signal, the console, a time-out, a limit) the guest can go on: its state is
    that between two instructions. After one that the guest made (power off, semihosting exit, a crash) it can't.

    The host's may come from any thread, and from a signal handler between two of this one's own instructions. So an end
    and a stop for a debugger have a place each: an end that comes while a stop is taken is not lost with it.
    """

    def __init__(self, attention: Attention, patience: Patience) -> None:
        self._attention = attention
        self.patience = patience
        """Ends with the run: whoever waits for the host on its behalf waits with it."""
        self.wanted: Outcome | None = None
        """What a handler has asked for in this run."""
        self._by_host: Outcome | None = None
        self._is_stop_wanted = False
        """Does a debugger want one, after which the run goes on?"""
        self.last: Outcome | None = None
        """How the last run ended; None before the first end."""
        self.can_go_on = True
        """Has there been no run yet, or did the host end the last one?"""

    def begin(self) -> None:
        """A run begins. What a handler asked for in an earlier one is void; what the host asked for ends this one."""
        self.wanted = None
        if self._by_host is None:
            self.patience.renew()
            if self.is_wanted:  # it has come meanwhile
                self.patience.end()

    def by_guest(self, outcome: Outcome) -> None:
        """From a handler in the guest's trap, which makes an exit or calls for attention: so the run ends then."""
        self.wanted = outcome

    def by_host(self, outcome: Outcome) -> None:
        """From any thread, or a signal handler: end the run soon, or the next one where none is at work.

        The first one that is asked for counts; but a debugger's stop, after which the run goes on, gives way.
        """
        if outcome is STOPPED:
            self._is_stop_wanted = True
        elif self._by_host is None:
            self._by_host = outcome
        if outcome.ending is not Ending.STOPPED:
            self.patience.end()
        self._attention.call()

    def by_recording(self, outcome: Outcome) -> None:
        """A run that is repeated has come to its end: nobody is in a hurry."""
        if self._by_host is None:
            self._by_host = outcome

    def time_has_come(self) -> None:
        """From any thread, at the time-out: the run loop ends the run when it looks, and nobody keeps it from that."""
        self.patience.end()
        self._attention.call()

    @property
    def is_wanted(self) -> bool:
        """Has the host asked for an end, of this run or the next? A stop for a debugger is none."""
        return self._by_host is not None

    def take(self) -> Outcome | None:
        """How the run is to end now, if it is; what the host asked for is done with then."""
        if self.wanted is not None:
            return self.wanted
        outcome = self._by_host
        if outcome is not None:
            self._by_host = None
        elif self._is_stop_wanted:
            outcome = STOPPED
        else:
            return None
        self._is_stop_wanted, self.can_go_on = False, True
        return outcome

    def wish(self, outcome: Outcome | None) -> Outcome | None:
        """The outcome of a run, where the host wanted it; it is not the run's own limit, nor a debugger's stop."""
        is_none = outcome is None or outcome is STOPPED or outcome.status == Ending.LIMIT.value
        return None if is_none or not self.can_go_on else outcome

    def go_back(self) -> None:
        """The guest is where it was before it ended."""
        self.wanted, self.can_go_on = None, True

    def note(self, outcome: Outcome) -> Outcome:
        """The run has ended so; a quit that was asked of it meanwhile is done with.

        A signal is not, and neither is a quit where the run ended by a limit, or for a debugger: that may be a slice of
        a longer one.
        """
        self.last = outcome
        if outcome.ending is not Ending.LIMIT:
            self._is_stop_wanted = False
            if outcome is not STOPPED and self._by_host is not None and self._by_host.ending is not Ending.LIMIT:
                self._by_host = None
        if outcome.ending is Ending.STOPPED:
            self.can_go_on = True
        return outcome
