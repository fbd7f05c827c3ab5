"""The vocabulary of the scripted engine: the entries of its script, and what it notes of what is done to it."""

from __future__ import annotations

from dataclasses import dataclass, field

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Trap:
    """The guest gets to `pc` with these registers, and takes this exception. None leaves the state as it is."""

    target_el: int
    esr: int
    far: int = 0
    hpfar: int = 0
    pc: int | None = None
    regs: Mapping[int, int] = field(default_factory=dict)
    pstate: int | None = None


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Another thread calls `request_stop`: the run ends with STOPPED."""


@dataclass(frozen=True, slots=True)
class LimitReached:
    """The run has done its instructions and ends with LIMIT."""


@dataclass(frozen=True, slots=True)
class AtCode:
    """The guest is about to execute the instruction at `pc`: the `on_code` handlers for it are called."""

    pc: int


@dataclass(frozen=True, slots=True)
class ScriptedAccess:
    """The guest reads, or writes `value`, at a virtual address: the `on_memory` handlers are called."""

    is_read: bool
    address: int
    width: int
    value: int | None = None


Entry = Trap | AtCode | ScriptedAccess | StopRequested | LimitReached


@dataclass(frozen=True, slots=True)
class ExceptionEntry:
    """An exception that was entered at EL1: the PSTATE before it, and the vector that PC is on."""

    elr: int
    spsr: int
    esr: int
    far: int
    vector: int
