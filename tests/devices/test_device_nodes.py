"""Device-tree nodes, against what `qemu-system-aarch64 -M virt,dumpdtb=F` (7.2) has for the same slots."""

from __future__ import annotations

from flash_contents import MemoryContents

from armvcpu.devices.device import DtNode, Ref
from armvcpu.devices.flash import Flash
from armvcpu.devices.fw_cfg import FwCfg
from armvcpu.devices.pcie_ecam import PcieEcam, PcieWindow, Space
from armvcpu.devices.pl011 import Pl011
from armvcpu.devices.stream import Stream
from armvcpu.devices.virtio.mmio import VirtioMmio

WINDOWS = (
    PcieWindow(Space.IO, 0, 0x3EFF_0000, 0x1_0000),
    PcieWindow(Space.MEMORY_32, 0x1000_0000, 0x1000_0000, 0x2EFF_0000),
    PcieWindow(Space.MEMORY_64, 0x80_0000_0000, 0x80_0000_0000, 0x80_0000_0000),
)
ECAM = 0x40_1000_0000


def test_pl011_node() -> None:
    """SPI 1, level, two clock inputs from one clock."""
    assert Pl011(Stream(print)).dt_node(0x900_0000, (1,)) == DtNode(
        "pl011@9000000",
        {
            "clock-names": ["uartclk", "apb_pclk"],
            "clocks": (Ref("apb-pclk"), Ref("apb-pclk")),
            "interrupts": (0, 1, 4),
            "reg": (0, 0x900_0000, 0, 0x1000),
            "compatible": ["arm,pl011", "arm,primecell"],
        },
    )


def test_flash_node_covers_both_banks() -> None:
    """One node for two banks, from the first one."""
    bank = MemoryContents(0x400_0000)
    assert Flash(bank, banks_in_node=2).dt_node(0, ()) == DtNode(
        "flash@0",
        {
            "bank-width": (4,),
            "reg": (0, 0, 0, 0x400_0000, 0, 0x400_0000, 0, 0x400_0000),
            "compatible": "cfi-flash",
        },
    )
    assert Flash(bank, banks_in_node=0).dt_node(0x400_0000, ()) is None


def test_a_single_flash_bank_has_its_own_node() -> None:
    """Without `banks_in_node` a bank describes itself."""
    node = Flash(MemoryContents(0x4_0000)).dt_node(0x10_0000, ())
    assert node is not None
    assert (node.name, node.props["reg"]) == ("flash@100000", (0, 0x10_0000, 0, 0x4_0000))


def test_virtio_mmio_node() -> None:
    """SPI 16, edge."""
    assert VirtioMmio().dt_node(0xA00_0000, (16,)) == DtNode(
        "virtio_mmio@a000000",
        {
            "dma-coherent": None,
            "interrupts": (0, 0x10, 1),
            "reg": (0, 0xA00_0000, 0, 0x200),
            "compatible": "virtio,mmio",
        },
    )


def test_pcie_node_of_a_bridge_without_interrupts() -> None:
    """What the bridge is, and which windows it has."""
    assert PcieEcam(WINDOWS).dt_node(ECAM, ()) == DtNode(
        "pcie@10000000",
        {
            "ranges": (
                *(0x0100_0000, 0, 0, 0, 0x3EFF_0000, 0, 0x1_0000),
                *(0x0200_0000, 0, 0x1000_0000, 0, 0x1000_0000, 0, 0x2EFF_0000),
                *(0x0300_0000, 0x80, 0, 0x80, 0, 0x80, 0),
            ),
            "reg": (0x40, 0x1000_0000, 0, 0x1000_0000),
            "dma-coherent": None,
            "bus-range": (0, 0xFF),
            "linux,pci-domain": (0,),
            "#size-cells": (2,),
            "#address-cells": (3,),
            "device_type": "pci",
            "compatible": "pci-host-ecam-generic",
        },
    )


def test_pcie_interrupt_map_swizzles_the_pins() -> None:
    """INTA of device 1 is INTB of device 0 (PCI Local Bus Specification 2.2.6); each entry has ten cells."""
    props = PcieEcam(WINDOWS, gic=Ref("gic")).dt_node(ECAM, (3, 4, 5, 6)).props
    cells = props["interrupt-map"]
    assert isinstance(cells, tuple)
    assert len(cells) == 160
    assert cells[:10] == (0, 0, 0, 1, Ref("gic"), 0, 0, 0, 3, 4)
    assert [cells[at] for at in range(8, 160, 10)] == [3, 4, 5, 6, 4, 5, 6, 3, 5, 6, 3, 4, 6, 3, 4, 5]
    assert cells[150:154] == (0x1800, 0, 0, 4)
    assert (props["interrupt-map-mask"], props["#interrupt-cells"]) == ((0x1800, 0, 0, 7), (1,))


def test_pcie_msi_map_is_the_identity() -> None:
    """Every requester ID goes to the MSI controller unchanged."""
    node = PcieEcam(WINDOWS, msi=Ref("v2m")).dt_node(ECAM, ())
    assert node.props["msi-map"] == (0, Ref("v2m"), 0, 0x1_0000)


def test_fw_cfg_node() -> None:
    """No interrupt; DMA is coherent."""
    assert FwCfg().dt_node(0x902_0000, ()) == DtNode(
        "fw-cfg@9020000",
        {"compatible": "qemu,fw-cfg-mmio", "reg": (0, 0x902_0000, 0, 0x18), "dma-coherent": None},
    )
