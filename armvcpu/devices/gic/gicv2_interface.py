"""A GICv2 CPU interface without its registers: what GICC_* and GICV_* do to one, and the machine's own. IHI 0048 4.4.

`gicv2_cpu.py` shows it in memory as GICC; `gicv2_virtual.py` has the one that a virtual machine uses as GICV.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import CpuInterface
from armvcpu.arch.gic_registers import FIRST_PPI, FIRST_SPI, GICC_CTLR, OTHER_GROUP, SPURIOUS
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.cpu_interface import PhysicalCpuInterface

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.gicv2_sgi import PrivateInterrupts
    from armvcpu.devices.gic.gicv2_virtual import VirtualInterface
    from armvcpu.devices.gic.state import InterruptBank

INTID_MASK = 0x3FF


class MappedInterface(CpuInterface):
    """The rules that memory-mapped interfaces have beside those of all: one IAR for both groups, and the CPU of an SGI.

    Both groups are seen. IAR acknowledges those of Group 0, and those of Group 1 as well if CTLR.AckCtl says so; the
    aliased registers are for Group 1 alone.
    """

    ctlr: GICC_CTLR

    def with_source(self, intid: int) -> int:
        """An INTID with the CPU, in bits 12 to 10, that has sent this SGI; as it is for anything else."""
        raise NotImplementedError

    def end(self, value: int) -> None:
        """EOIR: whichever group is the active one."""
        raise NotImplementedError

    def end_aliased(self, value: int) -> None:
        """AEOIR: an interrupt of Group 1."""
        raise NotImplementedError

    def _clear(self) -> None:
        super()._clear()
        self.ctlr, self.group0_is_fiq = GICC_CTLR(0), False

    def set_ctlr(self, value: int) -> None:
        """CTLR, the Secure copy where there are two."""
        self.ctlr = GICC_CTLR(value)
        self.enabled_groups = self.ctlr.EnableGrp0 | self.ctlr.EnableGrp1 << 1
        self.group0_is_fiq = bool(self.ctlr.FIQEn)
        self.set_modes(self.ctlr.CBPR, self.ctlr.EOImode)

    def highest_pending(self) -> int:
        """HPPIR: the INTID, for an SGI with the CPU that sent it; 1022 for one of the other group (4.4.7)."""
        if self.hppi != SPURIOUS and self.hppi_group and not self.ctlr.AckCtl:
            return OTHER_GROUP
        return self.with_source(self.hppi)

    def aliased_highest_pending(self) -> int:
        """AHPPIR: one of Group 1, or none."""
        return self.with_source(self.hppi) if self.hppi_group else SPURIOUS

    def acknowledge_seen(self, seen: int) -> int:
        """IAR and AIAR: acknowledge what `highest_pending` or its alias shows, if it is signalled."""
        if not self.signalled:
            return SPURIOUS
        if seen & INTID_MASK < OTHER_GROUP:
            self.acknowledge()
        return seen

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {"ctlr": int(self.ctlr)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        self.ctlr = GICC_CTLR(state["ctlr"])
        self.group0_is_fiq = bool(self.ctlr.FIQEn)
        super().load_state(state)


class PhysicalInterface(MappedInterface, PhysicalCpuInterface):
    """One CPU's own. `virtual` is reset with it, where there is one."""

    private: PrivateInterrupts

    def __init__(
        self,
        private: PrivateInterrupts,
        shared: InterruptBank,
        irq: SignalLine,
        fiq: SignalLine,
        spi_changed: Callable[[PhysicalCpuInterface, int], None],
        virtual: VirtualInterface | None = None,
    ) -> None:
        self.virtual = virtual
        self.ctlr = GICC_CTLR(0)
        super().__init__(private, shared, irq, fiq, spi_changed)

    def reset(self) -> None:
        """The state after a reset of the CPU; the Distributor keeps its own."""
        super().reset()
        if self.virtual is not None:
            self.virtual.reset()

    def with_source(self, intid: int) -> int:
        """The CPU whose SGI would be acknowledged next."""
        return intid | self.private.source(intid) << 10

    def end(self, value: int) -> None:
        """GICC_EOIR. The CPUID of an SGI is not looked at, since one of them is active at a time."""
        if self.active_group is not None:
            self.end_of_interrupt(value & INTID_MASK, self.active_group)

    def end_aliased(self, value: int) -> None:
        """GICC_AEOIR."""
        self.end_of_interrupt(value & INTID_MASK, 1)

    # --- Non-secure accesses (4.4, and 3.8 "The effect of the Security Extensions on interrupt handling")

    def is_group1(self, intid: int) -> bool:
        """Is it an interrupt that Non-secure software may deal with?"""
        bank = self.private if intid < FIRST_SPI else self.shared
        return bool(bank.group1 >> intid & 1)

    def end_nonsecure(self, value: int) -> None:
        """GICC_EOIR: one of Group 1, in the mode of EOImodeNS."""
        if self.is_group1(value & INTID_MASK):
            self._as_nonsecure(self.end_aliased, value)

    def deactivate_nonsecure(self, value: int) -> None:
        """GICC_DIR: one of Group 1, in the mode of EOImodeNS."""
        if self.is_group1(value & INTID_MASK):
            self._as_nonsecure(self.deactivate, value & INTID_MASK)

    def deactivate_listed(self, intid: int, *, all_groups: bool) -> None:
        """The end of a virtual interrupt that is this one in hardware; as a Non-secure write of GICC_DIR (5.2.1)."""
        if FIRST_PPI <= intid < self.shared.intids.stop and (all_groups or self.is_group1(intid)):
            self._deactivate(intid)

    def _as_nonsecure(self, act: Callable[[int], None], value: int) -> None:
        self.eoi_mode = self.ctlr.EOImodeNS
        act(value)
        self.eoi_mode = self.ctlr.EOImode
