"""Words that Unicorn's translator fails on are UNDEFINED, at their own PC and nowhere else (DDI 0487 C2.2, C4.1.96)."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

import pytest
from bare import ALL_CLASSES, CODE, EL0, EL1, END_ESR, NOP, RAM, BareEngine

from armvcpu.engine.api import RunEnd
from armvcpu.engine.selftest_checks import WORST_WORD

if TYPE_CHECKING:
    from collections.abc import Iterator

UNDEFINED, FP_ON = 0x0200_0000, 3 << 20
ADD_X0_1, B_BACK = 0x9100_0400, 0x17FF_FFFB  # add x0, x0, #1; b .-20
SPACES = {  # bits that are given, and the others are random (C4.1.96)
    "three same, FP16": (0x0E40_0400, 0x9F60_C400),
    "scalar three same, FP16": (0x5E40_0400, 0xDF60_C400),
    "two-register miscellaneous, FP16": (0x0E78_0800, 0x9F7E_0C00),
    "scalar two-register miscellaneous, FP16": (0x5E78_0800, 0xDF7E_0C00),
    "across lanes": (0x0E30_0800, 0x9F3E_0C00),
    "scalar pairwise": (0x5E30_0800, 0xDF3E_0C00),
    "by element": (0x0F00_0000, 0x9F00_0400),
    "scalar by element": (0x5F00_0000, 0xDF00_0400),
    "shift by immediate": (0x0F00_0400, 0x9F80_0400),
    "scalar shift by immediate": (0x5F00_0400, 0xDF80_0400),
    "three same extra": (0x0E00_8400, 0x9F20_8400),
    "three different": (0x0E20_0000, 0x9F20_0C00),
    "two-register miscellaneous": (0x0E20_0800, 0x9F3E_0C00),
    "floating point, any": (0x1E00_0000, 0x5F00_0000),
    "Advanced SIMD, any": (0x0E00_0000, 0x9E00_0000),
    "anything": (0, 0),
}
GROUPS = {0, 1, 3, 5, 7, 8, 9, 13, 15}
"""Op0 of C4.1: not branches, exceptions and system instructions, loads and stores, and SVE."""
FUZZED = 1000


def words(space: str) -> Iterator[int]:
    """Random words of a space."""
    bits, mask = SPACES[space]
    source = random.Random(space)
    count = 0
    while count < FUZZED:
        word = source.getrandbits(32) & ~mask | bits
        if word >> 25 & 0xF in GROUPS:
            count += 1
            yield word


@pytest.mark.parametrize("pstate", [EL0, EL1], ids=["EL0", "EL1"])
@pytest.mark.parametrize("space", SPACES)
def test_random_words_are_executed_or_undefined(capfd, bare: BareEngine, space: str, pstate: int) -> None:
    """First, in the middle and last in a block; nobody hears of it on the standard streams."""
    source = random.Random(1)
    for word in words(space):
        before, behind = source.choice(((0, 0), (0, 2), (1, 1), (3, 0), (2, 2)))
        end = bare.run_words(*[NOP] * before, word, *[NOP] * behind, pstate=pstate, CPACR_EL1=FP_ON)
        expected = (END_ESR, 1, 4 * (before + behind + 2)), (UNDEFINED, 1, 4 * before)
        assert end in expected, f"{word:#010x}"
    assert capfd.readouterr() == ("", "")


HANDLER = (0xD538_4029, 0x9100_1129, 0xD518_4029, 0xD69F_03E0)
"""mrs x9, elr_el1; add x9, x9, #4; msr elr_el1, x9; eret"""
VECTOR = 0x2A00  # of VBAR_EL1 = RAM + 0x2800


def place_loop(bare: BareEngine) -> None:
    """Two such words in a loop, whose handler steps over them."""
    bare.place(ADD_X0_1, WORST_WORD, ADD_X0_1, ADD_X0_1, WORST_WORD, B_BACK, CPACR_EL1=FP_ON, VBAR_EL1=RAM + 0x2800)
    bare.ram[VECTOR : VECTOR + 16] = struct.pack("<4I", *HANDLER)
    bare.engine.listen.hear_exceptions(0)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 7, 13, 600])
def test_limits_are_exact_across_such_words(bare: BareEngine, limit: int) -> None:
    """One counts as an instruction that traps; the engine enters the exception by itself."""
    path = [CODE + offset for offset in (0, 4)] + [RAM + VECTOR + 4 * n for n in range(4)]
    path += [CODE + offset for offset in (8, 12, 16)] + [RAM + VECTOR + 4 * n for n in range(4)] + [CODE + 20]
    place_loop(bare)
    for n in range(1, 40):
        assert bare.engine.run(limit) is RunEnd.LIMIT
        assert bare.engine.state.pc == path[n * limit % len(path)]
    bare.engine.listen.hear_exceptions(ALL_CLASSES)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 600])
def test_limits_are_exact_where_python_steps_over_them(bare: BareEngine, limit: int) -> None:
    """A handler that hears of them; each is one instruction."""
    place_loop(bare)
    bare.engine.listen.hear_exceptions(ALL_CLASSES)
    bare.engine.set_trap_handler(lambda *_: bare.engine.state.step_over())
    for n in range(1, 40):
        assert bare.engine.run(limit) is RunEnd.LIMIT
        assert bare.engine.state.pc == CODE + n * limit % 6 * 4
    bare.engine.set_trap_handler(bare._trap)


def test_a_step_onto_such_a_word_enters_its_exception(bare: BareEngine) -> None:
    """And executes nothing of the handler."""
    place_loop(bare)
    for pc in (CODE + 4, RAM + VECTOR, RAM + VECTOR + 4):
        bare.engine.step()
        assert bare.engine.state.pc == pc
    bare.engine.listen.hear_exceptions(ALL_CLASSES)


def test_such_a_word_is_translated_again_when_it_is_another(bare: BareEngine) -> None:
    """What stands before it stays a block of its own; what is in its place is executed."""
    assert bare.run_words(NOP, WORST_WORD, CPACR_EL1=FP_ON) == (UNDEFINED, 1, 4)
    assert bare.run_words(NOP, NOP, CPACR_EL1=FP_ON) == (END_ESR, 1, 12)
    assert bare.run_words(NOP, WORST_WORD, CPACR_EL1=0)[1:] == (1, 4)
