"""A guest of a few functions, of which everything that it executes is known; and what hears every instruction of it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

from c_guest import build

from armvcpu.debug.coverage.lines import is_conditional

if TYPE_CHECKING:
    from pathlib import Path

    from armvcpu import Machine

HEADER = """\
static inline int clamp(int value, int most)
{
    if (value > most)
        return most;
    return value;
}
"""
MAIN = """\
#include "util.h"
static volatile int total;

__attribute__((noinline)) static int never(int x)
{
    return x * 3;
}

__attribute__((noinline)) int sum(int n)
{
    int result = 0;
    for (int i = 0; i < n; i++)
        result += clamp(total + i, 5);
    return result;
}

int main(void)
{
    total = 1;
    for (int i = 0; i < 10; i++) {
        if (i == 3 || i == 7)
            total += sum(i);
        else
            total -= 1;
    }
    if (total == 1234)
        return never(total);
    return clamp(total, 100);
}
"""
LINES = {6: 0, 11: 2, 12: 12, 13: 10, 14: 2, 19: 1, 20: 11, 21: 10, 22: 2, 24: 8, 26: 1, 27: 0, 28: 1}
"""Of MAIN without optimisation, as gcov counts them; of the header's see below."""
HEADER_LINES = {3: 11, 4: 0, 5: 11}
CALLS = {"main": 1, "sum": 2, "clamp": 11, "never": 0}
BRANCHES = {12: [{10, 2}], 20: [{10, 1}], 21: [{9, 1}, {8, 1}], 26: [{1, 0}]}
"""By line: how often each branch went one way and the other, whichever of these is "taken"."""


def covered_guest(directory: Path, *flags: str, compiler: str = "clang", **more: str) -> Path:
    """The guest as an ELF file."""
    (directory / "util.h").write_text(HEADER)
    return build(directory, MAIN, *flags, compiler=compiler, **more)


def heard(machine: Machine) -> list[int]:
    """The PCs of all instructions from here on."""
    trace: list[int] = []
    machine.trace_instructions(trace.append)
    return trace


def branches_of(machine: Machine, trace: list[int]) -> dict[int, tuple[int, int]]:
    """Of each conditional branch: how often another instruction came than the next one, and how often that one."""
    words = {pc: machine.engine.memory.fetch_word(pc) or 0 for pc in set(trace)}
    fell, passed = Counter[int](), Counter[int]()
    for pc, following in pairwise(trace):
        if is_conditional(words[pc]):
            passed[pc] += 1
            fell[pc] += following == pc + 4
    return {pc: (count - fell[pc], fell[pc]) for pc, count in passed.items()}
