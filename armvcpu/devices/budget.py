"""How much a device does at once for a guest that chooses how much there is to do.

The guest stands still while a device works for it, and so does the run loop, which hears time-outs and signals. So what
a guest can make as long as it likes (a disk request of 4 GiB, a thousand requests at once) is done in pieces: a device
spends a `Budget`, and where that is used up, it goes on after a `Pause`, when run loop and guest have had their turn.
Both count work and the machine's time, never the host's: a run that repeats is interrupted at the same places.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.deadline import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.wires import Wires

SLICE = 2 << 20
"""Units that one callback may spend: bytes that are copied. Some 2 ms, and on a slow host or disk not over 20."""
PAUSE_NS = 50_000
"""Time of the machine between two pieces of the same work."""


class Budget:
    """What is left for one callback. Work is begun while there is anything left, so the last piece may be too much."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = SLICE

    def spend(self, units: int) -> None:
        """So much has been done."""
        self.left -= units

    def spend_all(self) -> None:
        """Something has been done of which nobody knows how long it takes, as having a disk write what it holds."""
        self.left = 0

    @property
    def is_spent(self) -> bool:
        """Is it the run loop's turn?"""
        return self.left <= 0


class Pause:
    """Has a device called back (`go_on`) when it may do the next piece of what is left."""

    def __init__(self, wires: Wires, go_on: Callable[[], None]) -> None:
        self._clock = wires.clock
        self._deadline = wires.schedule.add(go_on)

    def begin(self) -> None:
        """There is more to do."""
        self._deadline.set(self._clock.ns() + PAUSE_NS)

    def end(self) -> None:
        """There is nothing more to do."""
        self._deadline.clear()

    def state(self) -> int | None:
        """What is left of it, ns; None where nothing is to be done."""
        moment = self._deadline.moment
        return None if moment == NEVER else max(0, moment - self._clock.ns())

    def load_state(self, left: int | None) -> None:
        """Return to a state that `state()` gave."""
        self._deadline.set(NEVER if left is None else self._clock.ns() + left)
