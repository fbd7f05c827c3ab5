"""What becomes of a call, by ranges of function identifiers, before any service is asked."""

from __future__ import annotations

from enum import Enum

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError, kind_in

if TYPE_CHECKING:
    from collections.abc import Iterable


class CallAction(Enum):
    """A call is answered by a service here, an exit of the vCPU, or NOT_SUPPORTED."""

    ANSWER = "answer"
    EXIT = "exit"
    REFUSE = "refuse"


def check_identifiers(function_ids: range, others: Iterable[range], done: str) -> None:
    """UsageError for what is no range of function identifiers, or overlaps one of the others, which are `done`."""
    kind_in("what is given of function identifiers", function_ids, range)
    first, stop = function_ids.start, function_ids.stop
    if function_ids.step != 1 or not 0 <= first < stop <= 1 << 32:
        raise UsageError(f"{function_ids} is no range of function identifiers: 0 to {(1 << 32) - 1:#x}, step 1")
    for other in others:
        if first < other.stop and other.start < stop:
            raise UsageError(f"calls {first:#x} to {stop - 1:#x} are {done} already from {other.start:#x} on")


class CallFilter:
    """Ranges that do not overlap, each with its action."""

    def __init__(self) -> None:
        self._ranges: list[tuple[range, CallAction]] = []

    def add(self, function_ids: range, action: CallAction) -> None:
        """See `SmcServices.filter`."""
        kind_in("what becomes of a call", action, CallAction)
        check_identifiers(function_ids, (known for known, _ in self._ranges), "filtered")
        self._ranges.append((function_ids, action))

    def action(self, function_id: int) -> CallAction:
        """What the filter says of a call; ANSWER where it says nothing."""
        for function_ids, action in self._ranges:
            if function_id in function_ids:
                return action
        return CallAction.ANSWER
