"""What Non-secure accesses see of GICC with Security Extensions: Group 1, half of the priorities. IHI 0048 4.4, 3.8.

A priority with its highest bit clear belongs to Secure software: it reads as 0 here, the most urgent, and can't be
changed. The others are shown without that bit. GICC_ABPR, GICC_AIAR, GICC_AEOIR, GICC_AHPPIR and GICC_NSAPR are how
Secure software reaches the registers that are here, and not here themselves.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import IDLE_PRIORITY, MAX_BPR
from armvcpu.arch.gic_registers import GICC_CTLR_NS
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.device import Device, Register
from armvcpu.devices.gic.gicv2_cpu import IIDR
from armvcpu.devices.gic.security import NONSECURE_BIT, nonsecure_priority, physical_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.gic.gicv2_interface import PhysicalInterface

_LEVELS_SHIFT, _LEVELS = 16, 0xFFFF  # of 32 active priorities the upper half


class NonsecureCpuInterfaceRegisters(Device):
    """GICC, over the same interfaces as the device for Secure accesses, which has their state."""

    size = 0x1_0000

    GICC_CTLR = Register(0x00, mask=GICC_CTLR_NS.of(EnableGrp1=1, FIQBypDisGrp1=1, IRQBypDisGrp1=1, EOImodeNS=1))
    GICC_PMR = Register(0x04)
    GICC_BPR = Register(0x08)
    GICC_IAR = Register(0x0C, ro=True)
    GICC_EOIR = Register(0x10, wo=True)
    GICC_RPR = Register(0x14, ro=True)
    GICC_HPPIR = Register(0x18, ro=True)
    GICC_APR0 = Register(0xD0)
    GICC_IIDR = Register(0xFC, ro=True, reset=IIDR)
    GICC_DIR = Register(0x1000, wo=True)

    def __init__(self, interfaces: Sequence[PhysicalInterface], current_cpu: Callable[[], int]) -> None:
        self._interfaces, self._current_cpu = interfaces, current_cpu
        super().__init__()

    @property
    def _cpu(self) -> PhysicalInterface:
        return self._interfaces[self._current_cpu()]

    def read_GICC_CTLR(self) -> int:
        """What concerns Group 1 (4.4.1)."""
        ctlr = self._cpu.ctlr
        return GICC_CTLR_NS.of(**{name: getattr(ctlr, name) for name in GICC_CTLR_NS.FIELDS})

    def write_GICC_CTLR(self, value: int) -> None:
        """Set that."""
        written = GICC_CTLR_NS(value)
        self._cpu.set_ctlr(self._cpu.ctlr.replace(**{name: getattr(written, name) for name in GICC_CTLR_NS.FIELDS}))

    def read_GICC_PMR(self) -> int:
        """The priority mask."""
        return nonsecure_priority(self._cpu.pmr)

    def write_GICC_PMR(self, value: int) -> None:
        """Set it, unless Secure software has masked all of Group 1."""
        if self._cpu.pmr & NONSECURE_BIT:
            self._cpu.set_pmr(physical_priority(value))

    def read_GICC_BPR(self) -> int:
        """The binary point of Group 1; with CBPR that of Group 0 as it looks from here."""
        cpu = self._cpu
        return min(cpu.bpr0 + 1, MAX_BPR) if cpu.cbpr else cpu.bpr1

    def write_GICC_BPR(self, value: int) -> None:
        """Set it; ignored with CBPR."""
        if not self._cpu.cbpr:
            self._cpu.set_bpr(1, value)

    def read_GICC_IAR(self) -> int:
        """Acknowledge an interrupt of Group 1."""
        return self._cpu.acknowledge_seen(self._cpu.aliased_highest_pending())

    def write_GICC_EOIR(self, value: int) -> None:
        """End one of Group 1."""
        self._cpu.end_nonsecure(value)

    def write_GICC_DIR(self, value: int) -> None:
        """Deactivate one of Group 1, with EOImodeNS 1."""
        self._cpu.deactivate_nonsecure(value)

    def read_GICC_RPR(self) -> int:
        """The running priority."""
        priority = self._cpu.running_priority
        return priority if priority == IDLE_PRIORITY else nonsecure_priority(priority)

    def read_GICC_HPPIR(self) -> int:
        """The highest priority pending interrupt, if it is one of Group 1."""
        return self._cpu.aliased_highest_pending()

    def read_GICC_APR0(self) -> int:
        """The active priorities of Group 1 that are in the Non-secure half."""
        return self._cpu.apr1 >> _LEVELS_SHIFT

    def write_GICC_APR0(self, value: int) -> None:
        """Set them."""
        self._cpu.set_apr(1, self._cpu.apr1 & _LEVELS | (value & _LEVELS) << _LEVELS_SHIFT)
