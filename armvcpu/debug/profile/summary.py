"""What a machine's time has gone to: the guest's code, Python for it, waiting; exits, exceptions, devices."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.arch.esr import ExceptionClass
from armvcpu.devices.virtio.transport import VirtioTransport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from armvcpu.engine.api import Tally
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.run_loop import RunLoop


MOST_DEVICES = 8
"""Those that took most time are named in print; `Summary.devices` has all."""


class _Moment(NamedTuple):
    guest: int
    idle: int
    ran: int
    cpu: int
    executed: int
    """Instructions; -1 where nobody counts."""


class Times:
    """Clocks and counts of one machine, at the begin of a profile and at its end or now."""

    def __init__(self, parts: Parts, loop: RunLoop) -> None:
        self._parts, self._loop = parts, loop
        self._began = self._ended = self._now()
        self._is_over = False
        self._tally = parts.engine.samples.tallied
        self._served: dict[str, int] = {}

    def begin(self) -> None:
        """From now on."""
        self._parts.engine.samples.tally(wanted=True)
        self._served = requests_served(self._parts)
        self._began = self._now()

    def end(self) -> None:
        """Until now."""
        self._ended, self._tally = self.now, self.tally
        self._served = self.served
        self._is_over = True
        self._parts.engine.samples.tally(wanted=False)

    def _now(self) -> _Moment:
        clock, count = self._parts.clock, self._parts.count.value
        return _Moment(
            clock.ns(), clock.idle_ns, self._loop.ran_ns, time.process_time_ns(), -1 if count is None else count
        )

    @property
    def now(self) -> _Moment:
        """The end, or what comes nearest to it."""
        return self._ended if self._is_over else self._now()

    @property
    def tally(self) -> Tally:
        """What Python was called for."""
        return self._tally if self._is_over else self._parts.engine.samples.tallied

    @property
    def served(self) -> dict[str, int]:
        """Requests by device."""
        if self._is_over:
            return self._served
        return {name: count - self._served.get(name, 0) for name, count in requests_served(self._parts).items()}

    @property
    def ran_ns(self) -> int:
        """Ns of the host's clock that runs have taken."""
        return self.now.ran - self._began.ran

    @property
    def cpu_ns(self) -> int:
        """Ns of processor time that this process has had."""
        return self.now.cpu - self._began.cpu

    @property
    def idle_ns(self) -> int:
        """Ns of the guest's time in which all CPUs waited."""
        return self.now.idle - self._began.idle

    @property
    def guest_ns(self) -> int:
        """Ns of the guest's time, while it ran."""
        return self.now.guest - self._began.guest if self._parts.clock.repeats else self.ran_ns

    @property
    def instructions(self) -> int | None:
        """How many were executed, where that is known."""
        first, last = self._began.executed, self.now.executed
        return None if first < 0 or last < first else last - first


def requests_served(parts: Parts) -> dict[str, int]:
    """How many requests each virtio device has served since the machine was made."""
    transports = ((slot.name, slot.device) for slot in parts.board.slots)
    return {
        name: sum(queue.served for queue in device.queues)
        for name, device in transports
        if isinstance(device, VirtioTransport)
    }


@dataclass
class Calls:
    """How often something was done, and how long that took Python, in ns of the host's clock."""

    count: int
    ns: int


@dataclass
class DeviceUse:
    """Accesses of a device, how long Python took for them (ns of the host's clock), and requests of a virtio one."""

    loads: int = 0
    stores: int = 0
    ns: int = 0
    requests: int = 0


@dataclass
class Summary:
    """See `Profile.summary`. Times are ns; those whose name begins with `guest` are the guest's, others the host's."""

    guest_ns: int
    guest_idle_ns: int
    """Of which all CPUs waited."""
    host_ns: int
    """How long the runs have taken."""
    cpu_ns: int
    """How much processor time of this process."""
    engine_ns: int
    """In the guest's code, with its translation."""
    python_ns: int
    """In traps, registers, devices, handlers and observers."""
    loop_ns: int
    """Between two runs of the engine: exits, turns of CPUs, timers; without waiting."""
    samples_ns: int
    samples: int
    instructions: int | None
    exits: dict[str, Calls] = field(default_factory=dict)
    """What has come to Python, by kind: exception classes, WFI, registers, handlers at addresses, observers."""
    exceptions: dict[str, int] = field(default_factory=dict)
    """What the guest has taken at its own levels, by exception class, and interrupts."""
    devices: dict[str, DeviceUse] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def summary_of(times: Times, parts: Parts) -> Summary:
    """What is known now."""
    tally = times.tally
    exits = dict(_exits(tally))
    devices = _devices(tally, parts, times.served)
    python = sum(calls.ns for calls in exits.values()) + sum(each.ns for each in devices.values())
    waited = 0 if parts.clock.repeats else times.idle_ns
    exceptions = {_class(ec): count for ec, count in tally.exceptions.items()}
    if tally.interrupts:
        exceptions["interrupts"] = tally.interrupts
    return Summary(
        guest_ns=times.guest_ns,
        guest_idle_ns=times.idle_ns,
        host_ns=times.ran_ns,
        cpu_ns=times.cpu_ns,
        engine_ns=max(0, tally.runs[1] - python - tally.samples[1]),
        python_ns=python,
        loop_ns=max(0, times.ran_ns - tally.runs[1] - waited),
        samples_ns=tally.samples[1],
        samples=tally.samples[0],
        instructions=times.instructions,
        exits=exits,
        exceptions=exceptions,
        devices=devices,
    )


def _exits(tally: Tally) -> Iterator[tuple[str, Calls]]:
    for ec, (count, ns) in tally.traps.items():
        yield _class(ec), Calls(count, ns)
    others = (
        ("WFI", tally.waits),
        ("registers read", tally.reads),
        ("registers written", tally.writes),
        ("handlers at instructions", tally.code),
        ("watched accesses", tally.accesses),
        ("exceptions told", tally.entered),
    )
    for name, (count, ns) in others:
        if count:
            yield name, Calls(count, ns)


def _class(ec: int) -> str:
    return ExceptionClass(ec).name


def _devices(tally: Tally, parts: Parts, served: dict[str, int]) -> dict[str, DeviceUse]:
    uses: dict[str, DeviceUse] = {}
    for address, (loads, stores, ns) in tally.devices.items():
        use = uses.setdefault(_device_at(parts, address), DeviceUse())
        use.loads, use.stores, use.ns = use.loads + loads, use.stores + stores, use.ns + ns
    for name, requests in served.items():
        if requests:
            uses.setdefault(name, DeviceUse()).requests = requests
    return uses


def _device_at(parts: Parts, address: int) -> str:
    """A device's name; of one that a script is, its address."""
    slot = parts.board.find(address)
    if slot is not None:
        return slot.name
    window = parts.bus.find(address)
    return f"{address if window is None else window.base:#x}"


def _lines(summary: Summary) -> Iterator[str]:
    busy = summary.guest_ns - summary.guest_idle_ns
    counted = "" if summary.instructions is None else f", {summary.instructions:,} instructions"
    idle = f"{_s(summary.guest_idle_ns)} all CPUs wait"
    yield f"profile: {_s(summary.guest_ns)} of the guest's time: {_s(busy)} busy, {idle}{counted}"
    yield (
        f"  host: {_s(summary.host_ns)}, CPU {_s(summary.cpu_ns)}: engine {_s(summary.engine_ns)}, "
        f"Python in traps and devices {_s(summary.python_ns)}, run loop {_s(summary.loop_ns)}, "
        f"{summary.samples:,} samples {_s(summary.samples_ns)}"
    )
    exits = sorted(summary.exits.items(), key=lambda item: -item[1].ns)
    yield from _list("exits", (f"{name} {calls.count:,} ({_s(calls.ns)})" for name, calls in exits))
    taken = sorted(summary.exceptions.items(), key=lambda item: -item[1])
    yield from _list("exceptions of the guest", (f"{name} {count:,}" for name, count in taken))
    uses = sorted(summary.devices.items(), key=lambda item: -item[1].ns)
    yield from _list(
        "devices", [*(_use(name, use) for name, use in uses[:MOST_DEVICES]), *_others(uses[MOST_DEVICES:])]
    )


def _list(title: str, entries: Iterable[str]) -> Iterator[str]:
    text = ", ".join(entries)
    if text:
        yield f"  {title}: {text}"


def _others(uses: list[tuple[str, DeviceUse]]) -> Iterator[str]:
    """All that the guest has only looked for, as virtio's slots, in a few words."""
    if uses:
        accesses = sum(use.loads + use.stores for _, use in uses)
        yield f"{len(uses)} others {accesses:,} accesses ({_s(sum(use.ns for _, use in uses))})"


def _use(name: str, use: DeviceUse) -> str:
    requests = f", {use.requests:,} requests" if use.requests else ""
    return f"{name} {use.loads:,} loads, {use.stores:,} stores{requests} ({_s(use.ns)})"


def _s(ns: int) -> str:
    """A time in words: of 3 digits or so."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}" if ns < 1000 * size else f"{ns / size:,.0f} {unit}"
    return f"{ns / 1000:.3g} µs"
