"""The interface that a GICv2 gives to a virtual machine: list registers instead of a Distributor. IHI 0048 5.

                    GICV_*                                          GICH_LR<n>: what the hypervisor lists
    virtual  ---> +------------------------+ <---------------------  as pending, and what is active
    machine       | as GICC, for its vCPU  |
                  +------------------------+ ---> the end of one that is listed with HW: the physical interrupt, too
                    | virtual IRQ and FIQ     |
    hypervisor <------------------------------+ maintenance interrupt: GICH_HCR says for what

`gicv2_hypervisor.py` has the two frames. Active priorities of both groups are one GICH_APR here, so that a hypervisor
may save and restore them without knowing the groups.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import INTID_AT, MIN_BPR0, MIN_BPR1, NOTHING, PRIORITY_AT
from armvcpu.arch.gic_registers import OTHER_GROUP, SGIS, SPURIOUS
from armvcpu.arch.gich_registers import GICH_HCR, GICH_LR, GICH_MISR, GICH_VMCR, LIST_REGISTERS, LrState
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.gicv2_interface import INTID_MASK, MappedInterface

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine

_PRIORITY_SHIFT = 3  # five bits of priority are listed
_PENDING, _ACTIVE = LrState.PENDING << 28, LrState.ACTIVE << 28
_STATE = _PENDING | _ACTIVE
_ENDED = GICH_LR.of(HW=1, EOI=1) | _STATE
_ASKS = GICH_LR.of(EOI=1)  # of these: invalid, not of hardware, and its end is to be told
_EN, _ENABLES = GICH_HCR.of(En=1), 0xFE
_BOTH_GROUPS, _EOI_COUNTS = 3, 32
_VMABP, _VMBP, _VMPriMask = GICH_VMCR.VMABP, GICH_VMCR.VMBP, GICH_VMCR.VMPriMask
_CTLR_MODES = GICH_VMCR.of(VMGrp0En=1, VMGrp1En=1, VMAckCtl=1, VMFIQEn=1, VMCBPR=1, VEM=1)
"""Of GICH_VMCR what GICV_CTLR has, in the same bits."""


class VirtualInterface(MappedInterface):
    """One CPU's virtual interface.

    `virq` and `vfiq` are its outputs to the CPU, `maintenance` the level of the hypervisor's interrupt, and
    `deactivate` gets the INTID of a physical interrupt that ends with the virtual one.
    """

    def __init__(
        self, virq: SignalLine, vfiq: SignalLine, maintenance: SignalLine, deactivate: Callable[[int], None]
    ) -> None:
        self._maintenance, self._deactivate_physical = maintenance, deactivate
        self._is_asking = False
        self._forget()
        super().__init__(virq, vfiq, reserved=range(OTHER_GROUP - 2, SPURIOUS + 1))

    def _forget(self) -> None:
        self.hcr = GICH_HCR(0)
        self.lrs = [0] * LIST_REGISTERS
        """GICH_LR<n>, as 32 bits."""
        self._best = 0  # the number of that with the highest priority pending interrupt
        self.forwarded_groups = 0

    def reset(self) -> None:
        """The state after a reset of the CPU: nothing is listed."""
        self._forget()
        super().reset()

    def update(self) -> None:
        """Find what is pending, and drive the outputs that change."""
        is_enabled = self.hcr & _EN
        self.forwarded_groups = _BOTH_GROUPS if is_enabled else 0
        super().update()
        asks = bool(is_enabled) and self._asks()
        if asks != self._is_asking:
            self._is_asking = asks
            self._maintenance(asks)

    def _asks(self) -> bool:
        """Is there anything in GICH_MISR? Mostly GICH_HCR asks for nothing, and then only an ended interrupt can."""
        return bool(self.misr) if self.hcr & _ENABLES else self.eisr != 0

    # --- the hypervisor's side

    def set_hcr(self, value: int) -> None:
        """GICH_HCR."""
        self.hcr = GICH_HCR(value)
        self.update()

    def set_lr(self, index: int, value: int) -> None:
        """GICH_LR<n>."""
        self.lrs[index] = value
        self.update()

    @property
    def vmcr(self) -> int:
        """GICH_VMCR: what GICV_CTLR, GICV_ABPR, GICV_BPR and GICV_PMR have."""
        priorities = self.bpr1 << _VMABP.lo | self.bpr0 << _VMBP.lo | self.pmr >> _PRIORITY_SHIFT << _VMPriMask.lo
        return self.ctlr | priorities

    def set_vmcr(self, value: int) -> None:
        """Set these."""
        vmcr = GICH_VMCR(value)
        self.pmr = vmcr.VMPriMask << _PRIORITY_SHIFT
        self.bpr0, self.bpr1 = max(vmcr.VMBP, MIN_BPR0), max(vmcr.VMABP, MIN_BPR1)
        self.set_ctlr(value & _CTLR_MODES)

    @property
    def apr(self) -> int:
        """GICH_APR: the active priorities of both groups."""
        return self.apr0 | self.apr1

    def set_apr_of_both(self, value: int) -> None:
        """Set them; of which group each is does not matter for its end."""
        self.apr1 = 0
        self.set_apr(0, value)

    @property
    def eisr(self) -> int:
        """GICH_EISR: the list registers whose interrupt has ended and was to be told of, as a bitmap."""
        return sum(1 << n for n, lr in enumerate(self.lrs) if lr & _ENDED == _ASKS)

    @property
    def elrsr(self) -> int:
        """GICH_ELRSR: those that are free, which the former are not yet."""
        return sum(1 << n for n, lr in enumerate(self.lrs) if not lr & _STATE and lr & _ENDED != _ASKS)

    @property
    def misr(self) -> int:
        """GICH_MISR: what there is to tell the hypervisor, of that which GICH_HCR asks for by the same bits."""
        hcr, states = self.hcr, [lr & _STATE for lr in self.lrs]
        groups = self.ctlr & _BOTH_GROUPS
        met = (
            (states.count(0) > LIST_REGISTERS - 2) << GICH_MISR.U.lo
            | (hcr.EOICount != 0) << GICH_MISR.LRENP.lo
            | (_PENDING not in states) << GICH_MISR.NP.lo
            | (groups & 1) << GICH_MISR.VGrp0E.lo
            | (~groups & 1) << GICH_MISR.VGrp0D.lo
            | (groups >> 1) << GICH_MISR.VGrp1E.lo
            | (~groups >> 1 & 1) << GICH_MISR.VGrp1D.lo
        )
        return (self.eisr != 0) << GICH_MISR.EOI.lo | hcr & met

    # --- the virtual machine's side

    def with_source(self, intid: int) -> int:
        """The CPUID that the hypervisor has listed with an SGI."""
        if intid >= SGIS:
            return intid
        lr = GICH_LR(self.lrs[self._best])
        return intid | (0 if lr.HW else lr.CPUID << 10)

    def end(self, value: int) -> None:
        """GICV_EOIR. One that drops no priority ends an interrupt that is listed all the same, and counts none."""
        intid = value & INTID_MASK
        if self.active_group is not None:
            self.end_of_interrupt(intid, self.active_group)
        elif not self.eoi_mode and self._listed(intid) is not None:
            self._deactivate(intid)

    def end_aliased(self, value: int) -> None:
        """GICV_AEOIR: as GICV_EOIR, since a restored GICH_APR does not say of which group a priority is."""
        self.end(value)

    def _highest(self, groups: int) -> int:
        found = NOTHING
        for index, lr in enumerate(self.lrs):
            if lr & _STATE == _PENDING and groups >> (lr >> 30 & 1) & 1:
                priority = (lr >> 23 & 0x1F) << _PRIORITY_SHIFT
                if priority < found >> PRIORITY_AT:  # of equal ones the first that is listed
                    found = priority << PRIORITY_AT | (lr & INTID_MASK) << INTID_AT | lr >> 30 & 1
                    self._best = index
        return found

    def _activate(self, intid: int) -> None:
        self.lrs[self._best] ^= _STATE  # pending becomes active
        self.update()

    def _deactivate(self, intid: int) -> None:
        """Of one that is listed as active; else the hypervisor has it elsewhere, and learns of its end by EOICount."""
        index = self._listed(intid)
        if index is None:
            self.hcr = self.hcr.replace(EOICount=(self.hcr.EOICount + 1) % _EOI_COUNTS)
            self.update()
            return
        self.lrs[index] &= ~_ACTIVE
        lr = GICH_LR(self.lrs[index])
        self.update()
        if lr.HW:
            self._deactivate_physical(lr.PhysicalID)

    def _listed(self, intid: int) -> int | None:
        """The number of the list register that has this interrupt as active."""
        return next((n for n, lr in enumerate(self.lrs) if lr & _ACTIVE and lr & INTID_MASK == intid), None)

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {"hcr": int(self.hcr), "lrs": list(self.lrs)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        self.hcr, self.lrs = GICH_HCR(state["hcr"]), list(state["lrs"])
        super().load_state(state)
