"""What holds for every device: no access raises, values fit, no registers overlap, snapshots round-trip."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from flash_contents import MemoryContents

from armvcpu.devices.flash import Flash
from armvcpu.devices.flash_query import BLOCK
from armvcpu.devices.fw_cfg import FwCfg
from armvcpu.devices.pcie_ecam import PcieEcam
from armvcpu.devices.pl011 import Pl011
from armvcpu.devices.pl031 import Pl031
from armvcpu.devices.pl061 import Pl061
from armvcpu.devices.stream import Stream
from armvcpu.devices.virtio.mmio import VirtioMmio

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import Device

DEVICES = [
    pytest.param(lambda: Pl011(Stream(bytearray().append)), id="pl011"),
    pytest.param(lambda: Flash(MemoryContents(2 * BLOCK)), id="flash"),
    pytest.param(FwCfg, id="fw_cfg"),
    pytest.param(Pl031, id="pl031"),
    pytest.param(Pl061, id="pl061"),
    pytest.param(VirtioMmio, id="virtio_mmio"),
    pytest.param(lambda: PcieEcam((), buses=1), id="pcie_ecam"),
]
every_device = pytest.mark.parametrize("create", DEVICES)


def access_at_random(device: Device, seed: int, count: int = 20_000) -> None:
    rng = random.Random(seed)
    for _ in range(count):
        offset, width = rng.randrange(min(device.size, 0x1000)), rng.choice((1, 2, 4, 8))
        if rng.random() < 0.5:
            device.write(offset, width, rng.getrandbits(8 * width))
        else:
            assert 0 <= device.read(offset, width) < 1 << 8 * width


@every_device
def test_no_access_raises(create: Callable[[], Device]) -> None:
    """Any offset, aligned or not, and any width, in any order; what is read fits its width."""
    access_at_random(create(), seed=1)


@every_device
def test_reset_leaves_nothing_behind(create: Callable[[], Device]) -> None:
    """After a reset a used device is in the state of a new one, but for what flash holds."""
    device = create()
    access_at_random(device, seed=2)
    device.reset()
    states = device.state(), create().state()
    for state in states:
        state.pop("changes", None)
    assert states[0] == states[1]


@every_device
def test_a_snapshot_of_a_used_device_loads_into_a_new_one(create: Callable[[], Device]) -> None:
    """`state()` says everything, and `load_state` takes it."""
    device, other = create(), create()
    access_at_random(device, seed=3)
    other.load_state(device.state())
    assert other.state() == device.state()


@every_device
@pytest.mark.parametrize("right", ["ro", "wo"])
def test_no_byte_belongs_to_two_registers(create: Callable[[], Device], right: str) -> None:
    """For each kind of access one register at most stands at each offset, inside the device's size."""
    device = create()
    claimed = [
        register.offset + index * register.stride + byte
        for register in device.REGISTERS.values()
        if not getattr(register, right)
        for index in range(register.count)
        for byte in range(register.width)
    ]
    assert len(claimed) == len(set(claimed))
    assert max(claimed, default=0) < device.size
