"""PL031 (Arm DDI 0224): each register, the alarm, and the time it takes from the host."""

from __future__ import annotations

import pytest

from armvcpu.devices.deadline import NEVER, Schedule
from armvcpu.devices.device import DtNode, Ref, Wires
from armvcpu.devices.pl031 import Pl031

RTCDR, RTCMR, RTCLR, RTCCR, RTCIMSC, RTCRIS, RTCMIS, RTCICR = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C
NOW = 1_700_000_000


class Bench:
    """A clock with its line recorded, and a host whose two times the test sets."""

    def __init__(self) -> None:
        self.now = NOW + 0.25
        self.booted = NOW - 1000.0
        self.levels: list[bool] = []
        self.told: list[float | None] = []
        self.schedule = Schedule()
        self.schedule.watch(lambda: self.told.append(self.next_alarm()))
        self.rtc = Pl031(Wires(self.levels.append, schedule=self.schedule, clock=self))

    def unix(self) -> float:
        return self.now

    def ns(self) -> int:
        return round((self.now - self.booted) * 1e9)

    def next_alarm(self) -> float | None:
        """The Unix time for which the deadline is set."""
        moment = self.schedule.next()
        return None if moment == NEVER else moment / 1e9 + self.booted

    def wait(self, until: float) -> None:
        """Time passes, and the machine looks at its deadlines."""
        self.now = until
        self.schedule.run_due(self.ns())

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
    assert bench.next_alarm() == NOW + 10
    bench.wait(NOW + 9.99)
    assert (bench[RTCRIS], bench.levels) == (0, [])
    bench.wait(NOW + 10.0)
    assert bench.next_alarm() is None
    assert (bench[RTCRIS], bench[RTCMIS], bench.levels) == (1, 1, [True])
    bench[RTCICR] = 1
    assert (bench[RTCRIS], bench.levels) == (0, [True, False])
    assert bench.next_alarm() == NOW + 10 + (1 << 32)


@pytest.mark.parametrize(("value", "status"), [(0, 1), (1, 0), (1 << 31, 0)])
def test_any_bit_clears_the_alarm(bench: Bench, value: int, status: int) -> None:
    """As drivers and test suites for other models of it expect; writing zero does nothing (3.3.8)."""
    bench[RTCMR] = NOW
    bench[RTCICR] = value
    assert bench[RTCRIS] == status


def test_a_masked_alarm_is_seen_in_rtcris_alone(bench: Bench) -> None:
    """And needs no deadline; unmasking it raises the line (3.3.5)."""
    bench[RTCMR] = NOW + 1
    assert bench.next_alarm() is None
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
    assert bench.next_alarm() == NOW - 1 + (1 << 32)


def test_setting_the_counter_moves_the_alarm(bench: Bench) -> None:
    """RTCMR is compared with the counter, not with the host's time."""
    bench[RTCIMSC] = 1
    bench[RTCMR] = 130
    bench[RTCLR] = 100
    assert bench.next_alarm() == NOW + 30


def test_what_moves_the_alarm_moves_the_deadline(bench: Bench) -> None:
    """RTCMR, RTCLR, RTCIMSC and a reset, each at once: the machine hears of every change."""
    bench[RTCIMSC] = 1
    bench[RTCMR] = NOW + 9
    bench[RTCLR] = NOW + 4
    bench[RTCIMSC] = 0
    bench[RTCIMSC] = 1
    bench.rtc.reset()
    assert bench.told == [NOW + (1 << 32) - NOW, NOW + 9, NOW + 5, None, NOW + 5, None]


def test_a_wall_clock_that_is_set_back_delays_the_alarm(bench: Bench) -> None:
    """The moment comes, but the second is not there yet: the deadline is set anew."""
    bench[RTCIMSC] = 1
    bench[RTCMR] = NOW + 10
    bench.booted -= 4
    bench.wait(NOW + 6.5)
    assert (bench.levels, bench.next_alarm()) == ([], NOW + 10)
    bench.wait(NOW + 10)
    assert bench.levels == [True]


@pytest.mark.parametrize("now", [NOW + 1 / 3, NOW + 0.1, NOW + 0.999_999_9])
def test_the_alarm_comes_whatever_is_rounded(bench: Bench, now: float) -> None:
    """Unix time in floating point has steps of 0.2 us, so that the deadline may be too early by one, not by two."""
    bench[RTCIMSC] = 1
    bench[RTCMR] = NOW + 10
    bench.wait(now)
    for _ in range(2):
        moment = bench.schedule.next()
        bench.now = moment / 1e9 + bench.booted
        bench.schedule.run_due(moment)
    assert bench.levels == [True]


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
    assert Pl031().dt_node(0x901_0000, (2,)) == DtNode(
        "pl031@9010000",
        {
            "clock-names": "apb_pclk",
            "clocks": (Ref("apb-pclk"),),
            "interrupts": (0, 2, 4),
            "reg": (0, 0x901_0000, 0, 0x1000),
            "compatible": ["arm,pl031", "arm,primecell"],
        },
    )
