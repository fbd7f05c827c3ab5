"""Commands that stop the guest: breakpoints with conditions, watchpoints, and the way on from a stop."""

from __future__ import annotations

import operator
import re
from functools import partial
from typing import TYPE_CHECKING

from armvcpu.arch.rows import Row
from armvcpu.debug.monitor.command import Answer, Then
from armvcpu.debug.monitor.cpus import place, started
from armvcpu.debug.monitor.kinds import address as read_address
from armvcpu.debug.monitor.memory import instruction_at
from armvcpu.debug.monitor.stops import describe_stop
from armvcpu.errors import UsageError
from armvcpu.machine.debugging.stop import Stop, StopKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.outcome import Outcome
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "&": lambda one, other: bool(one & other),
}
_COMPARISON = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>|&)\s*(.+)")
_ACCESSES = {"r": (True, False), "w": (False, True), "rw": (True, True)}
MOST_STEPS = 1_000_000


class Point(Row):
    """A breakpoint or watchpoint of the monitor's: in words, is a stop at it, and how it is taken away."""

    what: str
    covers: Callable[[Stop], bool]
    remove: Callable[[], None]

    __eq__ = object.__eq__
    __hash__ = object.__hash__


# --- breakpoints and watchpoints ------------------------------------------------------------------------------


def add_breakpoint(view: View, where: str) -> str:
    """`break ADDRESS [if CONDITION]`."""
    spot, has_condition, text = where.partition(" if ")
    at = read_address(view, spot)
    condition = _condition(view, text) if has_condition else None
    breakpoints = view.machine.debugger.breakpoints
    point = breakpoints.add(at, condition)
    words = f"breakpoint at {place(view.machine.symbols, at)}{f' if {text.strip()}' if has_condition else ''}"
    return _added(
        view,
        Point(
            words, lambda stop: stop.kind is StopKind.BREAKPOINT and stop.pc == at, lambda: breakpoints.remove(point)
        ),
    )


def _condition(view: View, text: str) -> Callable[[Aarch64VCpu], bool]:
    """Two values with a comparison between them, unsigned, or one that is not 0; registers are those of the moment."""
    found = _COMPARISON.fullmatch(text.strip())
    left, sign, right = found.groups() if found else (text.strip(), "!=", "0")
    for side in (left, right):
        read_address(view, side)  # a mistake is said now
    compare = _OPERATORS[sign]
    known = None if "$" in right else read_address(view, right)
    simple = _plain_register(view, left)

    def is_met(vcpu: Aarch64VCpu) -> bool:
        value = vcpu.registers[simple] if simple else read_address(view, left, vcpu.registers)
        return compare(value, read_address(view, right, vcpu.registers) if known is None else known)

    return is_met


def _plain_register(view: View, text: str) -> str:
    """The register, where a value is nothing else."""
    name = text.removeprefix("$")
    return name if name != text and name in view.registers else ""


def add_watchpoint(view: View, at: int, size: int | None, access: str | None) -> str:
    """`watch`."""
    return _watch(view, at, size, access, physical=False)


def add_physical_watchpoint(view: View, at: int, size: int | None, access: str | None) -> str:
    """`watchp`."""
    return _watch(view, at, size, access, physical=True)


def _watch(view: View, at: int, size: int | None, access: str | None, *, physical: bool) -> str:
    read, write = _ACCESSES[access or "w"]
    watchpoints = view.machine.debugger.watchpoints
    point = watchpoints.add(at, size or 8, read=read, write=write, physical=physical)
    kind = {"r": "reads", "w": "writes", "rw": "accesses"}[access or "w"]
    where = f"physical {at:#x}" if physical else place(view.machine.symbols, at)
    words = f"watchpoint on {kind} of {size or 8} bytes at {where}"
    is_at = partial(_is_watched, view, at, size or 8, physical=physical)
    return _added(view, Point(words, is_at, lambda: watchpoints.remove(point)))


def _is_watched(view: View, at: int, size: int, stop: Stop, *, physical: bool) -> bool:
    """Is a stop before an access of these bytes? Of physical ones nobody else has a say."""
    if stop.kind is not StopKind.WATCHPOINT or stop.address is None:
        return False
    begin = view.machine.physical(stop.address) if physical else stop.address
    return at <= begin < at + size


def _added(view: View, point: Point) -> str:
    view.points_made += 1
    view.points[view.points_made] = point
    return f"{view.points_made}: {point.what}"


def info_breakpoints(view: View) -> str:
    """A line for each, watchpoints too."""
    return "\n".join(f"{number}: {point.what}" for number, point in view.points.items()) or "none"


def delete(view: View, number: int | None) -> str:
    """One, or all."""
    if number is not None and number not in view.points:
        raise UsageError(f"there is no breakpoint {number}; `info breakpoints` lists them")
    for each in [number] if number is not None else list(view.points):
        view.forget_point(each)
    return ""


# --- going on -------------------------------------------------------------------------------------------------


def stop(view: View) -> Answer:
    """The guest stays where it is."""
    cpu = view.machine.current_cpu
    return Answer(f"cpu{cpu.index} stands at\n{instruction_at(view, cpu.vcpu.state.pc)}", Then.HOLD)


def go_on(view: View) -> Answer:
    """`continue`."""
    view.selected = None
    return Answer("", Then.GO_ON)


def step(view: View, count: int | None) -> Answer:
    """So many instructions of the chosen CPU."""
    if (count or 1) > MOST_STEPS:
        raise UsageError(f"at most {MOST_STEPS} steps at once: set a breakpoint, and continue")
    cpu, debugger = started(view.cpu), view.machine.debugger
    made: Stop | Outcome | None = None
    for number in range(count or 1):
        if not cpu.runnable:
            raise UsageError(f"cpu{cpu.index} waits, and would keep a step waiting: continue, or inject irq")
        made = debugger.step(cpu.index)
        is_last = number + 1 == (count or 1)
        if not isinstance(made, Stop):
            return ended(view, made)
        if not is_last and debugger.breakpoints.at(made.pc):
            break
    assert isinstance(made, Stop)
    return Answer(describe_stop(view, made), Then.HOLD)


def ended(view: View, outcome: Outcome) -> Answer:
    """The guest has ended by a step: so does the run, as it would have, or the next one between two runs."""
    if not view.machine.debugger.asks_clients:
        view.machine.parts.end.by_host(outcome)
    return Answer(outcome.reason, Then.GO_ON)
