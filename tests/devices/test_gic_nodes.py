"""The GICs' device-tree nodes, against `qemu-system-aarch64 -M virt,gic-version=N,dumpdtb=F` (7.2)."""

from __future__ import annotations

from typing import Literal

import pytest
from gic_guest import V2, V3

from armvcpu.devices.dtnode import DtNode

COMMON = {
    "interrupt-controller": None,
    "#interrupt-cells": (3,),
    "#address-cells": (2,),
    "#size-cells": (2,),
    "ranges": None,
}


def test_gicv3_node() -> None:
    """One region for all Redistributors; no ITS inside."""
    assert V3().gicd.dt_node(0x800_0000, ()) == DtNode(
        "intc@8000000",
        {
            "compatible": "arm,gic-v3",
            "reg": (0, 0x800_0000, 0, 0x1_0000, 0, 0x80A_0000, 0, 0xF6_0000),
            "#redistributor-regions": (1,),
            **COMMON,
        },
        label="gic",
    )
    assert V3().gic.redistributor(0).dt_node(0x80A_0000, ()) is None


def test_gicv2_node() -> None:
    """Distributor and CPU interface, with the MSI frame inside."""
    frame = {"compatible": "arm,gic-v2m-frame", "msi-controller": None, "reg": (0, 0x802_0000, 0, 0x1000)}
    assert V2().gicd.dt_node(0x800_0000, ()) == DtNode(
        "intc@8000000",
        {
            "compatible": "arm,cortex-a15-gic",
            "reg": (0, 0x800_0000, 0, 0x1_0000, 0, 0x801_0000, 0, 0x1_0000),
            **COMMON,
        },
        (DtNode("v2m@8020000", frame, label="v2m"),),
        label="gic",
    )
    assert V2().gic.msi_frame.dt_node(0x802_0000, ()) is None


@pytest.mark.parametrize("el", [2, 3])
def test_gicv2_node_with_virtualization(el: Literal[2, 3]) -> None:
    """GICH and GICV too, and the maintenance interrupt, PPI 9, by level: as with `virtualization=on`."""
    node = V2(el=el).gicd.dt_node(0x800_0000, ())
    assert node is not None
    assert node.props["interrupts"] == (1, 9, 4)
    assert node.props["reg"] == tuple(
        cell for page in (0x800, 0x801, 0x803, 0x804) for cell in (0, page << 16, 0, 0x1_0000)
    )
    plain = V2().gicd.dt_node(0x800_0000, ())
    assert plain is not None
    assert (plain.props.get("interrupts"), plain.children) == (None, node.children)
