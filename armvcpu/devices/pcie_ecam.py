"""The configuration space of a PCI Express host bridge with no function behind it.

PCI Express Base Specification, 7.2.2 (Enhanced Configuration Access Mechanism): each function has 4 KiB, each
bus 1 MiB. A read of a function that is not there completes with all ones (2.3.2), a write is dropped. The
device-tree node follows the bindings `pci-host-ecam-generic` and "PCI Bus Binding to IEEE Std 1275-1994".
"""

from __future__ import annotations

from enum import IntEnum

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.device import Device, DtNode, Ref, reg_cells
from armvcpu.devices.dtnode import GIC_SPI, IRQ_TYPE_LEVEL_HIGH, cells64

if TYPE_CHECKING:
    from collections.abc import Iterator

BYTES_PER_BUS = 1 << 20
PINS = 4
"""INTA to INTD of a device; they are swizzled over four interrupts, which repeats after four devices."""


class Space(IntEnum):
    """The space code `ss` in phys.hi of a PCI address (PCI Bus Binding, 2.2.1.1)."""

    IO = 1
    MEMORY_32 = 2
    MEMORY_64 = 3


class PcieWindow(Row):
    """`size` bytes of a PCI address space, from `pci_addr` on, appear to the CPU from `cpu_addr` on."""

    space: Space
    pci_addr: int
    cpu_addr: int
    size: int

    def ranges_cells(self) -> tuple[int, ...]:
        """This window as an entry of `ranges`."""
        return (self.space << 24, *cells64(self.pci_addr, self.cpu_addr, self.size))


class PcieEcam(Device):
    """ECAM of `buses` buses; `windows`, `gic` and `msi` only describe the bridge in the device tree.

    `gic` is the interrupt controller of the INTx pins, whose node has 2 address cells; `msi` takes the MSIs.
    """

    def __init__(
        self,
        windows: tuple[PcieWindow, ...],
        *,
        buses: int = 256,
        gic: Ref | None = None,
        msi: Ref | None = None,
    ) -> None:
        self.windows, self.buses, self.gic, self.msi = windows, buses, gic, msi
        self.size = buses * BYTES_PER_BUS
        super().__init__()

    def read(self, offset: int, width: int) -> int:
        """All ones of `width` bytes."""
        del offset
        return (1 << 8 * width) - 1

    def write(self, offset: int, width: int, value: int) -> None:
        """Nothing is there to be written."""
        del offset, width, value

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The bridge with these SPIs as INTA to INTD; named, as on QEMU's board, by its 32-bit window."""
        name = next((w.cpu_addr for w in self.windows if w.space is Space.MEMORY_32), base)
        node = DtNode(
            f"pcie@{name:x}",
            {
                "compatible": "pci-host-ecam-generic",
                "device_type": "pci",
                "#address-cells": (3,),
                "#size-cells": (2,),
                "linux,pci-domain": (0,),
                "bus-range": (0, self.buses - 1),
                "dma-coherent": None,
                "reg": reg_cells((base, self.size)),
                "ranges": tuple(cell for window in self.windows for cell in window.ranges_cells()),
            },
        )
        return DtNode(node.name, {**node.props, **self._msi_props(), **self._intx_props(interrupts)})

    def _msi_props(self) -> dict[str, tuple[int | Ref, ...]]:
        """`msi-map`: every requester ID goes to the MSI controller unchanged."""
        return {} if self.msi is None else {"msi-map": (0, self.msi, 0, 0x10000)}

    def _intx_props(self, interrupts: tuple[int, ...]) -> dict[str, tuple[int | Ref, ...]]:
        """`interrupt-map` of the pins of four devices; the mask makes it repeat for the others."""
        if self.gic is None:
            return {}
        return {
            "#interrupt-cells": (1,),
            "interrupt-map-mask": ((PINS - 1) << 11, 0, 0, 0x7),
            "interrupt-map": tuple(self._interrupt_map(self.gic, interrupts)),
        }

    @staticmethod
    def _interrupt_map(gic: Ref, interrupts: tuple[int, ...]) -> Iterator[int | Ref]:
        for device in range(PINS):
            for pin in range(PINS):
                spi = interrupts[(device + pin) % PINS]
                yield from (device << 11, 0, 0, pin + 1, gic, 0, 0, GIC_SPI, spi, IRQ_TYPE_LEVEL_HIGH)
