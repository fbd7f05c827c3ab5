"""What the monitor needs of a machine: a Protocol, since the machine stands above it (`machine.monitor`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from armvcpu.debug.tracing.formats import Writer
    from armvcpu.debug.tracing.trace import Trace
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.clock import Clock
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.board.virt import Board
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.debugging.debugger import Debugger
    from armvcpu.machine.history.history import History
    from armvcpu.machine.outcome import Outcome
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.vcpu.exits import Exit


class Subject(Protocol):
    """`machine.machine.Machine`, as far as commands use it."""

    config: MachineConfig
    parts: Parts
    board: Board
    memory: GuestMemory
    engine: Engine
    cpus: list[Cpu]
    clock: Clock

    @property
    def current_cpu(self) -> Cpu:
        """The CPU that the engine has loaded, or had last."""

    @property
    def symbols(self) -> Symbols:
        """Names for addresses."""

    @property
    def last_exits(self) -> Sequence[tuple[int, Exit]]:
        """(PC, exit) of the last ones."""

    @property
    def instructions(self) -> int | None:
        """How many were executed since power-on; None where a run has not been counted."""

    @property
    def is_running(self) -> bool:
        """Does the guest run now?"""

    @property
    def can_go_on(self) -> bool:
        """Has the guest not ended by itself?"""

    @property
    def debugger(self) -> Debugger:
        """What stops the guest and steps it."""

    @property
    def history(self) -> History | None:
        """The states that are kept, where they are."""

    def physical(self, address: int) -> int:
        """The physical address behind a virtual one."""

    def write(self, address: int, data: bytes) -> None:
        """Write guest-physical RAM."""

    def name_of(self, address: int) -> str:
        """The device and register at a guest-physical address."""

    def snapshot(self) -> Snapshot:
        """The machine's state now, between two runs."""

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a state."""

    def reset(self) -> None:
        """SYSTEM_RESET, between two runs."""

    def step(self) -> Outcome | None:
        """One instruction of the CPU that is loaded."""

    def quit(self, reason: str = ...) -> None:
        """End the run."""

    def trace(self, kinds: Collection[str], writer: Writer) -> Trace:
        """Have events of these kinds written."""

    def press_power_key(self) -> None:
        """The power key goes down."""

    def release_power_key(self) -> None:
        """The power key goes up."""
