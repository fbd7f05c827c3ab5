"""A GIC's CPU interface: which interrupt a CPU is told of, and what acknowledging and ending one does. IHI 0069 4.8.

In this layer because two others have such interfaces that never meet: the machine's interrupt controller has one for
each CPU (`devices/gic`, in both GIC versions), and a hypervisor shows its guest a virtual one (`vcpu/icv.py`). The
rules are the same; they differ in where interrupts come from:

                   priority mask, binary points, enables          rank of the most urgent
    registers ---> +---------------------------------+ <--- `_highest` --------------------- interrupts: a Distributor's
      (gic_icc.py, |   what is signalled, and what   |                                      or a hypervisor's list
      GICC_*)      |   runs: active priorities       | ---> `_activate`, `_deactivate` ---> registers
                   +---------------------------------+
                          | IRQ, FIQ

Groups are Group 0 and (Non-secure) Group 1; there is one Security state, so priorities are seen as they are. Five bits
of priority and of preemption are implemented, so one active priorities register of 32 bits is all of its array.
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import SPURIOUS
from armvcpu.arch.static import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

PRIORITY_MASK = 0xF8
"""Five bits of priority are implemented: 32 levels, a smaller number is more urgent."""
IDLE_PRIORITY = 0xFF
"""What the running priority register reads while no interrupt is active."""
MIN_BPR0, MIN_BPR1, MAX_BPR = 2, 3, 7
GROUP0, GROUP1, BOTH_GROUPS = 0b01, 0b10, 0b11
"""Groups as a bitmap."""
PRIORITY_AT, INTID_AT = 17, 1
"""A rank is `priority << 17 | INTID << 1 | group`: of two interrupts the smaller rank goes first."""
NOTHING = IDLE_PRIORITY << PRIORITY_AT | SPURIOUS << INTID_AT | 1
"""The rank of no interrupt at all: idle priority, the spurious INTID, and Group 1."""

_INTID_MASK = 0xFFFF
_NOT_RUNNING = 0x100  # less urgent than any priority, also with every bit of a priority masked
_LEVEL_SHIFT = 3  # a group priority's number in an active priorities register is its upper five bits
_STORED = ("pmr", "bpr0", "bpr1", "cbpr", "eoi_mode", "enabled_groups", "apr0", "apr1")


class CpuInterface:
    """What both kinds have in common; a subclass has the interrupts.

    `irq` and `fiq` are called with the level of an output when it changes; Group 0 is signalled as FIQ unless
    `group0_is_fiq` is cleared. `groups` are those that have interrupts, as a bitmap: another one can't be enabled.
    Ending an INTID of `reserved` does nothing.
    """

    def __init__(
        self,
        irq: Callable[[bool], None],
        fiq: Callable[[bool], None],
        *,
        reserved: range,
        groups: int = BOTH_GROUPS,
    ) -> None:
        self._irq, self._fiq = irq, fiq
        self.mask_words = memoryview(bytearray(32)).cast("Q")
        """ICC_PMR_EL1 as whoever executes the guest may keep it: its value, the lowest and the highest with which what
        is signalled stays as it is, and the bits that it has. Guests write it at each critical section."""
        self.mask_words[3] = PRIORITY_MASK
        self._reserved, self._groups = reserved, groups
        self._irq_level = self._fiq_level = False
        self._observe: Callable[[str, int], None] | None = None
        self.forwarded_groups = groups
        """Those that the Distributor forwards, as a bitmap; so is `enabled_groups`."""
        self._clear()
        self.update()

    def _clear(self) -> None:
        self.pmr = self.apr0 = self.apr1 = 0
        self.bpr0, self.bpr1 = MIN_BPR0, MIN_BPR1
        self.cbpr = self.eoi_mode = self.enabled_groups = 0
        self.group0_is_fiq = True
        self.settle()

    def reset(self) -> None:
        """The state after a reset of the CPU; what is pending or active stays so."""
        self._clear()
        self.update()

    def observe(self, observe: Callable[[str, int], None] | None) -> None:
        """Have `observe` hear of each INTID that the guest acknowledges ("acknowledge") or ends ("end")."""
        self._observe = observe

    @property
    def pending(self) -> bool:
        """Is an interrupt signalled, which would end a WFI whatever PSTATE masks (DDI 0487 D1.6.2)?"""
        return self.signalled

    # --- where interrupts come from

    def _highest(self, groups: int) -> int:
        """The rank of the most urgent interrupt of these groups that is pending and not active, or NOTHING."""
        raise NotImplementedError

    def _activate(self, intid: int) -> None:
        """A pending interrupt becomes active; then have everybody concerned `update`, this interface first."""
        raise NotImplementedError

    def _deactivate(self, intid: int) -> None:
        """An active one no longer is; likewise. Nothing but that where it is not active."""
        raise NotImplementedError

    # --- what there is to signal

    def settle(self) -> None:
        """Derive what depends on BPR, CBPR and the active priorities; before `update`, where they have changed."""
        # "Priority grouping": Group 0 compares bits [7:BPR + 1], Group 1 bits [7:BPR].
        self._group_mask: tuple[int, ...] = (-1 << self.bpr0 + 1, -1 << (self.bpr0 + 1 if self.cbpr else self.bpr1))
        self._settle_running()

    def _settle_running(self) -> None:
        apr0, apr1 = self.apr0, self.apr1
        active = apr0 | apr1
        if active:
            lowest = active & -active
            self._running = lowest.bit_length() - 1 << _LEVEL_SHIFT
            self.active_group: int | None = 0 if apr0 & lowest else 1
            """The group of the running priority, or None."""
        else:
            self._running, self.active_group = _NOT_RUNNING, None

    def update(self) -> None:
        """Find the highest priority pending interrupt, and drive the outputs that change."""
        rank = self._highest(self.enabled_groups & self.forwarded_groups)
        self.hppi = rank >> INTID_AT & _INTID_MASK
        """The highest priority pending interrupt of the enabled groups, or 1023."""
        self.hppi_priority = priority = rank >> PRIORITY_AT
        self.hppi_group = group = rank & 1
        mask = self._group_mask[group]
        # A sufficient priority, which that of NOTHING never is, and a higher group priority than what is running
        # ("Preemption").
        words = self.mask_words
        preempts = priority & mask < self._running & mask
        self.signalled = signalled = preempts and priority < words[0]
        words[1] = priority + 1 if signalled else 0
        words[2] = priority if preempts and not signalled else IDLE_PRIORITY
        fiq = signalled and not group and self.group0_is_fiq
        irq = signalled and not fiq
        if fiq != self._fiq_level:
            self._fiq_level = fiq
            self._fiq(fiq)
        if irq != self._irq_level:
            self._irq_level = irq
            self._irq(irq)

    # --- what the guest does

    def acknowledge(self) -> int:
        """The signalled interrupt becomes active and its priority the running one; its INTID.

        To be called only while `signalled`.
        """
        intid, group = self.hppi, self.hppi_group
        self._running, self.active_group = self.hppi_priority & self._group_mask[group], group
        level = 1 << (self._running >> _LEVEL_SHIFT)
        if group:
            self.apr1 |= level
        else:
            self.apr0 |= level
        self._activate(intid)
        if self._observe is not None:
            self._observe("acknowledge", intid)
        return intid

    def end_of_interrupt(self, intid: int, group: int) -> None:
        """Drop the running priority and, with EOImode 0, deactivate the interrupt too (4.1).

        Ignored for an INTID that is none, and where the running priority is not one of this group, which the
        architecture makes UNPREDICTABLE (12.2, ICC_EOIR1_EL1).
        """
        if self.active_group != group or intid in self._reserved:
            return
        if self._observe is not None:
            self._observe("end", intid)
        if group:
            self.apr1 &= self.apr1 - 1
        else:
            self.apr0 &= self.apr0 - 1
        self._settle_running()
        if self.eoi_mode:
            self.update()
        else:
            self._deactivate(intid)

    def deactivate(self, intid: int) -> None:
        """Deactivate separately; without effect while EOImode is 0."""
        if self.eoi_mode and intid not in self._reserved:
            self._deactivate(intid)

    @property
    def running_priority(self) -> int:
        """The highest active group priority, or IDLE_PRIORITY."""
        return IDLE_PRIORITY if self._running == _NOT_RUNNING else self._running

    # --- control

    def enable(self, group: int, enabled: int) -> None:
        """Signal interrupts of a group, or don't."""
        self.enabled_groups = (self.enabled_groups & ~(1 << group) | (enabled & 1) << group) & self._groups
        self.update()

    @property
    def pmr(self) -> int:
        """The priority mask."""
        return self.mask_words[0]

    @pmr.setter
    def pmr(self, value: int) -> None:
        self.mask_words[0] = value

    def set_pmr(self, value: int) -> None:
        """Set the priority mask."""
        words, value = self.mask_words, value & PRIORITY_MASK
        if words[1] <= value <= words[2]:
            words[0] = value
        else:
            self.pmr = value
            self.update()

    def set_bpr(self, group: int, value: int) -> None:
        """Set a binary point; less than the smallest that is supported gives that one (12.2, ICC_BPR1_EL1)."""
        if group:
            self.bpr1 = max(value & MAX_BPR, MIN_BPR1)
        else:
            self.bpr0 = max(value & MAX_BPR, MIN_BPR0)
        self.settle()
        self.update()

    def set_modes(self, cbpr: int, eoi_mode: int) -> None:
        """Set CBPR (Group 1 uses BPR0 as well) and EOImode (the end of an interrupt does not deactivate it)."""
        self.cbpr, self.eoi_mode = cbpr, eoi_mode
        self.settle()
        self.update()

    def set_apr(self, group: int, value: int) -> None:
        """Set the active priorities of a group, 32 bits; of one without interrupts there are none."""
        value &= 0xFFFF_FFFF if self._groups >> group & 1 else 0
        if group:
            self.apr1 = value
        else:
            self.apr0 = value
        self.settle()
        self.update()

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return {name: getattr(self, name) for name in _STORED}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        for name in _STORED:
            setattr(self, name, state[name])
        self.settle()
        self.update()
