"""What one CPU is told of interrupts: prioritization and preemption, IHI 0069 4.8, the same in both GIC versions.

`gicv3_icc.py` shows this to the guest as system registers, `gicv2_cpu.py` as memory-mapped ones. Groups are Group 0
and (Non-secure) Group 1; there is one Security state, so priorities are seen as they are.
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import FIRST_SPI
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.state import NOTHING, PRIORITY_MASK, InterruptBank

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine

IDLE_PRIORITY = 0xFF
"""What the running priority register reads while no interrupt is active."""
MIN_BPR0, MIN_BPR1, MAX_BPR = 2, 3, 7
BOTH_GROUPS = 0b11

_NOT_RUNNING = 0x100  # less urgent than any priority, also with every bit of a priority masked
_LEVEL_SHIFT = 3  # a group priority's number in an active priorities register is its upper five bits
_INTID_MASK = 0x3FF
_STORED = ("pmr", "bpr0", "bpr1", "cbpr", "eoi_mode", "enabled_groups", "apr0", "apr1")


class CpuInterface:
    """One CPU's interface over its own interrupts and those of the SPIs that are routed to it.

    `spi_changed` is told an SPI's INTID when this CPU acknowledged or ended it. `enabled_groups` and the groups that
    the Distributor forwards are bitmaps: bit 0 is Group 0, bit 1 is Group 1.
    """

    def __init__(
        self,
        private: InterruptBank,
        shared: InterruptBank,
        irq: SignalLine,
        fiq: SignalLine,
        spi_changed: Callable[[CpuInterface, int], None],
    ) -> None:
        self.private, self.shared = private, shared
        self._irq, self._fiq = irq, fiq
        self._spi_changed = spi_changed
        self._irq_level = self._fiq_level = False
        self.on_interrupt: Callable[[str, int], None] | None = None
        """Hears of an INTID that the guest acknowledges ("acknowledge") or ends ("end")."""
        self.routed = 0
        """Bitmap of the SPIs that this CPU may take."""
        self.forwarded_groups = 0
        self._clear()

    def _clear(self) -> None:
        self.pmr = self.apr0 = self.apr1 = 0
        self.bpr0, self.bpr1 = MIN_BPR0, MIN_BPR1
        self.cbpr = self.eoi_mode = self.enabled_groups = 0
        self.group0_is_fiq = True
        self.settle()

    def reset(self) -> None:
        """The state after a reset of the CPU; what is pending or active in the Distributor stays so."""
        self._clear()
        self.update()

    @property
    def pending(self) -> bool:
        """Is an interrupt signalled, which would end a WFI whatever PSTATE masks (DDI 0487 D1.6.2)?"""
        return self.signalled

    # --- what there is to signal

    def settle(self) -> None:
        """Derive what depends on BPR, CBPR and the active priorities."""
        # "Priority grouping": Group 0 compares bits [7:BPR + 1], Group 1 bits [7:BPR].
        self._group_mask = (-1 << self.bpr0 + 1, -1 << (self.bpr0 + 1 if self.cbpr else self.bpr1))
        active = self.apr0 | self.apr1
        self._running = (active & -active).bit_length() - 1 << _LEVEL_SHIFT if active else _NOT_RUNNING

    def update(self) -> None:
        """Find the highest priority pending interrupt, and drive the outputs that change."""
        private, shared = self.private.ready, self.shared.ready & self.routed
        rank = NOTHING
        if private or shared:
            groups = self.enabled_groups & self.forwarded_groups
            if groups != BOTH_GROUPS:
                private, shared = self._of_groups(groups, private, shared)
            rank = min(self.private.highest(private), self.shared.highest(shared))
        self.hppi = rank & _INTID_MASK
        """The highest priority pending interrupt of the enabled groups, or 1023."""
        self.hppi_priority = rank >> 10
        if rank == NOTHING:
            self.hppi_group, self.signalled = 1, False
        else:
            self.hppi_group = self._bank(self.hppi).group1 >> self.hppi & 1
            mask = self._group_mask[self.hppi_group]
            # A sufficient priority, and a higher group priority than what is running ("Preemption").
            self.signalled = self.hppi_priority < self.pmr and self.hppi_priority & mask < self._running & mask
        self._drive()

    def _of_groups(self, groups: int, private: int, shared: int) -> tuple[int, int]:
        """Those of these candidates whose group is one of `groups`."""
        if groups == 0:
            return 0, 0
        if groups == 1:
            return private & ~self.private.group1, shared & ~self.shared.group1
        return private & self.private.group1, shared & self.shared.group1

    def _drive(self) -> None:
        fiq = self.signalled and self.hppi_group == 0 and self.group0_is_fiq
        irq = self.signalled and not fiq
        if fiq != self._fiq_level:
            self._fiq_level = fiq
            self._fiq(fiq)
        if irq != self._irq_level:
            self._irq_level = irq
            self._irq(irq)

    def _bank(self, intid: int) -> InterruptBank:
        return self.private if intid < FIRST_SPI else self.shared

    # --- what the guest does

    def acknowledge(self) -> int:
        """The signalled interrupt becomes active and its priority the running one; its INTID.

        To be called only while `signalled`.
        """
        intid = self.hppi
        self._running = self.hppi_priority & self._group_mask[self.hppi_group]
        level = 1 << (self._running >> _LEVEL_SHIFT)
        if self.hppi_group:
            self.apr1 |= level
        else:
            self.apr0 |= level
        self._bank(intid).acknowledge(intid)
        self._changed(intid)
        if self.on_interrupt is not None:
            self.on_interrupt("acknowledge", intid)
        return intid

    def active_group(self) -> int | None:
        """The group of the running priority, or None."""
        if not self.apr0 | self.apr1:
            return None
        return 0 if self.apr0 and (not self.apr1 or self.apr0 & -self.apr0 <= self.apr1 & -self.apr1) else 1

    def end_of_interrupt(self, intid: int, group: int) -> None:
        """Drop the running priority and, with EOImode 0, deactivate the interrupt too (4.1).

        Ignored for an INTID that is none, and where the running priority is not one of this group, which the
        architecture makes UNPREDICTABLE (12.2, ICC_EOIR1_EL1).
        """
        if not self._exists(intid) or self.active_group() != group:
            return
        if self.on_interrupt is not None:
            self.on_interrupt("end", intid)
        if group:
            self.apr1 &= self.apr1 - 1
        else:
            self.apr0 &= self.apr0 - 1
        self.settle()
        if self.eoi_mode:
            self.update()
        else:
            self._bank(intid).deactivate(intid)
            self._changed(intid)

    def deactivate(self, intid: int) -> None:
        """Deactivate separately; without effect while EOImode is 0."""
        if self.eoi_mode and self._exists(intid):
            self._bank(intid).deactivate(intid)
            self._changed(intid)

    def _exists(self, intid: int) -> bool:
        return 0 <= intid < self.shared.intids.stop

    def _changed(self, intid: int) -> None:
        self.update()
        if intid >= FIRST_SPI:
            self._spi_changed(self, intid)

    @property
    def running_priority(self) -> int:
        """The highest active group priority, or IDLE_PRIORITY."""
        return IDLE_PRIORITY if self._running == _NOT_RUNNING else self._running

    def set_pmr(self, value: int) -> None:
        """Set the priority mask."""
        self.pmr = value & PRIORITY_MASK
        self.update()

    def set_bpr(self, group: int, value: int) -> None:
        """Set a binary point; less than the smallest that is supported gives that one (12.2, ICC_BPR1_EL1)."""
        if group:
            self.bpr1 = max(value & MAX_BPR, MIN_BPR1)
        else:
            self.bpr0 = max(value & MAX_BPR, MIN_BPR0)
        self.settle()
        self.update()

    def set_apr(self, group: int, value: int) -> None:
        """Set the active priorities of a group, 32 bits."""
        if group:
            self.apr1 = value & 0xFFFF_FFFF
        else:
            self.apr0 = value & 0xFFFF_FFFF
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
