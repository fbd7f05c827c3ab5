"""What the commands of one monitor see: a machine, the CPU that they are about, and what they have left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.monitor.subject import Subject
    from armvcpu.machine.debugging.stop import Stop
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.vcpu.registers import Registers


class Point(Protocol):
    """A breakpoint or watchpoint of the monitor's."""

    @property
    def what(self) -> str:
        """In words."""

    @property
    def covers(self) -> Callable[[Stop], bool]:
        """Is a stop at it?"""

    @property
    def remove(self) -> Callable[[], None]:
        """Takes it away."""


class Trace(Protocol):
    """One that `trace on` has begun."""

    @property
    def kinds(self) -> str:
        """Of what."""

    @property
    def path(self) -> str | None:
        """Where to; None for stderr."""

    def close(self) -> None:
        """End it; UsageError where the file could not be written."""


class View:
    """Of one machine."""

    def __init__(self, machine: Subject) -> None:
        self.machine = machine
        self.selected: int | None = None
        """The CPU that `cpu N` has chosen; None: the one that the engine has loaded."""
        self.next_address = 0
        """Where `x`, `xp` and `disassemble` go on without an address."""
        self.has_moved = False
        """Has a command taken the guest to another moment? After its end it may go on then."""
        self.snapshots: dict[str, Snapshot] = {}
        """Those of `snapshot NAME`, by name."""
        self.traces: list[Trace] = []
        """Those of `trace on`."""
        self.points: dict[int, Point] = {}
        """Breakpoints and watchpoints by their numbers, which go up and are not used again."""
        self.points_made = 0

    @property
    def cpu(self) -> Cpu:
        """The CPU that commands are about."""
        return self.machine.current_cpu if self.selected is None else self.machine.cpus[self.selected]

    @property
    def registers(self) -> Registers:
        """Its registers by name."""
        return self.cpu.vcpu.registers

    def has_point(self, stop: Stop) -> bool:
        """Is a stop at a breakpoint or a watchpoint of the monitor's?"""
        return any(point.covers(stop) for point in self.points.values())

    def forget_point(self, number: int) -> None:
        """Take a breakpoint or watchpoint away."""
        self.points.pop(number).remove()
