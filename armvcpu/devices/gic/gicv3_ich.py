"""A virtual interface as registers, IHI 0069 12.3 and 12.4: MRS and MSR of ICV_*_EL1, ICH_*_EL2 and ICC_SRE_EL2.

What they mean stands in `gicv3_virtual.py`. ICC_SRE_EL2.SRE, DFB, DIB and Enable are RAO/WI: system registers are the
only way to a CPU interface, so that no level can forbid another one to choose it (12.2, ICC_SRE_EL2).
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.gic_icc import IccRegisters
from armvcpu.arch.gic_ich import ICH_VTR, LIST_REGISTERS
from armvcpu.arch.gic_registers import ICC_CTLR, SPURIOUS
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.gicv3_icc import Rows
    from armvcpu.devices.gic.gicv3_virtual import VirtualInterface

REGISTERS = ("AP0R0", "AP1R0", "HCR", "VTR", "MISR", "EISR", "ELRSR", "VMCR")
"""ICH_<name>_EL2 that there is one of, in the order of their encodings."""
SRE_WITH_ENABLE = 0xF
_ICV_CTLR_FIXED = ICC_CTLR.of(PRIbits=4, A3V=1)
_VTR = ICH_VTR.of(ListRegs=LIST_REGISTERS - 1, TDS=1, nV4=1, A3V=1, PREbits=4, PRIbits=4)


class IcvRegisters(IccRegisters):
    """ICV_*_EL1, which its guest accesses as ICC_*_EL1.

    What is pending is shown while ICH_HCR_EL2.En is 0, too, though none of it is signalled (12.4, ICH_HCR_EL2.En).
    """

    def __init__(self, interface: VirtualInterface, send_sgi: Callable[[int, int], None]) -> None:
        super().__init__(interface, send_sgi, _ICV_CTLR_FIXED)
        self._virtual = interface

    def read_HPPIR0(self) -> int:
        """The highest priority pending interrupt of the enabled groups if it is of Group 0."""
        group, intid = self._virtual.highest_pending()
        return SPURIOUS if group else intid

    def read_HPPIR1(self) -> int:
        """The same for Group 1."""
        group, intid = self._virtual.highest_pending()
        return intid if group else SPURIOUS


class IchRegisters:
    """Those of one virtual interface: read_NAME for those that can be read, write_NAME for those that are written."""

    def __init__(self, interface: VirtualInterface) -> None:
        self._interface = interface
        self.write_HCR = interface.write_hcr
        self.write_VMCR = interface.write_vmcr

    def rows(self) -> Rows:
        """Each register's packed encoding, with who answers MRS and who MSR; None where it is UNDEFINED."""
        for name in REGISTERS:
            yield (
                by_name[f"ICH_{name}_EL2"].encoding,
                getattr(self, f"read_{name}"),
                getattr(self, f"write_{name}", None),
            )
        for n in range(LIST_REGISTERS):
            yield by_name[f"ICH_LR{n}_EL2"].encoding, partial(self.read_LR, n), partial(self._interface.write_lr, n)
        yield by_name["ICC_SRE_EL2"].encoding, lambda: SRE_WITH_ENABLE, lambda _value: None

    def read_LR(self, n: int) -> int:
        """A list register."""
        return self._interface.lr[n]

    def read_HCR(self) -> int:
        """The interface's enable, maintenance interrupts, traps, and EOIcount."""
        return self._interface.hcr

    def read_VTR(self) -> int:
        """What there is: four list registers, five bits of priority and of preemption, INTIDs of 16 bits, TDIR."""
        return int(_VTR)

    def read_MISR(self) -> int:
        """Why the maintenance interrupt is asserted."""
        return self._interface.misr

    def read_EISR(self) -> int:
        """List registers whose end asked for maintenance."""
        return self._interface.eisr

    def read_ELRSR(self) -> int:
        """List registers that are free."""
        return self._interface.elrsr

    def read_VMCR(self) -> int:
        """The guest's ICV_* registers in one word."""
        return self._interface.vmcr

    def read_AP0R0(self) -> int:
        """The guest's active priorities of Group 0."""
        return self._interface.apr0

    def write_AP0R0(self, value: int) -> None:
        """Set them."""
        self._interface.write_apr(0, value)

    def read_AP1R0(self) -> int:
        """The guest's active priorities of Group 1."""
        return self._interface.apr1

    def write_AP1R0(self, value: int) -> None:
        """Set them."""
        self._interface.write_apr(1, value)
