"""The flash bank's commands: Intel 28F128J3 datasheet, section 4; JESD68 for the query."""

from __future__ import annotations

import errno

import pytest
from flash_contents import MemoryContents

from armvcpu.devices.flash import READS_TO_MAP, READY, Flash
from armvcpu.devices.flash_query import BLOCK

SIZE = 64 << 20
ERRORS = 0x30
AT = BLOCK + 0x100


class Bench:
    """A bank, and how the machine was told to map it."""

    def __init__(self) -> None:
        self.contents = MemoryContents(4 * BLOCK)
        self.flash = Flash(self.contents)
        self.mapped = self.contents.shown

    def write(self, *values: int, at: int = AT) -> None:
        for value in values:
            self.flash.write(at, 4, value)

    def status(self) -> int:
        self.write(0x0070_0070)
        status = self.flash.read(AT, 4)
        assert status >> 16 == status & 0xFFFF
        return status & 0xFF

    def word(self, at: int = AT) -> int:
        return int.from_bytes(self.contents[at : at + 4], "little")


@pytest.fixture
def bench():
    return Bench()


def test_after_reset_it_is_memory(bench):
    """Read-array mode."""
    bench.contents.put(AT, b"\1\2\3\4\5\6\7\x08")
    assert bench.flash.read(AT, 4) == 0x0403_0201
    assert bench.flash.read(AT + 1, 1) == 2


@pytest.mark.parametrize("command", [0x40, 0x10])
def test_a_word_is_programmed(bench, command):
    """Word program: setup, then the data."""
    bench.write(command, 0x1234_5678)
    assert (bench.word(), bench.status()) == (0x1234_5678, READY)


def test_programming_only_clears_bits(bench):
    """A 0 becomes a 1 by erasing alone."""
    bench.write(0x40, 0xF0F0_F0F0)
    bench.write(0x40, 0xFF00_FF00)
    assert bench.word() == 0xF000_F000


@pytest.mark.parametrize("width", [1, 2])
def test_a_program_cycle_is_as_wide_as_its_write(bench, width):
    """Drivers of one chip write its 16 bits."""
    bench.flash.write(AT, width, 0x40)
    bench.flash.write(AT, width, 0)
    assert bench.word() == 0xFFFF_FFFF << 8 * width & 0xFFFF_FFFF


def test_a_block_is_erased(bench):
    """Block erase: setup and confirmation; its neighbours stay."""
    for at in (BLOCK - 4, BLOCK, 2 * BLOCK - 4, 2 * BLOCK):
        bench.write(0x40, 0, at=at)
    bench.write(0x20, 0xD0)
    assert [bench.word(at) for at in (BLOCK - 4, BLOCK, 2 * BLOCK - 4, 2 * BLOCK)] == [0, 0xFFFFFFFF, 0xFFFFFFFF, 0]


def test_an_erase_that_is_not_confirmed_is_a_sequence_error(bench):
    """Both error bits, and nothing is erased, until the status is cleared."""
    bench.write(0x40, 0)
    bench.write(0x20, 0x00)
    assert (bench.word(), bench.status()) == (0, READY | ERRORS)
    bench.write(0x50)
    assert bench.status() == READY


def test_a_buffer_is_written(bench):
    """Write to buffer: the count less one, the words, the confirmation."""
    bench.write(0xE8)
    assert bench.flash.read(AT, 4) == 0x0080_0080  # the buffer is available
    bench.write(0x0002_0002)
    for index in range(3):
        bench.write(0x1111_1111 * (index + 1), at=AT + 4 * index)
    assert bench.word() == 0xFFFF_FFFF
    bench.write(0xD0)
    assert [bench.word(AT + 4 * index) for index in range(3)] == [0x1111_1111, 0x2222_2222, 0x3333_3333]
    assert bench.status() == READY


@pytest.mark.parametrize("sequence", [(0xE8, 0, 0x1234, 0xFF), (0xE8, 0x0200_0200)], ids=["unconfirmed", "too long"])
def test_a_broken_buffer_write_is_a_sequence_error(bench, sequence):
    """Nothing is programmed."""
    bench.write(*sequence)
    assert (bench.word(), bench.status()) == (0xFFFF_FFFF, READY | ERRORS)


def test_the_query_names_command_set_and_geometry():
    """JESD68: QRY, the Intel command set, 32 MiB a chip, 2 KiB of buffer, 256 blocks of 128 KiB a chip."""
    flash = Flash(MemoryContents(SIZE))
    flash.write(0x154, 4, 0x0098_0098)
    table = [flash.read(4 * step, 4) for step in range(0x40)]
    assert all(answer >> 16 == answer & 0xFFFF for answer in table)
    chip = bytes(answer & 0xFF for answer in table)
    assert chip[0x10:0x15] == b"QRY\x01\x00"
    assert 1 << chip[0x27] == SIZE // 2
    assert 1 << chip[0x2A] == 2048
    assert (chip[0x2C], int.from_bytes(chip[0x2D:0x2F], "little") + 1) == (1, SIZE // BLOCK)
    assert int.from_bytes(chip[0x2F:0x31], "little") * 256 == BLOCK // 2
    flash.write(0, 4, 0xFF)
    assert flash.read(0, 4) == 0xFFFF_FFFF


def test_the_identifiers(bench):
    """Manufacturer, then device."""
    bench.write(0x90)
    assert [bench.flash.read(at, 4) for at in (0, 4, 8)] == [0x0089_0089, 0x0018_0018, 0]


@pytest.mark.parametrize("value", [0x01, 0xD0])
def test_lock_bits_are_accepted(bench, value):
    """Set and clear; no block is ever locked."""
    bench.write(0x60, value)
    bench.write(0x40, 0)
    assert (bench.word(), bench.status()) == (0, READY)


def test_it_is_mapped_only_while_it_reads_as_an_array(bench):
    """Taken away at the first command; back when it is read as an array for a while, or when code is fetched."""
    bench.write(0x70)
    bench.flash.read(AT, 4)
    bench.write(0xFF)
    assert bench.mapped == [False]
    for _ in range(READS_TO_MAP):
        bench.flash.read(AT, 4)
    bench.write(0xFF)
    assert bench.flash.show_array()
    assert bench.mapped == [False, True, False, True]


def test_it_is_mapped_at_once_where_no_fetch_traps(bench):
    """Code may go on in it: after a command back to the array, and a store that is no command at all."""
    bench.contents.is_missed = True
    bench.write(0x70)
    assert bench.mapped == [False]
    bench.write(0xFF)
    assert bench.mapped == [False, True]
    bench.write(0x0001_7384)
    assert bench.mapped == [False, True, False, True]


def test_it_is_not_mapped_in_another_mode(bench):
    """However often the status is read."""
    bench.write(0x70)
    for _ in range(2 * READS_TO_MAP):
        bench.flash.read(AT, 4)
    assert not bench.flash.show_array()
    assert bench.mapped == [False]


def test_a_reset_ends_every_command(bench):
    """And maps the contents, which stay."""
    bench.write(0x40, 0)
    bench.write(0x20)
    bench.flash.reset()
    assert (bench.flash.is_array, bench.mapped[-1], bench.word()) == (True, True, 0)


def test_its_state_returns(bench):
    """In the middle of a command."""
    bench.write(0xE8, 0, 0x55)
    state = bench.flash.state()
    other = Bench()
    other.flash.load_state(state)
    other.write(0xD0)
    assert (other.word(), other.mapped) == (0x55, [False])


class Failing(MemoryContents):
    """Contents that the host can't keep any more."""

    is_full = False

    def put(self, offset: int, data: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        super().put(offset, data)


@pytest.mark.parametrize(
    ("commands", "error"),
    [
        ([(0x40, AT), (0, AT)], 0x10),
        ([(0xE8, AT), (1, AT), (0, AT), (0, AT + 4), (0xD0, AT)], 0x10),
        ([(0x20, AT), (0xD0, AT)], 0x20),
    ],
)
def test_what_the_host_cannot_keep_is_an_error_of_the_chip(commands, error):
    """SR.4 for programming, SR.5 for erasing, until "clear status"; the array is as it was (datasheet, Table 7)."""
    contents = Failing(4 * BLOCK)
    flash = Flash(contents)
    contents.put(AT, b"before..")
    contents.is_full = True
    for value, at in commands:
        flash.write(at, 4, value)
    flash.write(AT, 4, 0x70)
    assert flash.read(AT, 4) == (READY | error) * 0x1_0001
    assert contents[AT : AT + 8] == b"before.."
    contents.is_full = False
    flash.write(AT, 4, 0x50)
    flash.write(AT, 4, 0x70)
    assert flash.read(AT, 4) == READY * 0x1_0001


def test_a_buffer_is_programmed_in_one_piece(bench):
    """What is not in a row is not; what was there before stays where the buffer has ones."""
    put = bench.contents.put
    pieces = []
    bench.contents.put = lambda offset, data: (pieces.append((offset, bytes(data))), put(offset, data))
    bench.write(0xE8, 2)
    bench.write(0x1111_1111, at=AT + 4)
    bench.write(0x2222_2222, at=AT)
    bench.write(0x3333_3333, at=AT + 0x10)
    bench.write(0xD0)
    assert pieces == [(AT, b"\x22" * 4 + b"\x11" * 4), (AT + 0x10, b"\x33" * 4)]
