"""A virtio-mmio transport without a device behind it: Virtual I/O Device (VIRTIO) 1.2, section 4.2.2.

A board has such placeholders at fixed addresses; a driver reads DeviceID 0 and leaves the slot alone
(4.2.2.2), so everything after the four identification registers reads as zero and ignores writes. A slot with a
device is one of `layouts.py`.
"""

from __future__ import annotations

from armvcpu.arch.static import Literal
from armvcpu.devices.device import Device, DtNode, Register, Wires, reg_cells
from armvcpu.devices.dtnode import IRQ_TYPE_EDGE_RISING, spi_cells


class VirtioMmio(Device):
    """An empty slot; `version` 1 is the legacy register layout (4.2.4) of QEMU's board, 2 the present one."""

    size = 0x200

    MagicValue = Register(0x000, ro=True, reset=int.from_bytes(b"virt", "little"))
    Version = Register(0x004, ro=True)
    DeviceID = Register(0x008, ro=True)
    VendorID = Register(0x00C, ro=True, reset=int.from_bytes(b"QEMU", "little"))

    def __init__(self, version: Literal[1, 2] = 1, wires: Wires | None = None) -> None:
        self.version = version
        super().__init__(wires)

    def read_Version(self) -> int:
        """1 or 2: which register layout follows."""
        return self.version

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The node of binding `virtio,mmio`."""
        return DtNode(
            f"virtio_mmio@{base:x}",
            {
                "compatible": "virtio,mmio",
                "reg": reg_cells((base, self.size)),
                "interrupts": spi_cells(interrupts, IRQ_TYPE_EDGE_RISING),
                "dma-coherent": None,
            },
        )
