"""The parts of a GICv3 whose CPUs have more than EL1: virtual interfaces with EL2, two Security states with EL3.

Apart from `gicv3.py`, so that a machine without such CPUs loads none of it.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.gic_ich import MAINTENANCE_INTID
from armvcpu.arch.gic_registers import ALL_SGIS, FIRST_SPI
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.device import unconnected
from armvcpu.devices.gic.gicv3_distributor import Gicv3Distributor
from armvcpu.devices.gic.gicv3_icc import SystemRegisterInterface
from armvcpu.devices.gic.gicv3_redistributor import Redistributor, private_interrupts
from armvcpu.devices.gic.gicv3_virtual import VirtualInterface
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.processor import Processor


class HigherLevels:
    """Makes the parts of `gic`; arguments are those of `Gicv3`. UsageError where there is not one of each per CPU."""

    def __init__(
        self,
        gic: Gicv3,
        cpus: int,
        el: int,
        processors: Sequence[Processor],
        virq: Sequence[SignalLine] | None,
        vfiq: Sequence[SignalLine] | None,
        access_is_secure: Callable[[], bool] | None,
    ) -> None:
        self._gic, self._processors = gic, processors
        self._virq, self._vfiq = virq or [unconnected] * cpus, vfiq or [unconnected] * cpus
        if not cpus == len(processors) == len(self._virq) == len(self._vfiq):
            raise UsageError(
                f"{cpus} CPUs with {len(processors)} processors, {len(self._virq)} vIRQ and {len(self._vfiq)} vFIQ "
                "lines; give one of each per CPU"
            )
        self._security = None
        if el == 3:
            from armvcpu.devices.gic.security import Security

            if access_is_secure is None:
                raise UsageError("a GIC with two Security states has to be told whose an access is: access_is_secure")
            self._security = Security(access_is_secure)

    def interface(self, cpu: int, mpidr: int, irq: SignalLine, fiq: SignalLine) -> SystemRegisterInterface:
        """ICC_* and ICH_* of a CPU, with its private interrupts."""
        gic, processor = self._gic, self._processors[cpu]
        maintenance = partial(gic.set_ppi, cpu, MAINTENANCE_INTID)
        virtual = VirtualInterface(self._virq[cpu], self._vfiq[cpu], maintenance, partial(_deactivate, gic, cpu))
        if self._security is None:
            return SystemRegisterInterface(gic, mpidr, private_interrupts(), gic.shared, irq, fiq, processor, virtual)
        from armvcpu.devices.gic.gicv3_groups import GroupedBank
        from armvcpu.devices.gic.gicv3_secure_interface import ThreeGroupInterface

        assert isinstance(gic.shared, GroupedBank)
        private = GroupedBank(range(FIRST_SPI), always_edge=ALL_SGIS, is_private=True)
        return ThreeGroupInterface(gic, mpidr, private, gic.shared, irq, fiq, processor, virtual, self._security)

    def distributor(self) -> Gicv3Distributor:
        """GICD."""
        if self._security is None:
            return Gicv3Distributor(self._gic)
        from armvcpu.devices.gic.gicv3_secure import SecureDistributor

        return SecureDistributor(self._gic, self._security)

    def redistributor(self, cpu: int) -> Redistributor:
        """GICR of a CPU."""
        if self._security is None:
            return Redistributor(self._gic, cpu)
        from armvcpu.devices.gic.gicv3_secure import SecureRedistributor

        return SecureRedistributor(self._gic, cpu, self._security)


def _deactivate(gic: Gicv3, cpu: int, intid: int) -> None:
    gic.interfaces[cpu].deactivate_physical(intid)
