"""Device-tree nodes as plain data, so that a device can describe itself without any device-tree library.

The machine collects the nodes, resolves each `Ref` to a phandle and writes the blob (Devicetree
Specification v0.4).
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# An interrupt specifier for a GIC has three cells: (GIC_SPI, number, type) (binding `arm,gic-v3`).
GIC_SPI = 0
IRQ_TYPE_EDGE_RISING = 1
IRQ_TYPE_LEVEL_HIGH = 4


class Ref(Row):
    """A device-tree phandle reference to the node labelled `label` (`gic`, `apb-pclk`, ...)."""

    label: str


DtValue = None | str | bytes | list[str] | tuple[int | Ref, ...]
"""A property: empty, a string, raw bytes, a string list, or 32-bit cells."""

_NONE: Mapping[str, DtValue] = {}


class DtNode(Row):
    """One device-tree node as data; `label` is what a `Ref` names."""

    name: str
    props: Mapping[str, DtValue] = _NONE
    children: tuple[DtNode, ...] = ()
    label: str | None = None


def cells64(*values: int) -> tuple[int, ...]:
    """Each 64-bit value as two cells, the more significant one first."""
    return tuple(cell for value in values for cell in (value >> 32, value & 0xFFFF_FFFF))


def reg_cells(*pairs: tuple[int, int]) -> tuple[int, ...]:
    """`reg` cells of (base, size) pairs, bytes, with #address-cells = #size-cells = 2."""
    return tuple(cell for pair in pairs for cell in cells64(*pair))


def spi_cells(interrupts: tuple[int, ...], trigger: int = IRQ_TYPE_LEVEL_HIGH) -> tuple[int, ...]:
    """`interrupts` cells of these SPI numbers (SPI 0 is INTID 32)."""
    return tuple(cell for spi in interrupts for cell in (GIC_SPI, spi, trigger))
