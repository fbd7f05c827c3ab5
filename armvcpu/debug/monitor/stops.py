"""Where the guest stands, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.monitor.cpus import place
from armvcpu.debug.monitor.memory import instruction_at
from armvcpu.machine.debugging.stop import StopKind

if TYPE_CHECKING:
    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.debugging.stop import Stop

_WORDS = {
    StopKind.BREAKPOINT: "a breakpoint",
    StopKind.WATCHPOINT: "a watchpoint",
    StopKind.BEGINNING: "the beginning of the history",
}


def describe_stop(view: View, stop: Stop) -> str:
    """A line for what the guest has come to, where it is more than a step, and one for the instruction at PC."""
    lines = [instruction_at(view, stop.pc)]
    if (word := _WORDS.get(stop.kind)) is not None:
        access = ""
        if stop.address is not None:
            verb = "write to" if stop.is_write else "read of"
            access = f", before a {verb} {place(view.machine.symbols, stop.address)}"
        lines.insert(0, f"cpu{stop.cpu} has come to {word}{access}")
    return "\n".join(lines)
