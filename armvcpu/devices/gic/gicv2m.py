"""A GICv2m MSI frame: a write of an SPI's number is a message-signalled interrupt.

Follows the Server Base System Architecture (DEN 0029), appendix "GICv2m architecture", and binding
`arm,gic-v2m-frame`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.gic_registers import FIRST_SPI
from armvcpu.devices.device import Device, DtNode, Register, reg_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.device import SignalLine


class Gicv2m(Device):
    """A frame that pulses `lines`, which lead to the SPIs from `first_spi` on."""

    size = 0x1000

    MSI_TYPER = Register(0x008, ro=True)
    MSI_SETSPI_NS = Register(0x040, wo=True)
    MSI_IIDR = Register(0xFCC, ro=True)

    def __init__(self, first_spi: int, lines: Sequence[SignalLine]) -> None:
        self._first_intid = FIRST_SPI + first_spi
        self._lines = lines
        super().__init__()

    def read_MSI_TYPER(self) -> int:
        """Base SPI number (as an INTID) in bits 25 to 16, and the number of SPIs in bits 9 to 0."""
        return self._first_intid << 16 | len(self._lines)

    def write_MSI_SETSPI_NS(self, value: int) -> None:
        """Pulse the SPI whose INTID is in bits 9 to 0, if it is one of this frame's."""
        index = (value & 0x3FF) - self._first_intid
        if 0 <= index < len(self._lines):
            self._lines[index](True)
            self._lines[index](False)

    def frame_node(self, base: int) -> DtNode:
        """The frame's node. It stands inside that of the interrupt controller, so `dt_node` gives none."""
        return DtNode(
            f"v2m@{base:x}",
            {"compatible": "arm,gic-v2m-frame", "msi-controller": None, "reg": reg_cells((base, self.size))},
            label="v2m",
        )
