"""The board of a machine whose CPUs have EL3: what is the Secure world's, as on QEMU's with `secure=on`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from armvcpu.cli.machine import machine
from armvcpu.devices.dma import BadAddress
from armvcpu.devices.flash import Flash
from armvcpu.engine.fake import ScriptedEngine
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.board.empty import empty_board
from armvcpu.machine.board.memory import GuestMemory
from armvcpu.machine.board.secure import secure_gpio
from armvcpu.machine.board.virt import secure_ram
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.running.power_lines import PowerLines
from armvcpu.vcpu.exits import SystemDown, SystemReset

MIB = 1 << 20
UART, GPIO, RAM = 0x0904_0000, 0x090B_0000, 0x0E00_0000
GPIODIR = 0x400
QEMU = {
    "flash0": (0x0000_0000, 0x0400_0000, []),
    "secure-pl011": (UART, 0x1000, [40]),
    "secure-pl061": (GPIO, 0x1000, [32]),
    "secure-ram": (RAM, 0x0100_0000, []),
}
"""Base, size and INTIDs, as QEMU 7.2 has them: its memory map (info mtree) and device tree."""


def board(**options):
    return empty_board(MachineConfig.of_board(**{"el": 3, **options}))


def test_the_listing_says_what_is_secure():
    """Just what QEMU's Non-secure address space lacks; bank 1 of flash is in both."""
    listed = CliRunner().invoke(machine, ["--el", "3", "--json"], catch_exceptions=False).output
    slots = {slot["name"]: slot for slot in json.loads(listed)}
    secure = {name: (slot["base"], slot["size"], slot["intids"]) for name, slot in slots.items() if slot["secure"]}
    assert secure == QEMU


@pytest.mark.parametrize("el", [1, 2])
def test_without_el3_nothing_is_secure(el):
    """And the board is the one that it was."""
    assert (board(el=el).secure_ranges, board(el=el).secure_ram) == ((), ())
    assert [slot.name for slot in board(el=el).slots] == [slot.name for slot in board(el=1).slots]


def test_secure_ranges_are_whole_pages_of_it():
    """What a Non-secure access is to abort at."""
    assert set(board().secure_ranges) == {(base, size) for base, size, _ in QEMU.values()}


def test_users_ram_over_secure_flash_takes_it_away():
    """Then Non-secure software has RAM there."""
    assert 0 not in dict(board(ram=("0x0:64M",)).secure_ranges)


@pytest.mark.parametrize(
    "options",
    [{"ram": ("0xe000000:1M",)}, {"board_devices": ("pl011@0xe000000",)}, {"board_devices": ("pl011@0x9040000",)}],
)
def test_what_would_lie_over_it_is_refused(options):
    """Secure RAM and Secure devices are no places for a user's."""
    with pytest.raises(UsageError):
        board(**options)


def test_images_may_be_loaded_into_secure_ram():
    """But only on a board that has it."""
    board().memory_map().place("bl31", "the image", RAM, 16 * MIB)
    with pytest.raises(ImageError):
        board(el=2).memory_map().place("bl31", "the image", RAM, 4)
    with pytest.raises(ImageError):
        board().memory_map().place("bl31", "the image", RAM, 16 * MIB + 1)


def test_devices_do_not_reach_secure_ram():
    """Their DMA is Non-secure, whoever has asked for it."""
    memory = GuestMemory(16 * MIB, (), secure=secure_ram(3))
    memory.write(RAM + 16 * MIB - 4, b"okay")
    assert memory.read(RAM + 16 * MIB - 4, 4) == b"okay"
    for address in (RAM, RAM + 16 * MIB - 1):
        with pytest.raises(BadAddress):
            memory.view(address, 1)


def test_each_flash_bank_is_a_chip_of_its_own_in_the_tree():
    """`secflash@0` and `flash@4000000`."""
    flash = [slot.device for slot in board().slots if isinstance(slot.device, Flash)]
    assert [each.banks_in_node for each in flash] == [1, 1]


def test_both_uarts_are_on_the_console():
    """What is typed goes to the first one."""
    built = board()
    (uart,) = (slot.device for slot in built.slots if slot.base == UART)
    assert uart.stream is built.uart.stream
    assert built.console is built.uart


@pytest.mark.parametrize(("line", "wanted"), [(0, SystemDown()), (1, SystemReset())])
def test_a_line_of_the_secure_gpio_is_the_boards_power(line, wanted):
    """High, as an output: QEMU's `gpio-pwr`, whose inputs are shutdown and reset. The guest's run ends there."""
    gpio, engine = secure_gpio(board()), ScriptedEngine()
    lines = PowerLines(gpio, engine)
    gpio.write(0x4 << line, 4, 0xFF)
    assert (lines.attend(), engine.leaves) == (None, 0)  # it is an input still
    gpio.write(GPIODIR, 4, 1 << line)
    assert engine.leaves == 1
    assert [lines.attend(), lines.attend()] == [wanted, None]


def test_other_lines_and_falling_ones_do_nothing():
    gpio, engine = secure_gpio(board()), ScriptedEngine()
    lines = PowerLines(gpio, engine)
    gpio.write(GPIODIR, 4, 0xFF)
    gpio.write(0x3F0, 4, 0xFC)
    gpio.write(0x3FC, 4, 0)
    assert (lines.attend(), engine.leaves) == (None, 0)
