"""What is kept for a page: events over time, a console by lines, text that does nothing; all of it bounded."""

from __future__ import annotations

import pytest
from guest_state import GUESTS

from armvcpu import Machine
from armvcpu.debug.page.collector import Collector, Limits
from armvcpu.debug.page.facts import gather
from armvcpu.debug.page.interrupts import InterruptNames
from armvcpu.debug.page.lines import LONGEST, OVERHEAD, ConsoleLines
from armvcpu.debug.page.text import plain, shown
from armvcpu.debug.page.timeline import FIRST_WIDTH, Timeline

SMALL = Limits(console=32 << 10, events=10, bins=16, lanes=40)


class Clock:
    """A time that the test sets."""

    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


def test_no_event_is_missing_in_the_intervals_however_long_it_takes() -> None:
    """They become wider, for all lanes alike."""
    clock = Clock()
    timeline = Timeline(clock.now, size=8, kept=2, lanes=4)
    for n in range(1000):
        clock.time = n * 100_000
        timeline.add(n % 2, "tick", pc=n)
    assert [(lane.vcpu, lane.count, sum(lane.bins)) for lane in timeline.lanes] == [(0, 500, 500), (1, 500, 500)]
    assert timeline.width * 8 > clock.time >= timeline.width * 4
    assert timeline.width % FIRST_WIDTH == 0
    shares = [bins for bins in timeline.lanes[0].bins if bins]
    assert max(shares[:-1]) - min(shares[:-1]) <= 1  # even ones, since time was even


def test_first_and_last_events_are_kept_and_the_others_counted() -> None:
    """In their order."""
    timeline = Timeline(Clock().now, size=8, kept=3, lanes=4)
    for n in range(10):
        timeline.add(0, "tick", pc=n)
    assert [event.pc for event in timeline.first] == [0, 1, 2]
    assert [event.pc for event in timeline.last] == [7, 8, 9]
    assert timeline.left_out == 4


def test_lanes_that_a_guest_invents_share_one() -> None:
    """A guest may call with any number."""
    timeline = Timeline(Clock().now, size=8, kept=1, lanes=3)
    for n in range(100):
        timeline.add(0, n, pc=0)
    assert [(lane.key, lane.count) for lane in timeline.lanes] == [(0, 1), (1, 1), (2, 1), (None, 97)]


def test_time_that_goes_back_is_no_event_before_the_beginning() -> None:
    """As where a test returns to a snapshot."""
    clock = Clock()
    clock.time = -5
    timeline = Timeline(clock.now, size=8, kept=1, lanes=3)
    timeline.add(0, "tick", pc=0)
    assert timeline.first[0].time == 0


def test_a_line_has_the_time_of_its_first_character() -> None:
    """And one that has no end is one, too."""
    clock = Clock()
    lines = ConsoleLines(clock.now, kept=1000)
    for byte in b"ab\r\ncd":
        clock.time += 1
        lines.hear(byte)
    lines.settle()
    assert lines.first == [(1, b"ab\r\n"), (5, b"cd")]
    assert lines.left_out == 0


@pytest.mark.parametrize("text", [b"x" * 99 + b"\n", b"\n", b"y" * 5000, "\u20ac".encode()])
def test_a_long_console_is_its_first_and_last_lines(text: bytes) -> None:
    """However long or short its lines are; what is missing is counted by the byte."""
    kept, lines = 20_000, ConsoleLines(Clock().now, kept=20_000)
    data = text * (300_000 // len(text))
    for byte in data:
        lines.hear(byte)
    lines.settle()
    first, last = b"".join(line for _, line in lines.first), b"".join(line for _, line in lines.last)
    assert data.startswith(first)
    assert data.endswith(last)
    assert len(first) + lines.left_out + len(last) == len(data)
    for some in (lines.first, lines.last):
        assert kept // 2 < sum(len(line) + OVERHEAD for _, line in some) <= kept
        assert max(len(line) for _, line in some) < LONGEST + 4


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[1;32mgreen\x1b[0m\r\n", "green"),
        (b"\x1b]0;a title\x07after", "after"),
        (b"\x1b]8;;http://e.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1b(B\x1b[2J\x1b[01;01Hat home", "at home"),
        (b"a\0b\x07c\x1bd\x7f", "a\u2400b\u2407c\u2421"),
        (b"10% \r20%\r\n", "20%"),
        (b"boot in  2 \b\b\b 1 \b\b\b 0 \r\n", "boot in  0"),
        (b"\b\bab\rc", "cb"),
        (b"\xff\xfe caf\xc3\xa9", "\ufffd\ufffd caf\u00e9"),
        ("left\u202eright\u2066\u0085".encode(), "left\ufffdright\ufffd\ufffd"),
        (b"\tindented", "\tindented"),
    ],
)
def test_a_guests_bytes_move_nothing(data: bytes, text: str) -> None:
    """Escape sequences are left out; other controls, and what reorders text, are to be seen."""
    assert shown(data) == text


def test_text_of_a_file_name_has_no_surrogates() -> None:
    """A page is UTF-8."""
    assert plain("a\udcffb").encode() == b"a?b"


def test_a_guest_is_heard() -> None:
    """Console, exceptions, calls, exits, device accesses and registers of one run."""
    collector = Collector(SMALL)
    with Machine(GUESTS / "exceptions.elf", clock="instructions") as machine:
        machine.console.hear(collector.hear)  # type: ignore[attr-defined]
        collector.attach(machine.parts, machine.observe)
        assert machine.run(timeout=20).ok
        facts = gather(collector, machine.parts, machine.symbols, None)
        printed = bytes(machine.console.output)  # type: ignore[attr-defined]
    assert "\n".join(text for _, text in facts["console"]["first"]) == printed.decode().replace("\r", "").rstrip("\n")
    assert facts["guest_ns"] >= max(when for when, _ in facts["console"]["first"]) > 0
    groups = {lane["group"] for lane in facts["timeline"]["lanes"]}
    assert {"exception", "call"} <= groups
    assert "SVC64 to EL1" in {lane["name"] for lane in facts["timeline"]["lanes"]}
    assert ("SystemDown", 1) in facts["exits"]
    assert ("SYSTEM_OFF", 1) in facts["calls"]
    (uart,) = (row for row in facts["devices"] if row[0] == "pl011")
    assert uart[2] >= len(printed)
    assert [(region["name"], region["note"]) for region in facts["map"] if region["note"].startswith("entered")]
    assert facts["instructions"]


def test_a_run_that_repeats_is_the_same_with_somebody_who_hears_it() -> None:
    """To the instruction, on two CPUs, and with the instant of each line."""
    counts = []
    for heard in (False, True, True):
        collector = Collector(SMALL)
        with Machine(GUESTS / "smp.elf", cpus=2, clock="instructions") as machine:
            machine.console.hear(collector.hear)  # type: ignore[attr-defined]
            if heard:
                collector.attach(machine.parts, machine.observe)
            assert machine.run(timeout=20).ok
            facts = gather(collector, machine.parts, machine.symbols, None)
            counts.append((machine.instructions, machine.clock.ns(), facts["console"], facts["timeline"]))
    assert counts[0][:2] == counts[1][:2]
    assert counts[1] == counts[2]


def test_device_accesses_are_heard_where_each_is_an_exit() -> None:
    """With `exact_mmio`, as --trace mmio sets it, they are as many."""
    seen = []
    for exact in (False, True):
        collector = Collector(SMALL)
        with Machine(GUESTS / "hello.elf", exact_mmio=exact) as machine:
            collector.attach(machine.parts, machine.observe)
            assert machine.run(timeout=20).ok
            seen.append(gather(collector, machine.parts, machine.symbols, None)["devices"])
    assert seen[0] == seen[1]
    assert seen[0][0][0] == "pl011"


def test_a_guest_that_touches_everything_fills_no_memory() -> None:
    """Calls with any number and accesses of any place are counted, and what is too many is one."""
    collector = Collector(SMALL)
    with Machine(GUESTS / "hello.elf") as machine:
        collector.attach(machine.parts, machine.observe)
        for n in range(100_000):
            collector.mmio(0, machine.vcpu.state, True, n << 9, 4, 0)
            collector.call(0, machine.vcpu.state, "HVC", n, (), 0)
        facts = gather(collector, machine.parts, machine.symbols, None)
    assert sum(reads for _, reads, _ in facts["devices"]) == 100_000
    assert facts["devices"][0][0] == "further places"
    assert sum(count for _, count in facts["calls"]) == 100_000
    assert len(facts["calls"]) < 3000


def test_interrupts_have_names() -> None:
    """The timer's from the architecture, a device's from the board."""
    with Machine(GUESTS / "hello.elf") as machine:
        names = InterruptNames(machine.board)
    assert [names(intid) for intid in (5, 27, 33, 90, 1023)] == [
        "INTID 5, SGI 5", "INTID 27, PPI 11: virtual timer", "INTID 33, SPI 1: pl011", "INTID 90, SPI 58",
        "INTID 1023, special: none was pending",
    ]  # fmt: skip


def test_a_scripts_device_that_comes_later_is_heard_too() -> None:
    """It has no name, so that its address is told."""
    collector = Collector(SMALL)
    with Machine(GUESTS / "mmio.elf") as machine:
        collector.attach(machine.parts, machine.observe)
        heard: list[int] = []
        machine.on_mmio(0x0B00_0000, 0x1000, lambda offset, _width: heard.append(offset) or 0, lambda *_: None)
        machine.run(timeout=20)
        devices = {name: reads for name, reads, _ in gather(collector, machine.parts, machine.symbols, None)["devices"]}
    assert devices["0xb000000"] == len(heard) > 10
    assert "nothing there" not in devices
