"""Returning to the same snapshot again, thousands of times a second: what costs something is what has changed since.

The first return to a snapshot does all (`snapshot.py`), and notes here what a machine then is. From then on, until it
returns to another snapshot,

- of RAM just the pages are copied that have been written since (`DirtyPages.put_back`), and translated code is kept
  but for what was translated from bytes that differ;
- a CPU's registers are one piece of memory;
- a device whose attributes are what they were has its state, so that nothing is to be loaded (`Unchanged`).

Each of these comes to what the full return comes to; where that is not sure, the full way is taken.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any
from weakref import ref

from armvcpu.devices.deadline import NEVER, Deadline
from armvcpu.machine.board.flash_banks import FlashBank

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    from armvcpu.machine.board.virt import Slot
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.vcpu.vcpu import RegisterCopy

_OURS = ("armvcpu.devices.", "armvcpu.arch.", "armvcpu.vcpu.")


class Unchanged:
    """What makes up the state of a device just now: the attributes of it, and of its parts that have a state too.

    A device's `state()` is made of these, so as long as they are the same there is nothing to return to. A deadline
    that is set makes it another one with each moment; and what a user's device is made of, nobody knows.
    """

    def __init__(self, root: object) -> None:
        self.seen: list[tuple[dict[str, Any], dict[str, Any]]] = []
        """Attributes of each part, and what they were."""
        self.deadlines: list[Deadline] = []
        self._known: set[int] = set()
        self._look_into(root)

    def _look_into(self, part: object) -> None:
        if id(part) not in self._known:
            self._known.add(id(part))
            attributes = vars(part)
            then: dict[str, Any] = {}
            self.seen.append((attributes, then))
            then.update({name: self._copy(value) for name, value in attributes.items()})

    def _copy(self, value: object) -> object:
        """Containers as they are now; anything else is itself, and looked into where it has a state."""
        copy: object = value
        match value:
            case list():
                copy = [self._copy(each) for each in value]
            case tuple() if type(value) is tuple:
                copy = tuple([self._copy(each) for each in value])
            case deque():
                copy = deque([self._copy(each) for each in value], value.maxlen)
            case dict():
                copy = {key: self._copy(each) for key, each in value.items()}
            case set() | bytearray():
                copy = type(value)(value)
            case memoryview() if value.format == "Q":  # words that the engine shares
                copy = memoryview(bytes(value)).cast("Q")
            case Deadline():
                self.deadlines.append(value)
            case FlashBank():
                self._look_into(value)
            case _ if hasattr(value, "load_state") and type(value).__module__.startswith(_OURS):
                self._look_into(value)
        return copy


class Devices:
    """All that have a state, and how each is returned to its part of a snapshot."""

    def __init__(self, devices: Sequence[tuple[Any, Any]], unknown: Container[Any]) -> None:
        self._devices = devices
        self._then = [None if device in unknown else Unchanged(device) for device, _state in devices]
        self._gather()

    def _gather(self) -> None:
        self._all_seen = [pair for then in self._then if then is not None for pair in then.seen]
        self._all_deadlines = [each for then in self._then if then is not None for each in then.deadlines]
        self._has_unknown = None in self._then

    def put_back(self) -> None:
        """Mostly nothing: one look at everything says so."""
        if not self._has_unknown and _holds(self._all_seen, self._all_deadlines):
            return
        for number, ((device, state), then) in enumerate(zip(self._devices, self._then, strict=True)):
            if then is None:
                device.load_state(state)
            elif not _holds(then.seen, then.deadlines):
                device.load_state(state)
                self._then[number] = Unchanged(device)
        self._gather()


def _holds(seen: list[tuple[dict[str, Any], dict[str, Any]]], deadlines: list[Deadline]) -> bool:
    """Is everything what it was?"""
    for now, then in seen:  # four times a generator's speed, and this is most of a return
        if now != then:
            return False
    return all(deadline.moment == NEVER for deadline in deadlines)


class Mark:
    """What a machine is once it has returned to a snapshot; made while no CPU is loaded, before timers go on."""

    def __init__(self, parts: Parts, snapshot: Snapshot, slots: list[Slot]) -> None:
        self._of = ref(snapshot)
        self._registers: list[RegisterCopy | None] = []
        for cpu, saved in zip(parts.turns.cpus, snapshot.cpus, strict=True):
            self._registers.append(None if saved.registers is None else cpu.vcpu.copy_registers())
        devices: list[tuple[Any, Any]] = [(slot.device, snapshot.devices[slot.name]) for slot in slots]
        devices.append((parts.board.gic, snapshot.gic))
        devices += [(cpu.time.pmu, saved.pmu) for cpu, saved in zip(parts.turns.cpus, snapshot.cpus, strict=True)]
        # What counts changes with time alone, and what a user's device is made of is not known.
        counting = [
            cpu.time.pmu for cpu, saved in zip(parts.turns.cpus, snapshot.cpus, strict=True) if saved.pmu[0] & 1
        ]
        self._devices = Devices(devices, [*counting, *(slot.device for slot in parts.board.added)])

    @classmethod
    def of(cls, parts: Parts, snapshot: Snapshot, slots: list[Slot]) -> Mark | None:
        """None where returning again is no less than returning: a CPU watches something, or is to start anew."""
        if not parts.self_debug.is_idle or any(saved.start is not None for saved in snapshot.cpus):
            return None
        mark = cls(parts, snapshot, slots)
        for copy, saved in zip(mark._registers, snapshot.cpus, strict=True):
            if copy is None and saved.registers is not None:
                return None
        return mark

    def is_of(self, snapshot: Snapshot) -> bool:
        """Is it this snapshot's, whose memory is still there?"""
        return self._of() is snapshot and not snapshot.ram.is_closed

    def put_back(self, parts: Parts, snapshot: Snapshot, end_wait: Callable[..., None]) -> None:
        """RAM, CPUs and devices, as they were. Time is the caller's, and `end_wait` what a CPU is besides registers."""
        parts.memory.dirty.put_back(snapshot.ram.contents())
        for log in snapshot.disks:
            log.undo()
        for cpu, saved, copy in zip(parts.turns.cpus, snapshot.cpus, self._registers, strict=True):
            end_wait(cpu, saved)
            if copy is not None:
                cpu.vcpu.put_registers(copy)
            cpu.vcpu.use_stage2(saved.uses_stage2)
        self._devices.put_back()
