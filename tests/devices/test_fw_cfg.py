"""The firmware configuration device: docs/specs/fw_cfg of QEMU."""

from __future__ import annotations

import struct

import pytest
from virtio_driver import BASE, Ram

from armvcpu.devices import fw_cfg
from armvcpu.devices.deadline import NEVER, Schedule
from armvcpu.devices.device import Wires
from armvcpu.devices.fw_cfg import FwCfg

DATA, SELECTOR, DMA = 0x00, 0x08, 0x10
READ, SKIP, SELECT, WRITE = 2, 4, 8, 16


@pytest.fixture
def ram():
    return Ram()


@pytest.fixture
def device(ram):
    device = FwCfg(3, Wires(memory=ram))
    device.add_boot({"kernel": b"kernel image", "cmdline": b"console=x\0"})
    device.add_files({"opt/b": b"second", "opt/a": b"first"})
    return device


def select(device: FwCfg, item: int) -> None:
    device.write(SELECTOR, 2, int.from_bytes(item.to_bytes(2, "big"), "little"))


def take(device: FwCfg, size: int) -> bytes:
    return b"".join(device.read(DATA, 1).to_bytes(1, "little") for _ in range(size))


def transfer(device: FwCfg, ram: Ram, control: int, length: int, address: int) -> int:
    """Carry out a control structure at BASE; what its control word becomes."""
    ram.view(BASE, 16)[:] = struct.pack(">IIQ", control, length, address)
    device.write(DMA, 4, 0)
    device.write(DMA + 4, 4, int.from_bytes(BASE.to_bytes(4, "big"), "little"))
    return int.from_bytes(ram.view(BASE, 4), "big")


def test_it_is_there(device):
    """The signature, and an ID with the DMA bit."""
    select(device, 0)
    assert take(device, 4) == b"QEMU"
    select(device, 1)
    assert take(device, 4) == b"\3\0\0\0"
    assert device.read(DMA, 4).to_bytes(4, "little") + device.read(DMA + 4, 4).to_bytes(4, "little") == b"QEMU CFG"


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_data_keeps_the_order_of_memory(device, width):
    """However wide the access; beyond the end there are zeroes."""
    select(device, 0x11)
    data = b"".join(device.read(DATA, width).to_bytes(width, "little") for _ in range(16 // width))
    assert data == b"kernel image\0\0\0\0"


def test_numbers_are_little_endian(device):
    """The kernel's size; the number of CPUs."""
    select(device, 0x08)
    assert take(device, 4) == (12).to_bytes(4, "little")
    select(device, 0x05)
    assert take(device, 2) == b"\3\0"


def test_the_directory_lists_files_by_name(device):
    """Sizes and items are big-endian; each item holds its file."""
    select(device, 0x19)
    assert take(device, 4) == b"\0\0\0\2"
    rows = [struct.unpack(">IHH56s", take(device, 64)) for _ in range(2)]
    assert [row[3].rstrip(b"\0") for row in rows] == [b"opt/a", b"opt/b"]
    select(device, rows[1][1])
    assert take(device, rows[1][0]) == b"second"


def test_an_order_to_boot_in_is_always_there():
    """QEMU's file `bootorder`, by which U-Boot's test/py knows the device; empty, for firmware to choose."""
    device = FwCfg()
    select(device, 0x19)
    assert take(device, 4) == b"\0\0\0\1"
    size, _, _, name = struct.unpack(">IHH56s", take(device, 64))
    assert (size, name.rstrip(b"\0")) == (0, b"bootorder")


def test_dma_selects_and_reads(device, ram):
    """The control word becomes zero."""
    assert transfer(device, ram, 0x11 << 16 | SELECT | READ, 16, BASE + 0x100) == 0
    assert bytes(ram.view(BASE + 0x100, 16)) == b"kernel image\0\0\0\0"


def test_dma_skips_and_goes_on(device, ram):
    """Reading begins where it left off."""
    transfer(device, ram, 0x11 << 16 | SELECT | SKIP, 7, 0)
    transfer(device, ram, READ, 5, BASE + 0x100)
    assert bytes(ram.view(BASE + 0x100, 5)) == b"image"


@pytest.mark.parametrize("control", [0, READ, SKIP, 0x11 << 16 | SELECT, 0x11 << 16 | SELECT | READ])
def test_dma_of_no_bytes_is_done(device, ram, control):
    """Nothing moves, wherever it would go to: the address need be none."""
    before = bytes(ram.bytes[16:])
    assert transfer(device, ram, control, 0, 0) == 0
    assert bytes(ram.bytes[16:]) == before


@pytest.mark.parametrize("has_snapshot", [False, True])
def test_a_long_transfer_goes_on_when_the_run_loop_has_had_its_turn(monkeypatch, has_snapshot):
    """A piece at a time, and the control word tells when it is done; in another device too, from a snapshot."""
    monkeypatch.setattr(fw_cfg, "AT_ONCE", 2 << 20)
    memory, schedule = Ram(8 << 20), Schedule()
    device = FwCfg(1, Wires(memory=memory, schedule=schedule))
    kernel = bytes(range(256)) * (5 << 12)
    device.add_boot({"kernel": kernel})
    turns = 0
    control = transfer(device, memory, 0x11 << 16 | SELECT | READ, len(kernel) + 16, BASE + 0x100)
    while control:
        assert control == 0x11 << 16 | SELECT | READ
        assert schedule.next() < NEVER
        if has_snapshot:
            state, schedule = device.state(), Schedule()
            device = FwCfg(1, Wires(memory=memory, schedule=schedule))
            device.add_boot({"kernel": kernel})
            device.load_state(state)
        schedule.run_due(schedule.next())
        turns += 1
        control = int.from_bytes(memory.view(BASE, 4), "big")
    assert bytes(memory.view(BASE + 0x100, len(kernel) + 16)) == kernel + bytes(16)
    assert (turns, schedule.next()) == (2, NEVER)


def test_a_kernel_is_there_before_the_guest_goes_on():
    """As on QEMU's board, whatever its size: U-Boot 2025.01 looks at the control word once."""
    memory, schedule = Ram(80 << 20), Schedule()
    device = FwCfg(1, Wires(memory=memory, schedule=schedule))
    kernel = bytes(range(256)) * (70 << 12)
    device.add_boot({"kernel": kernel})
    assert transfer(device, memory, 0x11 << 16 | SELECT | READ, len(kernel), BASE + 0x100) == 0
    assert bytes(memory.view(BASE + 0x100, len(kernel))) == kernel
    assert schedule.next() == NEVER


def test_a_reset_ends_a_long_transfer(monkeypatch):
    """Its control word stays as it is."""
    monkeypatch.setattr(fw_cfg, "AT_ONCE", 2 << 20)
    memory, schedule = Ram(8 << 20), Schedule()
    device = FwCfg(1, Wires(memory=memory, schedule=schedule))
    transfer(device, memory, READ, 5 << 20, BASE + 0x100)
    device.reset()
    assert schedule.next() == NEVER
    assert bytes(memory.view(BASE, 4)) == b"\0\0\0\2"


@pytest.mark.parametrize(("control", "address"), [(READ, 0), (READ, (1 << 64) - 8), (WRITE, BASE)])
def test_dma_errors_are_told(device, ram, control, address):
    """No memory there, or an item that can't be written."""
    assert transfer(device, ram, control, 8, address) == 1


def test_a_control_structure_nowhere_is_ignored(device):
    """There is no memory to say so in."""
    device.write(DMA, 8, (1 << 64) - 1)
    select(device, 0)
    assert take(device, 4) == b"QEMU"


def test_its_state_returns(device, ram):
    """What is selected, and how far."""
    select(device, 0x11)
    take(device, 7)
    other = FwCfg(wires=Wires(memory=ram))
    other.add_boot({"kernel": b"kernel image"})
    other.load_state(device.state())
    assert take(other, 5) == b"image"
