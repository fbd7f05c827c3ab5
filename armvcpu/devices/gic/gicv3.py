"""A GICv3 without LPIs: Distributor, Redistributors and CPU interfaces, put together. IHI 0069.

    SPI lines ---> shared interrupts (Distributor) --- GICD_IROUTER ---+
    PPI lines ---> private interrupts (Redistributor of each CPU) -----+--> CPU interface --> IRQ and FIQ of each CPU
    ICC_SGI1R ---> private interrupts of the targets ------------------+

CPUs without EL3 have one Security state (GICD_CTLR.DS = 1): Group 1 interrupts are signalled as IRQ and those of
Group 0 as FIQ (4.6, "Interrupt grouping"). What there is more with EL2 and EL3 stands in `gicv3_virtual.py` and
`gicv3_secure*.py`.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.gic_registers import FIRST_SPI
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import DtNode, reg_cells, unconnected
from armvcpu.devices.gic.common import MAINTENANCE, Gic
from armvcpu.devices.gic.gicv3_distributor import Gicv3Distributor
from armvcpu.devices.gic.gicv3_icc import SystemRegisterInterface
from armvcpu.devices.gic.gicv3_redistributor import Redistributor, private_interrupts
from armvcpu.devices.gic.state import InterruptBank
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.arch.gic_registers import GICD_IROUTER, ICC_SGIR
    from armvcpu.devices.device import Device, SignalLine
    from armvcpu.devices.gic.gicv3_levels import HigherLevels
    from armvcpu.devices.gic.processor import Processor


class Gicv3(Gic[SystemRegisterInterface]):
    """A GIC for the CPUs with these MPIDR_EL1 values, one IRQ and one FIQ output for each of them.

    `distributor` and `redistributors` are the devices to place, a Redistributor right after the one before; from
    `redistributor_base` on, `redistributor_size` bytes (room for all that a board may have) are said to be theirs in
    the device tree.

    `el` is the highest Exception level of the CPUs. With 2 and 3 `processors` are they, and `virq` and `vfiq` their
    inputs for virtual interrupts; with 3 `access_is_secure` says of the memory access under way to one of the devices
    whether it is Secure.
    """

    def __init__(
        self,
        cpus: Sequence[int],
        irq: Sequence[SignalLine],
        fiq: Sequence[SignalLine] | None = None,
        *,
        el: int = 1,
        processors: Sequence[Processor] = (),
        virq: Sequence[SignalLine] | None = None,
        vfiq: Sequence[SignalLine] | None = None,
        access_is_secure: Callable[[], bool] | None = None,
        spis: int = 256,
        redistributor_base: int = 0x080A_0000,
        redistributor_size: int = 0xF6_0000,
    ) -> None:
        super().__init__(spis, _bank(el))
        fiq = fiq or [unconnected] * len(cpus)
        if not len(cpus) == len(irq) == len(fiq) or not cpus:
            raise UsageError(f"{len(cpus)} CPUs with {len(irq)} IRQ and {len(fiq)} FIQ lines; give one of each per CPU")
        self.region = (redistributor_base, redistributor_size)
        self._any_cpu = 0  # the SPIs of GICD_IROUTER.Interrupt_Routing_Mode 1
        self.redistributors: tuple[Redistributor, ...] = ()
        self.has_el2 = el > 1
        levels: HigherLevels | None = None
        if self.has_el2:
            from armvcpu.devices.gic.gicv3_levels import HigherLevels  # most machines have EL1 only

            levels = HigherLevels(self, len(cpus), el, processors, virq, vfiq, access_is_secure)
        self.interfaces = [
            SystemRegisterInterface(self, mpidr, private_interrupts(), self.shared, irq[cpu], fiq[cpu])
            if levels is None
            else levels.interface(cpu, mpidr, irq[cpu], fiq[cpu])
            for cpu, mpidr in enumerate(cpus)
        ]
        self._by_affinity = {interface.affinity: interface for interface in self.interfaces}
        if len(self._by_affinity) != len(cpus):
            raise UsageError("two CPUs have the same affinity")
        self.distributor = Gicv3Distributor(self) if levels is None else levels.distributor()
        make = partial(Redistributor, self) if levels is None else levels.redistributor
        self.redistributors = tuple(make(cpu) for cpu in range(len(cpus)))

    @property
    def devices(self) -> tuple[Device, ...]:
        """What a machine puts into slots; their state is in the controller's own."""
        return self.distributor, *self.redistributors

    def redistributor(self, cpu: int) -> Redistributor:
        """GICR of a CPU."""
        return self.redistributors[cpu]

    def interface(self, cpu: int) -> SystemRegisterInterface:
        """The ICC_* registers of a CPU."""
        return self.interfaces[cpu]

    # --- routing

    def route_by_affinity(self, spi: int, route: GICD_IROUTER) -> None:
        """Route an SPI as its GICD_IROUTER says; one for an affinity that no CPU has stays pending (2.3)."""
        intid = FIRST_SPI + spi
        if route.Interrupt_Routing_Mode:
            self._any_cpu |= 1 << intid
            self._choose(intid)
        else:
            self._any_cpu &= ~(1 << intid)
            target = self._by_affinity.get(route.affinity)
            self.route(intid, () if target is None else (target,))

    def route_to_first(self) -> None:
        """Route all SPIs to the CPU of affinity 0.0.0.0, as after reset."""
        self._any_cpu = 0
        target = self._by_affinity.get(0)
        self.route_all(() if target is None else (target,))

    def participation_changed(self) -> None:
        """Which CPUs take part in 1 of N routing, or the group of an SPI, may have changed."""
        if not self._any_cpu:
            return
        for intid in self.shared.intids:
            if self._any_cpu >> intid & 1:
                self._choose(intid)
        self.update()

    def _choose(self, intid: int) -> None:
        """1 of N (2.3, "Affinity routing"): the first CPU that is awake and has the SPI's group enabled."""
        group = self.shared.group_of(intid)
        for interface, redistributor in zip(self.interfaces, self.redistributors, strict=False):
            if redistributor.is_awake and interface.enabled_groups >> group & 1:
                self.route(intid, (interface,))
                return
        self.route(intid, ())

    def sgi_targets(self, sender: SystemRegisterInterface, sgi: ICC_SGIR) -> list[SystemRegisterInterface]:
        """Whom a write to an ICC_SGI*R register addresses; CPUs that do not exist are left out."""
        if sgi.IRM:
            return [interface for interface in self.interfaces if interface is not sender]
        cluster = sgi.Aff3 << 24 | sgi.Aff2 << 16 | sgi.Aff1 << 8 | sgi.RS << 4
        found, rest = [], sgi.TargetList
        while rest:
            target = self._by_affinity.get(cluster + (rest & -rest).bit_length() - 1)
            if target is not None:
                found.append(target)
            rest &= rest - 1
        return found

    # --- device tree and snapshot

    def dt_node(self, base: int) -> DtNode:
        """The node of binding `arm,gic-v3`, with the Distributor at `base`."""
        return DtNode(
            f"intc@{base:x}",
            {
                "compatible": "arm,gic-v3",
                "reg": reg_cells((base, self.distributor.size), self.region),
                **({"interrupts": MAINTENANCE} if self.has_el2 else {}),
                "#redistributor-regions": (1,),
                "interrupt-controller": None,
                "#interrupt-cells": (3,),
                "#address-cells": (2,),
                "#size-cells": (2,),
                "ranges": None,
            },
            label="gic",
        )

    def reset(self) -> None:
        """Reset all of it."""
        self.distributor.reset()
        for redistributor in self.redistributors:
            redistributor.reset()
        for interface in self.interfaces:
            interface.reset()

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep; the devices' own `state()` are parts of it."""
        return {
            "distributor": self.distributor.state(),
            "redistributors": [redistributor.state() for redistributor in self.redistributors],
            "interfaces": [interface.state() for interface in self.interfaces],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, of a GIC with the same CPUs."""
        self.distributor.load_state(state["distributor"])
        for redistributor, saved in zip(self.redistributors, state["redistributors"], strict=True):
            redistributor.load_state(saved)
        for interface, saved in zip(self.interfaces, state["interfaces"], strict=True):
            interface.load_state(saved)


def _bank(el: int) -> type[InterruptBank]:
    if el < 3:
        return InterruptBank
    from armvcpu.devices.gic.gicv3_groups import GroupedBank  # as above

    return GroupedBank
