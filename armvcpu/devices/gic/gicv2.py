"""A GICv2, put together: Distributor and CPU interfaces for up to eight CPUs, and a GICv2m frame. IHI 0048.

    SPI lines ---> shared interrupts --- GICD_ITARGETSR ---+
    PPI lines ---> private interrupts of each CPU ---------+--> CPU interface --> IRQ and FIQ of each CPU
    GICD_SGIR ---> private interrupts of the targets ------+

There are no Security Extensions. After reset every interrupt is in Group 0, which is signalled as IRQ unless
GICC_CTLR.FIQEn is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.devices.device import DtNode, reg_cells, unconnected
from armvcpu.devices.gic.common import Gic
from armvcpu.devices.gic.gicv2_cpu import CpuInterfaceRegisters, MappedInterface
from armvcpu.devices.gic.gicv2_distributor import Gicv2Distributor
from armvcpu.devices.gic.gicv2_sgi import PrivateInterrupts
from armvcpu.devices.gic.gicv2m import Gicv2m
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.device import Device, SignalLine

MAX_CPUS = 8


class Gicv2(Gic[MappedInterface]):
    """A GIC with one IRQ and one FIQ output per CPU.

    `current_cpu` gives the index of the CPU whose access is being served. `distributor`, `cpu_interface` and
    `msi_frame` are the devices to place; the last two are described in the Distributor's device-tree node, so the
    bases at which they will be are given here.
    """

    def __init__(
        self,
        irq: Sequence[SignalLine],
        fiq: Sequence[SignalLine] | None = None,
        *,
        current_cpu: Callable[[], int],
        spis: int = 256,
        cpu_interface_base: int = 0x0801_0000,
        msi_frame_base: int = 0x0802_0000,
        msi_spis: range = range(48, 112),
    ) -> None:
        super().__init__(spis)
        fiq = fiq or [unconnected] * len(irq)
        if not 1 <= len(irq) <= MAX_CPUS or len(fiq) != len(irq):
            raise UsageError(f"a GICv2 has 1 to {MAX_CPUS} CPUs, not {len(irq)}; choose GICv3 for more")
        self._bases = (cpu_interface_base, msi_frame_base)
        self.interfaces = [
            MappedInterface(PrivateInterrupts(), self.shared, irq[cpu], fiq[cpu], self.spi_changed)
            for cpu in range(len(irq))
        ]
        self.distributor = Gicv2Distributor(self, current_cpu)
        self.cpu_interface = CpuInterfaceRegisters(self.interfaces, current_cpu)
        self.msi_frame = Gicv2m(msi_spis.start, [self.spi_line(n) for n in msi_spis])

    @property
    def devices(self) -> tuple[Device, ...]:
        """What a machine puts into slots; their state is in the controller's own."""
        return self.distributor, self.cpu_interface, self.msi_frame

    def interface(self, cpu: int) -> MappedInterface:
        """The interface of a CPU, as the machine resets it with the CPU."""
        return self.interfaces[cpu]

    def route_to_cpus(self, intid: int, targets: int) -> None:
        """Let the CPUs of a bitmap take an SPI; the first that acknowledges it has it (1.4.3, "1-N model")."""
        self.route(intid, [interface for cpu, interface in enumerate(self.interfaces) if targets >> cpu & 1])

    def dt_node(self, base: int) -> DtNode:
        """The node of binding `arm,gic`, with the Distributor at `base`."""
        cpu_interface_base, msi_frame_base = self._bases
        return DtNode(
            f"intc@{base:x}",
            {
                "compatible": "arm,cortex-a15-gic",
                "reg": reg_cells((base, self.distributor.size), (cpu_interface_base, self.cpu_interface.size)),
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
        return {"distributor": self.distributor.state(), "cpu_interface": self.cpu_interface.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, of a GIC with as many CPUs."""
        self.distributor.load_state(state["distributor"])
        self.cpu_interface.load_state(state["cpu_interface"])
