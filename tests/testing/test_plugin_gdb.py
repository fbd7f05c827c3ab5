"""--armvcpu-gdb: a failed test waits for gdb, and its machine is alive under it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gdb_session import gdb

GUESTS = Path("guests/bin").absolute()
TEST = """\
import pytest

@pytest.mark.armvcpu({image!r}, timeout=5)
def test_it(machine):
    machine.run_until(symbol="main", timeout=10)
    assert machine.register("pc") == 0

@pytest.mark.armvcpu({image!r}, timeout=10)
def test_that_passes(machine):
    assert machine.finish().ok

@pytest.mark.armvcpu({crash!r}, timeout=10)
def test_crash(machine):
    assert machine.finish().ok
"""


@pytest.fixture
def failing(tmp_path):
    """pytest, which waits for gdb at a socket; (process, the socket's path)."""
    text = TEST.format(image=str(GUESTS / "hello.elf"), crash=str(GUESTS / "crash.elf"))
    (tmp_path / "test_it.py").write_text(text)

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--armvcpu-gdb=unix:{tmp_path / 'gdb'}", *words,
             str(tmp_path / "test_it.py")],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=tmp_path,
        )  # fmt: skip
        end = time.monotonic() + 60
        while not (tmp_path / "gdb").exists() and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        return process, tmp_path / "gdb"

    return start


def test_a_failed_test_waits_for_gdb(failing):
    """It says how to connect; the guest stands where the test failed, goes on under gdb, and the tests after it."""
    process, place = failing("-k", "not crash")
    said = gdb(f"target remote {place}", "info registers pc", "stepi", "continue", elf=GUESTS / "hello.elf")
    assert re.search(r"pc +0x4008", said), said
    assert "exited normally" in said
    out = process.communicate(timeout=60)[0]
    assert "test_it failed, its guest at 0x4008" in out, out
    assert f"-ex 'target remote {place}'" in out
    assert "1 failed, 1 passed" in out


def test_a_crashed_guest_is_looked_at(failing):
    """It does not go on: gdb is told its status."""
    process, place = failing("-k", "crash")
    said = gdb(f"target remote {place}", "backtrace", "continue", elf=GUESTS / "crash.elf")
    assert "in main ()" in said, said
    assert "exited with code 03" in said
    assert "1 failed" in process.communicate(timeout=60)[0]


def test_a_port_in_use_is_one_line(failing, tmp_path):
    """And the test has failed as it does without."""
    (tmp_path / "gdb").write_text("taken")
    process, _ = failing("-k", "crash")
    out = process.communicate(timeout=60)[0]
    assert "it is in use by a file that is no socket; choose another place" in out
    assert "1 failed" in out
