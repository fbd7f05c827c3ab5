"""Files for Perfetto: valid by the Trace Event Format, and what Perfetto itself reads in them is what happened."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from c_guest import build
from command import armvcpu
from perfetto_ui import OpenTrace, PerfettoUi

from armvcpu.debug.tracing.event import Event
from armvcpu.debug.tracing.perfetto import PerfettoWriter
from armvcpu.testing.firmware import store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # and a part of .ci/run

REPEATS = ("--clock", "instructions")
KINDS = "exception,irq,psci,exits,request"


@pytest.fixture(scope="module")
def perfetto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PerfettoUi]:
    """One browser for all tests."""
    with PerfettoUi(tmp_path_factory.mktemp("perfetto")) as reader:
        yield reader


def record(
    directory: Path, image: object, *options: object, kinds: str = KINDS, **more: Any
) -> tuple[Path, list[dict]]:
    """A run's file for Perfetto, and the same events as JSON lines."""
    spans, lines = directory / "t.perfetto.json", directory / "t.jsonl"
    traces = ("--trace", f"{kinds}:{spans}", "--trace", f"{kinds},level:{lines}")
    words = ("run", *(() if image is None else (image,)), *REPEATS, *options, *traces)
    done = armvcpu(*words, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return spans, [json.loads(line) for line in lines.read_text().splitlines()]


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, perfetto: PerfettoUi) -> tuple[OpenTrace, list[dict]]:
    """A guest with interrupts, as Perfetto has read it, and its events."""
    file, events = record(tmp_path_factory.mktemp("interrupted"), "guests/bin/gic.elf")
    return perfetto.open(file), events


def check_format(rows: list[dict[str, Any]]) -> None:
    """The rules of the Trace Event Format for the phases that are used."""
    stacks: Counter[tuple[int, int]] = Counter()
    spans: set[tuple[str, str]] = set()
    last = 0.0
    for row in rows:
        assert {"ph", "pid", "tid"} <= row.keys()
        if row["ph"] == "M":
            assert row["name"] in {"process_name", "thread_name"}
            assert isinstance(row["args"]["name"], str)
            continue
        assert row["ts"] >= last
        last = row["ts"]
        track, span = (row["pid"], row["tid"]), (row.get("cat"), row.get("id2", {}).get("local"))
        match row["ph"]:
            case "B":
                assert row["name"]
                stacks[track] += 1
            case "E":
                assert stacks[track] > 0
                stacks[track] -= 1
            case "b":
                assert row["name"]
                assert span not in spans
                spans.add(span)
            case "e":
                spans.remove(span)
            case "X":
                assert row["dur"] >= 0
            case "C":
                assert all(isinstance(value, int) for value in row["args"].values())
            case phase:
                assert (phase, row["s"]) == ("i", "t")
    assert not spans
    assert not +stacks


@pytest.mark.parametrize(
    ("guest", "options"),
    [("gic", ()), ("exceptions", ()), ("preempt", ()), ("el2", ("--el", 2)), ("psci", ())],
)
def test_files_are_valid_by_the_format(tmp_path, guest, options):
    """Every begin has its end, time does not go back, and counters are numbers."""
    image = f"guests/bin/{'smccc' if guest == 'psci' else guest}.elf"
    check_file(*record(tmp_path, image, *options))


def check_file(file: Path, events: list[dict]) -> None:
    """The rules, and that what the file has counted are the events."""
    rows = json.loads(file.read_text())
    check_format(rows)
    counted = {row["name"]: row["args"]["events"] for row in rows if row["ph"] == "C" and "events" in row["args"]}
    kinds = Counter(event["kind"] for event in events)
    assert counted == kinds


def test_perfetto_reads_a_track_for_each_vcpu(tmp_path, perfetto):
    """Of a guest with two."""
    file, events = record(tmp_path, "guests/bin/smp.elf", "--cpus", 2)
    check_file(file, events)
    trace = perfetto.open(file)
    threads = trace.query("select distinct thread.name from thread_track join thread using (utid)")
    assert {row["name"] for row in threads} == {"cpu0", "cpu1"}
    calls = trace.query("select slice.name from slice where category = 'psci' order by ts")
    assert [row["name"] for row in calls] == [event["what"] for event in events if event["kind"] == "psci"]


def test_perfetto_reads_exceptions_with_their_durations(interrupted):
    """From the entry to the ERET, in nanoseconds of the guest's time."""
    trace, events = interrupted
    taken = [event["ns"] for event in events if event["kind"] == "level" and event["what"] == "irq"]
    ended = [event["ns"] for event in events if event["what"] == "eret"]
    rows = trace.query("select ts, dur from slice where name = 'IRQ to EL1' order by ts")
    assert len(rows) == len(taken) > 3
    assert [(row["ts"], row["ts"] + row["dur"]) for row in rows][:3] == list(zip(taken, ended, strict=False))[:3]


def test_perfetto_reads_interrupts_from_acknowledge_to_end(interrupted):
    """By their names."""
    trace, events = interrupted
    interrupts = [event for event in events if event["kind"] == "irq"]
    begun = [f"cpu0 {event['words']}" for event in interrupts if event["what"] == "acknowledge"]
    rows = trace.query("select name, ts, dur from slice where category = 'irq'")
    assert Counter(row["name"] for row in rows) == Counter(begun)
    first = min(rows, key=lambda row: row["ts"])
    assert (first["ts"], first["dur"]) == (interrupts[0]["ns"], interrupts[1]["ns"] - interrupts[0]["ns"])


def test_perfetto_reads_counters(interrupted):
    """Events of each kind, and instructions."""
    trace, events = interrupted
    rows = trace.query(
        "select counter_track.name, max(value) as most from counter join counter_track on track_id = counter_track.id"
        " group by counter_track.name"
    )
    most = {row["name"].split(" ")[0]: row["most"] for row in rows}
    assert most["irq"] == sum(event["kind"] == "irq" for event in events)
    assert 0 < most["instructions"] <= events[-1]["instructions"]


@pytest.mark.slow
@pytest.mark.firmware
def test_perfetto_reads_requests_of_devices(tmp_path, perfetto):
    """On a track of the device: U-Boot's reads of a disk."""
    store.fetch("u-boot")
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(4096))
    script = "\n\nvirtio scan\nvirtio read 40200000 0 2\npoweroff\n"
    firmware = ("--firmware", store.path("u-boot"), "--disk", disk)
    file, events = record(tmp_path, None, *firmware, "--timeout", 50, kinds="request", input=script)
    rows = perfetto.open(file).query(
        "select slice.name, process.name as process from slice join process_track on track_id = process_track.id"
        " join process using (upid) where category = 'request'"
    )
    used = [event for event in events if event["what"] == "used"]
    assert len(rows) == len(used) > 0
    assert {row["process"] for row in rows} == {"devices"}
    assert {row["name"] for row in rows} == {"virtio-mmio31 queue 0"}


def test_perfetto_reads_calls_as_a_stack(tmp_path, perfetto):
    """Functions inside of functions, with their arguments."""
    text = "int twice(int a) { return 2 * a; }\nint main(void) { return twice(21); }\n"
    file, _ = record(tmp_path, build(tmp_path, text, "-g"), kinds="call")
    check_format(json.loads(file.read_text()))
    rows = perfetto.open(file).query("select name, depth from slice where category = 'call' order by ts")
    assert rows == [{"name": "main", "depth": 0}, {"name": "twice", "depth": 1}]


def test_perfetto_unpacks_a_file(tmp_path, perfetto):
    """One that was compressed on the fly, by gzip."""
    file = tmp_path / "t.perfetto.json.gz"
    assert armvcpu("run", "guests/bin/gic.elf", "--trace", f"irq:{file}").returncode == 0
    assert perfetto.open(file).query("select count(*) as n from slice where category = 'irq'")[0]["n"] > 3


def test_a_file_that_is_cut_off_can_be_read(tmp_path, perfetto):
    """As of a run that was killed: the array has no end."""
    file, _ = record(tmp_path, "guests/bin/gic.elf")
    data = file.read_text()
    file.write_text(data[: data.index("\n", len(data) // 2) - 1])
    rows = perfetto.open(file).query("select count(*) as n from slice where category = 'irq'")
    assert rows[0]["n"] > 1


def test_an_eret_ends_what_was_taken_above_it():
    """A kernel starts a program with an ERET that no exception came before; one to EL0 ends all that lies above."""
    lines: list[str] = []
    writer = PerfettoWriter(lines.append)

    def tell(kind: str, what: str, el: int, ns: int) -> None:
        writer.event(Event(0, el, 0, "", kind, what, {"target": f"EL{el}", "to": f"EL{el}"}, ns=ns))

    tell("level", "eret", 0, 10)
    tell("exception", "sync", 1, 20)
    tell("level", "irq", 1, 30)
    tell("level", "eret", 1, 40)
    tell("level", "irq", 1, 50)
    tell("level", "eret", 0, 60)
    tell("exception", "sync", 1, 70)
    writer.end()
    rows = json.loads("".join(lines))
    check_format(rows)
    assert [(row["ph"], row["ts"]) for row in rows if row["ph"] in "BE"] == [
        ("B", 0.02), ("B", 0.03), ("E", 0.04), ("B", 0.05), ("E", 0.06), ("E", 0.06), ("B", 0.07), ("E", 0.07),
    ]  # fmt: skip


def test_what_a_filter_keeps_out_ends_no_span_but_its_own(tmp_path):
    """Of aborts alone, taken to EL1, the spans are those of all exceptions: they end with their own returns to EL0."""
    (tmp_path / "all").mkdir(), (tmp_path / "some").mkdir()
    spans = []
    for name, options in (("all", ()), ("some", ("--trace-filter", "class=DABT_LOWER", "--trace-filter", "level=EL1"))):
        file, _ = record(tmp_path / name, "guests/bin/exceptions.elf", *options, kinds="exception")
        rows, stack, found = json.loads(file.read_text()), [], []
        check_format(rows)
        for row in rows:
            if row["ph"] == "B":
                stack.append((row["name"], row["ts"]))
            elif row["ph"] == "E":
                found.append((*stack.pop(), row["ts"]))
        spans.append([each for each in found if each[0].startswith("DABT_LOWER ")])
    assert spans[0] == spans[1] != []
