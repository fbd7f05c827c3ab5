"""What ends with a machine that nobody has ended before, and that nothing is kept of what has been ended."""

from __future__ import annotations

import gc
import json
from io import BytesIO
from weakref import ref

import pytest

from armvcpu import Machine
from armvcpu.debug.tracing.blocks.reader import BlockFile
from armvcpu.debug.tracing.formats import writer_for
from armvcpu.machine.held import Held

HELLO = "guests/bin/hello.elf"


@pytest.mark.parametrize("kind", ["exits", "call", "branch", "level", "request", "insn", "mem"])
def test_a_trace_ends_with_its_machine(kind):
    """What it has written is whole; who closes it later has nothing to do."""
    told: list[str] = []
    with Machine(HELLO) as machine:
        trace = machine.trace([kind], writer_for("x.perfetto.json", told.append))
        machine.run(max_instructions=200)
    whole = "".join(told)
    assert json.loads(whole)
    trace.close()
    assert "".join(told) == whole


def test_a_trace_of_blocks_ends_with_its_machine():
    """With its last blocks: the engine's memory that they are in is gone after that."""
    told: list[bytes] = []
    with Machine(HELLO, clock="instructions") as machine:
        trace = machine.trace_blocks(told.append)
        machine.run(max_instructions=200)
    trace.close()
    file = BlockFile("trace", BytesIO(b"".join(told)))
    assert sum(piece.executed for piece in file.pieces(file.runs())) == 200
    assert not file.is_cut_off


def test_what_has_been_ended_is_not_kept():
    """A machine that is used for a thousand tests holds the coverage of none of them, nor their traces."""
    with Machine(HELLO) as machine:
        with machine.coverage() as coverage:
            pass
        trace, blocks = machine.trace(["call"], writer_for("x", print)), machine.trace_blocks(print)
        trace.close()
        blocks.close()
        gone = [ref(coverage), ref(trace), ref(blocks)]
        del coverage, trace, blocks
        gc.collect()
        assert [each() for each in gone] == [None, None, None]


def test_all_is_given_back_the_last_first_whatever_one_raises():
    """And nothing twice; what has been forgotten is not called."""
    held, called = Held(), []
    held.callback(called.append, 1)
    held.callback(lambda: 1 // 0)
    held.callback(called.append, 2)()
    held.callback(called.append, 3)
    with pytest.raises(ZeroDivisionError):
        held.close()
    held.close()
    assert called == [3, 1]
