"""Agent expressions, GDB manual appendix F: conditions that are evaluated here."""

from __future__ import annotations

import time

import pytest

from armvcpu.debug.gdb.agent import BadExpression, Expression

U64 = (1 << 64) - 1


class Looks:
    """Registers that are their numbers times 0x100, and 16 bytes of memory at 0x1000."""

    def register(self, number):
        return number * 0x100

    def memory(self, address, size):
        return bytes(range(0xF0, 0x100))[address - 0x1000 :][:size] if 0x1000 <= address <= 0x1010 - size else None


def value(code):
    """Of bytecode in hexadecimal digits."""
    return Expression(bytes.fromhex(code)).value(Looks())


BINARY = {
    "02": lambda a, b: a + b, "03": lambda a, b: a - b, "04": lambda a, b: a * b, "0f": lambda a, b: a & b,
    "10": lambda a, b: a | b, "11": lambda a, b: a ^ b, "13": lambda a, b: a == b, "15": lambda a, b: a < b,
    "06": lambda a, b: a // b, "08": lambda a, b: a % b,
}  # fmt: skip


@pytest.mark.parametrize("operation", BINARY)
@pytest.mark.parametrize(("a", "b"), [(7, 3), (3, 7), (U64, 2), (2, U64), (5, 5)])
def test_operations_of_two_numbers(operation, a, b):
    """Numbers without signs, of 64 bits."""
    assert value(f"25{a:016x}25{b:016x}{operation}27") == int(BINARY[operation](a, b)) & U64


@pytest.mark.parametrize(
    ("code", "result"),
    [
        ("22f91608 2202 05 27", -3), ("22f91608 2202 07 27", -1),  # -7 / 2 and -7 % 2, as in C
        ("22f91608 2202 0a 27", -2), ("25fffffffffffffff9 223c 0b 27", 15), ("2201 223f 09 27", 1 << 63),
        ("22f91608 2202 14 27", 1), ("2202 22f91608 14 27", 0),
        ("2200 0e 27", 1), ("2205 0e 27", 0), ("2200 12 27", -1),
        ("238000 1610 27", -0x8000), ("23ff80 2a08 27", 0x80), ("22ff 1608 2a20 27", 0xFFFF_FFFF),
        ("260004 27", 0x400), ("23100017 27", 0xF0), ("231002 18 27", 0xF3F2), ("231004 19 27", 0xF7F6F5F4),
        ("231008 1a 27", 0xFFFEFDFCFBFAF9F8),
        ("2201 2202 28 02 02 27", 5), ("2201 2202 29 27", 1), ("2201 2203 2b 03 27", 2),
        ("2201 2202 2203 33 03 27", -1 & U64), ("2201 2202 2203 3202 27", 1),
        ("2201 200008 2263 27 2207 27", 7), ("2200 200008 2263 27 2207 27", 0x63),
        ("21 0005 22 63 2207 27", 7),
    ],
)  # fmt: skip
def test_every_other_operation(code, result):
    """Signs, shifts, references, the stack, jumps."""
    assert value(code) == result & U64


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("ff", "0xff"), ("1b27", "0x1b"), ("2401", "ends within"), ("0227", "empty stack"), ("27", "leaves nothing"),
        ("2201", "no operation"), ("210001" + "27", "no operation"), ("210000", "does not end"),
        ("2200 2200 06 27", "divides by zero"), ("2200 17 27", "none"),
    ],
)  # fmt: skip
def test_what_comes_to_grief_says_why(code, why):
    """In decoding or in evaluation, as an error of its own, never another."""
    with pytest.raises(BadExpression, match=why):
        value(code)


def test_a_false_condition_is_quick():
    """$x0 == 12345 && *(int *) 0x1000 == 1, 10,000 times in a second on a busy host."""
    false = Expression(bytes.fromhex("260000 23ffff 13 0e 200013 231000 19 2201 13 27 2200 27"))
    start = time.process_time()
    for _ in range(10_000):
        false.value(Looks())
    assert time.process_time() - start < 1
