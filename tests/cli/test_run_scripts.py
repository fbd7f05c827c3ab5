"""`run --script`: what a user sees."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from command import COMMAND, armvcpu

HELLO = "guests/bin/hello.elf"


@pytest.fixture
def run(tmp_path):
    """Run a guest with a script; what came out."""

    def run(text: str, *options: str, image: str = HELLO, timeout: float = 60):
        path = tmp_path / "hooks.py"
        path.write_text(text)
        return armvcpu("run", image, "--script", str(path), *options, timeout=timeout)

    return run


def test_what_a_script_prints_stands_between_the_guests_lines(run):
    """In order, on stdout; several scripts are told of the same."""
    done = run('from armvcpu.script import *\n@on_console("PASS")\ndef end(text): print("seen", text)\n')
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[lines.index("PASS hello") + 1] == "seen PASS hello"


def test_a_mistake_ends_the_run_with_status_1(run):
    """Its traceback on stderr, and nothing else."""
    text = 'from armvcpu.script import *\n@on_symbol("main")\ndef main(): assert 1 == 2, "no"\n'
    done = run(text, "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):\n  File ")
    assert done.stderr.endswith("AssertionError: no\n")
    assert "armvcpu/" not in done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["status"], told["ending"]) == (1, "stopped")
    assert told["reason"] == "a script failed: hooks.py:3: AssertionError: no"


def test_a_script_that_exits_has_made_a_mistake(run):
    """Its status could be a guest's own."""
    done = run('from armvcpu.script import *\n@on_symbol("main")\ndef main(): raise SystemExit(7)\n')
    assert done.returncode == 1
    assert done.stderr.endswith("SystemExit: 7\n")
    done = run("raise SystemExit(3)\n")
    assert done.returncode == 2
    assert "can't be loaded" in done.stderr


def test_a_mistake_at_the_end_is_status_1_too(run):
    """So a script can say what it expects of a run."""
    done = run("from armvcpu.script import *\n@on_end\ndef end(outcome): assert outcome.status == 4\n")
    assert done.returncode == 1
    assert "AssertionError" in done.stderr


def test_a_mistake_may_leave_the_run_as_it_is(run):
    """By --script-errors continue."""
    text = 'from armvcpu.script import *\n@on_symbol("main")\ndef main(): raise ValueError\n'
    done = run(text, "--script-errors", "continue")
    assert done.returncode == 0
    assert done.stdout.endswith("0 failed\n")
    assert done.stderr.endswith("ValueError\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\ndef (:\n", ":2: invalid syntax; the script is not loaded\n"),
        ("from armvcpu.script import *\n@on_symbol('maim')\ndef f(): pass\n", ":2: no symbol 'maim' in the guest's"),
        ("x = 1\0", "source code string cannot contain null bytes"),
    ],
)
def test_a_script_that_is_none_is_one_line(run, text, said):
    """With file and line, status 2, before the guest begins."""
    done = run(text)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr


def test_a_script_that_fails_when_it_is_loaded_shows_its_traceback(run):
    """And one line, status 2."""
    done = run("import nothing_of_this_name\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Traceback")
    assert done.stderr.splitlines()[-1].endswith("ModuleNotFoundError: No module named 'nothing_of_this_name'")


def test_a_file_that_is_not_there_is_one_line():
    """Status 2."""
    done = armvcpu("run", HELLO, "--script", "/nowhere/hooks.py")
    assert (done.returncode, done.stderr) == (2, "armvcpu: script /nowhere/hooks.py: No such file or directory\n")


def test_output_that_nobody_takes_is_no_mistake_of_the_scripts(tmp_path):
    """A full disk is one line; where the reader has gone, as `| head` does, nothing is said."""
    path = tmp_path / "hooks.py"
    path.write_text(
        "from armvcpu.script import *\n@on_start\ndef start(): print('x')\n@on_end\ndef end(): print('y')\n"
    )
    command = f"{sys.executable} -m armvcpu run {HELLO} --script {path}"
    for shell, said in ((f"{command} >/dev/full", "No space left"), (f"{command} | true", "")):
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in done.stderr
        assert said in done.stderr
        assert said or not done.stderr


LOOP = "from armvcpu.script import *\n@{}\ndef loops():\n    while True: pass\n"


@pytest.mark.parametrize(
    ("text", "timeout", "said"),
    [
        ("while True: pass\n", 0.1, "armvcpu: time-out; the guest had not begun\n"),
        (LOOP.format("on_start"), 0.1, "armvcpu: time-out; the guest had not begun\n"),
        (LOOP.format('on_symbol("main")'), 1, "armvcpu: hooks.py:4: time-out, and this was still at work\n"),
    ],
    ids=["loaded", "before the guest", "in a trap"],
)
def test_a_script_that_hangs_is_ended_by_the_time_out(run, text, timeout, said):
    """While it is loaded, before the guest begins, and in the guest's instruction."""
    done = run(text, "--timeout", timeout, timeout=20)
    assert done.returncode == 4
    assert done.stderr.startswith(said)


@pytest.mark.parametrize("decorator", ['on_symbol("main")', "on_end"])
def test_a_script_that_hangs_is_ended_by_a_signal(tmp_path, decorator):
    """In the guest's instruction, and when the run has ended."""
    path = tmp_path / "hooks.py"
    path.write_text(LOOP.format(decorator).replace("    while", "    print('here', flush=True)\n    while"))
    command = [*COMMAND, "run", HELLO, "--script", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert any(line == "here\n" for line in process.stdout)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    place, words = said.splitlines()[0].rsplit(": ", 1)
    assert place in {
        "armvcpu: hooks.py:4",
        "armvcpu: hooks.py:5",
    }  # it may come before what has been printed has returned
    assert words == "ended by signal 15, and this was still at work"


def test_what_a_script_does_at_the_end_is_not_cut_short_by_the_time_out_that_ended_the_run(run):
    """It may have much to tell."""
    text = "import time\nfrom armvcpu.script import *\n@on_end\ndef end(): time.sleep(0.4); print('told')\n"
    done = run(text, "--timeout", "0.1", image="guests/bin/echo.elf")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (4, "told")
