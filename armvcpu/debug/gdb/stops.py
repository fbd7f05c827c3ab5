"""Why the guest has stopped, and how gdb is told: GDB manual, appendix E.3 (Stop Reply Packets)."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from armvcpu.debug.gdb.state import State


class Signal(Enum):
    """Signals as gdb numbers them (its include/gdb/signals.def)."""

    INT = 2
    ILL = 4
    TRAP = 5
    SEGV = 11


class Reason(Enum):
    """What a stop reply says besides the signal; its name there."""

    NONE = ""
    SOFTWARE_BREAKPOINT = "swbreak"
    HARDWARE_BREAKPOINT = "hwbreak"
    WRITE = "watch"
    READ = "rwatch"
    ACCESS = "awatch"
    HISTORY = "replaylog"


class Report(NamedTuple):
    """A stop: the CPU, the signal and the reason; `detail` is the address that was accessed, or `begin` or `end`."""

    cpu: int
    signal: Signal = Signal.TRAP
    reason: Reason = Reason.NONE
    detail: str = ""


_BREAKPOINTS = {Reason.SOFTWARE_BREAKPOINT, Reason.HARDWARE_BREAKPOINT}
_AT_ONCE = (29, 31, 32)
"""Registers that gdb asks for after every stop: FP, SP and PC by its numbers."""


def stop_reply(state: State) -> bytes:
    """The packet for the last stop, with the registers that gdb would ask for next."""
    stop, guest = state.stop, state.guest
    words = [f"T{stop.signal.value:02x}"]
    if stop.reason is not Reason.NONE and (stop.reason not in _BREAKPOINTS or state.reads_break_reasons):
        words.append(f"{stop.reason.value}:{stop.detail};")
    words.append(f"thread:{stop.cpu + 1:x};")
    for number in _AT_ONCE:
        value = guest.read_register(stop.cpu, guest.description.registers[number])
        words.append(f"{number:x}:{value.to_bytes(8, 'little').hex()};")
    return "".join(words).encode()
