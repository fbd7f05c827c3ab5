"""What becomes of a call, by ranges of function identifiers, before any service is asked."""

from __future__ import annotations

from enum import Enum

from armvcpu.errors import UsageError


class CallAction(Enum):
    """A call is answered by a service here, an exit of the vCPU, or NOT_SUPPORTED."""

    ANSWER = "answer"
    EXIT = "exit"
    REFUSE = "refuse"


class CallFilter:
    """Ranges that do not overlap, each with its action."""

    def __init__(self) -> None:
        self._ranges: list[tuple[range, CallAction]] = []

    def add(self, function_ids: range, action: CallAction) -> None:
        """See `SmcServices.filter`."""
        first, stop = function_ids.start, function_ids.stop
        if function_ids.step != 1 or not 0 <= first < stop <= 1 << 32:
            raise UsageError(f"{function_ids} is no range of function identifiers: 0 to {(1 << 32) - 1:#x}, step 1")
        for other, _ in self._ranges:
            if first < other.stop and other.start < stop:
                raise UsageError(f"calls {first:#x} to {stop - 1:#x} are filtered already from {other.start:#x} on")
        self._ranges.append((function_ids, action))

    def action(self, function_id: int) -> CallAction:
        """What the filter says of a call; ANSWER where it says nothing."""
        for function_ids, action in self._ranges:
            if function_id in function_ids:
                return action
        return CallAction.ANSWER
