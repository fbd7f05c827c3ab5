"""A stop inside of a block changes nothing of what comes: an interrupt comes where it would have come (shim/cuts.c)."""

from __future__ import annotations

import pytest

from armvcpu.engine.api import JUMPS, RunEnd
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, NOP, hvc

BLOCK = (*([ADD_X0_1] * 8), 0x1400_0001, *([ADD_X0_1] * 4), hvc(0))
"""Eight instructions and a branch, then four and HVC."""


def due(bench, count):
    """Run to the first moment at which the engine can be stopped from `count` on: how many were executed."""
    engine = bench.engine
    engine.stop_at(begin_of(bench) + count)
    try:
        assert engine.run() is RunEnd.STOPPED
    finally:
        engine.stop_at(None)
    return engine.instructions - begin_of(bench)


def begin_of(bench):
    return bench.began


@pytest.fixture
def block(bench):
    bench.engine.count_instructions()
    bench.start(*BLOCK)
    bench.began = bench.engine.instructions
    return bench


def test_without_a_stop_the_block_ends_first(block):
    """That is what the others are compared with."""
    assert due(block, 3) == 9


@pytest.mark.parametrize("executed", range(1, 9))
def test_a_limit_inside_of_a_block_is_followed_by_its_rest(block, executed):
    """What is due meanwhile comes behind it."""
    engine = block.engine
    assert engine.run(executed) is RunEnd.LIMIT
    assert (engine.instructions - block.began, engine.rest > 0) == (executed, True)
    assert due(block, min(3, executed)) == 9


def test_a_limit_at_the_end_of_a_block_is_none(block):
    """There is no rest."""
    assert (block.engine.run(9), block.engine.rest) == (RunEnd.LIMIT, 0)
    assert due(block, 9) == 9


def test_steps_inside_of_a_block_are_one_with_it(block):
    """Each leaves one instruction less."""
    engine = block.engine
    for executed in range(1, 9):
        engine.step()
        assert (engine.instructions - block.began, engine.rest > 0) == (executed, True)
    engine.step()
    assert engine.rest == 0


def test_a_probe_that_leaves_is_followed_by_the_rest(block):
    """Also a second one behind it, and one at the block's first instruction leaves a whole block."""
    engine = block.engine
    for at in (0, 8, 20):
        engine.listen.probe(CODE + at, lambda _pc: engine.leave())
    rests = []
    for _ in range(3):
        assert engine.run() is RunEnd.LEFT
        rests.append(engine.rest > 0)
    assert (rests, engine.state.pc) == ([False, True, True], CODE + 20)
    assert due(block, 3) == 9


def test_a_stop_that_was_asked_for_comes_behind_the_rest(block):
    """It is not lost."""
    engine = block.engine
    engine.run(4)
    engine.request_stop()
    assert (engine.run(), engine.instructions - block.began) == (RunEnd.STOPPED, 9)


def test_the_rest_goes_with_a_state(block):
    """Whoever puts a state back says how much was left; without that it is between two blocks."""
    engine = block.engine
    engine.run(4)
    rest, copy = engine.rest, engine.copy_state(engine.state, ())
    engine.put_state(engine.state, copy)
    assert engine.rest == 0
    engine.rest = rest
    assert due(block, 3) == 9


def test_an_exception_ends_a_block(bench):
    """Nothing is left of one behind it."""
    engine = bench.engine
    engine.count_instructions()
    bench.start(ADD_X0_1, 0xD400_0001, NOP, hvc(0))  # svc #0
    engine.run(2)
    assert engine.rest == 0


def test_a_branch_whose_hearer_fails_is_followed_by_itself(block):
    """It is the last one of its block: nothing that is due comes before it."""
    engine = block.engine

    def fail(_pc: int, _word: int) -> None:
        raise KeyError("mine")

    engine.listen.hear_branches(JUMPS, fail)
    with pytest.raises(KeyError, match="mine"):
        engine.run()
    assert (engine.state.pc, engine.instructions - block.began, engine.rest > 0) == (CODE + 32, 8, True)
    engine.listen.hear_branches(0, None)
    assert due(block, 3) == 9
