"""A GICv2, put together: Distributor and CPU interfaces for up to eight CPUs, and a GICv2m frame. IHI 0048.

    SPI lines ---> shared interrupts --- GICD_ITARGETSR ---+
    PPI lines ---> private interrupts of each CPU ---------+--> CPU interface --> IRQ and FIQ of each CPU
    GICD_SGIR ---> private interrupts of the targets ------+
    GICH_LR   ---> virtual interface of each CPU --> virtual IRQ and FIQ; PPI 25 to its hypervisor

CPUs that have EL2 have virtual interfaces (GICH, GICV); where they have EL3, the GIC has the Security Extensions.
Without these, every interrupt is in Group 0 after reset, which is signalled as IRQ unless GICC_CTLR.FIQEn is set.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from armvcpu.devices.device import DtNode, reg_cells, unconnected
from armvcpu.devices.gic.common import MAINTENANCE, Gic
from armvcpu.devices.gic.gicv2_cpu import CpuInterfaceRegisters, SecureCpuInterfaceRegisters
from armvcpu.devices.gic.gicv2_distributor import Gicv2Distributor
from armvcpu.devices.gic.gicv2_interface import PhysicalInterface
from armvcpu.devices.gic.gicv2_sgi import PrivateInterrupts
from armvcpu.devices.gic.gicv2m import Gicv2m
from armvcpu.devices.gic.state import InterruptBank
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.device import Device, SignalLine
    from armvcpu.devices.gic.gicv2_hypervisor import VirtualCpuInterfaceRegisters, VirtualInterfaceControl
    from armvcpu.devices.gic.gicv2_virtual import VirtualInterface

MAX_CPUS = 8


class Gicv2(Gic[PhysicalInterface]):
    """A GIC with one IRQ and one FIQ output per CPU, and where `el` is 2 or 3 a virtual one of each.

    `current_cpu` gives the index of the CPU whose access is being served, and with `el` 3 `access_is_secure` whether it
    is a Secure access. `distributor`, `gicc`, `msi_frame` and, with `el` 2 or 3, `hypervisor_frames` are to be placed;
    all but the first are described in the Distributor's device-tree node, so the bases at which they will be are given
    here.
    """

    def __init__(
        self,
        irq: Sequence[SignalLine],
        fiq: Sequence[SignalLine] | None = None,
        *,
        current_cpu: Callable[[], int],
        el: Literal[1, 2, 3] = 1,
        access_is_secure: Callable[[], bool] = lambda: False,
        virq: Sequence[SignalLine] | None = None,
        vfiq: Sequence[SignalLine] | None = None,
        spis: int = 256,
        cpu_interface_base: int = 0x0801_0000,
        msi_frame_base: int = 0x0802_0000,
        gich_base: int = 0x0803_0000,
        gicv_base: int = 0x0804_0000,
        msi_spis: range = range(48, 112),
    ) -> None:
        shared_bank, private_bank = _banks(el)
        super().__init__(spis, shared_bank)
        open_lines = [unconnected] * len(irq)
        fiq, virq, vfiq = fiq or open_lines, virq or open_lines, vfiq or open_lines
        if not 1 <= len(irq) <= MAX_CPUS or not len(irq) == len(fiq) == len(virq) == len(vfiq):
            raise UsageError(f"a GICv2 has 1 to {MAX_CPUS} CPUs, not {len(irq)}; choose GICv3 for more")
        self._bases = (cpu_interface_base, msi_frame_base, gich_base, gicv_base)
        self.has_security = el == 3
        self.virtual = self._virtual_interfaces(virq, vfiq) if el > 1 else ()
        """The virtual interfaces, one for each CPU or none."""
        self.hypervisor_frames = self._hypervisor_frames(current_cpu) if el > 1 else ()
        """GICH and GICV, or neither."""
        virtual = self.virtual or (None,) * len(irq)
        self.interfaces = [
            PhysicalInterface(private_bank(), self.shared, irq[cpu], fiq[cpu], self.spi_changed, virtual[cpu])
            for cpu in range(len(irq))
        ]
        self.distributor: Gicv2Distributor
        self.cpu_interface: CpuInterfaceRegisters
        self.gicc: Device
        if self.has_security:
            self._secure(current_cpu, access_is_secure)
        else:
            self.distributor = Gicv2Distributor(self, current_cpu)
            self.gicc = self.cpu_interface = CpuInterfaceRegisters(self.interfaces, current_cpu)
        self.msi_frame = Gicv2m(msi_spis.start, [self.spi_line(n) for n in msi_spis])

    def _virtual_interfaces(
        self, virq: Sequence[SignalLine], vfiq: Sequence[SignalLine]
    ) -> tuple[VirtualInterface, ...]:
        from armvcpu.arch.gic_ich import MAINTENANCE_INTID  # few machines have it
        from armvcpu.devices.gic.gicv2_virtual import VirtualInterface

        lines = zip(virq, vfiq, strict=True)
        return tuple(
            VirtualInterface(*both, partial(self.set_ppi, cpu, MAINTENANCE_INTID), partial(self._end_listed, cpu))
            for cpu, both in enumerate(lines)
        )

    def _hypervisor_frames(
        self, current_cpu: Callable[[], int]
    ) -> tuple[VirtualInterfaceControl, VirtualCpuInterfaceRegisters]:
        from armvcpu.devices.gic.gicv2_hypervisor import VirtualCpuInterfaceRegisters, VirtualInterfaceControl

        return (
            VirtualInterfaceControl(self.virtual, current_cpu),
            VirtualCpuInterfaceRegisters(self.virtual, current_cpu),
        )

    def _end_listed(self, cpu: int, intid: int) -> None:
        self.interfaces[cpu].deactivate_listed(intid, all_groups=not self.has_security)

    def _secure(self, current_cpu: Callable[[], int], access_is_secure: Callable[[], bool]) -> None:
        from armvcpu.devices.gic.gicv2_banked import BankedFrame  # few machines have it
        from armvcpu.devices.gic.gicv2_nonsecure_cpu import NonsecureCpuInterfaceRegisters
        from armvcpu.devices.gic.gicv2_secure import SecureDistributor
        from armvcpu.devices.gic.security import Security

        security = Security(access_is_secure)
        self.distributor = SecureDistributor(self, current_cpu, security)
        self.cpu_interface = SecureCpuInterfaceRegisters(self.interfaces, current_cpu)
        nonsecure = NonsecureCpuInterfaceRegisters(self.interfaces, current_cpu)
        self.gicc = BankedFrame(self.cpu_interface, nonsecure, security)

    @property
    def devices(self) -> tuple[Device, ...]:
        """What a machine puts into slots; their state is in the controller's own."""
        return self.distributor, self.gicc, self.msi_frame, *self.hypervisor_frames

    def interface(self, cpu: int) -> PhysicalInterface:
        """The interface of a CPU, as the machine resets it with the CPU."""
        return self.interfaces[cpu]

    def route_to_cpus(self, intid: int, targets: int) -> None:
        """Let the CPUs of a bitmap take an SPI; the first that acknowledges it has it (1.4.3, "1-N model")."""
        self.route(intid, [interface for cpu, interface in enumerate(self.interfaces) if targets >> cpu & 1])

    def dt_node(self, base: int) -> DtNode:
        """The node of binding `arm,gic`, with the Distributor at `base`."""
        cpu_interface_base, msi_frame_base, gich_base, gicv_base = self._bases
        ranges = [(base, self.distributor.size), (cpu_interface_base, self.cpu_interface.size)]
        if self.hypervisor_frames:
            gich, gicv = self.hypervisor_frames
            ranges += [(gich_base, gich.size), (gicv_base, gicv.size)]
        return DtNode(
            f"intc@{base:x}",
            {
                "compatible": "arm,cortex-a15-gic",
                "reg": reg_cells(*ranges),
                **({"interrupts": MAINTENANCE} if self.virtual else {}),
                "interrupt-controller": None,
                "#interrupt-cells": (3,),
                "#address-cells": (2,),
                "#size-cells": (2,),
                "ranges": None,
            },
            (self.msi_frame.frame_node(msi_frame_base),),
            label="gic",
        )

    def reset(self) -> None:
        """Reset all of it."""
        self.distributor.reset()
        self.cpu_interface.reset()

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep; the devices' own `state()` are parts of it."""
        state = {"distributor": self.distributor.state(), "cpu_interface": self.cpu_interface.state()}
        return {**state, "virtual": [each.state() for each in self.virtual]} if self.virtual else state

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, of a GIC with as many CPUs."""
        self.distributor.load_state(state["distributor"])
        self.cpu_interface.load_state(state["cpu_interface"])
        for interface, saved in zip(self.virtual, state.get("virtual", ()), strict=True):
            interface.load_state(saved)


def _banks(el: int) -> tuple[type[InterruptBank], type[PrivateInterrupts]]:
    """What holds the SPIs, and the private interrupts of a CPU."""
    if el < 3:
        return InterruptBank, PrivateInterrupts
    from armvcpu.devices.gic.gicv2_secure import OpenedPrivate  # few machines have it
    from armvcpu.devices.gic.nsacr import OpenedBank

    return OpenedBank, OpenedPrivate
