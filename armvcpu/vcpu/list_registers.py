"""The interrupts of one virtual CPU interface: 16 list registers, and what waits for one of them.

This is the hypervisor's half of IHI 0069 chapter 6 ("Virtual interrupt handling and prioritization"),
kept apart from the registers that a guest sees in `icv.py`.
"""

from __future__ import annotations

from armvcpu.arch.static import Any
from armvcpu.errors import UsageError

LIST_REGISTERS = 16
FIRST_SPECIAL_INTID, FIRST_LPI, _LAST_INTID = 1020, 8192, 0xFFFF


class ListRegister:
    """One interrupt, as ICH_LR<n>_EL2 holds it; pending and active may both be set (4.1)."""

    __slots__ = ("active", "intid", "pending", "priority")

    def __init__(self, intid: int, priority: int, pending: bool = True, active: bool = False) -> None:
        self.intid, self.priority, self.pending, self.active = intid, priority, pending, active

    def state(self) -> dict[str, Any]:
        """What it holds, by name."""
        return {name: getattr(self, name) for name in ("intid", "priority", "pending", "active")}


class ListRegisters:
    """Every interrupt that is pending or active; only those in a list register can be signalled."""

    def __init__(self) -> None:
        self._lrs: list[ListRegister] = []
        self._waiting: list[ListRegister] = []

    def inject(self, intid: int, priority: int) -> None:
        """Make pending; pending twice is pending once. UsageError for an INTID that no SGI, PPI, SPI or LPI has."""
        if not (0 <= intid < FIRST_SPECIAL_INTID or FIRST_LPI <= intid <= _LAST_INTID):
            raise UsageError(f"interrupt {intid} cannot be injected; give 0 to 1019, or an LPI from 8192 to 65535")
        for entry in (*self._lrs, *self._waiting):
            if entry.intid == intid:
                entry.pending = True
                return
        self._waiting.append(ListRegister(intid, priority))
        self._fill()

    def highest_pending(self) -> ListRegister | None:
        """The most urgent that can be signalled: one that is active too waits for its end (4.1)."""
        signallable = (entry for entry in self._lrs if entry.pending and not entry.active)
        return min(signallable, key=lambda entry: entry.priority, default=None)

    def acknowledge(self, intid: int) -> None:
        """From pending to active; an LPI has no active state (4.1)."""
        for entry in self._lrs:
            if entry.intid == intid:
                entry.pending = False
                entry.active = intid < FIRST_LPI
        self._fill()

    def deactivate(self, intid: int) -> None:
        """From active to inactive, or to pending where both were set."""
        for entry in self._lrs:
            if entry.intid == intid:
                entry.active = False
        self._fill()

    def _fill(self) -> None:
        """Drop what is over. What is active stays, then come the most urgent, the earlier first among equals."""
        entries = [entry for entry in (*self._lrs, *self._waiting) if entry.active or entry.pending]
        entries.sort(key=lambda entry: (not entry.active, entry.priority))
        self._lrs, self._waiting = entries[:LIST_REGISTERS], entries[LIST_REGISTERS:]

    def state(self) -> list[dict[str, Any]]:
        """Everything that a snapshot must keep."""
        return [entry.state() for entry in (*self._lrs, *self._waiting)]

    def load_state(self, state: list[dict[str, Any]]) -> None:
        """Return to a state that `state()` gave."""
        self._lrs, self._waiting = [], [ListRegister(**fields) for fields in state]
        self._fill()
