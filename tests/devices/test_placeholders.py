"""Devices that answer without doing anything: an empty virtio slot, an empty ECAM."""

from __future__ import annotations

from typing import Literal

import pytest

from armvcpu.devices.pcie_ecam import PcieEcam
from armvcpu.devices.virtio.mmio import VirtioMmio


@pytest.mark.parametrize(("offset", "value"), [(0x000, 0x7472_6976), (0x004, 1), (0x008, 0), (0x00C, 0x554D_4551)])
def test_an_empty_virtio_slot_identifies_itself(offset: int, value: int) -> None:
    """MagicValue, Version, DeviceID, VendorID (VIRTIO 1.2, 4.2.2)."""
    slot = VirtioMmio()
    assert slot.read(offset, 4) == value
    slot.write(offset, 4, 0xFFFF_FFFF)
    assert slot.read(offset, 4) == value


@pytest.mark.parametrize("version", [1, 2])
def test_the_virtio_version_is_chosen_by_the_machine(version: Literal[1, 2]) -> None:
    """1 is the legacy layout, 2 the present one (VIRTIO 1.2, 4.2.2 and 4.2.4)."""
    assert VirtioMmio(version).read(0x004, 4) == version


def test_an_empty_virtio_slot_has_nothing_else() -> None:
    """All other registers and the configuration space read as zero (VIRTIO 1.2, 4.2.2)."""
    slot = VirtioMmio()
    for offset in range(0x10, slot.size, 4):
        slot.write(offset, 4, 0xFFFF_FFFF)
        assert slot.read(offset, 4) == 0


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_an_empty_ecam_reads_all_ones(width: int) -> None:
    """No function answers, so its vendor ID is 0xFFFF (PCI Express Base Specification 2.3.2)."""
    ecam = PcieEcam(())
    ecam.write(0x8000, width, 0)
    assert ecam.read(0x8000, width) == (1 << 8 * width) - 1


def test_ecam_has_a_mebibyte_for_each_bus() -> None:
    """256 buses need 256 MiB (PCI Express Base Specification 7.2.2)."""
    assert (PcieEcam(()).size, PcieEcam((), buses=16).size) == (0x1000_0000, 0x100_0000)
