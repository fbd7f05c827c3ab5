"""The GICv2 CPU interface, IHI 0048 4.4: GICC_* registers of whichever CPU accesses them.

This is what all accesses see of a GIC without Security Extensions, and Secure ones of a GIC that has them; Non-secure
ones see `gicv2_nonsecure_cpu.py`. What the registers do to an interface stands in `gicv2_interface.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.arch.gic_registers import GICC_CTLR, IMPLEMENTER
from armvcpu.devices.device import Device, Register
from armvcpu.devices.gic.gicv2_interface import INTID_MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.gic.gicv2_interface import MappedInterface

MODES = GICC_CTLR.of(EnableGrp0=1, EnableGrp1=1, AckCtl=1, FIQEn=1, CBPR=1, EOImode=1)
"""What an interface without Security Extensions has of GICC_CTLR, beside the bypass."""
BYPASS = GICC_CTLR.of(FIQBypDisGrp0=1, IRQBypDisGrp0=1, FIQBypDisGrp1=1, IRQBypDisGrp1=1)
"""Nothing is wired to the bypass inputs; the disable bits are only stored."""
IIDR = 0x0002_0000 | IMPLEMENTER


class CpuInterfaceRegisters(Device):
    """GICC: the registers of the interface of the CPU that `current_cpu` names during an access."""

    size = 0x1_0000

    GICC_CTLR = Register(0x00, mask=MODES | BYPASS)
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
    GICC_IIDR = Register(0xFC, ro=True, reset=IIDR)
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
        """End, by the INTID and for an SGI the CPU that sent it."""
        self._cpu.end(value)

    def write_GICC_AEOIR(self, value: int) -> None:
        """End an interrupt of Group 1."""
        self._cpu.end_aliased(value)

    def write_GICC_DIR(self, value: int) -> None:
        """Deactivate, with EOImode 1."""
        self._cpu.deactivate(value & INTID_MASK)

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


class SecureCpuInterfaceRegisters(CpuInterfaceRegisters):
    """What Secure accesses see of a GIC with Security Extensions: an EOImode more, that of Non-secure accesses."""

    GICC_CTLR = Register(0x00, mask=MODES | BYPASS | GICC_CTLR.of(EOImodeNS=1))
