"""Snapshots in files: what is saved is what is loaded, and nothing else is taken for one."""

from __future__ import annotations

import os

import pytest
from command import armvcpu

from armvcpu import Machine
from armvcpu.errors import ImageError
from armvcpu.machine.board.copy_on_write import MIB
from armvcpu.machine.outcome import Ending
from armvcpu.machine.snapshots import snapshot_file

IMAGE = "guests/bin/smp.elf"
MEMORY = 64 * MIB


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The SMP guest, stopped in its middle."""
    path = tmp_path_factory.mktemp("snapshots") / "smp.snap"
    with Machine(IMAGE, cpus=4, memory=MEMORY) as machine:
        assert machine.run(max_instructions=300_000).ending is Ending.LIMIT
        snapshot = machine.snapshot()
        snapshot_file.save(snapshot, path)
        snapshot.close()
    return path


def test_a_machine_goes_on_from_a_file(saved):
    """All CPUs, RAM and devices: the guest's own checks pass to the last."""
    with Machine(IMAGE, cpus=4, memory=MEMORY) as machine:
        machine.restore(snapshot_file.load(saved))
        outcome = machine.run(timeout=60)
        assert (outcome.status, b" 0 failed" in machine.console.output) == (0, True)


def test_a_machine_starts_from_a_file(saved):
    """As an option: so a suite's test can, and a reset is a power-on all the same."""
    with Machine(IMAGE, cpus=4, memory=MEMORY, snapshot=saved) as machine:
        assert machine.run(timeout=60).ok
        assert b" 0 failed" in machine.console.output
        assert b"smp: 4 CPUs" not in machine.console.output
    with pytest.raises(
        ImageError, match=r"smp\.snap: the snapshot is one of another machine: its cpus is 4, here it is 2"
    ):
        Machine(IMAGE, cpus=2, memory=MEMORY, snapshot=saved)


def test_a_file_takes_no_more_than_what_ram_holds(saved):
    """It is sparse."""
    about = saved.stat()
    assert about.st_size > MEMORY
    assert about.st_blocks * 512 < 16 * MIB


def test_loading_changes_nothing_in_the_file(saved):
    """RAM is mapped copy-on-write."""
    before = saved.read_bytes()[: 2 * MIB]
    with Machine(IMAGE, cpus=4, memory=MEMORY) as machine:
        machine.restore(snapshot_file.load(saved))
        machine.write(0x4000_0000, b"\xff" * 4096)
    assert saved.read_bytes()[: 2 * MIB] == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: b"x" + data[1:], "is no snapshot"),
        (lambda data: data[:16] + b"\x63" + data[17:], "version 99"),
        (lambda data: data[:4100] + bytes([data[4100] ^ 1]) + data[4101:], "its description has changed"),
        (lambda data: data[:-1] + b"\1", "the contents of its RAM have changed"),
        (lambda data: b"", "is no snapshot"),
    ],
    ids=["truncated", "foreign", "other version", "description", "RAM", "empty"],
)
def test_what_is_damaged_is_refused(saved, tmp_path, damage, words):
    """One line with the file and what is wrong."""
    broken = tmp_path / "broken.snap"
    broken.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(ImageError, match=words) as error:
        snapshot_file.load(broken)
    assert str(broken) in str(error.value)
    assert "\n" not in str(error.value)


def test_any_bit_of_the_header_counts(saved, tmp_path):
    """None is ignored, and none makes it ask for memory that nobody has."""
    broken, data = tmp_path / "broken.snap", bytearray(saved.read_bytes()[: 2 * MIB])
    with broken.open("wb") as file:
        file.write(data)
        file.truncate(saved.stat().st_size)
    with broken.open("r+b") as file:
        for bit in range(snapshot_file.HEADER.size * 8):
            file.seek(bit // 8)
            file.write(bytes([data[bit // 8] ^ 1 << bit % 8]))
            file.flush()
            with pytest.raises(ImageError):
                snapshot_file.load(broken)
            file.seek(bit // 8)
            file.write(data[bit // 8 : bit // 8 + 1])


def test_ram_of_another_size_than_it_says_is_refused(tmp_path):
    """A whole file, whose sums are right."""
    with Machine(IMAGE, memory=32 * MIB) as machine:
        snapshot = machine.snapshot()
        snapshot.machine["memory"] = 64 * MIB
        snapshot_file.save(snapshot, tmp_path / "wrong.snap")
    with pytest.raises(ImageError, match="is a damaged snapshot: its RAM has 33554432 bytes, not 67108864"):
        Machine(IMAGE, memory=64 * MIB, snapshot=tmp_path / "wrong.snap")


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="is no snapshot"):
        snapshot_file.load(tmp_path / "pipe")


def test_a_file_that_is_there_survives_a_save_that_fails(saved, tmp_path):
    """And no piece of the new one is left."""
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        snapshot_file.save(snapshot_file.load(saved), place)
    assert os.listdir(tmp_path) == ["place"]


def test_another_machine_is_told_with_the_file(saved):
    done = armvcpu("run", IMAGE, "--cpus", 2, "--memory", MEMORY, "--snapshot-load", saved)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{saved}: the snapshot is one of another machine: its cpus is 4, here it is 2" in done.stderr


def test_the_command_saves_at_a_text_and_goes_on_from_it(tmp_path):
    """Status 0 both times, and what was printed before is not printed again."""
    path = tmp_path / "smp.snap"
    first = armvcpu("run", IMAGE, "--cpus", 2, "--snapshot-save", path, "--snapshot-at", "PASS ticket lock")
    second = armvcpu("run", IMAGE, "--cpus", 2, "--snapshot-load", path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "0 failed" not in first.stdout
    assert "0 failed" in second.stdout
    assert "ticket lock by exclusives" not in second.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--snapshot-at", "x"), "no effect without --snapshot-save"),
        (("--snapshot-save", "/nowhere/x", "--timeout", "1"), "no such directory"),
        (("--snapshot-load", "/nowhere"), "cannot be opened"),
        (("--snapshot-save", "x.snap"), "the guest has ended"),
        (("--snapshot-save", ""), "'': is no name of a file"),
        (("--snapshot-save", "/dev/null"), "/dev/null: is no regular file"),
    ],
)
def test_what_cannot_be_is_one_line_and_status_2(options, words, tmp_path):
    """Nothing is written."""
    options = tuple(str(tmp_path / word) if word == "x.snap" else word for word in options)
    done = armvcpu("run", "guests/bin/hello.elf", *options)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert words in done.stderr
    assert not list(tmp_path.iterdir())
