"""A few of the hostile inputs of `make test-hostile`, and that its judge sees what it is to see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOSTILE = Path(__file__).parent / "hostile"
KINDS = ("elf", "symbols", "linux-image", "raw", "device-tree", "snapshot", "recording", "suite", "option", "layout",
         "maps", "words", "devices", "levels", "command-line", "limits")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_inputs_are_taken(kind):
    """None ends in a traceback, a dead process, a hang or more than a line."""
    inputs = "6" if kind in ("command-line", "limits") else "40"
    command = [sys.executable, HOSTILE, kind, "--inputs", inputs, "--seed", "1000000", "-j", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 failures" in done.stdout


JUDGED = """
import os, sys, time
from random import Random
sys.path[:0] = [{hostile!r}]
import runner
from armvcpu.errors import InternalError, UsageError

SEEDS = {{Random(seed).random(): seed for seed in range(7)}}

def attack(rng, directory):
    seed = SEEDS[rng.random()]
    if seed == 0: return "taken"
    if seed == 1: raise UsageError("no")
    if seed == 2: raise KeyError("a bug")
    if seed == 3: os.abort()
    if seed == 4: raise InternalError("a bug that knows it")
    if seed == 5: time.sleep(60)
    return "taken after all"

runner.BOUND = 1
result = runner.run(attack, range(7), 2)
print(dict(result.verdicts), sorted(failure.seed for failure in result.failures))
"""


def test_the_judge_sees_what_is_not_allowed():
    """An exception, a dead process and a hang are failures; the inputs after them have their turn."""
    program = JUDGED.format(hostile=str(HOSTILE))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    verdicts, failed = done.stdout.rsplit(" [", 1)
    assert failed.strip() == "2, 3, 4, 5]"
    assert "'taken': 1" in verdicts
    assert "'refused': 1" in verdicts
    assert "'taken after all': 1" in verdicts
