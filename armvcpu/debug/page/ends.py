"""What a run has come to, in the words of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.report import CrashReport
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


def report_of(outcome: Outcome) -> CrashReport | None:
    """That of a crash or a hang, where there is one."""
    details = outcome.details
    return details if isinstance(details, CrashReport) else None
