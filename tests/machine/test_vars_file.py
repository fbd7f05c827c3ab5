"""The file of `--vars`: one machine's at a time, written as the guest programs, and no fault of it ends the host."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
from raw_guest import SYSTEM_OFF, image, load, mov, psci, store

from armvcpu.errors import ImageError
from armvcpu.machine.machine import Machine

BANK, SIZE = 0x0400_0000, 64 << 20
CLOCKS = pytest.mark.parametrize("clock", ["host", "instructions"])


def write(value: int, offset: int = 0) -> list[int]:
    """The guest writes a word to the bank: a command, or what it waits for."""
    return [*mov(0, BANK + offset), *mov(1, value), store(1, 0, 4)]


def read(register: int, offset: int = 0) -> list[int]:
    return [*mov(0, BANK + offset), load(register, 0, 4)]


PROGRAM = [
    *write(0x0040_0040), *write(0x1234_5678), *write(0x0070_0070), *read(2), *write(0x00FF_00FF), *read(3),
    *read(4, 33 << 20), *psci(SYSTEM_OFF),
]  # fmt: skip
"""Programs a word, reads the status (x2), the word (x3) and one of another block (x4)."""


@pytest.fixture
def guest(tmp_path):
    (tmp_path / "guest.bin").write_bytes(image(PROGRAM))
    return tmp_path / "guest.bin"


@pytest.fixture
def variables(tmp_path):
    """A file of the size, erased but for a word far behind its start, and sparse nowhere."""
    path = tmp_path / "vars.fd"
    path.write_bytes(b"\xff" * (33 << 20) + b"\x01\x02\x03\x04" + b"\xff" * ((31 << 20) - 4))
    return path


def registers(machine: Machine) -> list[int]:
    return [machine.vcpu.registers[name] for name in ("x2", "x3", "x4")]


@CLOCKS
def test_what_is_programmed_is_in_the_file(guest, variables, clock):
    with Machine(guest, vars=variables, clock=clock) as machine:
        assert machine.run(timeout=20).ok
        assert registers(machine) == [0x0080_0080, 0x1234_5678, 0x0403_0201]
        assert machine.read(BANK + 1, 4) == b"\x56\x34\x12\xff"
        with variables.open("rb") as file:
            assert file.read(6) == b"\x78\x56\x34\x12\xff\xff"


@CLOCKS
def test_a_file_that_becomes_shorter_is_an_error_of_the_chip(guest, variables, clock):
    """Program error, the array as it was, and the file is not filled up with zeroes."""
    with Machine(guest, vars=variables, clock=clock) as machine:
        machine.read(BANK, 4)
        machine.read(BANK + (33 << 20), 4)
        os.truncate(variables, 0)
        assert machine.run(timeout=20).ok
        assert registers(machine) == [0x0090_0090, 0xFFFF_FFFF, 0x0403_0201]
    assert variables.stat().st_size == 0


def test_a_block_that_can_not_be_read_ends_the_run_in_one_line(guest, variables):
    with Machine(guest, vars=variables) as machine:
        os.truncate(variables, 32 << 20)
        with pytest.raises(ImageError, match="cannot be read"):
            machine.run(timeout=20)


def test_a_limit_of_the_host_is_an_error_of_the_chip(guest, variables):
    """EFBIG, as ENOSPC and EIO are: the guest hears of it, and the host goes on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with Machine(guest, vars=variables) as machine:
            assert machine.run(timeout=20).ok
            assert registers(machine) == [0x0090_0090, 0xFFFF_FFFF, 0x0403_0201]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_that_cannot_be_created_whole_is_not_there(guest, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(ImageError, match="cannot be used as flash"):
            Machine(guest, vars=tmp_path / "new.fd")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "new.fd").exists()


def test_one_machine_has_it_at_a_time(guest, variables):
    """As a disk: the second run is refused in one line, with status 2, and nothing is changed."""
    with Machine(guest, vars=variables):
        with pytest.raises(ImageError, match="in use by another machine"):
            Machine(guest, vars=variables)
        command = [sys.executable, "-m", "armvcpu", "run", guest, "--vars", variables]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
        assert b"is in use by another machine" in done.stderr
    with Machine(guest, vars=variables) as machine:
        assert machine.run(timeout=20).ok


@CLOCKS
def test_a_snapshot_restores_the_file(guest, variables, clock):
    with Machine(guest, vars=variables, clock=clock) as machine:
        before = machine.snapshot()
        assert machine.run(timeout=20).ok
        machine.restore(before)
        assert machine.read(BANK, 4) == b"\xff" * 4
        with variables.open("rb") as file:
            assert file.read(4) == b"\xff" * 4
        assert machine.run(timeout=20).ok
        assert registers(machine) == [0x0080_0080, 0x1234_5678, 0x0403_0201]
