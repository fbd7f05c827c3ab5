"""PL031 (Arm DDI 0224): each register, the alarm, and the time it takes from the host."""

from __future__ import annotations

import pytest

from armvcpu.devices.device import DtNode, Ref
from armvcpu.devices.pl031 import Pl031

RTCDR, RTCMR, RTCLR, RTCCR, RTCIMSC, RTCRIS, RTCMIS, RTCICR = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C
NOW = 1_700_000_000


class Bench:
    """A clock with its line recorded, and a host time that the test sets."""

    def __init__(self) -> None:
        self.now = NOW + 0.25
        self.levels: list[bool] = []
        self.changes = 0
        self.rtc = Pl031(lambda: self.now, self.levels.append)
        self.rtc.on_deadline = self.changed

    def changed(self) -> None:
        self.changes += 1

    def __getitem__(self, offset: int) -> int:
        return self.rtc.read(offset, 4)

    def __setitem__(self, offset: int, value: int) -> None:
        self.rtc.write(offset, 4, value)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (RTCDR, NOW), (RTCMR, 0), (RTCLR, 0), (RTCCR, 1), (RTCIMSC, 0), (RTCRIS, 0), (RTCMIS, 0), (RTCICR, 0),
        (0xFE0, 0x31), (0xFE4, 0x10), (0xFE8, 0x14), (0xFEC, 0), (0xFF0, 0x0D), (0xFF4, 0xF0), (0xFF8, 0x05),
        (0xFFC, 0xB1),
    ],
)  # fmt: skip
def test_reset_values(bench: Bench, offset: int, value: int) -> None:
    """Table 3-1, with the host's time in RTCDR and the counter running."""
    assert bench[offset] == value


def test_the_counter_counts_seconds(bench: Bench) -> None:
    """RTCDR is read-only and follows the host's clock (3.3.1)."""
    bench.now += 0.75
    bench[RTCDR] = 5
    assert bench[RTCDR] == NOW + 1


def test_the_counter_can_be_set(bench: Bench) -> None:
    """RTCLR loads it and reads back what was loaded; it wraps after 32 bits (3.3.3)."""
    bench[RTCLR] = 0xFFFF_FFFF
    assert (bench[RTCDR], bench[RTCLR]) == (0xFFFF_FFFF, 0xFFFF_FFFF)
    bench.now += 2
    assert bench[RTCDR] == 1


def test_the_clock_cannot_be_stopped(bench: Bench) -> None:
    """RTCCR stays one (3.3.4)."""
    bench[RTCCR] = 0
    assert bench[RTCCR] == 1


def test_the_alarm_interrupts_when_its_second_begins(bench: Bench) -> None:
    """RTCRIS, RTCMIS and the line, until RTCICR clears them (3.3.2, 3.3.5 to 3.3.8)."""
    bench[RTCIMSC] = 1
    bench[RTCMR] = NOW + 10
    assert bench.rtc.next_deadline() == NOW + 10
    bench.now = NOW + 9.99
    bench.rtc.tick()
    assert (bench[RTCRIS], bench.levels) == (0, [])
    bench.now = NOW + 10.0
    bench.rtc.tick()
    assert (bench[RTCRIS], bench[RTCMIS], bench.levels) == (1, 1, [True])
    bench[RTCICR] = 1
    assert (bench[RTCRIS], bench.levels) == (0, [True, False])
    assert bench.rtc.next_deadline() == NOW + 10 + (1 << 32)


@pytest.mark.parametrize(("value", "status"), [(0, 1), (1, 0), (1 << 31, 0)])
def test_any_bit_clears_the_alarm(bench: Bench, value: int, status: int) -> None:
    """As drivers and test suites for other models of it expect; writing zero does nothing (3.3.8)."""
    bench[RTCMR] = NOW
    bench[RTCICR] = value
    assert bench[RTCRIS] == status


def test_a_masked_alarm_is_seen_in_rtcris_alone(bench: Bench) -> None:
    """And needs no deadline; unmasking it raises the line (3.3.5)."""
    bench[RTCMR] = NOW + 1
    assert bench.rtc.next_deadline() is None
    bench.now += 5
    assert (bench[RTCRIS], bench[RTCMIS], bench.levels) == (1, 0, [])
    bench[RTCIMSC] = 1
    assert (bench[RTCMIS], bench.levels) == (1, [True])
    bench[RTCIMSC] = 0
    assert bench.levels == [True, False]


def test_an_alarm_now_is_immediate(bench: Bench) -> None:
    """The comparator sees equality at once, by RTCMR or by RTCLR (3.3.2)."""
    bench[RTCMR] = NOW
    assert bench[RTCRIS] == 1
    bench[RTCICR] = 1
    assert bench[RTCRIS] == 0
    bench[RTCMR] = 77
    bench[RTCLR] = 77
    assert bench[RTCRIS] == 1


def test_an_alarm_in_the_past_comes_after_the_wrap(bench: Bench) -> None:
    """It is equality that counts, not order (2.2.4)."""
    bench[RTCIMSC] = 1
    bench[RTCMR] = NOW - 1
    assert bench.rtc.next_deadline() == NOW - 1 + (1 << 32)


def test_setting_the_counter_moves_the_alarm(bench: Bench) -> None:
    """RTCMR is compared with the counter, not with the host's time."""
    bench[RTCIMSC] = 1
    bench[RTCMR] = 130
    bench[RTCLR] = 100
    assert bench.rtc.next_deadline() == NOW + 30


@pytest.mark.parametrize(("offset", "value"), [(RTCMR, 9), (RTCLR, 9), (RTCIMSC, 1), (RTCICR, 1)])
def test_what_moves_the_deadline_says_so(bench: Bench, offset: int, value: int) -> None:
    """So that the machine can set its one timer."""
    bench[offset] = value
    assert bench.changes == 1


def test_a_snapshot_keeps_the_offset_and_the_alarm(bench: Bench) -> None:
    """An alarm that passed while nobody ran is raised on loading."""
    bench[RTCLR] = 1000
    bench[RTCIMSC] = 1
    bench[RTCMR] = 1005
    other = Bench()
    other.now += 7
    other.rtc.load_state(bench.rtc.state())
    assert (other[RTCDR], other[RTCRIS], other.levels) == (1007, 1, [True])


def test_device_tree_node() -> None:
    """As QEMU 7.2 has it for the `virt` board."""
    assert Pl031(lambda: 0.0).dt_node(0x901_0000, (2,)) == DtNode(
        "pl031@9010000",
        {
            "clock-names": "apb_pclk",
            "clocks": (Ref("apb-pclk"),),
            "interrupts": (0, 2, 4),
            "reg": (0, 0x901_0000, 0, 0x1000),
            "compatible": ["arm,pl031", "arm,primecell"],
        },
    )
