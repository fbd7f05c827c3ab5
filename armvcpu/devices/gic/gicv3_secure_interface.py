"""One CPU's interface in a GICv3 with two Security states: three groups, and banked modes. IHI 0069 4.6 and 12.2.

Beside what an interface of two groups has, it has those of Secure Group 1: binary point, active priorities, CBPR and
EOImode; and EOImode of EL3. Which input of the PE signals an interrupt depends on where the PE is (4.6.2, "Interrupt
assignment to IRQ and FIQ signals"):

                            at EL3    below it, Secure    Non-secure
    Group 0                  FIQ            FIQ              FIQ
    Secure Group 1           FIQ            IRQ              FIQ
    Non-secure Group 1       FIQ            FIQ              IRQ
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import IDLE_PRIORITY, INTID_AT, MAX_BPR, MIN_BPR0, PRIORITY_AT
from armvcpu.arch.gic_registers import FIRST_SPI, ICC_SGIR
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.gicv3_groups import ALL_GROUPS, SECURE_GROUP1, GroupedBank
from armvcpu.devices.gic.gicv3_icc import SystemRegisterInterface
from armvcpu.devices.gic.gicv3_secure_icc import SecureIccRegisters

if TYPE_CHECKING:
    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.gicv3_icc import Rows
    from armvcpu.devices.gic.gicv3_virtual import VirtualInterface
    from armvcpu.devices.gic.processor import Processor
    from armvcpu.devices.gic.security import Security

_INTID_MASK = 0xFFFF
_NOT_RUNNING, _LEVEL_SHIFT = 0x100, 3
_STORED = ("bpr1_secure", "apr1_secure", "cbpr_secure", "eoi_mode_secure", "eoi_mode_el3")
_BY_STATE = 0b110  # the groups whose signal depends on the PE's state


class ThreeGroupInterface(SystemRegisterInterface):
    """As one of two groups, with `group` 2 for Secure Group 1. `processor` is the PE that it signals to."""

    private: GroupedBank
    shared: GroupedBank
    signal_words: memoryview

    def __init__(
        self,
        gic: Gicv3,
        mpidr: int,
        private: GroupedBank,
        shared: GroupedBank,
        irq: SignalLine,
        fiq: SignalLine,
        processor: Processor,
        virtual: VirtualInterface,
        security: Security,
    ) -> None:
        self._pe, self._security = processor, security
        self.signal_words = memoryview(bytearray(8)).cast("Q")
        """The group of the interrupt that is signalled, as a bitmap, or 0: while it is Group 1 of either Security state
        `refresh` is due when the PE goes to EL3 or leaves it."""
        super().__init__(gic, mpidr, private, shared, irq, fiq, processor, virtual)
        self._groups = ALL_GROUPS

    def _clear(self) -> None:
        self.bpr1_secure, self.apr1_secure = MIN_BPR0, 0
        self.cbpr_secure = self.eoi_mode_secure = self.eoi_mode_el3 = 0
        super()._clear()

    def registers(self) -> Rows:
        """Its system registers: each one's packed encoding, who answers MRS, who answers MSR."""
        registers = SecureIccRegisters(self, self._pe, self._security)
        yield from self._with_el2(registers.rows(), has_el3=True)
        yield from registers.el3_rows()

    # --- what there is to signal

    def settle(self) -> None:
        """Secure Group 1 compares bits [7:BPR + 1], as Group 0 does ("Priority grouping")."""
        super().settle()
        point = self.bpr0 if self.cbpr_secure else self.bpr1_secure
        self._group_mask = (*self._group_mask[:2], -1 << point + 1)

    def _settle_running(self) -> None:
        apr0, apr1, apr1_secure = self.apr0, self.apr1, self.apr1_secure
        active = apr0 | apr1 | apr1_secure
        if active:
            lowest = active & -active
            self._running = lowest.bit_length() - 1 << _LEVEL_SHIFT
            self.active_group = 0 if apr0 & lowest else 1 if apr1 & lowest else 2
        else:
            self._running, self.active_group = _NOT_RUNNING, None

    def update(self) -> None:
        """Find the highest priority pending interrupt, and drive the outputs that change."""
        rank = self._highest(self.enabled_groups & self.forwarded_groups)
        self.hppi = intid = rank >> INTID_AT & _INTID_MASK
        self.hppi_priority = priority = rank >> PRIORITY_AT
        group = rank & 1
        if not group:
            group = 2 * ((self.private if intid < FIRST_SPI else self.shared).modifier >> intid & 1)
        self.hppi_group = group
        mask = self._group_mask[group]
        words = self.mask_words
        preempts = priority & mask < self._running & mask
        self.signalled = signalled = preempts and priority < words[0]
        words[1] = priority + 1 if signalled else 0
        words[2] = priority if preempts and not signalled else IDLE_PRIORITY
        self.signal_words[0] = signalled << group
        self.refresh()

    def refresh(self) -> None:
        """Drive the outputs as the PE's Exception level and Security state ask for."""
        groups = self.signal_words[0]
        fiq = bool(groups) and self._is_fiq(groups)
        irq = bool(groups) and not fiq
        if fiq != self._fiq_level:
            self._fiq_level = fiq
            self._fiq(fiq)
        if irq != self._irq_level:
            self._irq_level = irq
            self._irq(irq)

    def _is_fiq(self, groups: int) -> bool:
        if not groups & _BY_STATE:
            return True
        if self._security.is_disabled:  # Group 1 is IRQ wherever the PE is
            return False
        return self._pe.el == 3 or self._pe.is_secure == (groups != SECURE_GROUP1)

    # --- what the guest does

    def acknowledge(self) -> int:
        """The signalled interrupt becomes active and its priority the running one; its INTID."""
        if self.hppi_group != 2:
            return super().acknowledge()
        intid = self.hppi
        self._running, self.active_group = self.hppi_priority & self._group_mask[2], 2
        self.apr1_secure |= 1 << (self._running >> _LEVEL_SHIFT)
        self._activate(intid)
        if self._observe is not None:
            self._observe("acknowledge", intid)
        return intid

    def end_active(self, intid: int, is_split: int) -> None:
        """Drop the running priority, whatever its group is, and unless `is_split` deactivate the interrupt."""
        group = self.active_group
        if group is None or intid in self._reserved:
            return
        if self._observe is not None:
            self._observe("end", intid)
        if group == 2:
            self.apr1_secure &= self.apr1_secure - 1
        elif group:
            self.apr1 &= self.apr1 - 1
        else:
            self.apr0 &= self.apr0 - 1
        self._settle_running()
        if is_split:
            self.update()
        else:
            self._deactivate(intid)

    def deactivate_now(self, intid: int) -> None:
        """Deactivate an interrupt, if there is one of this number."""
        if intid not in self._reserved:
            self._deactivate(intid)

    def group_of(self, intid: int) -> int:
        """The number of an interrupt's group."""
        return (self.private if intid < FIRST_SPI else self.shared).group_of(intid)

    def deactivate_physical(self, intid: int) -> None:
        """The virtual interrupt of a list register with HW has ended: no Secure interrupt may be its own."""
        if self._security.is_disabled or self.group_of(intid) == 1:
            super().deactivate_physical(intid)

    # --- control

    def set_bpr(self, group: int, value: int) -> None:
        """Set a binary point."""
        if group == 2:
            self.bpr1_secure = max(value & MAX_BPR, MIN_BPR0)
            self.settle()
            self.update()
        else:
            super().set_bpr(group, value)

    def set_apr(self, group: int, value: int) -> None:
        """Set the active priorities of a group, 32 bits."""
        if group == 2:
            self.apr1_secure = value & 0xFFFF_FFFF
            self.settle()
            self.update()
        else:
            super().set_apr(group, value)

    def apr(self, group: int) -> int:
        """The active priorities of a group."""
        return (self.apr0, self.apr1, self.apr1_secure)[group]

    def send_group(self, value: int, group: int, *, nonsecure: bool) -> None:
        """Send an SGI, as ICC_SGI*R_EL1 says by its 64 bits, to the targets that have it in this group.

        One of Secure Group 1 also reaches those that have it in Group 0, and one that Non-secure software sends reaches
        a Secure interrupt only where the target's GICR_NSACR lets it (12.2, ICC_SGI0R_EL1; 12.11, GICR_NSACR).
        """
        sgi = ICC_SGIR(value)
        intid = sgi.INTID
        for target in self._gic.sgi_targets(self, sgi):
            assert isinstance(target, ThreeGroupInterface)
            bank = target.private
            there = bank.group_of(intid)
            if there != group and (there, group) != (0, 2):
                continue
            if nonsecure and there != 1 and bank.nsacr(intid) < (2 if there else 1):
                continue
            bank.set_pending(1 << intid)
            target.update()

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {name: getattr(self, name) for name in _STORED}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        for name in _STORED:
            setattr(self, name, state[name])
        super().load_state(state)
