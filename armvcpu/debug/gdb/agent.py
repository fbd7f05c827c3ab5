"""Agent expressions: the conditions of breakpoints, which gdb compiles to bytecode so that nobody asks it each time.

GDB manual, appendix F (The GDB Agent Expression Mechanism). An expression is a stack machine's program over numbers of
64 bits. It is decoded once, into a list of functions; a condition that is false 10,000 times costs 10,000 walks of that
list, and no packet.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[["_Run"], int | None]

_U64 = (1 << 64) - 1
_MOST_STEPS = 10_000
"""An expression that goes on for longer has a loop without an end."""


class Reads(Protocol):
    """What an expression looks at: the CPU that has come to the breakpoint."""

    def register(self, number: int) -> int:
        """A register by gdb's number."""
        ...

    def memory(self, address: int, size: int) -> bytes | None:
        """Memory at a virtual address; None where there is none."""
        ...


class BadExpression(Exception):
    """It can't be decoded, or came to grief; says why."""


class Expression:
    """One expression. `code` is its bytecode; BadExpression where an operation is none, or ends too early."""

    def __init__(self, code: bytes) -> None:
        self._steps: dict[int, tuple[Step, int]] = {}
        """By its place in the bytecode: an operation, and where the next one is."""
        at = 0
        while at < len(code):
            step, after = _decoded(code, at)
            self._steps[at] = step, after
            at = after

    def value(self, reads: Reads) -> int:
        """What is on top of the stack at its end, 64 bits; BadExpression where there is nothing, or no memory."""
        run, steps, at = _Run(reads), self._steps, 0
        for _ in range(_MOST_STEPS):
            if at not in steps:
                raise BadExpression(f"goes on at {at}, where it has no operation")
            step, after = steps[at]
            try:
                following = step(run)
            except IndexError as error:
                raise BadExpression("takes something from an empty stack") from error
            at = after if following is None else following
            if at == _END:
                if not run.stack:
                    raise BadExpression("leaves nothing on its stack")
                return run.stack[-1] & _U64
        raise BadExpression("does not end")


class _Run:
    """One evaluation."""

    __slots__ = ("reads", "stack")

    def __init__(self, reads: Reads) -> None:
        self.reads = reads
        self.stack: list[int] = []


_END = -1


def _signed(value: int, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (value >> bits - 1 << bits)


def _divide(a: int, b: int) -> int:
    if not b:
        raise BadExpression("divides by zero")
    quotient = abs(a) // abs(b)  # towards zero, as C does
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    return a - b * _divide(a, b)


def _unsigned_operation(function: Callable[[int, int], int]) -> Step:
    """Of two numbers without signs; the result has 64 bits."""

    def step(run: _Run) -> None:
        stack = run.stack
        b, a = stack.pop(), stack.pop()
        stack.append(int(function(a, b)) & _U64)

    return step


def _signed_operation(function: Callable[[int, int], int]) -> Step:
    def step(run: _Run) -> None:
        stack = run.stack
        b, a = _signed(stack.pop()), _signed(stack.pop())
        stack.append(int(function(a, b)) & _U64)

    return step


def _shift(function: Callable[[int, int], int]) -> Callable[[int, int], int]:
    return lambda a, b: function(a, min(b & _U64, 64))


def _unary(function: Callable[[int], int]) -> Step:
    def step(run: _Run) -> None:
        run.stack.append(function(run.stack.pop()) & _U64)

    return step


def _reference(size: int) -> Step:
    def step(run: _Run) -> None:
        address = run.stack.pop()
        data = run.reads.memory(address, size)
        if data is None:
            raise BadExpression(f"reads memory at {address:#x}, where there is none")
        run.stack.append(int.from_bytes(data, "little"))

    return step


def _end(_run: _Run) -> int:
    return _END


def _duplicate(run: _Run) -> None:
    run.stack.append(run.stack[-1])


def _pop(run: _Run) -> None:
    run.stack.pop()


def _swap(run: _Run) -> None:
    stack = run.stack
    stack[-1], stack[-2] = stack[-2], stack[-1]


def _rotate(run: _Run) -> None:
    stack = run.stack
    stack[-1], stack[-2], stack[-3] = stack[-2], stack[-3], stack[-1]


_PLAIN: dict[int, Step] = {
    0x02: _unsigned_operation(operator.add),
    0x03: _unsigned_operation(operator.sub),
    0x04: _unsigned_operation(operator.mul),
    0x05: _signed_operation(_divide),
    0x06: _unsigned_operation(_divide),
    0x07: _signed_operation(_remainder),
    0x08: _unsigned_operation(_remainder),
    0x09: _unsigned_operation(_shift(operator.lshift)),
    0x0A: _signed_operation(_shift(operator.rshift)),
    0x0B: _unsigned_operation(_shift(operator.rshift)),
    0x0E: _unary(operator.not_),
    0x0F: _unsigned_operation(operator.and_),
    0x10: _unsigned_operation(operator.or_),
    0x11: _unsigned_operation(operator.xor),
    0x12: _unary(operator.invert),
    0x13: _unsigned_operation(operator.eq),
    0x14: _signed_operation(operator.lt),
    0x15: _unsigned_operation(operator.lt),
    0x17: _reference(1),
    0x18: _reference(2),
    0x19: _reference(4),
    0x1A: _reference(8),
    0x27: _end,
    0x28: _duplicate,
    0x29: _pop,
    0x2B: _swap,
    0x33: _rotate,
}
"""Operations without an operand."""


def _extend(bits: int) -> Step:
    return _unary(lambda value: _signed(value, bits)) if bits else _unary(int)


def _zero_extend(bits: int) -> Step:
    return _unary(lambda value: value & (1 << bits) - 1)


def _constant(value: int) -> Step:
    return lambda run: run.stack.append(value)


def _register(number: int) -> Step:
    return lambda run: run.stack.append(run.reads.register(number))


def _pick(depth: int) -> Step:
    return lambda run: run.stack.append(run.stack[-1 - depth])


def _goto(place: int) -> Step:
    return lambda _run: place


def _if_goto(place: int) -> Step:
    return lambda run: place if run.stack.pop() else None


_WITH_OPERAND: dict[int, tuple[int, Callable[[int], Step]]] = {
    0x16: (1, _extend),
    0x20: (2, _if_goto),
    0x21: (2, _goto),
    0x22: (1, _constant),
    0x23: (2, _constant),
    0x24: (4, _constant),
    0x25: (8, _constant),
    0x26: (2, _register),
    0x2A: (1, _zero_extend),
    0x32: (1, _pick),
}
"""The others: how many bytes their operand has, the highest first, and what makes a step of it. Those of tracepoints,
of floating point and of trace state variables are in no condition that gdb makes for a breakpoint."""


def _decoded(code: bytes, at: int) -> tuple[Step, int]:
    operation = code[at]
    if (plain := _PLAIN.get(operation)) is not None:
        return plain, at + 1
    if operation not in _WITH_OPERAND:
        raise BadExpression(f"has operation {operation:#04x}, which is not known here")
    size, make = _WITH_OPERAND[operation]
    operand = code[at + 1 : at + 1 + size]
    if len(operand) < size:
        raise BadExpression("ends within an operation")
    return make(int.from_bytes(operand, "big")), at + 1 + size
