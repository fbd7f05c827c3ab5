"""A machine's state at one moment, between two runs: taken, and returned to any number of times.

RAM, as far as it has been written (`board/dirty_pages.py`), is copied once, into a memory file that is then mapped
copy-on-write over the machine's own: returning costs what the guest has changed since, whatever the size of RAM. CPUs
are their registers (`vcpu/registers.py`), devices their own `state()`. The count (CNTVCT_EL0, CNTPCT_EL0) goes on from
where it was, by CNTVOFF_EL2. Disks keep an undo log from then on, so that returning
puts back what the guest has overwritten since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.rows import Row
from armvcpu.errors import ImageError, StateError, UsageError, kind_in
from armvcpu.machine.board import copy_on_write
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.snapshots.again import Mark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.devices.virtio.disk import UndoLog
    from armvcpu.machine.board.virt import Board, Slot
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.cpu import Cpu


REMEDY = "make it anew with --snapshot-save"
NO_MONITOR = (0xFFFF_FFFF_FFFF_FFFF, 0, 0)
"""An exclusive monitor that watches nothing."""


class CpuSnapshot(Row):
    """One CPU: its registers by name (None where it was never on), what it does, its timers as (CTL, CVAL, level)."""

    registers: dict[str, int] | None
    exclusive: tuple[int, int, int]
    """Its exclusive monitor: the address that it watches, and what LDXR read there."""
    power: int
    waiting: bool
    start: tuple[int, int] | None
    virtual_count: int
    timers: dict[str, tuple[int, int, bool]]
    uses_stage2: bool
    pmu: list[int]


@dataclass(slots=True, weakref_slot=True, eq=False)
class Snapshot:
    """A state of a machine of the kind that `machine` describes. Close it, or let go of it, to free its memory."""

    machine: dict[str, Any]
    ram: copy_on_write.Image
    cpus: list[CpuSnapshot]
    current: int
    devices: dict[str, Any]
    gic: dict[str, Any]
    instructions: int | None
    time: dict[str, list[int]]
    """Of a machine whose time is its instructions: what else its time and its turns are made of."""
    disks: list[UndoLog] = field(default_factory=list)
    """What returning has to put back; empty for a snapshot that comes from a file."""
    unchecked: PathLike | None = None
    """The file that it comes from, as long as nobody has looked at what is in it."""

    def close(self) -> None:
        """Free the memory; the snapshot can't be returned to."""
        self.ram.close()
        for log in self.disks:
            log.close()


def describe(parts: Parts) -> dict[str, Any]:
    """What a snapshot and a machine must have in common."""
    options = MachineConfig.options.values()
    return {
        **{
            each.name.replace("_", "-"): _plain(getattr(parts.config, each.name))
            for each in options
            if each.is_snapshotted
        },
        "virtio": [f"{type(device).__name__} {slot}" for slot, device in sorted(parts.peripherals.virtio.items())],
        "disks": [disk.size for disk in parts.peripherals.disks],
        "devices": [f"{slot.name} at {slot.base:#x}" for slot in parts.board.added],
    }


def _plain(value: Any) -> Any:
    """As a file has it."""
    return list(value) if isinstance(value, tuple) else value


def take(parts: Parts) -> Snapshot:
    """The state of a machine that does not run."""
    return Snapshot(
        describe(parts),
        copy_on_write.Image.of(parts.memory.ram, parts.memory.dirty.used()),
        [_take_cpu(cpu) for cpu in parts.turns.cpus],
        parts.turns.cpu.index,
        {slot.name: slot.device.state() for slot in slots_with_state(parts.board)},
        parts.board.gic.state(),
        parts.count.value,
        {"clock": parts.clock.state(), "turns": parts.turns.state()} if parts.clock.repeats else {},
        [disk.new_undo_log() for disk in parts.peripherals.disks if not disk.read_only],
    )


def slots_with_state(board: Board) -> Iterator[Slot]:
    """All but the parts of the interrupt controller, which has a state of its own."""
    parts = board.gic.devices
    return (slot for slot in board.slots if slot.device not in parts)


def _take_cpu(cpu: Cpu) -> CpuSnapshot:
    vcpu = cpu.vcpu
    if vcpu.has_state and vcpu.state.aarch32:
        raise StateError(f"CPU {cpu.index} is in AArch32 state, which nothing goes on from: there is no snapshot of it")
    return CpuSnapshot(
        vcpu.registers.save() if vcpu.has_state else None,
        vcpu.state.exclusive if vcpu.has_state else NO_MONITOR,
        int(cpu.power),
        cpu.waiting and not cpu.reads_console,  # it asks for the character again
        cpu.pending_start,
        cpu.time.count(),
        {name: (timer.ctl, timer.cval, timer.level) for name, timer in cpu.time.timers.items()},
        vcpu.uses_stage2,
        cpu.time.pmu.state(),
    )


def check(snapshot: Snapshot, parts: Parts) -> None:
    """UsageError naming the first difference, where the snapshot is one of another kind of machine.

    ImageError where it comes from a file and holds what no snapshot of this machine could.
    """
    kind_in("what a machine returns to", snapshot, Snapshot)
    if snapshot.ram.is_closed:
        raise UsageError("the snapshot is closed: its memory is gone")
    for name, here in describe(parts).items():
        there = snapshot.machine.get(name)
        if there != here:
            is_, it_is = ("are", "they are") if isinstance(here, list) else ("is", "it is")
            raise UsageError(f"the snapshot is one of another machine: its {name} {is_} {there}, here {it_is} {here}")
    if snapshot.unchecked is not None:
        from armvcpu.machine.snapshots.contents import check_contents  # nobody else can be wrong

        try:
            check_contents(snapshot, parts)
        except UsageError as error:
            raise ImageError(snapshot.unchecked, f"is a damaged snapshot: {error}", REMEDY) from error
        snapshot.unchecked = None


def restore(parts: Parts, snapshot: Snapshot, mark: Mark | None = None) -> Mark | None:
    """Return to a state; UsageError, with nothing changed, where it is none of this machine.

    What it gives is the `mark` of the next time: then returning to the same snapshot takes what has changed since.
    """
    if mark is not None and mark.is_of(snapshot):
        _return_again(parts, snapshot, mark)
        return mark
    check(snapshot, parts)
    parts.turns.unload()
    _load_time(parts, snapshot)
    snapshot.ram.map_over(parts.memory.ram)
    parts.memory.dirty.replace(snapshot.ram.extents)
    for log in snapshot.disks:
        log.undo()
    for cpu, saved in zip(parts.turns.cpus, snapshot.cpus, strict=True):
        _restore_cpu(cpu, saved)
    slots = list(slots_with_state(parts.board))
    for slot in slots:
        slot.device.load_state(snapshot.devices[slot.name])
    parts.board.gic.load_state(snapshot.gic)
    for cpu, saved in zip(parts.turns.cpus, snapshot.cpus, strict=True):
        cpu.time.pmu.load_state(saved.pmu)  # first, for it shows PMUSERENR_EL0 to the engine, which a mark is to have
    mark = Mark.of(parts, snapshot, slots)
    for cpu, saved in zip(parts.turns.cpus, snapshot.cpus, strict=True):
        cpu.time.load_timers(saved.virtual_count, saved.timers)
    parts.self_debug.restore()
    parts.turns.load(snapshot.current)
    parts.engine.code.invalidate()
    parts.engine.memory.flush_tlb()  # the CPU's registers may lead to its tables as before, and they have changed
    parts.stage2.settle()
    return mark if parts.self_debug.is_idle else None


def _return_again(parts: Parts, snapshot: Snapshot, mark: Mark) -> None:
    """The same, of a machine that has returned to this snapshot before, and to no other since."""
    turns = parts.turns
    parts.self_debug.reset()
    if turns.cpu.index != snapshot.current or not turns.cpu.is_bound:
        turns.unload()
    _load_time(parts, snapshot)
    mark.put_back(parts, snapshot, _restore_power)
    for cpu, saved in zip(turns.cpus, snapshot.cpus, strict=True):
        cpu.time.load_timers(saved.virtual_count, saved.timers)
    if turns.cpu.is_bound:
        turns.cpu.go_on()
    else:
        turns.load(snapshot.current)
    parts.engine.memory.flush_tlb()
    parts.stage2.settle()


def _load_time(parts: Parts, snapshot: Snapshot) -> None:
    parts.count.restart(snapshot.instructions)
    if snapshot.time:
        parts.clock.load_state(snapshot.time["clock"])
        parts.turns.load_state(snapshot.time["turns"])


def _restore_power(cpu: Cpu, saved: CpuSnapshot) -> None:
    """What a CPU does, but for its registers."""
    cpu.end_read()
    cpu.power, cpu.waiting, cpu.pending_start = AffinityState(saved.power), saved.waiting, saved.start


def _restore_cpu(cpu: Cpu, saved: CpuSnapshot) -> None:
    _restore_power(cpu, saved)
    if saved.registers is not None:
        cpu.prepare()
        cpu.vcpu.load_registers(saved.registers)
        cpu.vcpu.state.set_exclusive(*saved.exclusive)
    cpu.vcpu.use_stage2(saved.uses_stage2)
