"""A trace for ui.perfetto.dev and chrome://tracing: the Trace Event Format, as a JSON array.

Time is the guest's. A process `guest` has a track for each vCPU, on which exceptions are spans from their entry to the
ERET that ends them, and so are calls of functions; interrupts are spans from acknowledge to end, by INTID. A process
`devices` has a track for each device, on which requests are spans from available to used. HVC and SMC that are answered
outside of the guest take none of its time, and are spans of length zero; all else are instants. Counters say how many
events of each kind there were, and how many instructions have been executed.

A file that has been cut off can be read up to there: the format allows an array without its end.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from armvcpu.debug.words import interrupt_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.tracing.event import Event

GUEST, DEVICES = 1, 2
"""Processes."""
COUNT_NS = 100_000
"""Nanoseconds of the guest's time between two values of a counter, at least."""


def track_of(vcpu: int) -> int:
    """A vCPU's track, whose number is not 0: Perfetto takes that for a thread that every process has."""
    return vcpu + 1


class PerfettoWriter:
    """`write` gets text."""

    timed = True
    spans = True

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write
        self._encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
        self._separator = "[\n"
        self._named: set[int] = set()
        """vCPUs whose tracks have their names."""
        self._open: defaultdict[int, list[tuple[int, bool]]] = defaultdict(list)
        """Of each vCPU: the spans that have begun, by the level that an exception was taken to, -1 for a call; and
        whether they are in the file."""
        self._asynchronous: dict[tuple[str, str], dict[str, Any]] = {}
        """Spans of interrupts and of requests that have begun."""
        self._spans = 0
        """How many such spans there were; each has a number of its own."""
        self._tracks: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._counted = -COUNT_NS
        self._last = 0
        self._put({"ph": "M", "name": "process_name", "pid": GUEST, "tid": 0, "args": {"name": "guest"}})

    def event(self, event: Event) -> None:
        """What the event is in that format."""
        self._last = event.ns
        if event.vcpu not in self._named:
            self._named.add(event.vcpu)
            self._name_track(GUEST, track_of(event.vcpu), f"cpu{event.vcpu}")
        match event.kind, event.what:
            case "exception", _:
                self._begin(event, f"{event.keys.get('ec', event.what)} to {event.keys['target']}", event.el)
            case "level", "eret":
                self._return(event)
            case "level", _:
                self._begin(event, f"{event.what.upper()} to {event.keys['to']}", event.el)
            case "irq", what:
                self._interrupt(event, is_begin=what == "acknowledge")
            case "request", what:
                self._request(event, is_begin=what == "available")
            case "psci", what:
                self._put(self._of(event, "X", what) | {"dur": 0, "args": self._arguments(event)})
            case "call", "call":
                self._begin(event, event.words.strip().partition("(")[0], -1)
            case "call", _:
                self._end_call(event)
            case _:
                name = f"{event.what} {event.keys.get('device') or event.keys.get('register') or ''}".strip()
                self._put(self._of(event, "i", name) | {"s": "t", "args": self._arguments(event)})
        self._count(event)

    def pass_by(self, event: Event) -> None:
        """An exception is not to be shown, and neither is its return; another one's return may end what is."""
        self._last = event.ns
        if event.kind == "exception" or (event.kind == "level" and event.what != "eret"):
            self._open[event.vcpu].append((event.el, False))
        elif event.kind == "level":
            self._return(event)

    def end(self) -> None:
        """End what has begun, and the array."""
        for vcpu in self._open:
            self._end_from(vcpu, self._last, 0)
        for begun in self._asynchronous.values():
            self._put({**begun, "ph": "e", "ts": self._last / 1000})
        self._counted = self._last - COUNT_NS
        self._tell_counts(self._last, None)
        self._write("\n]\n")

    # --- spans

    def _begin(self, event: Event, name: str, level: int) -> None:
        self._open[event.vcpu].append((level, True))
        self._put(self._of(event, "B", name) | {"args": self._arguments(event)})

    def _return(self, event: Event) -> None:
        """An ERET ends the innermost exception, and all that were taken to a level above the one returned to."""
        spans = self._open[event.vcpu]
        ended = next((n for n in reversed(range(len(spans))) if spans[n][0] >= 0), len(spans))
        while ended and spans[ended - 1][0] > event.el:
            ended -= 1
        self._end_from(event.vcpu, event.ns, ended)

    def _end_call(self, event: Event) -> None:
        spans = self._open[event.vcpu]
        depth = int(event.keys["depth"])
        calls = [n for n, (level, _) in enumerate(spans) if level < 0]
        if calls and depth < len(calls):
            self._end_from(event.vcpu, event.ns, calls[depth])

    def _end_from(self, vcpu: int, ns: int, first: int) -> None:
        spans = self._open[vcpu]
        while len(spans) > first:
            _, is_shown = spans.pop()
            if is_shown:
                self._put({"ph": "E", "pid": GUEST, "tid": track_of(vcpu), "ts": ns / 1000})

    def _interrupt(self, event: Event, *, is_begin: bool) -> None:
        identity = f"{event.vcpu}.{event.keys['intid']}"
        name = f"cpu{event.vcpu} {interrupt_name(int(event.keys['intid']))}"
        track = {"cat": "irq", "name": name, "pid": GUEST, "tid": track_of(event.vcpu)}
        self._span(event, "irq", identity, track, is_begin=is_begin)

    def _request(self, event: Event, *, is_begin: bool) -> None:
        device = str(event.keys["device"])
        identity = f"{device}.{event.keys['queue']}.{event.keys['head']}"
        name = f"{device} queue {event.keys['queue']}"
        track = {"cat": "request", "name": name, "pid": DEVICES, "tid": self._track(device)}
        self._span(event, "request", identity, track, is_begin=is_begin)

    def _span(self, event: Event, kind: str, identity: str, track: dict[str, Any], *, is_begin: bool) -> None:
        """One that need not nest; an end without a beginning is of one that began before the trace."""
        begun = self._asynchronous.pop((kind, identity), None)
        if begun is not None:
            self._put({**begun, "ph": "e", "ts": event.ns / 1000, "args": {} if is_begin else self._arguments(event)})
        if is_begin:
            self._spans += 1
            row = {**track, "id2": {"local": f"{self._spans:#x}"}, "ts": event.ns / 1000}
            self._asynchronous[kind, identity] = row
            self._put({**row, "ph": "b", "args": self._arguments(event)})

    # --- the rest

    def _count(self, event: Event) -> None:
        self._counts[event.kind] = self._counts.get(event.kind, 0) + 1
        if event.ns - self._counted >= COUNT_NS:
            self._tell_counts(event.ns, event.instructions)

    def _tell_counts(self, ns: int, instructions: int | None) -> None:
        self._counted = ns
        at = {"ph": "C", "pid": GUEST, "tid": 0, "ts": ns / 1000}
        for kind, count in self._counts.items():
            self._put({**at, "name": kind, "args": {"events": count}})
        if instructions is not None:
            self._put({**at, "name": "instructions", "args": {"executed": instructions}})

    def _arguments(self, event: Event) -> dict[str, str | int]:
        """What is shown of an event that is chosen."""
        place = {"pc": f"{event.pc:#018x}"} | ({"symbol": event.symbol} if event.symbol else {})
        return {**place, **event.keys} | ({"words": event.words.strip()} if event.words else {})

    def _of(self, event: Event, phase: str, name: str) -> dict[str, Any]:
        track = {"pid": GUEST, "tid": track_of(event.vcpu), "ts": event.ns / 1000}
        return {"ph": phase, "cat": event.kind, "name": name, **track}

    def _track(self, device: str) -> int:
        """A device's."""
        if not self._tracks:
            self._put({"ph": "M", "name": "process_name", "pid": DEVICES, "tid": 0, "args": {"name": "devices"}})
        if device not in self._tracks:
            self._tracks[device] = len(self._tracks) + 1
            self._name_track(DEVICES, self._tracks[device], device)
        return self._tracks[device]

    def _name_track(self, process: int, track: int, name: str) -> None:
        self._put({"ph": "M", "name": "thread_name", "pid": process, "tid": track, "args": {"name": name}})

    def _put(self, row: dict[str, Any]) -> None:
        self._write(self._separator + self._encode(row))
        self._separator = ",\n"
