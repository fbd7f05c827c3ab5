"""What a run has come to, in the words of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from armvcpu.machine.outcome import Outcome

_VERDICTS = {
    Ending.POWERED_OFF: "passed",
    Ending.REPORTED_FAILURE: "failed",
    Ending.CRASHED: "crashed",
    Ending.LIMIT: "ended",
    Ending.STOPPED: "ended",
}


def verdict_of(outcome: Outcome) -> str:
    """One of the page's VERDICTS."""
    return _VERDICTS[outcome.ending]
