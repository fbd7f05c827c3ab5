"""What GICv2 and GICv3 have in common: the interrupts, the CPUs' interfaces, the lines in, and where SPIs go."""

from __future__ import annotations

from functools import partial

from armvcpu.arch.gic_registers import FIRST_PPI, FIRST_SPI, MAX_SPIS
from armvcpu.arch.static import TYPE_CHECKING, Generic, TypeVar
from armvcpu.devices.gic.cpu_interface import PhysicalCpuInterface
from armvcpu.devices.gic.state import InterruptBank
from armvcpu.errors import UsageError, number_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.device import SignalLine

_CPU, _INTID = "the number of a CPU", "an INTID"
MAINTENANCE = (1, 9, 4)
"""The interrupt of a virtual interface as an interrupt specifier: PPI 9 (INTID 25), by level."""
Interface = TypeVar("Interface", bound=PhysicalCpuInterface)


class Gic(Generic[Interface]):
    """Interrupts and interfaces; subclasses create the interfaces and the devices around them.

    `spis` is a multiple of 32, up to 960, or 988; a `bank` holds them. Every change finds its way to the CPUs' lines at
    once: nothing has to be polled.
    """

    def __init__(self, spis: int, bank: type[InterruptBank] = InterruptBank) -> None:
        if spis != MAX_SPIS and (spis % 32 or not 0 <= spis < MAX_SPIS):
            raise UsageError(f"{spis} SPIs: give a multiple of 32 up to 960, or 988")
        self.spis = spis
        self.shared = bank(range(FIRST_SPI, FIRST_SPI + spis))
        self.interfaces: list[Interface] = []
        self._targets: list[tuple[Interface, ...]] = [()] * (FIRST_SPI + spis)

    @property
    def it_lines(self) -> int:
        """GICD_TYPER.ITLinesNumber: INTIDs are below 32 * (this + 1)."""
        return (self.shared.intids.stop + 31) // 32 - 1

    # --- lines in

    def set_spi(self, n: int, level: bool) -> None:
        """SPI `n` (INTID 32 + n) goes to a level."""
        intid = FIRST_SPI + n
        if self.shared.set_level(intid, level):
            for interface in self._targets[intid]:
                interface.update()

    def set_ppi(self, cpu: int, intid: int, level: bool) -> None:
        """A CPU's private interrupt, INTID 16 to 31, goes to a level."""
        interface = self.interfaces[cpu]
        if interface.private.set_level(intid, level):
            interface.update()

    def pend(self, intid: int, cpu: int = 0) -> None:
        """Make an interrupt pending, as a write of GICD_ISPENDR or, of a CPU's own, GICR_ISPENDR0 does (12.9, 12.11).

        Of a GICv2's SGIs software can't (IHI 0048 4.3.7, GICD_ISPENDR), so nothing happens. UsageError where there is
        no such interrupt or CPU.
        """
        if not 0 <= _number(_CPU, cpu) < len(self.interfaces):
            raise UsageError(f"there is no CPU {cpu}; this GIC has CPUs 0 to {len(self.interfaces) - 1}")
        bank = self.shared if _number(_INTID, intid) >= FIRST_SPI else self.interfaces[cpu].private
        if intid not in bank.intids:
            raise UsageError(f"there is no interrupt {intid}; this GIC has INTIDs 0 to {self.shared.intids.stop - 1}")
        bank.set_pending(1 << intid)
        self.update()

    def spi_line(self, n: int) -> SignalLine:
        """The line of SPI `n`. UsageError where there is no such SPI."""
        if not 0 <= _number("the number of an SPI", n) < self.spis:
            raise UsageError(f"there is no SPI {n}; this GIC has SPI 0 to {self.spis - 1}")
        return partial(self.set_spi, n)

    def ppi_line(self, cpu: int, intid: int) -> SignalLine:
        """The line of a CPU's private interrupt. UsageError where there is no such CPU or PPI."""
        is_there = 0 <= _number(_CPU, cpu) < len(self.interfaces)
        if not FIRST_PPI <= _number(_INTID, intid) < FIRST_SPI or not is_there:
            raise UsageError(f"CPU {cpu} has no PPI with INTID {intid}; PPIs are INTID 16 to 31")
        return partial(self.set_ppi, cpu, intid)

    def line_of(self, cpu: int, intid: int) -> InterruptBank:
        """Who keeps the line of an SPI, or of a CPU's PPI. UsageError where there is none."""
        if _number(_INTID, intid) < FIRST_SPI:
            self.ppi_line(cpu, intid)
            return self.interfaces[cpu].private
        self.spi_line(intid - FIRST_SPI)
        return self.shared

    # --- where interrupts go

    def route(self, intid: int, targets: Sequence[Interface]) -> None:
        """An SPI may from now on be taken by these CPUs; they are not updated yet."""
        for interface in self._targets[intid]:
            interface.routed &= ~(1 << intid)
        self._targets[intid] = tuple(targets)
        for interface in targets:
            interface.routed |= 1 << intid

    def route_all(self, targets: Sequence[Interface]) -> None:
        """The same for every SPI."""
        every = (1 << self.spis) - 1 << FIRST_SPI
        for interface in self.interfaces:
            interface.routed &= ~every
        for interface in targets:
            interface.routed |= every
        self._targets[FIRST_SPI:] = [tuple(targets)] * self.spis

    def forward_groups(self, groups: int) -> None:
        """The Distributor forwards these groups: bit 0 is Group 0, bit 1 is Group 1."""
        for interface in self.interfaces:
            interface.forwarded_groups = groups
            interface.update()

    def update(self) -> None:
        """Bring every CPU's outputs up to date."""
        for interface in self.interfaces:
            interface.update()

    def spi_changed(self, by: PhysicalCpuInterface, intid: int) -> None:
        """A CPU, already up to date, acknowledged or ended an SPI that others may be waiting for."""
        for interface in self._targets[intid]:
            if interface is not by:
                interface.update()


def _number(what: str, value: object) -> int:
    """`value`, a number; whether there is one of that number is for the caller to say."""
    return number_in(what, value, 32, signed=True)
