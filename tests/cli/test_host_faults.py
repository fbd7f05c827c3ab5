"""Every command where the host refuses: a documented status, one line at most beside what was asked for, no traceback.

A walk over commands and faults. What a command says of a fault of its own files is tested with the command.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from raw_guest import FOREVER, SYSTEM_OFF, UDF, image, print_text, psci

from armvcpu.machine.config import MachineConfig
from armvcpu.machine.kinds import DIRECTORY, FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
COMMANDS = {
    "run": ("run", "OFF", "--json"),
    "crash": ("run", "CRASH"),
    "trace": ("run", "OFF", "--trace", "exits,insn:FILE"),
    "record": ("run", "OFF", "--record", "FILE"),
    "secure": ("run", "OFF", "--el", "3", "--secure-console", "FILE", "--timeout", "2"),
    "snapshot": ("run", "FOREVER", "--clock", "instructions", "--max-instructions", "9000", "--snapshot-save", "FILE"),
    "coverage": ("run", "OFF", "--coverage", "FILE.drcov"),
    "profile": ("run", "OFF", "--profile", "FILE.collapsed"),
    "report": ("run", "OFF", "--report", "FILE.html"),
    "monitor": ("run", "OFF", "--monitor", "FILE.socket"),
    "history": ("run", "OFF", "--clock", "instructions", "--history", "64M"),
    "log": ("-vv", "run", "OFF"),
    "probe": ("probe",),
    "machine": ("machine", "--dts"),
    "inspect": ("inspect", str(GUESTS / "hello.elf")),
    "list": ("firmware", "list"),
    "path": ("firmware", "path", "no-such-firmware"),
    "test": ("test", "SUITE", "--junit-xml", "FILE"),
    "help": ("run", "--help"),
    "mistake": ("run", "--no-such-option"),
}
FAULTS = {
    "stdin closed": '"$@" <&-',
    "stdout closed": '"$@" >&-',
    "all closed": '"$@" <&- >&- 2>&-',
    "stdout full": '"$@" >/dev/full',
    "stderr full": '"$@" 2>/dev/full',
    "both full": '"$@" >/dev/full 2>/dev/full',
    "no reader": '{ "$@"; echo $? >&3; } | true',
    "no file may grow": 'ulimit -f 0; "$@"',
    "few descriptors": 'ulimit -n 7; "$@"',
    "some descriptors": 'ulimit -n 12; "$@"',
    "little memory": 'ulimit -v 300000; "$@"',
    "no room for code": 'ulimit -v 900000; "$@"',
}
STATUSES = {0, 2, 3, 4, 141}
UNTOUCHED = {
    ("crash", fault) for fault in ("stdin closed", "stdout closed", "all closed", "stderr full", "no file may grow")
}
"""Where a crash is certain to be reached."""


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What stands for files in COMMANDS."""
    folder = tmp_path_factory.mktemp("faults")
    guests = {"OFF": psci(SYSTEM_OFF), "CRASH": [UDF], "FOREVER": [FOREVER]}
    for name, code in guests.items():
        (folder / name).write_bytes(image(print_text("ready\n"), code))
    (folder / "SUITE").write_text(f'[suite]\nname = "s"\n[[test]]\nname = "t"\nimage = "{folder / "OFF"}"\n')
    return {name: str(folder / name) for name in (*guests, "SUITE", "FILE")}


def run(words, names, shell: str) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command under a fault."""
    words = [word.replace("FILE", names["FILE"]) if "FILE" in word else names.get(word, word) for word in words]
    reader, writer = os.pipe()
    command = ["bash", "-c", f"exec 3>&{writer}; {shell}", "bash", sys.executable, "-m", "armvcpu", *words]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120, pass_fds=[writer]
    )
    os.close(writer)
    said = os.read(reader, 100)
    os.close(reader)
    return int(said) if said else done.returncode, done.stdout.decode(), done.stderr.decode()


def some_at_once() -> Iterator[Any]:
    """Each command under each fault, of which `make test` has a third: each command with some, each fault with some."""
    for row, command in enumerate(COMMANDS):
        for column, fault in enumerate(FAULTS):
            is_quick = (row + column) % 3 == 0
            yield pytest.param(command, fault, marks=() if is_quick else pytest.mark.slow)


@pytest.mark.parametrize(("command", "fault"), list(some_at_once()))
def test_the_host_refuses(names, command, fault):
    """One of the documented statuses, and for a crash that of a crash."""
    status, stdout, stderr = run(COMMANDS[command], names, FAULTS[fault])
    assert "Traceback" not in stdout + stderr
    assert "Exception ignored" not in stderr
    allowed = STATUSES | {1} if command == "test" else STATUSES  # 1: a test failed, as it does where no engine can be
    assert status in allowed, stderr
    if status == 2 and "full" not in fault:
        assert 1 <= stderr.count("armvcpu: ") <= 2 or fault == "all closed", stderr
    if (command, fault) in UNTOUCHED or (command == "crash" and "full" in fault):
        assert status == 3


TOO_LONG = {"name": "n" * 256, "path": "d/" * 2100 + "f"}
AROUND = {"loads": "{}@0x48000000", "modules": "{}@0x48000000,kernel", "fw_cfg": "opt/a={}"}
"""What options have around the name of a file."""
WRITES = {
    "trace": ("run", "OFF", "--trace", "exits:LONG"),
    "snapshot_save": ("run", "OFF", "--snapshot-save", "LONG"),
    "junit_xml": ("test", "SUITE", "--junit-xml", "LONG"),
    "gitlab": ("test", "SUITE", "--annotate", "gitlab:LONG"),
    "keep": ("test", "SUITE", "--keep", "LONG"),
    "inspect": ("inspect", "LONG"),
    "suite": ("test", "LONG"),
}
NAMING = [option for option in MachineConfig.options.values() if option.kind in {FILE, DIRECTORY}]


def with_long(option, long: str) -> tuple[str, ...]:
    """A run with an option whose file has this name."""
    value = AROUND.get(option.name, "{}").format(long)
    words = ("run", value) if option.flag == "IMAGE" else ("run", "OFF", option.flag, value)
    needs = {"semihosting_directory": ("--semihosting",), "secure_console": ("--el", "3")}
    return (*words, *needs.get(option.name, ()))


@pytest.mark.parametrize("long", TOO_LONG)
@pytest.mark.parametrize("option", [option.name for option in NAMING] + list(WRITES))
def test_a_name_that_is_too_long(names, option, long):
    """One line, status 2, and nothing has run."""
    name = TOO_LONG[long]
    known = MachineConfig.options.get(option)
    words = with_long(known, name) if known else [word.replace("LONG", name) for word in WRITES[option]]
    status, stdout, stderr = run(words, names, '"$@"')
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith("armvcpu: ")
    if option != "semihosting_directory":  # which is no directory
        assert "too long" in stderr.replace(name, "").lower()


@pytest.mark.parametrize("long", TOO_LONG)
@pytest.mark.parametrize("option", [each.name for each in NAMING if each.is_in_suites and each.kind is FILE])
def test_a_name_that_is_too_long_in_a_suite(names, tmp_path, option, long):
    """Told with its test, before anything runs."""
    known, value = MachineConfig.options[option], AROUND.get(option, "{}").format(TOO_LONG[long])
    more = {"image": "", "replay": f"image = '{names['OFF']}'\nclock = 'instructions'\n"}
    given = more.get(option, f"image = '{names['OFF']}'\n")
    shown = [value] if known.is_several else value
    (tmp_path / "suite.toml").write_text(f"[[test]]\nname = 't'\n{given}{option} = {shown!r}\n")
    status, stdout, stderr = run(("test", str(tmp_path / "suite.toml")), names, '"$@"')
    assert (status, stdout, stderr.count("\n")) == (2, "", 1)
    assert stderr.startswith(f"armvcpu: {tmp_path}/suite.toml: test t: {option}: ")
    assert "File name too long" in stderr


@pytest.mark.parametrize(
    "words",
    [
        ("run", "FOREVER", "--clock", "instructions", "--max-instructions", "9", "--snapshot-save", "LONG"),
        ("run", "OFF", "--vars", "LONG"),
        WRITES["junit_xml"],
    ],
    ids=["snapshot", "vars", "report"],
)
def test_the_longest_name_of_a_file_can_be_used(names, tmp_path, words):
    """Also where the file is built under another name."""
    file = tmp_path / ("n" * 255)
    status, _, stderr = run([word.replace("LONG", str(file)) for word in words], names, '"$@"')
    assert status == (4 if "FOREVER" in words else 0), stderr
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(("words", "status"), [(("OFF", "--json"), 2), (("CRASH", "--json"), 3)])
def test_what_stdout_does_not_take_is_said(names, words, status):
    """One line, and status 2 unless the guest's end says more."""
    found, _, stderr = run(("run", *words), names, '"$@" >/dev/full')
    assert found == status
    told = [line for line in stderr.splitlines() if "can't be written" in line]
    assert told == ["armvcpu: stdout can't be written: No space left on device"]


PRINTING = (
    ("run", "OFF"), ("run", "OFF", "--json"), ("run", "--help"), ("--version",), ("probe",), ("machine",),
    ("machine", "--json"), ("machine", "--dts"), ("inspect", str(GUESTS / "hello.elf")), ("firmware", "list"),
    ("test", "SUITE"), ("test", "SUITE", "--json"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("shell", "why"),
    [
        ('"$@" >&-', "it is closed"),
        ('"$@" 1</dev/null', "it is closed"),
        ('"$@" >/dev/full', "No space left on device"),
    ],
    ids=["closed", "only for reading", "full"],
)
@pytest.mark.parametrize("words", PRINTING, ids=" ".join)
def test_every_command_says_that_stdout_does_not_take_its_words(names, words, shell, why):
    """In one line, the same for all; what was asked for has not been done."""
    assert run(words, names, shell) == (2, "", f"armvcpu: stdout can't be written: {why}\n")


def test_a_guest_that_prints_nothing_needs_no_stdout(names, tmp_path):
    (tmp_path / "silent").write_bytes(image(psci(SYSTEM_OFF)))
    assert run(("run", str(tmp_path / "silent")), names, '"$@" >&-') == (0, "", "")


def test_a_crash_with_a_closed_stdout_is_a_crash(names):
    status, _, stderr = run(("run", "CRASH"), names, '"$@" >&-')
    assert status == 3
    assert stderr.splitlines()[-1] == "armvcpu: stdout can't be written: it is closed"


def test_each_mishap_is_said_once(names):
    """Two traces and stdout: a line each, and one status."""
    full = Path(names["FILE"]).with_name("FULL")
    full.symlink_to("/dev/full")
    words = ("run", "OFF", "--json", "--trace", "exits:/dev/full", "--trace", f"psci:{full}")
    status, _, stderr = run(words, names, '"$@" >/dev/full')
    assert status == 2
    assert sorted(line.split(":")[1].strip() for line in stderr.splitlines()) == [
        "--trace file /dev/full", f"--trace file {full}", "stdout can't be written",
    ]  # fmt: skip


def test_json_knows_of_a_recording_that_broke_off(names):
    """Its reader goes while the guest runs: said before the line of JSON, whose status is the command's."""
    pipe = Path(names["FILE"]).with_name("READ")
    pipe.unlink(missing_ok=True)
    os.mkfifo(pipe)
    shell = f'head -n 1 {pipe} >/dev/null & (sleep 0.5; echo x) | "$@"'
    words = ("run", str(GUESTS / "echo.elf"), "--record", str(pipe), "--timeout", "1.5", "--json")
    status, stdout, stderr = run(words, names, f"set -o pipefail; {shell}")
    assert (status, json.loads(stdout.splitlines()[-1])["status"]) == (2, 2)
    assert f"armvcpu: {pipe}: cannot be written: Broken pipe; choose another place" in stderr.splitlines()


@pytest.mark.parametrize("option", ["--trace", "--record"])
@pytest.mark.parametrize(("guest", "status"), [("OFF", 2), ("CRASH", 3), ("FOREVER", 2)])
def test_a_full_disk_behind_a_file(names, option, guest, status):
    """It shows at the end, for what is written in pieces; what the guest came to is said too."""
    file = "insn:/dev/full" if option == "--trace" else "/dev/full"
    words = ("run", guest, option, file, "--max-instructions", "9000", "--json")
    found, stdout, stderr = run(words, names, '"$@"')
    begins = option == "--trace"  # the first line of a recording comes before the guest
    assert found == (status if begins else 2)
    assert "No space left on device" in stderr.splitlines()[-1]
    if begins:
        assert stdout.startswith("ready\n")
        assert json.loads(stdout.splitlines()[-1])["status"] == status


def test_json_says_the_status_that_there_is(names):
    """A snapshot that can't be written, at a limit."""
    words = (*COMMANDS["snapshot"], "--json")
    status, stdout, stderr = run(words, names, 'ulimit -f 0; "$@"')
    assert (status, json.loads(stdout.splitlines()[-1])["status"]) == (2, 2)
    assert "File too large" in stderr
