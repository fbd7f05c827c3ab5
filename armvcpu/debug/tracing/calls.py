"""Calls and returns of functions, indented, with arguments and results: by DWARF's types where there are any.

A call is BL or BLR, and a return the RET that leads back behind it with the stack pointer that there was. Each stack
has its own row of calls, so that a switch of tasks in a kernel doesn't mix them up: a stack is told from another one by
how far apart their pointers are. What has been left by a jump out of it (longjmp) is passed over: it is deeper in the
stack than who calls now. A function that is jumped to (a tail call) returns for the one that was called.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.dwarf.dwarf import Dwarf
from armvcpu.debug.dwarf.values import shown
from armvcpu.debug.tracing.flow import kind_of, target_of
from armvcpu.engine.state import FRAME_SP

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.dwarf.function import Function
    from armvcpu.debug.tracing.event import Event
    from armvcpu.debug.tracing.guest import TracedGuest
    from armvcpu.engine.api import Removable
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.cpu import Cpu

APART = 1 << 16
"""Bytes between two stack pointers that are of one stack, at most."""
DEEPEST = 1 << 10
"""Calls of a stack that are kept; the oldest are forgotten."""
MOST_STACKS = 1 << 10
INDENT, DEEPEST_INDENT = "  ", 40
ARGUMENTS = 4
"""X registers that are shown where no types are known."""


class _Call(NamedTuple):
    """One that has not returned."""

    entry: int
    back: int
    """Where it returns to."""
    sp: int
    x8: int
    depth: int


class Calls:
    """Those of one trace."""

    def __init__(self, guest: TracedGuest, emit: Callable[[Event], None], parts: Parts) -> None:
        self._guest, self._emit, self._parts = guest, emit, parts
        self._dwarf = Dwarf(guest.places.symbols)
        self._functions: dict[int, Function | None] = {}
        self._stacks: dict[int, list[list[_Call]]] = {}

    def heard(self, pc: int, word: int) -> None:
        """A branch is about to be executed."""
        kind = kind_of(word)
        if kind not in {"call", "return"}:
            return
        cpu = self._parts.turns.cpu
        target = target_of(pc, word, cpu.vcpu.state)
        if target is None:
            return
        if kind == "call":
            self.entered(cpu, target, pc, pc + 4)
        else:
            self.returned(cpu, target)

    def entered(self, cpu: Cpu, entry: int, call: int, back: int) -> None:
        """A function is called at `call`, or has been, with its arguments in the registers."""
        vcpu = cpu.vcpu
        sp = _sp(cpu)
        stack = self._stack(cpu.index, sp)
        place = self._guest.places.name(call)
        depth = next((known.depth + 1 for known in reversed(stack) if self._is_in(known, place, sp)), 0)
        if len(stack) == DEEPEST:
            stack[:] = [known for known in stack if self._is_in(known, place, sp)][-DEEPEST + 1 :]
        stack.append(_Call(entry, back, sp, vcpu.gpr(8), depth))
        keys: dict[str, str | int] = {"from": place or f"{call:#x}", "depth": depth}
        keys |= {f"x{number}": f"{vcpu.gpr(number):#x}" for number in range(ARGUMENTS)}
        words = f"{_indent(depth)}{self._name(entry)}({self._arguments(cpu, entry)})"
        self._emit(self._guest.event(cpu.index, vcpu.state.el, entry, "call", "call", keys, words))

    def returned(self, cpu: Cpu, back: int) -> None:
        """The guest returns, or has returned, to `back`, with the result in the registers."""
        vcpu, sp = cpu.vcpu, _sp(cpu)
        stack = self._stack(cpu.index, sp)
        found = next((n for n in reversed(range(len(stack))) if stack[n].back == back and stack[n].sp == sp), None)
        if found is None:  # of a call before the trace, or that has been left by a jump
            return
        call = stack[found]
        del stack[found:]
        keys: dict[str, str | int] = {"to": self._guest.places.name(back) or f"{back:#x}", "depth": call.depth}
        keys["x0"] = f"{vcpu.gpr(0):#x}"
        words = f"{_indent(call.depth)}{self._name(call.entry)} = {self._result(cpu, call)}"
        self._emit(self._guest.event(cpu.index, vcpu.state.el, call.entry, "call", "return", keys, words))

    def _stack(self, vcpu: int, sp: int) -> list[_Call]:
        """The calls of the stack that the pointer is in, which is the last of the list from now on."""
        stacks = self._stacks.setdefault(vcpu, [])
        for number in reversed(range(len(stacks))):
            stack = stacks[number]
            if stack and abs(stack[-1].sp - sp) < APART:
                if number != len(stacks) - 1:
                    stacks.append(stacks.pop(number))
                return stack
        stacks[:] = [stack for stack in stacks if stack][-MOST_STACKS:]
        stacks.append([])
        return stacks[-1]

    def _is_in(self, known: _Call, place: str, sp: int) -> bool:
        """Has a call not been left, when there is one from `place`? Its own may have the same SP: it has no frame."""
        return known.sp > sp or (known.sp == sp and place.partition("+")[0] == self._name(known.entry))

    def _name(self, entry: int) -> str:
        return self._guest.places.name(entry) or f"{entry:#x}"

    def _arguments(self, cpu: Cpu, entry: int) -> str:
        function = self._function(entry)
        if function is None:
            return ", ".join(f"{cpu.vcpu.gpr(number):#x}" for number in range(ARGUMENTS))
        values = []
        for parameter in function.parameters:
            value = "?"
            with suppress(Exception):  # whatever damaged DWARF, or the guest's memory, makes of it
                value = shown(parameter.read(cpu.vcpu, self._parts.engine.memory.read_virtual))
            values.append(f"{parameter.name}={value}")
        return ", ".join(values + ["..."] * function.is_variadic)

    def _result(self, cpu: Cpu, call: _Call) -> str:
        function = self._function(call.entry)
        if function is None:
            return f"{cpu.vcpu.gpr(0):#x}"
        with suppress(Exception):  # likewise
            return shown(function.read_result(cpu.vcpu, self._parts.engine.memory.read_virtual, call.x8))
        return "?"

    def _function(self, entry: int) -> Function | None:
        """What DWARF says of the function that begins there."""
        if entry not in self._functions:
            found = self._dwarf.function_at(entry)
            name = self._guest.places.name(entry)
            self._functions[entry] = None if "+" in name else found
        return self._functions[entry]


def _sp(cpu: Cpu) -> int:
    return cpu.vcpu.state.frame[FRAME_SP]


def _indent(depth: int) -> str:
    return INDENT * min(depth, DEEPEST_INDENT)


class Entries:
    """Calls of some functions only, heard at their first instructions, and where they return to."""

    def __init__(self, calls: Calls, parts: Parts, entries: list[int]) -> None:
        self._calls, self._parts = calls, parts
        probe = parts.engine.listen.probe
        self._probes = {entry: probe(entry, self._enter) for entry in entries}
        self._returns: dict[int, Removable] = {}

    def _enter(self, pc: int) -> None:
        cpu = self._parts.turns.cpu
        back = cpu.vcpu.gpr(30)
        self._calls.entered(cpu, pc, back - 4 & (1 << 64) - 1, back)
        if back not in self._returns:  # which stays: the function is called from there again
            self._returns[back] = self._parts.engine.listen.probe(back, self._return)

    def _return(self, pc: int) -> None:
        self._calls.returned(self._parts.turns.cpu, pc)

    def close(self) -> None:
        """Hear no more of them."""
        for probe in (*self._probes.values(), *self._returns.values()):
            probe.remove()
