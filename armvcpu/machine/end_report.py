"""The report of how a run ended, which is made when somebody reads it.

Runs end at limits by the thousand, where a script runs the guest a slice at a time, and of most nobody wants to know
where the guest is. So such an end has no more than the way to its report. Reading it makes it; so does closing the
machine while somebody still has the outcome. Where the guest has gone on unread, what it would say is gone with the
guest's state: then it says where the run ended, and that.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class CausePlace(Protocol):
    """An address of the guest's, with its names."""

    @property
    def pc(self) -> int:
        """The address, 64 bits."""

    @property
    def symbol(self) -> str:
        """As `main+0x1c`; empty where none is known."""


class Details(Protocol):
    """What there is to tell, as `debug.report.CrashReport` has it, which is above this layer."""

    @property
    def hint(self) -> str:
        """What to do about it, in one line; empty where nothing is obvious."""

    @property
    def cause(self) -> str:
        """What happened, in one line."""

    @property
    def cause_at(self) -> CausePlace:
        """Where that was."""

    def render(self) -> str:
        """As text, with a newline at its end."""

    def render_short(self) -> str:
        """As some lines: where a guest is that hangs."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""


class EndReport:
    """Of one end; `make` gives what is to be known, as long as the machine is where the run ended."""

    __slots__ = ("__weakref__", "_details", "_make", "_text")

    def __init__(self, make: Callable[[], Details]) -> None:
        self._make: Callable[[], Details] | None = make
        self._details: Details | None = None
        self._text: Callable[[], str] | None = None

    @property
    def details(self) -> Details | None:
        """As data; None where the guest has gone on before anybody asked."""
        self.settle()
        return self._details

    @property
    def text(self) -> str:
        """For people, with a newline at its end."""
        details = self.details
        if details is not None:
            return details.render()
        assert self._text is not None
        return self._text()

    def settle(self) -> None:
        """Make it now: what comes next changes the machine, or takes it away."""
        if self._make is not None:
            make, self._make = self._make, None  # which has the machine
            self._details = make()

    def lapse(self, text: Callable[[], str]) -> None:
        """The guest goes on; unless it has been made, `text` is all that it says."""
        if self._make is not None:
            self._make, self._text = None, text

    def __eq__(self, other: object) -> bool:
        return self.text == other.text if isinstance(other, EndReport) else NotImplemented

    def __hash__(self) -> int:
        return hash(EndReport)  # of a text that may not be there yet

    def __repr__(self) -> str:
        return "<report>"

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (self.text,)
