"""What a snapshot's file may say in all: each part's kind, and which machine's it must be.

A file is checked before anything of it is used (`check_contents`): one that is damaged, or was made by hand, is refused
with the field and what is wrong with it, and a machine that refuses it has not changed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from armvcpu.arch.psci import AffinityState
from armvcpu.devices.deadline import NEVER
from armvcpu.errors import UsageError
from armvcpu.machine.running.turns import Turn
from armvcpu.machine.snapshots.device_fields import device_fields, gic_fields
from armvcpu.machine.snapshots.fields import (
    anything,
    between,
    bit,
    bitmap,
    exactly,
    flag,
    maybe,
    number,
    one_of,
    record,
    several,
    table,
    text,
)
from armvcpu.machine.snapshots.snapshot import slots_with_state
from armvcpu.vcpu.pmu import COUNTERS, CYCLE

if TYPE_CHECKING:
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.machine.snapshots.fields import Kind
    from armvcpu.machine.snapshots.snapshot import Snapshot

MOST_CPUS = 512
_COUNTERS = 1 << CYCLE | (1 << COUNTERS) - 1
_ENTRY_BITS = 52


DESCRIPTION = record(
    {
        "machine": table(text, anything),
        "cpus": several(anything, MOST_CPUS, 1),
        "current": number(16),
        "devices": table(text, anything),
        "gic": table(text, anything),
        "instructions": maybe(number(62)),
        "time": table(text, anything),
        "blocks": table(text, number(32)),
    }
)
"""The description in a file, as far as it can be told without a machine."""


def cpu_fields(timers: Kind = anything, registers: Kind = anything) -> Kind:
    """One CPU."""
    return record(
        {
            "registers": registers,
            "exclusive": exactly(number(64), number(64), number(64)),
            "power": one_of(*map(int, AffinityState)),
            "waiting": flag,
            "start": maybe(exactly(_entry_point, number(64))),
            "virtual_count": between(-(1 << 64), 1 << 64),
            "timers": timers,
            "uses_stage2": flag,
            "pmu": _pmu,
        }
    )


def _entry_point(value: object, place: str) -> None:
    number(_ENTRY_BITS)(value, place)
    assert isinstance(value, int)
    if value % 4:
        raise UsageError(f"{place} is {value:#x}, and no address of an instruction")


def _pmu(value: object, place: str) -> None:
    counts = [number(64) if n == CYCLE else number(32) for n in range(CYCLE + 1)]
    enabled, interrupts, overflowed = (bitmap(_COUNTERS) for _ in range(3))
    exactly(
        number(8), enabled, interrupts, overflowed, number(5), number(4), bit, *counts, *(number(32) for _ in counts)
    )(value, place)


def check_contents(snapshot: Snapshot, parts: Parts) -> None:
    """UsageError, with what is wrong, where a machine can't go on from a snapshot that is one of its kind."""
    if snapshot.ram.size != len(parts.memory.ram):
        raise UsageError(f"its RAM has {snapshot.ram.size} bytes, not {len(parts.memory.ram)}")
    cpus = [partial(_cpu, cpu) for cpu in parts.turns.cpus]
    exactly(*cpus)([cpu.as_dict() for cpu in snapshot.cpus], "cpus")
    between(0, len(parts.turns.cpus) - 1)(snapshot.current, "current")
    slots = {slot.name: device_fields(slot.device, parts.memory) for slot in slots_with_state(parts.board)}
    record(slots)(snapshot.devices, "devices")
    gic_fields(parts.board.gic)(snapshot.gic, "gic")
    _time(parts.clock.repeats)(snapshot.time, "time")
    if parts.clock.repeats and snapshot.instructions is None:
        raise UsageError("instructions is None, and no number")


def _cpu(cpu: Cpu, value: object, place: str) -> None:
    timers = record(dict.fromkeys(cpu.time.timers, exactly(number(3), number(64), flag)))
    cpu_fields(timers, maybe(partial(_registers, cpu)))(value, place)
    assert isinstance(value, dict)
    if value["registers"] is None and value["power"] != AffinityState.OFF and value["start"] is None:
        raise UsageError(f"{place} is on, and has no registers")


def _registers(cpu: Cpu, value: object, place: str) -> None:
    table(text, anything)(value, place)
    assert isinstance(value, dict)
    try:
        cpu.vcpu.registers.check(value)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from error


def _time(repeats: bool) -> Kind:
    if not repeats:
        return record({})
    moment = number(62)
    clock = exactly(moment, moment, number(64), moment, moment)  # the third is where the guest waits
    return record({"clock": clock, "turns": exactly(between(0, NEVER), one_of(*(each.value for each in Turn)))})
