"""The state of interrupts, one state machine for both GIC versions: IHI 0069 4.1 "The interrupt lifecycle".

An interrupt is inactive, pending, active, or active and pending:

                 line or software          acknowledge            deactivate
    inactive  ----------------->  pending  ------------>  active  ------------>  inactive
                                           ------------>  active and pending --->  pending
                                   (the level is still there)

A level-sensitive interrupt is pending while its line is asserted, or once software has set it pending; an
edge-triggered one is pending from its line's rising edge (the figure at GICD_ISPENDR in IHI 0048 4.3.7).
Acknowledging clears what was latched, but not the line.

A bank holds many interrupts as bitmaps, Python integers whose bit n is INTID n: every event is then a handful of
operations however many interrupts there are, and nothing scans them.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import BOTH_GROUPS, GROUP1, INTID_AT, NOTHING, PRIORITY_AT, PRIORITY_MASK
from armvcpu.arch.static import Any

_STORED = ("line", "latched", "active", "enabled", "edge", "group1")


class InterruptBank:
    """The interrupts of one CPU (SGIs and PPIs), or those that all share (SPIs); INTIDs outside ignore all.

    `always_edge` and `always_enabled` are bitmaps of interrupts that software can't configure so.
    """

    def __init__(self, intids: range, *, always_edge: int = 0, always_enabled: int = 0) -> None:
        self.intids = intids
        self.valid = (1 << intids.stop) - (1 << intids.start)
        self.always_edge, self.always_enabled = always_edge, always_enabled
        self.line = 0
        self._to_lose: dict[int, int] = {}
        self._lost = 0
        self.reset()

    def reset(self) -> None:
        """The state after reset. The level of the lines belongs to who drives them, and stays."""
        self.latched = self.active = self.group1 = 0
        self.enabled, self.edge = self.always_enabled, self.always_edge
        self.priorities = bytearray(self.intids.stop)
        self._at = {0: self.valid}  # priority -> its interrupts, in ascending order of the priority
        self.settle()

    def settle(self) -> None:
        """Find what could be signalled, after any change."""
        self.ready = (self.latched | self.line & ~self.edge) & self.enabled & ~self.active
        """Pending, enabled and not active; who may take it is not decided here."""

    @property
    def pending(self) -> int:
        """Bitmap of the pending interrupts."""
        return self.latched | self.line & ~self.edge

    def group_of(self, intid: int) -> int:
        """The number of an interrupt's group."""
        return self.group1 >> intid & 1

    def opened_to_nonsecure(self, access: int) -> int:
        """Bitmap of the Secure interrupts that GICD_NSACR opens to Non-secure software this far, or farther: none."""
        del access
        return 0

    # --- events

    def set_level(self, intid: int, level: bool) -> bool:
        """The interrupt's line changes, or is driven to what it was; does that change what could be signalled?

        Mostly not: a handler has its device take the level back while the interrupt is active.
        """
        bit = 1 << intid & self.valid
        if self._to_lose and self._is_lost(intid, bit, level):
            return False
        if level:
            self.latched |= bit & self.edge & ~self.line
            self.line |= bit
        else:
            self.line &= ~bit
        before = self.ready
        self.ready = ready = (self.latched | self.line & ~self.edge) & self.enabled & ~self.active  # as in `settle`
        return ready != before

    def acknowledge(self, intid: int) -> None:
        """Pending becomes active, and stays pending if the line is still asserted."""
        bit = 1 << intid
        self.latched &= ~bit
        self.active |= bit
        self.ready &= ~bit

    def deactivate(self, intid: int) -> None:
        """Active becomes inactive; active and pending becomes pending."""
        bit = 1 << intid
        self.active &= ~bit
        self.ready |= (self.latched | self.line & ~self.edge) & self.enabled & bit

    def set_pending(self, intids: int) -> None:
        """Software sets these pending."""
        self.latched |= intids & self.valid
        self.settle()

    def clear_pending(self, intids: int) -> None:
        """Software takes it back; a level that is asserted keeps its interrupt pending."""
        self.latched &= ~intids
        self.settle()

    # --- a fault to inject

    def lose(self, intid: int, count: int) -> None:
        """The next `count` assertions of a line don't arrive, each until the line falls; 0: all arrive again.

        One that arrives again while it is asserted does so when its line is driven the next time.
        """
        self._lost &= ~(1 << intid)
        self._to_lose.pop(intid, None)
        if count:
            self._to_lose[intid] = count

    def _is_lost(self, intid: int, bit: int, level: bool) -> bool:
        if self._lost & bit:
            if not level:
                self._lost &= ~bit
                if not self._to_lose[intid]:
                    del self._to_lose[intid]
            return True
        if level and not self.line & bit and self._to_lose.get(intid):
            self._to_lose[intid] -= 1
            self._lost |= bit
            return True
        return False

    # --- priority

    def highest(self, candidates: int, groups: int = BOTH_GROUPS) -> int:
        """The rank of the most urgent interrupt of these groups in a bitmap, or NOTHING (`arch/gic_cpu_interface.py`).

        Of equal priorities the lowest INTID goes first, which the architecture leaves open (4.8).
        """
        if groups != BOTH_GROUPS:
            candidates &= self.group1 if groups == GROUP1 else ~self.group1 if groups else 0
        if not candidates:
            return NOTHING
        if not candidates & (candidates - 1):
            intid = candidates.bit_length() - 1
            return self.priorities[intid] << PRIORITY_AT | intid << INTID_AT | self.group1 >> intid & 1
        for priority, intids in self._at.items():
            hit = candidates & intids
            if hit:
                intid = (hit & -hit).bit_length() - 1
                return priority << PRIORITY_AT | intid << INTID_AT | self.group1 >> intid & 1
        return NOTHING

    def set_priority(self, intid: int, priority: int) -> None:
        """Give one interrupt a priority of 8 bits, of which the upper five are kept."""
        priority &= PRIORITY_MASK
        bit = 1 << intid & self.valid
        old = self.priorities[intid] if bit else priority
        if priority == old:
            return
        self.priorities[intid] = priority
        self._at[old] &= ~bit
        if not self._at[old]:
            del self._at[old]
        if priority in self._at:
            self._at[priority] |= bit
        else:
            self._at = dict(sorted({**self._at, priority: bit}.items()))

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return {name: getattr(self, name) for name in _STORED} | {"priorities": bytes(self.priorities)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        for name in _STORED:
            setattr(self, name, state[name])
        for intid in self.intids:
            self.set_priority(intid, state["priorities"][intid])
        self.settle()
