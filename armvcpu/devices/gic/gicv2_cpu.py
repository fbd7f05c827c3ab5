"""The GICv2 CPU interface, IHI 0048 4.4: GICC_* registers of whichever CPU accesses them.

Without Security Extensions both groups are visible to everyone. GICC_IAR acknowledges those of Group 0, and those of
Group 1 as well if GICC_CTLR.AckCtl says so; the aliased registers are for Group 1 alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.arch.gic_registers import GICC_CTLR, IMPLEMENTER, OTHER_GROUP, SPURIOUS
from armvcpu.devices.device import Device, Register
from armvcpu.devices.gic.cpu_interface import PhysicalCpuInterface

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.gicv2_sgi import PrivateInterrupts
    from armvcpu.devices.gic.state import InterruptBank

_INTID_MASK = 0x3FF
_CTLR_BYPASS = 0x1E0  # nothing is wired to the bypass inputs; the disable bits are only stored


class MappedInterface(PhysicalCpuInterface):
    """One CPU's interface, as `CpuInterfaceRegisters` shows it."""

    private: PrivateInterrupts

    def __init__(
        self,
        private: PrivateInterrupts,
        shared: InterruptBank,
        irq: SignalLine,
        fiq: SignalLine,
        spi_changed: Callable[[PhysicalCpuInterface, int], None],
    ) -> None:
        self.ctlr = GICC_CTLR(0)
        super().__init__(private, shared, irq, fiq, spi_changed)

    def _clear(self) -> None:
        super()._clear()
        self.ctlr, self.group0_is_fiq = GICC_CTLR(0), False

    def set_ctlr(self, value: int) -> None:
        """GICC_CTLR."""
        self.ctlr = GICC_CTLR(value)
        self.enabled_groups = self.ctlr.EnableGrp0 | self.ctlr.EnableGrp1 << 1
        self.group0_is_fiq = bool(self.ctlr.FIQEn)
        self.set_modes(self.ctlr.CBPR, self.ctlr.EOImode)

    def highest_pending(self) -> int:
        """GICC_HPPIR: the INTID, for an SGI with the CPU that sent it; 1022 for one of the other group (4.4.7)."""
        if self.hppi != SPURIOUS and self.hppi_group and not self.ctlr.AckCtl:
            return OTHER_GROUP
        return self._with_source(self.hppi)

    def aliased_highest_pending(self) -> int:
        """GICC_AHPPIR: one of Group 1, or none."""
        return self._with_source(self.hppi) if self.hppi_group else SPURIOUS

    def acknowledge_seen(self, seen: int) -> int:
        """GICC_IAR and GICC_AIAR: acknowledge what `highest_pending` or its alias shows, if it is signalled."""
        if not self.signalled:
            return SPURIOUS
        if seen & _INTID_MASK < OTHER_GROUP:
            self.acknowledge()
        return seen

    def _with_source(self, intid: int) -> int:
        return intid | self.private.source(intid) << 10

    def end(self, value: int) -> None:
        """GICC_EOIR: whichever group is the active one."""
        if self.active_group is not None:
            self.end_of_interrupt(value & _INTID_MASK, self.active_group)

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        return super().state() | {"ctlr": int(self.ctlr)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        self.ctlr = GICC_CTLR(state["ctlr"])
        self.group0_is_fiq = bool(self.ctlr.FIQEn)
        super().load_state(state)


class CpuInterfaceRegisters(Device):
    """GICC: the registers of the interface of the CPU that `current_cpu` names during an access."""

    size = 0x1_0000

    GICC_CTLR = Register(
        0x00,
        mask=_CTLR_BYPASS | GICC_CTLR.of(EnableGrp0=1, EnableGrp1=1, AckCtl=1, FIQEn=1, CBPR=1, EOImode=1),
    )
    GICC_PMR = Register(0x04)
    GICC_BPR = Register(0x08)
    GICC_IAR = Register(0x0C, ro=True)
    GICC_EOIR = Register(0x10, wo=True)
    GICC_RPR = Register(0x14, ro=True)
    GICC_HPPIR = Register(0x18, ro=True)
    GICC_ABPR = Register(0x1C)
    GICC_AIAR = Register(0x20, ro=True)
    GICC_AEOIR = Register(0x24, wo=True)
    GICC_AHPPIR = Register(0x28, ro=True)
    GICC_APR0 = Register(0xD0)
    GICC_NSAPR0 = Register(0xE0)
    GICC_IIDR = Register(0xFC, ro=True, reset=0x0002_0000 | IMPLEMENTER)
    GICC_DIR = Register(0x1000, wo=True)

    def __init__(self, interfaces: Sequence[MappedInterface], current_cpu: Callable[[], int]) -> None:
        self._interfaces, self._current_cpu = interfaces, current_cpu
        super().__init__()

    def reset(self) -> None:
        """Reset the interface of every CPU."""
        super().reset()
        for interface in self._interfaces:
            interface.reset()

    @property
    def _cpu(self) -> MappedInterface:
        return self._interfaces[self._current_cpu()]

    def read_GICC_CTLR(self) -> int:
        """Enables and modes."""
        return self._cpu.ctlr

    def write_GICC_CTLR(self, value: int) -> None:
        """Set enables and modes."""
        self._cpu.set_ctlr(value)

    def read_GICC_PMR(self) -> int:
        """The priority mask."""
        return self._cpu.pmr

    def write_GICC_PMR(self, value: int) -> None:
        """Set the priority mask."""
        self._cpu.set_pmr(value)

    def read_GICC_BPR(self) -> int:
        """The binary point of Group 0."""
        return self._cpu.bpr0

    def write_GICC_BPR(self, value: int) -> None:
        """Set the binary point of Group 0, and with CBPR also of Group 1."""
        self._cpu.set_bpr(0, value)

    def read_GICC_ABPR(self) -> int:
        """The binary point of Group 1."""
        return self._cpu.bpr1

    def write_GICC_ABPR(self, value: int) -> None:
        """Set the binary point of Group 1."""
        self._cpu.set_bpr(1, value)

    def read_GICC_IAR(self) -> int:
        """Acknowledge."""
        return self._cpu.acknowledge_seen(self._cpu.highest_pending())

    def read_GICC_AIAR(self) -> int:
        """Acknowledge an interrupt of Group 1."""
        return self._cpu.acknowledge_seen(self._cpu.aliased_highest_pending())

    def write_GICC_EOIR(self, value: int) -> None:
        """End; the CPUID field of an SGI is not looked at, since one of them is active at a time."""
        self._cpu.end(value)

    def write_GICC_AEOIR(self, value: int) -> None:
        """End an interrupt of Group 1."""
        self._cpu.end_of_interrupt(value & _INTID_MASK, 1)

    def write_GICC_DIR(self, value: int) -> None:
        """Deactivate, with EOImode 1."""
        self._cpu.deactivate(value & _INTID_MASK)

    def read_GICC_RPR(self) -> int:
        """The running priority."""
        return self._cpu.running_priority

    def read_GICC_HPPIR(self) -> int:
        """The highest priority pending interrupt."""
        return self._cpu.highest_pending()

    def read_GICC_AHPPIR(self) -> int:
        """The same, if it is one of Group 1."""
        return self._cpu.aliased_highest_pending()

    def read_GICC_APR0(self) -> int:
        """The active priorities of Group 0."""
        return self._cpu.apr0

    def write_GICC_APR0(self, value: int) -> None:
        """Set the active priorities of Group 0."""
        self._cpu.set_apr(0, value)

    def read_GICC_NSAPR0(self) -> int:
        """The active priorities of Group 1."""
        return self._cpu.apr1

    def write_GICC_NSAPR0(self, value: int) -> None:
        """Set the active priorities of Group 1."""
        self._cpu.set_apr(1, value)

    def state(self) -> dict[str, Any]:
        """The interfaces of all CPUs."""
        return {**super().state(), "interfaces": [interface.state() for interface in self._interfaces]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, of as many CPUs; the lines follow."""
        super().load_state(state)
        for interface, saved in zip(self._interfaces, state["interfaces"], strict=True):
            interface.load_state(saved)
