"""How much a device does at once for a guest that chooses how much there is to do.

The guest stands still while a device works for it, and so does the run loop, which hears time-outs and signals. So what
a guest can make as long as it likes (a disk request of 4 GiB, a thousand requests at once) is done in pieces: a device
spends a `Budget`, and where that is used up, it has its deadline come at once, which gives the run loop its turn, and
goes on then. A budget counts work, never the host's time: a run that repeats is interrupted at the same places.
"""

from __future__ import annotations

SLICE = 2 << 20
"""Units that one callback may spend: bytes that are copied. Some 2 ms, and on a slow host or disk not over 20."""


class Budget:
    """What is left for one callback. Work is begun while there is anything left, so the last piece may be too much."""

    __slots__ = ("left",)

    def __init__(self, left: int = SLICE) -> None:
        self.left = left

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
