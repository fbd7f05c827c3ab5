"""Fuzzing: edges are counted as AFL counts them, and libFuzzer finds what is behind several compares."""

from __future__ import annotations

import platform
import sys

import pytest

from armvcpu.errors import StateError, UsageError
from armvcpu.testing.fuzz import INSTALL, fuzz
from armvcpu.testing.target.target import Target

BUFFER = 0x4100_0000
SEED = b"AVM\x01\x02\x01\x14firmware update 1.42\x02\x02\x39\x30"

with_atheris = pytest.mark.skipif(platform.machine() != "x86_64", reason="atheris has no wheel for other hosts")
"""Where there is one it is installed, and not to have it is a failure."""


@pytest.fixture
def target():
    with Target("guests/bin/parser.elf", record=False, memory="64M") as made:
        made.run_until(symbol="main", timeout=10)
        yield made


def parse(target: Target, data: bytes) -> int:
    target.write(BUFFER, data)
    return target.call("parse", BUFFER, len(data))


def test_a_path_is_the_same_edges_each_time(target):
    """And another path has others; what both have is counted in the same places."""
    seen = []
    snapshot = target.snapshot()
    with target.edges() as edges:
        for data in (b"AVM\x01\x00", SEED, b"AVM\x01\x00"):
            target.restore(snapshot)
            edges.clear()
            parse(target, data)
            seen.append((edges.seen, edges.count))
    assert seen[0] == seen[2]
    assert seen[0][1] == len(seen[0][0]) < seen[1][1]
    assert len(seen[0][0] & seen[1][0]) > 3


def test_how_often_is_counted(target):
    """A loop of a histogram's bytes is as many edges as there are bytes, less the first; a byte of the map wraps."""
    counts = []
    with target.edges() as edges:
        for length in (10, 20):
            edges.clear()
            assert parse(target, b"AVM\x01\x01\x03" + bytes((length,)) + bytes(range(length))) == 1
            counts.append(max(bytes(edges.memory)))
    assert counts[1] > counts[0] > 1


def test_edges_are_counted_in_one_map_at_a_time(target):
    """And the next one counts again; a map that is over stays as it was."""
    with target.edges() as edges:
        with pytest.raises(StateError, match="already"), target.edges():
            pass
        edges.clear()
        parse(target, SEED)
    before = edges.seen
    parse(target, b"AVM\x02\x00")
    assert edges.seen == before
    with target.edges() as again:
        parse(target, SEED)
        assert before <= again.seen | before
        assert again.count > 0


def test_what_is_compared(target):
    """A byte of the packet and what it should be."""
    with target.edges(compares=True) as edges:
        edges.forget_compares()
        parse(target, b"AVX\x01\x00")
        assert (ord("X"), ord("M")) in edges.compared()
        edges.forget_compares()
        assert edges.compared() == []


def test_the_instruction_clock_counts_the_same(target):
    """Edges cost no instruction."""
    target.engine.count_instructions()
    took = []
    snapshot = target.snapshot()
    for counts in (False, True):
        target.restore(snapshot)
        before = target.engine.instructions
        if counts:
            with target.edges(compares=True):
                parse(target, SEED)
        else:
            parse(target, SEED)
        took.append(target.engine.instructions - before)
    assert took[0] == took[1] > 100


@with_atheris
def test_a_bug_behind_several_compares_is_found(target):
    """With a bound: five bytes that must be what they are, and a length."""
    before = target.vcpu.registers.save()
    finding = fuzz(
        target, lambda data: target.call("parse", BUFFER, len(data), timeout=1), write=BUFFER, seeds=[SEED],
        seconds=60, max_length=64,
    )  # fmt: skip
    assert finding is not None
    assert finding.data[:4] == b"AVM\x03"
    assert b"LAB" in finding.data
    assert "parse" in finding.report
    assert target.vcpu.registers.save() == before


@with_atheris
def test_libfuzzer_finds_by_the_guests_edges(target, tmp_path):
    """It keeps inputs that reach something new: of an empty corpus it gets beyond what no input at all reaches."""
    kept = tmp_path / "corpus"
    finding = fuzz(
        target, lambda data: target.call("parse", BUFFER, len(data), timeout=1), write=BUFFER,
        seeds=[b"AVM\x01\x01\x03\x02ab"], corpus=kept, seconds=4, max_length=13, log=tmp_path / "log",
    )  # fmt: skip
    assert finding is None
    assert len(list(kept.iterdir())) > 5
    assert "NEW" in (tmp_path / "log").read_text(errors="replace")


@with_atheris
def test_what_a_test_raises_is_told(target):
    """It is no finding, and no traceback."""

    def wrong(_data):
        raise ZeroDivisionError("mine")

    with pytest.raises((ZeroDivisionError, UsageError), match="mine"):
        fuzz(target, wrong, seconds=5)


def test_without_the_package_it_says_how_to_get_it(target, monkeypatch):
    monkeypatch.setitem(sys.modules, "atheris", None)
    with pytest.raises(UsageError, match="pip install"):
        fuzz(target, print)
    assert "armvcpu[fuzz]" in INSTALL
