"""The two frames of a GICv2's virtualization: GICH for the hypervisor, GICV for the virtual machine. IHI 0048 5.3, 5.4.

A hypervisor maps GICV to where its guest looks for GICC. Both show the virtual interface of the CPU that accesses.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import PRIORITY_MASK
from armvcpu.arch.gich_registers import GICH_HCR, GICH_LR, GICH_VTR, LIST_REGISTERS
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.device import Device, Register
from armvcpu.devices.gic.gicv2_cpu import MODES, CpuInterfaceRegisters

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.gic.gicv2_virtual import VirtualInterface

_PRIORITY_BITS = PRIORITY_MASK.bit_count()
_VTR = GICH_VTR.of(ListRegs=LIST_REGISTERS - 1, PREbits=_PRIORITY_BITS - 1, PRIbits=_PRIORITY_BITS - 1)
_HCR_MASK = GICH_HCR.of(
    En=1, UIE=1, LRENPIE=1, NPIE=1, VGrp0EIE=1, VGrp0DIE=1, VGrp1EIE=1, VGrp1DIE=1, EOICount=0x1F
)  # fmt: skip
_LR_MASK = GICH_LR.of(VirtualID=0x3FF, PhysicalID=0x3FF, Priority=0x1F, State=3, Grp1=1, HW=1)


class VirtualInterfaceControl(Device):
    """GICH: the virtual interface of the CPU that `current_cpu` names during an access, as its hypervisor sees it."""

    size = 0x1_0000

    GICH_HCR = Register(0x00, mask=_HCR_MASK)
    GICH_VTR = Register(0x04, ro=True, reset=_VTR)
    GICH_VMCR = Register(0x08)
    GICH_MISR = Register(0x10, ro=True)
    GICH_EISR0 = Register(0x20, ro=True)
    GICH_ELRSR0 = Register(0x30, ro=True)
    GICH_APR = Register(0xF0)
    GICH_LR = Register(0x100, count=LIST_REGISTERS, mask=_LR_MASK)

    def __init__(self, interfaces: Sequence[VirtualInterface], current_cpu: Callable[[], int]) -> None:
        self._interfaces, self._current_cpu = interfaces, current_cpu
        super().__init__()

    @property
    def _cpu(self) -> VirtualInterface:
        return self._interfaces[self._current_cpu()]

    def read_GICH_HCR(self) -> int:
        """Enables, and how many ends were of interrupts that are not listed."""
        return self._cpu.hcr

    def write_GICH_HCR(self, value: int) -> None:
        """Set them."""
        self._cpu.set_hcr(value)

    def read_GICH_VMCR(self) -> int:
        """What the virtual machine has set."""
        return self._cpu.vmcr

    def write_GICH_VMCR(self, value: int) -> None:
        """Set it in its place."""
        self._cpu.set_vmcr(value)

    def read_GICH_MISR(self) -> int:
        """Why the maintenance interrupt is asserted."""
        return self._cpu.misr

    def read_GICH_EISR0(self) -> int:
        """The list registers whose interrupt has ended."""
        return self._cpu.eisr

    def read_GICH_ELRSR0(self) -> int:
        """The list registers that are free."""
        return self._cpu.elrsr

    def read_GICH_APR(self) -> int:
        """The active priorities."""
        return self._cpu.apr

    def write_GICH_APR(self, value: int) -> None:
        """Set the active priorities."""
        self._cpu.set_apr_of_both(value)

    def read_GICH_LR(self, index: int) -> int:
        """One interrupt."""
        return self._cpu.lrs[index]

    def write_GICH_LR(self, value: int, index: int) -> None:
        """List one interrupt."""
        self._cpu.set_lr(index, value)


class VirtualCpuInterfaceRegisters(CpuInterfaceRegisters):
    """GICV: the registers of GICC over the virtual interface; of active priorities there is one array."""

    GICC_CTLR = Register(0x00, mask=MODES)

    def __init__(self, interfaces: Sequence[VirtualInterface], current_cpu: Callable[[], int]) -> None:
        self._virtual = interfaces
        super().__init__(interfaces, current_cpu)

    def name_of(self, offset: int) -> str:
        """GICV_* of what GICC_* is called."""
        return super().name_of(offset).replace("GICC_", "GICV_")

    def read_GICC_APR0(self) -> int:
        """The active priorities of both groups."""
        return self._virtual[self._current_cpu()].apr

    def write_GICC_APR0(self, value: int) -> None:
        """Set them."""
        self._virtual[self._current_cpu()].set_apr_of_both(value)

    def read_GICC_NSAPR0(self) -> int:
        """Not in this frame: zero."""
        return 0

    def write_GICC_NSAPR0(self, value: int) -> None:
        """Ignored."""
