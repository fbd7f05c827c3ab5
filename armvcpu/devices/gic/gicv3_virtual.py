"""One CPU's virtual interface: what its EL2 puts into list registers, and its EL1 sees as ICV_*. IHI 0069 chapter 6.

    ICH_LR<n>_EL2 ----> highest priority pending virtual interrupt ----> vIRQ (Group 1), vFIQ (Group 0)
    ICH_VMCR_EL2  <---> ICV_PMR, ICV_BPR<n>, ICV_IGRPEN<n>, ICV_CTLR
    ICH_HCR_EL2   ----> maintenance interrupt, a level: PPI 25 of this CPU

By which rules one is signalled, acknowledged and ended stands in `arch/gic_cpu_interface.py`. Hypervisors write these
registers at each switch of a guest, so fields are taken out by shifts, and what to signal is looked for only where an
interrupt is pending, or was.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import (
    BOTH_GROUPS,
    IDLE_PRIORITY,
    INTID_AT,
    MAX_BPR,
    MIN_BPR0,
    MIN_BPR1,
    NOTHING,
    PRIORITY_AT,
    PRIORITY_MASK,
    CpuInterface,
)
from armvcpu.arch.gic_ich import FIRST_LPI, FIRST_SPECIAL_INTID, ICH_HCR, ICH_LR, ICH_MISR, ICH_VMCR, LIST_REGISTERS
from armvcpu.arch.gic_registers import SPURIOUS
from armvcpu.arch.static import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine

_LR_BITS = sum(field.mask for name, field in ICH_LR.FIELDS.items() if name != "EOI")  # part of pINTID
_HCR_BITS = sum(field.mask for field in ICH_HCR.FIELDS.values())
_ENABLE = ICH_HCR.En.mask
_ASKS = sum(ICH_HCR.FIELDS[name].mask for name in ("UIE", "LRENPIE", "NPIE"))
_CAUSES = _ASKS | sum(ICH_HCR.FIELDS[f"VGrp{n}{on}IE"].mask for n in (0, 1) for on in "ED")
_EOI_COUNT = ICH_HCR.EOIcount
_FIQ_ENABLE = ICH_VMCR.VFIQEn.mask
_EOI, _HW = ICH_LR.EOI.mask, ICH_LR.HW.mask
_PENDING, _ACTIVE = 1 << 62, 1 << 63
_STATE = _PENDING | _ACTIVE


class VirtualInterface(CpuInterface):
    """`maintenance` is the line of PPI 25; `deactivate` is called with the INTID of a physical interrupt to deactivate.

    `virq` and `vfiq` are the outputs; whether the PE takes them is by HCR_EL2.IMO and FMO, which it knows itself.
    """

    def __init__(
        self, virq: SignalLine, vfiq: SignalLine, maintenance: SignalLine, deactivate: Callable[[int], None]
    ) -> None:
        self._maintenance, self._deactivate_physical = maintenance, deactivate
        self._asks = False
        self._dropped: tuple[int, int] | None = None  # group and priority, while an EOI is under way
        super().__init__(virq, vfiq, reserved=range(FIRST_SPECIAL_INTID, SPURIOUS + 1))

    def _clear(self) -> None:
        self.hcr = 0
        """ICH_HCR_EL2."""
        self.lr = [0] * LIST_REGISTERS
        """ICH_LR<n>_EL2."""
        self._ranks = [NOTHING] * LIST_REGISTERS  # of those that are pending and not active
        self._first = NOTHING  # the smallest of them
        self._eois = 0  # the list registers whose bit 41 is set, as a bitmap
        self.forwarded_groups = 0  # both while ICH_HCR_EL2.En is set
        super()._clear()

    # --- the hypervisor's side

    def write_lr(self, n: int, value: int) -> None:
        """ICH_LR<n>_EL2."""
        value &= _LR_BITS
        if value != self.lr[n]:
            self._put(n, value)
            self._changed()

    def write_hcr(self, value: int) -> None:
        """ICH_HCR_EL2."""
        self.hcr = value & _HCR_BITS
        self.forwarded_groups = BOTH_GROUPS if value & _ENABLE else 0
        self._changed()

    @property
    def vmcr(self) -> int:
        """ICH_VMCR_EL2. VFIQEn is RES1, as system registers are what there is."""
        return (
            self.enabled_groups | _FIQ_ENABLE | self.cbpr << 4 | self.eoi_mode << 9
            | self.bpr1 << 18 | self.bpr0 << 21 | self.pmr << 24
        )  # fmt: skip

    def write_vmcr(self, value: int) -> None:
        """ICH_VMCR_EL2."""
        if value | _FIQ_ENABLE == self.vmcr:
            return
        self.enabled_groups = value & BOTH_GROUPS
        self.cbpr, self.eoi_mode = value >> 4 & 1, value >> 9 & 1
        self.bpr1, self.bpr0 = max(value >> 18 & MAX_BPR, MIN_BPR1), max(value >> 21 & MAX_BPR, MIN_BPR0)
        self.pmr = value >> 24 & PRIORITY_MASK
        self.settle()
        self._changed()

    def write_apr(self, group: int, value: int) -> None:
        """ICH_AP0R0_EL2 or ICH_AP1R0_EL2."""
        if value != (self.apr1 if group else self.apr0):
            self.set_apr(group, value)

    @property
    def eisr(self) -> int:
        """ICH_EISR_EL2: the list registers whose interrupt has ended and whose EOI asks for maintenance."""
        return sum(1 << n for n, lr in enumerate(self.lr) if lr & (_STATE | _HW | _EOI) == _EOI)

    @property
    def elrsr(self) -> int:
        """ICH_ELRSR_EL2: the list registers that can be used again."""
        free = 0
        for n, lr in enumerate(self.lr):
            if lr < _PENDING and (lr & _HW or not lr & _EOI):  # State is the uppermost field
                free |= 1 << n
        return free

    @property
    def misr(self) -> int:
        """ICH_MISR_EL2. All conditions but EOI's are enabled in ICH_HCR_EL2."""
        hcr, enabled = self.hcr, self.enabled_groups
        value = ICH_MISR.EOI.mask if self._eois and self.eisr else 0
        if hcr & _ASKS:
            if hcr & ICH_HCR.UIE.mask and sum(1 for lr in self.lr if lr & _STATE) < 2:
                value |= ICH_MISR.U.mask
            if hcr & ICH_HCR.LRENPIE.mask and hcr & _EOI_COUNT.mask:
                value |= ICH_MISR.LRENP.mask
            if hcr & ICH_HCR.NPIE.mask and not any(lr & _STATE == _PENDING for lr in self.lr):
                value |= ICH_MISR.NP.mask
        # VGrp0E, VGrp0D, VGrp1E, VGrp1D stand in both registers from bit 4 on.
        events = ((0b10, 0b01)[enabled & 1] | (0b10, 0b01)[enabled >> 1] << 2) << 4
        return value | events & hcr

    # --- what there is to signal

    def update(self) -> None:
        """Find what to signal, and whether the hypervisor is asked for maintenance."""
        super().update()
        self._ask()

    def _changed(self) -> None:
        """The same, after what can't matter where nothing is pending, nor was when this was found the last time."""
        if self.hppi_priority != IDLE_PRIORITY or (self._first != NOTHING and self.forwarded_groups):
            super().update()
        if self._asks or self._eois or self.hcr & _CAUSES:
            self._ask()

    def _ask(self) -> None:
        hcr = self.hcr
        asks = bool(hcr & _ENABLE and (self._eois or hcr & _CAUSES) and self.misr)
        if asks != self._asks:
            self._asks = asks
            self._maintenance(asks)

    def _put(self, n: int, lr: int) -> None:
        self.lr[n] = lr
        self._eois = self._eois & ~(1 << n) | (lr >> 41 & 1) << n
        rank = NOTHING
        if lr & _STATE == _PENDING:
            rank = (lr >> 48 & PRIORITY_MASK) << PRIORITY_AT | (lr & 0xFFFF) << INTID_AT | lr >> 60 & 1
        if rank != self._ranks[n]:
            self._ranks[n] = rank
            self._first = min(self._ranks)

    def _highest(self, groups: int) -> int:
        if groups == BOTH_GROUPS:
            return self._first
        return min((rank for rank in self._ranks if groups >> (rank & 1) & 1), default=NOTHING)

    # --- the guest's side

    def highest_pending(self) -> tuple[int, int]:
        """Group and INTID of the most urgent interrupt of the enabled groups, signalled or not; 1 and 1023: none."""
        rank = self._highest(self.enabled_groups)
        return rank & 1, rank >> INTID_AT & 0xFFFF

    def acknowledge(self) -> int:
        """The signalled interrupt becomes active; one with a special INTID is gone with that."""
        if FIRST_SPECIAL_INTID <= self.hppi <= SPURIOUS:
            intid, n = self.hppi, self._signalled_register()
            self._put(n, self.lr[n] & ~_STATE)
            self.update()
            return intid
        return super().acknowledge()

    def end_of_interrupt(self, intid: int, group: int) -> None:
        """Drop the running priority, of whichever group it is; `group` is that of the register which was written.

        The list register of the interrupt is found by INTID, group and priority.
        """
        if self.active_group is not None:
            self._dropped = group, self._running
            super().end_of_interrupt(intid, self.active_group)
            self._dropped = None

    def _signalled_register(self) -> int:
        return self._ranks.index(self.hppi_priority << PRIORITY_AT | self.hppi << INTID_AT | self.hppi_group)

    def _activate(self, intid: int) -> None:
        n = self._signalled_register()
        active = _ACTIVE if intid < FIRST_LPI else 0  # an LPI has no active state (4.1)
        self._put(n, self.lr[n] & ~_STATE | active)
        self.update()

    def _deactivate(self, intid: int) -> None:
        """Without a list register for it EOIcount tells the hypervisor, but not of LPIs, which are never active."""
        for n, lr in enumerate(self.lr):
            if lr & _ACTIVE and lr & 0xFFFF == intid:
                if self._dropped is None or self._dropped == self._level_of(lr):
                    self._put(n, lr & ~_ACTIVE)
                    if lr & _HW:
                        self._deactivate_physical(lr >> 32 & 0x1FFF)
                break
        else:
            if intid < FIRST_LPI:
                count = (self.hcr & _EOI_COUNT.mask) + (1 << _EOI_COUNT.lo) & _EOI_COUNT.mask
                self.hcr = self.hcr & ~_EOI_COUNT.mask | count
        self.update()

    def _level_of(self, lr: int) -> tuple[int, int]:
        group = lr >> 60 & 1
        return group, lr >> 48 & PRIORITY_MASK & self._group_mask[group]

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {"hcr": self.hcr, "lr": list(self.lr)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        self.hcr = state["hcr"]
        self.forwarded_groups = BOTH_GROUPS if self.hcr & _ENABLE else 0
        for n, lr in enumerate(state["lr"]):
            self._put(n, lr)
        super().load_state(state)
