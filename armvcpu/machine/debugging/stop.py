"""Why a guest stands still for a debugger."""

from __future__ import annotations

from enum import Enum

from armvcpu.arch.rows import Row


class StopKind(Enum):
    """What a stop is for."""

    START = "the run has not begun"
    BREAKPOINT = "a breakpoint: the instruction at PC has not been executed"
    WATCHPOINT = "a watchpoint: the access of the instruction at PC has not been made"
    STEP = "a step has been made"
    PAUSED = "somebody has asked for it"
    BEGINNING = "the history goes back no further"


class Stop(Row):
    """Where: the CPU's index, and PC; of a watchpoint the access's virtual address, and whether it is a write."""

    kind: StopKind
    cpu: int
    pc: int
    address: int | None = None
    is_write: bool = False
