"""--record and --replay: what a user typed at a terminal, repeated to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from armvcpu import Machine, MemoryConsole
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.outcome import Ending
from armvcpu.machine.snapshots import snapshot_file
from armvcpu.testing.firmware.store import fetch, path
from armvcpu.testing.target.target import Target

ARMVCPU = str(Path(sys.executable).parent / "armvcpu")


@pytest.fixture(scope="module")
def u_boot() -> str:
    fetch("u-boot")
    return str(path("u-boot", "u-boot.bin"))


def replay(recording: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [ARMVCPU, "run", *arguments, "--replay", str(recording)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def session(u_boot, tmp_path_factory):
    """(Recording, what the terminal showed) of a session with U-Boot, typed by hand and left by Ctrl-A X."""
    recording = tmp_path_factory.mktemp("recording") / "session"
    terminal = pexpect.spawn(ARMVCPU, ["run", "--firmware", u_boot, "--record", str(recording)], timeout=60)
    terminal.expect_exact("autoboot")
    terminal.send("x")
    terminal.expect_exact("=> ")
    for command in ("echo one", "md 40000000 10"):
        for letter in command:
            terminal.send(letter)
        terminal.send("\r")
        terminal.expect_exact("=> ")
    shown = terminal.before.replace(b"\r\r\n", b"\r\n")  # what the terminal makes of a line's end
    terminal.send("\x01x")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    return recording, shown


def test_a_session_is_repeated(session, u_boot):
    """Twice: the same characters, until the moment at which the user left."""
    recording, shown = session
    first, second = (replay(recording, "--firmware", u_boot) for _ in range(2))
    assert (first.returncode, first.stdout) == (second.returncode, second.stdout)
    assert first.returncode == 0, first.stderr
    assert b"one\r\n" in first.stdout
    assert shown.strip() in first.stdout  # the dump of memory
    assert first.stdout.endswith(b"=> ")


def test_a_recording_holds_moments_and_what_was_typed(session):
    """In the order of time; the last line tells how it ended."""
    rows = [json.loads(line) for line in session[0].read_text().splitlines()]
    assert rows[0]["armvcpu recording"] == 1
    moments = [row["at"] for row in rows[1:]]
    assert moments == sorted(moments)
    assert "".join(row.get("input", "") for row in rows[1:]) == "xecho one\rmd 40000000 10\r"
    assert rows[-1]["end"] == ["POWERED_OFF", "ended from the console", 0]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: "", "is no recording"),
        (lambda text: "guest", "is no recording"),
        (lambda text: text.replace('"armvcpu recording": 1', '"armvcpu recording": 7'), "is a recording of version 7"),
        (lambda text: text.replace('"memory": 268435456', '"memory": 1048576'), "its memory is 1048576"),
        (lambda text: text.replace('"end"', '"ned"'), "is damaged"),
        (lambda text: text[: len(text) - 20], "is damaged"),
        (lambda text: text + '{"at": 1, "input": "x"}\n', "is damaged"),
        (lambda text: text.replace('"input": "x"', '"input": 3'), "line 2: is damaged"),
        (lambda text: text.replace('console", 0]', 'console", 999]'), "is damaged"),
        (lambda text: "[" * 100_000, "is no recording"),
    ],
    ids=["empty", "no-json", "version", "machine", "event", "truncated", "order", "input", "status", "depth"],
)
def test_a_damaged_recording_is_one_line(session, u_boot, tmp_path, damage, words):
    """With the file's name, and the line where it is one line that is damaged; status 2."""
    bad = tmp_path / "bad"
    bad.write_text(damage(session[0].read_text()))
    done = replay(bad, "--firmware", u_boot)
    error = done.stderr.decode()
    assert (done.returncode, done.stdout, error.count("\n")) == (2, b"", 1)
    assert str(bad) in error
    assert words in error


def test_another_image_is_another_machine(session):
    """The recording knows the files by their contents."""
    done = replay(session[0], "guests/bin/hello.elf")
    assert done.returncode == 2
    assert b"is a recording of another machine: its image is not the same" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"record": "a", "replay": "b", "clock": "instructions"}, "exclude each other"),
        ({"record": "a"}, "needs clock instructions"),
        ({"replay": "a", "clock": "instructions", "networks": ("user",)}, "networks can't be recorded"),
    ],
)
def test_what_cannot_be_recorded(options, words):
    with pytest.raises(UsageError, match=words):
        Machine("guests/bin/hello.elf", **options)


def test_a_recording_that_cannot_be_written(tmp_path):
    done = subprocess.run(
        [ARMVCPU, "run", "guests/bin/hello.elf", "--record", str(tmp_path / "no" / "where")],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"cannot be written" in done.stderr


def test_a_recording_that_was_there_survives_wrong_usage(tmp_path):
    """It begins anew when the machine can be had."""
    recording = tmp_path / "recording"
    recording.write_text("kept")
    with pytest.raises(UsageError, match="no such file"):
        Machine("/nowhere", clock="instructions", record=recording)
    assert recording.read_text() == "kept"


def test_a_target_records_and_replays(tmp_path):
    """`record` is a file there too; what is typed comes by itself the second time."""
    options = {"image": "guests/bin/echo.elf", "clock": "instructions"}
    with Target(record=tmp_path / "recording", **options) as target:
        target.expect_exact("echo")
        target.sendline("typed")
        target.expect_exact("typed")
        assert target.recorder.exits is not None
    with Target(replay=tmp_path / "recording", **options) as target:
        target.expect_exact("typed")


def test_the_hosts_clock_cannot_be_recorded(tmp_path):
    """Where it is asked for; without a word of the clock it is the instructions'."""
    command = [ARMVCPU, "run", "guests/bin/hello.elf", "--record", str(tmp_path / "f"), "--clock", "host"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"needs --clock instructions" in done.stderr


def test_scripts_record_and_replay(tmp_path):
    """`Machine(record=...)`: input from a program, and the limit that ended the run."""
    recording, said = tmp_path / "recording", []
    for option in ("record", "replay"):
        console = MemoryConsole()
        with Machine("guests/bin/echo.elf", console=console, clock="instructions", **{option: recording}) as machine:
            if option == "record":
                machine.run(max_instructions=50_000)
                console.feed(b"typed\r")
                machine.run(max_instructions=50_000)
            else:
                outcome = machine.run(timeout=60)
        said.append(bytes(console.output))
    assert said[0] == said[1]
    assert b"typed" in said[0]
    assert (outcome.ending, outcome.reason) == (Ending.LIMIT, "instruction limit: 50000 executed")


def test_a_recording_names_the_snapshot_it_began_at(tmp_path):
    """Its replay goes on from the same one, and from nothing else."""
    options = {"image": "guests/bin/echo.elf", "clock": "instructions"}
    recording, snapshots = tmp_path / "recording", [tmp_path / name for name in ("early", "late")]
    with Machine(**options) as machine:
        for path_ in snapshots:
            machine.run(max_instructions=30_000)
            snapshot_file.save(machine.snapshot(), path_)
    said = []
    for option in ("record", "replay"):
        console = MemoryConsole()
        with Machine(console=console, snapshot=snapshots[0], **options, **{option: recording}) as machine:
            if option == "record":
                console.feed(b"typed\r")
            machine.run(max_instructions=100_000)
        said.append(bytes(console.output))
    assert said[0] == said[1]
    assert b"echo: typed" in said[0]
    for other in (snapshots[1], None):
        with pytest.raises(ImageError, match="its snapshot is not the same"):
            Machine(snapshot=other, replay=recording, **options)


def test_a_recording_that_was_there_survives_a_wrong_snapshot(tmp_path):
    """Damaged, or another machine's: nothing has been recorded yet."""
    recording, snapshot = tmp_path / "recording", tmp_path / "snapshot"
    recording.write_text("kept")
    with Machine("guests/bin/hello.elf") as machine:
        snapshot_file.save(machine.snapshot(), snapshot)
    for clock, words in (("instructions", "its clock is host, here it is instructions"), ("", "is no snapshot")):
        if not clock:
            snapshot.write_text("none")
        with pytest.raises(ImageError, match=words):
            Machine("guests/bin/hello.elf", clock="instructions", record=recording, snapshot=snapshot)
    assert recording.read_text() == "kept"
