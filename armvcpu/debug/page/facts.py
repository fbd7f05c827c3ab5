"""What a page says of one machine: plain data, made when its run is over, which travels between processes as JSON."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, TypedDict

from armvcpu.arch.esr import ESR
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.registers import register_name
from armvcpu.debug.page.excerpt import excerpts
from armvcpu.debug.page.interrupts import InterruptNames
from armvcpu.debug.page.map import Region, memory_map
from armvcpu.debug.page.text import plain, shown
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.kinds import FLAG
from armvcpu.vcpu.smc import describe_call

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from armvcpu.debug.page.collector import Collector
    from armvcpu.debug.page.covered import CoverageFacts
    from armvcpu.debug.page.flame import FlameFacts
    from armvcpu.debug.page.lines import Line
    from armvcpu.debug.page.timeline import Event, Timeline
    from armvcpu.debug.report import CrashReport
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.parts import Parts


class ConsoleFacts(TypedDict):
    """The console: (guest time in ns, text) of its first lines and of its last ones."""

    first: list[tuple[int, str]]
    last: list[tuple[int, str]]
    left_out: int
    """Bytes between them."""


class LaneFacts(TypedDict):
    """One kind of event on one vCPU; `bins` are how many in each interval."""

    vcpu: int
    group: str
    name: str
    count: int
    bins: list[int]


class EventFacts(TypedDict):
    """One event."""

    time: int
    lane: int
    place: str
    words: str


class TimelineFacts(TypedDict):
    """What happened when. `width` is an interval in ns."""

    width: int
    lanes: list[LaneFacts]
    first: list[EventFacts]
    last: list[EventFacts]
    left_out: int
    """Events between them, which are in the intervals only."""


class MachineFacts(TypedDict):
    """One machine, from its options to its end."""

    options: list[tuple[str, str]]
    guest_ns: int
    seconds: float
    instructions: int | None
    console: ConsoleFacts
    timeline: TimelineFacts
    exits: list[tuple[str, int]]
    calls: list[tuple[str, int]]
    interrupts: list[tuple[str, int]]
    registers: list[tuple[str, int, int]]
    """Name, reads, writes."""
    devices: list[tuple[str, int, int]]
    map: list[Region]
    flame: FlameFacts | None
    """A profile, where there is one."""
    coverage: CoverageFacts | None
    end: dict[str, Any] | None
    """A crash, or a guest that hangs: what CrashReport.as_dict() gives, and `excerpts` of the source."""


def gather(
    collector: Collector, parts: Parts, symbols: Symbols, end: CrashReport | None, *,
    flame: FlameFacts | None = None, coverage: CoverageFacts | None = None,
) -> MachineFacts:  # fmt: skip
    """What has been heard, in words; `end` is the report of a crash or a hang, where there is one."""
    collector.console.settle()
    names = InterruptNames(parts.board)
    return MachineFacts(
        options=_options(parts.config),
        guest_ns=collector.guest_ns,
        seconds=time.monotonic() - collector.began,
        instructions=parts.count.value,
        console=ConsoleFacts(
            first=_lines(collector.console.first),
            last=_lines(collector.console.last),
            left_out=collector.console.left_out,
        ),
        timeline=_timeline(collector.timeline, symbols, names),
        exits=collector.exits.most_common(),
        calls=[(_call(number), count) for number, count in collector.calls.most_common()],
        interrupts=[(names(intid), count) for intid, count in collector.interrupts.most_common()],
        registers=_both_ways((register_name(key >> 1), bool(key & 1), n) for key, n in collector.registers.items()),
        devices=_both_ways(
            (_device(parts, address), is_read, n) for (address, is_read), n in collector.accesses.items()
        ),
        map=memory_map(parts),
        flame=flame,
        coverage=coverage,
        end=None if end is None else _end(end, symbols),
    )


def _end(report: CrashReport, symbols: Symbols) -> dict[str, Any]:
    return {**report.as_dict(), "excerpts": excerpts(report, symbols)}


def _options(config: MachineConfig) -> list[tuple[str, str]]:
    """Those that are not as they are by default, as a command line has them."""
    told: list[tuple[str, str]] = []
    for option in MachineConfig.options.values():
        value = getattr(config, option.name)
        if value == option.default or not option.flag:
            continue
        for each in value if option.is_several else (value,):
            words = "" if option.kind is FLAG else option.written(each)
            told.append((option.flag, plain(os.fsdecode(words))))
    return told


def _lines(lines: Iterable[Line]) -> list[tuple[int, str]]:
    return [(when, shown(data)) for when, data in lines]


def _device(parts: Parts, address: int) -> str:
    if address < 0:
        return "further places"
    slot = parts.board.find(address)
    if slot is not None:
        return slot.name
    window = parts.bus.find(address)  # of a script's, say
    return "nothing there" if window is None or window in parts.bus.empty else f"{window.base:#x}"


def _timeline(timeline: Timeline, symbols: Symbols, interrupts: InterruptNames) -> TimelineFacts:
    names = [_lane(lane.key, interrupts) for lane in timeline.lanes]
    return TimelineFacts(
        width=timeline.width,
        lanes=[
            LaneFacts(vcpu=lane.vcpu, group=group, name=name, count=lane.count, bins=list(lane.bins))
            for lane, (group, name) in zip(timeline.lanes, names, strict=True)
        ],
        first=[_event(event, symbols) for event in timeline.first],
        last=[_event(event, symbols) for event in timeline.last],
        left_out=timeline.left_out,
    )


def _lane(key: Hashable, interrupts: InterruptNames) -> tuple[str, str]:
    """Its group and its name."""
    match key:
        case ("exception", int(ec), int(el)):
            return "exception", f"{ESR(ec << 26).EC.name} to EL{el}"
        case ("irq", int(intid)):
            return "interrupt", interrupts(intid)
        case ("call", int(number)):
            return "call", _call(number)
        case ("halt",):
            return "wait", "WFI"
    return "other", "other kinds"


def _event(event: Event, symbols: Symbols) -> EventFacts:
    words = ""
    if event.about:
        esr, far = event.about
        words = describe_esr(esr, None if far < 0 else far)
    name = plain(symbols.format(event.pc))
    return EventFacts(time=event.time, lane=event.lane, place=f"{event.pc:#x} {name}".rstrip(), words=words)


def _call(number: int) -> str:
    return "other calls" if number < 0 else describe_call(number)


def _both_ways(counted: Iterable[tuple[str, bool, int]]) -> list[tuple[str, int, int]]:
    """(name, reads, writes), the busiest first."""
    reads, writes = Counter[str](), Counter[str]()
    for name, is_read, count in counted:
        (reads if is_read else writes)[name] += count
    return sorted(
        ((plain(name), reads[name], writes[name]) for name in reads | writes), key=lambda row: -row[1] - row[2]
    )
