"""A machine's state at a moment of its run, to the last bit: what it does from there on, it does again.

A snapshot (`snapshots/`) is a state that another machine can go on from, by names and in files; this is one of the very
machine, as its registers lie in the engine, with what is remembered of exceptions, the moments that are due, and where
the console is. RAM and disks are kept apart (`contents.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.rows import Row
from armvcpu.errors import InternalError
from armvcpu.machine.console.inputs import AdmittedInput
from armvcpu.machine.snapshots.snapshot import slots_with_state

if TYPE_CHECKING:
    from armvcpu.devices.deadline import Deadline
    from armvcpu.machine.history.contents import Contents, Pieces
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.vcpu.vcpu import RegisterCopy

_PIECE_COST = 4096 + 120
"""Bytes of the host's memory that a piece takes, with its place in a table."""
_STATE_COST = 64 << 10
"""About what the state of the CPUs and devices takes, without the bytes that these have: flash, say."""


class CpuThen(Row):
    """One CPU; no registers where it was never on."""

    registers: RegisterCopy | None
    past: Any
    power: int
    waiting: bool
    start: tuple[int, int] | None
    count: int
    timers: dict[str, tuple[int, int, bool]]
    uses_stage2: bool
    pmu: list[int]


@dataclass(slots=True, eq=False)
class Checkpoint:
    """The state after `count` instructions, before the next one; `written` is what has changed since the one before."""

    count: int
    entries: int
    rest: int
    """Of the block that the guest is in, where somebody changed it there."""
    cpus: list[CpuThen]
    current: int
    began: int
    devices: list[Any]
    gic: Any
    clock: list[int]
    turns: list[int]
    moments: list[tuple[Deadline, int]]
    inputs: tuple[bytes, bool, int]
    outputs: tuple[int, ...]
    written: list[Pieces]
    """Of each memory."""
    held: int
    """Bytes that devices have."""
    begins_at: int | None = None
    """The count at which somebody changed the guest, where this is the first state after that."""

    @property
    def size(self) -> int:
        """About how many bytes of the host's memory it takes."""
        return _STATE_COST + self.held + _PIECE_COST * sum(map(len, self.written))

    def join(self, following: Checkpoint) -> None:
        """It is to be forgotten: the one after it keeps what both have."""
        following.written = [
            {**mine, **later} for mine, later in zip(self.written, following.written, strict=True)
        ]  # fmt: skip


def can_take(parts: Parts) -> bool:
    """Can the machine be kept as it is now? Not while a guest waits for a character: it would ask for it again."""
    return not (parts.feed.has_readers or any(cpu.reads_console for cpu in parts.turns.cpus))


def take(parts: Parts, memories: list[Contents]) -> Checkpoint:
    """The state of a machine that stands still."""
    devices = [slot.device.state() for slot in slots_with_state(parts.board)]
    return Checkpoint(
        parts.engine.instructions,
        parts.engine.entries,
        parts.engine.rest,
        [_take_cpu(cpu) for cpu in parts.turns.cpus],
        parts.turns.cpu.index,
        parts.turns.began,
        devices,
        parts.board.gic.state(),
        parts.clock.state(),
        parts.turns.state(),
        parts.schedule.state(),
        inputs_of(parts).state(),
        parts.outputs.state(),
        [memory.read(memory.take_written()) for memory in memories],
        _bytes_in(devices),
    )


def _bytes_in(state: object) -> int:
    match state:
        case bytes() | bytearray():
            return len(state)
        case dict():
            return sum(map(_bytes_in, state.values()))
        case list() | tuple():
            return sum(map(_bytes_in, state))
    return 0


def inputs_of(parts: Parts) -> AdmittedInput:
    """Those of a machine whose time is its instructions."""
    if not isinstance(parts.inputs, AdmittedInput):
        raise InternalError("a history by the host's clock")
    return parts.inputs


def _take_cpu(cpu: Cpu) -> CpuThen:
    vcpu = cpu.vcpu
    return CpuThen(
        vcpu.copy_registers(whole=True) if vcpu.has_state else None,
        vcpu.past if vcpu.has_state else None,
        int(cpu.power),
        cpu.waiting,
        cpu.pending_start,
        cpu.time.count(),
        {name: (timer.ctl, timer.cval, timer.level) for name, timer in cpu.time.timers.items()},
        vcpu.uses_stage2,
        cpu.time.pmu.state(),
    )


def restore(parts: Parts, then: Checkpoint, live_from: int) -> None:
    """Return to it, RAM and disks excepted, which come first; what is typed counts after `live_from` instructions."""
    turns, engine = parts.turns, parts.engine
    turns.unload()
    engine.instructions, engine.entries = then.count, then.entries
    parts.clock.load_state(then.clock)
    for cpu, saved in zip(turns.cpus, then.cpus, strict=True):
        _restore_cpu(cpu, saved)
    for slot, state in zip(slots_with_state(parts.board), then.devices, strict=True):
        slot.device.load_state(state)
    parts.board.gic.load_state(then.gic)
    for cpu, saved in zip(turns.cpus, then.cpus, strict=True):
        cpu.time.pmu.load_state(saved.pmu)
        cpu.time.load_timers(saved.count, saved.timers)
    parts.self_debug.restore()
    for cpu, saved in zip(turns.cpus, then.cpus, strict=True):
        if saved.registers is not None:
            cpu.vcpu.past = saved.past
    turns.load(then.current)
    engine.rest = then.rest
    turns.load_state(then.turns)
    turns.began = then.began
    for cpu, saved in zip(turns.cpus, then.cpus, strict=True):
        _restore_power(cpu, saved)  # lines may have moved on the way
    engine.memory.flush_tlb()
    parts.stage2.settle()
    inputs_of(parts).go_back(then.inputs, live_from)
    parts.outputs.load_state(then.outputs)
    parts.schedule.load_state(then.moments)  # what the timers' states come to, and what a CPU that is off has cleared
    parts.feed.restart()


def _restore_power(cpu: Cpu, saved: CpuThen) -> None:
    cpu.power, cpu.waiting, cpu.pending_start = AffinityState(saved.power), saved.waiting, saved.start


def _restore_cpu(cpu: Cpu, saved: CpuThen) -> None:
    cpu.end_read()
    _restore_power(cpu, saved)
    if saved.registers is not None:
        cpu.vcpu.put_registers(saved.registers)
    cpu.vcpu.use_stage2(saved.uses_stage2)
