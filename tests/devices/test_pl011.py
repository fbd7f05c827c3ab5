"""PL011 (Arm DDI 0183): each register, the interrupts, loop-back, and the host's side of the line."""

from __future__ import annotations

import pytest

from armvcpu.devices.device import Wires
from armvcpu.devices.pl011 import Pl011
from armvcpu.devices.pl011_registers import CR, DR, FR, INT, LCR_H
from armvcpu.devices.stream import Stream

UARTDR, UARTRSR, UARTECR, UARTFR, UARTLCR_H, UARTCR, UARTIFLS = 0x00, 0x04, 0x04, 0x18, 0x2C, 0x30, 0x34
UARTIMSC, UARTRIS, UARTMIS, UARTICR = 0x38, 0x3C, 0x40, 0x44


class Bench:
    """A UART with its output and its line recorded, and a host that feeds what it has typed."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.levels: list[bool] = []
        self.typed = b""
        self.stream = Stream(self.sent.append)
        self.uart = Pl011(self.stream, Wires(self.levels.append))

    def __getitem__(self, offset: int) -> int:
        return self.uart.read(offset, 4)

    def __setitem__(self, offset: int, value: int) -> None:
        self.uart.write(offset, 4, value)

    def type(self, text: bytes) -> None:
        self.typed += text
        self.stream.watch(self.feed)
        self.feed()

    def feed(self) -> None:
        self.typed = self.typed[self.uart.receive(self.typed) :]

    def read_while(self, flag: int) -> bytes:
        got = bytearray()
        while self[UARTRIS] & flag:
            got.append(self[UARTDR])
        return bytes(got)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def fifo(bench: Bench) -> Bench:
    """With the FIFOs enabled."""
    bench[UARTLCR_H] = LCR_H.FEN
    return bench


RESET_VALUES = [
    (0x000, 0), (0x004, 0), (0x018, 0x90), (0x020, 0), (0x024, 0), (0x028, 0), (0x02C, 0), (0x030, 0x300),
    (0x034, 0x12), (0x038, 0), (0x03C, 0), (0x040, 0), (0x044, 0), (0x048, 0),
    (0xFE0, 0x11), (0xFE4, 0x10), (0xFE8, 0x14), (0xFEC, 0x00),
    (0xFF0, 0x0D), (0xFF4, 0xF0), (0xFF8, 0x05), (0xFFC, 0xB1),
]  # fmt: skip


@pytest.mark.parametrize(("offset", "value"), RESET_VALUES)
def test_reset_values(bench: Bench, offset: int, value: int) -> None:
    """Each register reads as table 3-1 says after reset; UARTICR and UARTECR cannot be read."""
    assert bench[offset] == value


@pytest.mark.parametrize(
    ("offset", "writable"),
    [
        (0x020, 0xFF),
        (0x024, 0xFFFF),
        (0x028, 0x3F),
        (0x02C, 0xFF),
        (0x030, 0xFF87),
        (0x034, 0x3F),
        (0x038, 0x7FF),
        (0x048, 0x7),
    ],
)
def test_control_registers_keep_their_defined_bits(bench: Bench, offset: int, writable: int) -> None:
    """Bits that 3.3 reserves read as zero."""
    bench[offset] = 0xFFFF_FFFF
    assert bench[offset] == writable


@pytest.mark.parametrize("offset", [0x018, 0x03C, 0x040, *range(0xFE0, 0x1000, 4)])
def test_read_only_registers_ignore_writes(bench: Bench, offset: int) -> None:
    """Flags, raw and masked status, and the identification registers (3.2)."""
    before = bench[offset]
    bench[offset] = 0xFFFF_FFFF
    assert bench[offset] == before


@pytest.mark.parametrize("width", [1, 2, 4])
def test_UARTDR_sends_the_low_byte(bench: Bench, width: int) -> None:
    """Drivers write the data register with any width (3.3.1)."""
    bench.uart.write(UARTDR, width, 0x41)
    assert bench.sent == b"A"
    assert bench[UARTFR] & FR.TXFE


def test_it_works_although_nothing_enabled_it(bench: Bench) -> None:
    """Software that leaves UARTCR to the firmware runs, as on QEMU's board."""
    bench[UARTCR] = 0
    bench[UARTDR] = ord("x")
    assert bench.uart.receive(b"y") == 1
    assert bench[UARTDR] == ord("y")
    assert bench.sent == b"x"


def test_UARTDR_reads_zero_when_nothing_was_received(bench: Bench) -> None:
    """And no interrupt changes."""
    assert bench[UARTDR] == 0
    assert bench.levels == []


def test_received_characters_come_in_order(fifo: Bench) -> None:
    """The receiver is a FIFO (2.4.3)."""
    assert fifo.uart.receive(b"abc") == 3
    assert [fifo[UARTDR] for _ in range(3)] == list(b"abc")


def test_UARTFR_tells_an_empty_a_filled_and_a_full_receiver(fifo: Bench) -> None:
    """RXFE and RXFF (3.3.3)."""
    states = []
    for text in (b"", b"a", b"b" * 15):
        fifo.uart.receive(text)
        states.append(fifo[UARTFR] & (FR.RXFE | FR.RXFF))
    assert states == [FR.RXFE, 0, FR.RXFF]


def test_the_receiver_takes_one_character_without_fifo(bench: Bench) -> None:
    """FEN = 0 makes the FIFO a holding register (3.3.7)."""
    assert bench.uart.receive(b"ab") == 1
    assert bench[UARTFR] & FR.RXFF
    assert bench.uart.receive(b"b") == 0


def test_the_receiver_takes_sixteen_characters_with_fifo(fifo: Bench) -> None:
    """The depth of every revision before r1p5, as UARTPeriphID2 says (3.3.15)."""
    assert fifo.uart.receive(bytes(40)) == 16


def test_disabling_the_fifo_keeps_what_was_received(fifo: Bench) -> None:
    """Typed-ahead input survives a change of drivers."""
    fifo.uart.receive(b"abc")
    fifo[UARTLCR_H] = 0
    assert fifo.uart.receive(b"d") == 0
    assert [fifo[UARTDR] for _ in range(3)] == list(b"abc")
    assert fifo[UARTFR] & FR.RXFE


@pytest.mark.parametrize("select", range(8))
def test_one_character_interrupts_whatever_UARTIFLS_says(fifo: Bench, select: int) -> None:
    """As on QEMU's board, where the trigger level is one: the manual has 2 to 14 (2.8.2, 3.3.9)."""
    fifo[UARTIFLS], fifo[UARTIMSC] = select << 3, INT.RX
    for _key in range(3):
        fifo.uart.receive(b"k")
        assert fifo[UARTMIS] == INT.RX
        fifo.uart.read(UARTDR, 4)
        assert fifo[UARTMIS] == 0
    assert (fifo[UARTIFLS], fifo.levels) == (select << 3, [True, False] * 3)


def test_the_receive_interrupt_comes_with_each_character_without_fifo(bench: Bench) -> None:
    """The holding register is full with one (2.8.2)."""
    bench.uart.receive(b"a")
    assert bench[UARTRIS] & INT.RX
    bench.uart.read(UARTDR, 4)
    assert not bench[UARTRIS] & INT.RX


def test_the_receive_interrupt_lasts_until_the_fifo_is_empty(fifo: Bench) -> None:
    """What is left is at the trigger level, or above it; and no timeout is needed for it, nor is there one."""
    fifo.uart.receive(b"ab")
    assert fifo[UARTRIS] == INT.RX
    fifo.uart.read(UARTDR, 4)
    assert fifo[UARTRIS] == INT.RX
    fifo.uart.read(UARTDR, 4)
    assert fifo[UARTRIS] == 0


def test_UARTICR_clears_the_receive_interrupt_until_the_level_is_reached_anew(fifo: Bench) -> None:
    """It is set by an event, not by the level (2.8.2)."""
    fifo.uart.receive(bytes(10))
    fifo[UARTICR] = INT.RX
    assert fifo[UARTRIS] == 0
    fifo.uart.receive(b"!")
    assert fifo[UARTRIS] == 0
    while not fifo[UARTFR] & FR.RXFE:
        fifo.uart.read(UARTDR, 4)
    fifo.uart.receive(b"!")
    assert fifo[UARTRIS] == INT.RX


def test_the_transmit_interrupt_needs_a_first_character(bench: Bench) -> None:
    """It is set by passing the level, so enabling it alone does not raise it (2.8.3)."""
    bench[UARTIMSC] = INT.TX
    bench.uart.receive(b"x")
    assert bench[UARTMIS] == 0
    bench[UARTDR] = ord("a")
    assert bench[UARTMIS] == INT.TX
    bench[UARTICR] = INT.TX
    assert bench[UARTMIS] == 0
    bench[UARTDR] = ord("b")
    assert bench[UARTMIS] == INT.TX


def test_UARTMIS_is_UARTRIS_under_UARTIMSC(fifo: Bench) -> None:
    """A masked interrupt is pending all the same (3.3.12)."""
    fifo.uart.receive(b"a")
    fifo[UARTDR] = 0
    fifo[UARTIMSC] = INT.TX
    assert fifo[UARTRIS] == INT.TX | INT.RX
    assert fifo[UARTMIS] == INT.TX


def test_the_line_carries_changes_of_level_only(fifo: Bench) -> None:
    """UARTINTR is the OR of the masked interrupts (2.8.6)."""
    fifo.uart.receive(b"ab")
    fifo[UARTIMSC] = INT.RX
    assert fifo.levels == [True]
    fifo.uart.receive(b"c")
    for _ in range(3):
        fifo.uart.read(UARTDR, 4)
    assert fifo.levels == [True, False]


def test_an_overrun_is_flagged_at_once_and_with_the_next_character(bench: Bench) -> None:
    """The lost character marks UARTRSR; the FIFO passes the mark on with the next one (2.4.3, 3.3.2)."""
    bench[UARTCR] = CR.LBE
    bench[UARTDR] = ord("a")
    bench[UARTDR] = ord("b")
    assert (bench[UARTRSR], bench[UARTRIS] & INT.OE) == (0x8, INT.OE)
    assert bench[UARTDR] == ord("a")
    bench[UARTDR] = ord("c")
    assert bench[UARTDR] == DR.OE | ord("c")
    bench[UARTDR] = ord("d")
    assert bench[UARTDR] == ord("d")


def test_UARTECR_clears_the_receive_status_with_any_value(bench: Bench) -> None:
    """UARTRSR keeps an overrun until then (3.3.2)."""
    bench[UARTCR] = CR.LBE
    bench[UARTDR] = ord("a")
    bench[UARTDR] = ord("b")
    bench.uart.read(UARTDR, 4)
    assert bench[UARTRSR] == 0x8
    bench[UARTECR] = 0
    assert bench[UARTRSR] == 0


def test_loop_back_receives_what_is_sent_and_nothing_else(fifo: Bench) -> None:
    """LBE connects RXD to TXD; the host keeps its characters (3.3.8)."""
    fifo[UARTCR] = CR.LBE
    fifo.type(b"host")
    for character in b"self":
        fifo[UARTDR] = character
    assert fifo.read_while(INT.RX) == b"self"
    fifo[UARTCR] = 0
    assert fifo.read_while(INT.RX) == b"host"


@pytest.mark.parametrize(
    ("output", "flag", "interrupt"),
    [
        (CR.RTS, FR.CTS, INT.CTS),
        (CR.DTR, FR.DSR, INT.DSR),
        (CR.Out1, FR.DCD, INT.DCD),
        (CR.Out2, FR.RI, INT.RI),
    ],
)
def test_loop_back_feeds_modem_outputs_to_inputs(bench: Bench, output: int, flag: int, interrupt: int) -> None:
    """A changed input is an interrupt, an output without loop-back changes nothing (2.8.1, 3.3.8)."""
    bench[UARTCR] = output
    assert (bench[UARTFR], bench[UARTRIS]) == (FR.TXFE | FR.RXFE, 0)
    bench[UARTCR] = output | CR.LBE
    assert (bench[UARTFR], bench[UARTRIS]) == (FR.TXFE | FR.RXFE | flag, interrupt)
    bench[UARTICR] = interrupt
    assert bench[UARTRIS] == 0


@pytest.mark.parametrize("line_control", [0, LCR_H.FEN])
def test_a_host_loses_no_character(bench: Bench, line_control: int) -> None:
    """Input of any length arrives."""
    text = bytes(range(256)) * 2
    bench[UARTLCR_H] = line_control
    bench.type(text)
    assert bench.read_while(INT.RX) == text
    assert bench.typed == b""


def test_enabling_the_fifo_asks_for_more(bench: Bench) -> None:
    """Input typed before fills it at once."""
    bench.type(b"0123456789")
    bench[UARTLCR_H] = LCR_H.FEN
    assert bench.typed == b""
    assert bench[UARTRIS] & INT.RX


def test_reset_drops_the_line_and_asks_for_more(fifo: Bench) -> None:
    """The interrupt is gone, the FIFO disabled again, and the host feeds its next character."""
    fifo.type(b"x" * 17)
    fifo[UARTIMSC] = INT.RX
    fifo.uart.reset()
    assert fifo.levels == [True, False]
    assert (fifo[UARTLCR_H], fifo[UARTIMSC], fifo.typed) == (0, 0, b"")


def test_a_snapshot_restores_fifo_overrun_and_line(bench: Bench) -> None:
    """Another UART goes on exactly where this one stopped."""
    bench[UARTCR] = CR.LBE
    bench[UARTIMSC] = INT.RX
    bench[UARTDR] = ord("a")
    bench[UARTDR] = ord("b")
    other = Bench()
    other.uart.load_state(bench.uart.state())
    assert other.uart.state() == bench.uart.state()
    assert other.levels == [True]
    assert other[UARTDR] == ord("a")
    other[UARTDR] = ord("c")
    assert other[UARTDR] == DR.OE | ord("c")


def test_what_nobody_has_read_can_be_taken_back(fifo: Bench) -> None:
    """The receiver is empty then, as if the driver had read it, and the line is low."""
    fifo[UARTIMSC] = INT.RX
    fifo.type(b"for another console")
    assert fifo.uart.take_back() == b"for another cons"
    assert (fifo[UARTFR] & FR.RXFE, fifo[UARTRIS], fifo.levels) == (FR.RXFE, 0, [True, False])


@pytest.mark.parametrize(("mask", "can"), [(0, False), (INT.RX, True), (INT.RT | INT.TX | INT.OE, False)])
def test_it_says_whether_a_character_would_interrupt(bench: Bench, mask: int, can: bool) -> None:
    """By the receive interrupt (2.8.2), as UARTIMSC has it."""
    bench[UARTIMSC] = mask
    assert bench.uart.can_interrupt() is can
    bench.uart.receive(b"a")
    assert (bench.levels == [True]) is can
