"""`armvcpu run`: Ctrl-A C on a terminal, `--monitor`, and `armvcpu monitor`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from command import COMMAND, armvcpu
from terminal import child_of

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
ECHO = GUESTS / "echo.elf"
PROMPT = rb"mvcpu\) ?"


@pytest.fixture
def echo(terminal):
    """The guest that says what it gets, at its prompt; the modes of the terminal before and now."""
    started = terminal(sys.executable, "-c", "import time; time.sleep(0.2); from armvcpu.cli import main; main()",
                       "run", ECHO)  # fmt: skip
    cooked = started.mode
    started.read_until(b"quit powers off")
    return started, cooked, started.mode


def test_ctrl_a_c_stops_the_guest_and_goes_back(echo):
    """Three ways back; what is typed there is not the guest's, and the terminal is as it was each time."""
    started, cooked, raw = echo
    for back in (b"continue\r", b"\x04", b"\x01c"):
        started.type(b"\x01c")
        started.read_until(PROMPT)
        started.type(b"info cpus\r")
        started.read_until(rb"\* cpu0  MPIDR_EL1 0x80000000  runs  EL1h")
        started.read_until(PROMPT)
        started.type(back)
        started.wait_until(lambda: started.mode == raw)
        started.type(b"hello\r")
        started.read_until(b"echo: hello\r")
    started.type(b"quit\r")
    assert started.status() == 0
    assert started.mode == cooked


def test_what_is_typed_at_once_is_the_monitors(echo):
    """Behind Ctrl-A C in one piece, as when it is pasted."""
    started, _, _ = echo
    started.type(b"\x01cprint main\rp 6 + 36\rc\rx\r")
    started.read_until(rb"0x40080068 = 1074266216 = main")
    started.read_until(rb"0x2a = 42")
    started.read_until(rb"echo: x")


def test_a_breakpoint_gives_the_prompt(echo):
    """With the instruction that comes next; steps go on from there."""
    started, _, _ = echo
    started.type(b"\x01c")
    started.read_until(PROMPT)
    started.type(b"break put_char if $x0 == 0x68\rcontinue\r")
    started.read_until(b"1: breakpoint at 0x[0-9a-f]+ put_char if ")
    started.type(b"oh\r")
    started.read_until(rb"cpu0 has come to a breakpoint\r\n=> 0x[0-9a-f]+ <put_char>")
    started.read_until(PROMPT)
    started.type(b"step 2\rdelete\rp $x0\r")
    started.read_until(rb"=> 0x[0-9a-f]+ <put_char\+0x8>")
    started.read_until(rb"0x68 = 104")
    started.type(b"\x04")
    started.read_until(rb"ho: oh\r")


def test_mistakes_are_a_line_and_tab_completes(echo):
    """At the prompt, which stays."""
    started, _, _ = echo
    started.type(b"\x01c")
    started.read_until(PROMPT)
    started.type(b"nosuch\r")
    started.read_until(b"armvcpu: there is no command 'nosuch'")
    started.type(b"info dev\t")
    started.read_until(b"ices")
    started.type(b" pl01\t")
    started.read_until(b"1\x1b")
    started.type(b"\r")
    started.read_until(b"UARTIMSC 0x")
    started.type(b"dropped\x03p 1\r")
    started.read_until(b"0x1 = 1")


@pytest.mark.parametrize("keys", [b"\x01x", b"quit\r"])
def test_the_run_ends_from_the_prompt(echo, keys):
    """With status 0, and the terminal as it was."""
    started, cooked, _ = echo
    started.type(b"\x01c")
    started.read_until(PROMPT)
    started.type(keys)
    assert started.status() == 0
    assert started.mode == cooked


def test_who_wants_to_leave_need_not_wait_for_the_prompt(echo):
    """Ctrl-A C and Ctrl-A X at once."""
    started, cooked, _ = echo
    started.type(b"\x01c\x01x")
    assert started.status() == 0
    assert started.mode == cooked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_at_the_prompt_gives_the_terminal_back(echo, number):
    """128 + n, as while the guest runs."""
    started, cooked, _ = echo
    started.type(b"\x01c")
    started.read_until(PROMPT)
    os.kill(started.pid, number)
    assert started.status() == 128 + number
    assert started.mode == cooked


def test_sigkill_at_the_prompt_gives_the_terminal_back(echo):
    """The keeper does it."""
    started, cooked, _ = echo
    started.type(b"\x01c")
    started.read_until(PROMPT)
    os.kill(child_of(started.pid), signal.SIGKILL)
    assert started.status() == 128 + signal.SIGKILL
    assert started.mode == cooked


@pytest.mark.slow
def test_ctrl_z_at_the_prompt_is_for_the_shell(terminal):
    """It has its terminal back, and `fg` goes on at the prompt."""
    shell = terminal("/bin/bash", "--norc", "--noprofile", "--noediting", "-i")
    shell.type(b"PS1='$ '; echo o''k\r")
    shell.read_until(b"ok\r\n")
    cooked = shell.mode
    shell.type(f"{sys.executable} -m armvcpu run guests/bin/echo.elf\r".encode())
    shell.read_until(b"quit powers off")
    shell.type(b"\x01c")
    shell.read_until(b"[(]armvcpu[)]")
    for _ in range(2):
        shell.type(b"\x1a")
        shell.read_until(b"Stopped")
        shell.wait_until(lambda: shell.mode == cooked)
        shell.type(b"echo $((6 * 7)) is here\r")
        shell.read_until(b"42 is here")
        shell.type(b"fg\r")
        shell.read_until(b"[(]armvcpu[)]")
        shell.type(b"print 4\r")
        shell.read_until(b"0x4 = 4")
    shell.type(b"\x01x")
    shell.read_until(b"ended from the console")
    shell.read_until(b"[$] ")
    shell.type(b"echo status $?\r")
    shell.read_until(b"status 0")
    assert shell.mode == cooked


def test_ctrl_a_is_no_key_without_a_terminal():
    """The guest gets both bytes."""
    done = subprocess.run(
        [*COMMAND, "run", ECHO], input=b"a\x01cb\rquit\r", capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert b"echo: a\x01cb" in done.stdout


# --- the socket -----------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run of the echoing guest with a monitor: the process, and the socket."""
    path = tmp_path / "socket"
    process = subprocess.Popen(
        [*COMMAND, "run", ECHO, "--monitor", f"unix:{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(b"echo: type a line")
    yield process, path
    process.kill()
    process.communicate()


def test_lines_from_a_pipe_are_answered_while_the_guest_runs(run):
    """One after the other; the guest is not held up for longer, and its run ends as it would have."""
    process, path = run
    asked = armvcpu("monitor", path, input="info cpus\nprint main\n\n")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert re.fullmatch(r"\* cpu0 .*\n0x40080068 = 1074266216 = main\n", asked.stdout)
    assert armvcpu("monitor", path, "info", "mtree").stdout.count("\n") > 10
    out, err = process.communicate(b"hello\rquit\r", timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert b"echo: hello" in out
    assert not path.exists()


def test_the_guest_stands_until_it_is_told_to_go_on(run):
    """`stop`, `step` and `continue`, of three clients."""
    process, path = run
    assert "cpu0 stands at\n=> 0x" in armvcpu("monitor", path, "stop").stdout
    before = armvcpu("monitor", path, "info registers").stdout
    assert armvcpu("monitor", path, "info registers").stdout == before
    assert armvcpu("monitor", path, "step 2").stdout.startswith("=> 0x")
    assert armvcpu("monitor", path, "info registers").stdout != before
    armvcpu("monitor", path, "continue")
    assert b"echo: on" in process.communicate(b"on\rquit\r", timeout=30)[0]


def test_a_client_hears_of_a_breakpoint(run, terminal):
    """At its prompt; the guest stands until somebody lets it go on."""
    process, path = run
    started = terminal(*COMMAND, "monitor", path)
    started.read_until(PROMPT)
    started.type(b"break put_char\r")
    started.read_until(b"1: breakpoint at")
    assert process.stdin is not None
    process.stdin.write(b"x\r")
    process.stdin.flush()
    started.read_until(rb"cpu0 has come to a breakpoint\r\n=> 0x[0-9a-f]+ <put_char>")
    started.type(b"delete\rcontinue\rnosuch\r")
    started.read_until(b"there is no command 'nosuch'")
    started.type(b"\x04")
    assert started.status() == 0
    assert b"echo: x" in process.communicate(b"quit\r", timeout=30)[0]


def test_statuses_tell_what_became_of_a_line(run, tmp_path):
    """0, 1 where one was refused, 2 where nobody listens."""
    process, path = run
    refused = armvcpu("monitor", path, input="nosuch\ninfo cpus\n")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "there is no command 'nosuch'" in refused.stderr
    assert "cpu0" in refused.stdout
    assert armvcpu("monitor", path, "quit").returncode == 0
    process.wait(30)
    assert process.returncode == 0
    nobody = armvcpu("monitor", path, "info cpus")
    assert (nobody.returncode, nobody.stderr.count("\n")) == (2, 1)
    assert "no monitor is at" in nobody.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_that_stands(run, number):
    """And the socket's path is taken away."""
    process, path = run
    armvcpu("monitor", path, "stop")
    process.send_signal(number)
    assert process.wait(30) == 128 + number
    assert not path.exists()


def test_unusable_paths_are_usage_errors(run, tmp_path):
    """One line each, before the guest begins; a file that is no socket, and a socket that is used, stay."""
    _, taken = run
    (tmp_path / "file").write_text("mine")
    for where, error in (
        ("tcp:1", "give unix:PATH"), ("unix:", "give unix:PATH"), (f"unix:{tmp_path}/file", "that is no socket"),
        (f"unix:{taken}", "somebody listens there already"), (f"unix:{tmp_path}/no/socket", "No such file"),
        (f"unix:/tmp/{'x' * 200}", "the path is too long"),
    ):  # fmt: skip
        done = armvcpu("run", ECHO, "--monitor", where)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert error in done.stderr
    assert (tmp_path / "file").read_text() == "mine"
    assert taken.exists()


def test_a_path_that_nobody_listens_at_any_more_is_taken(tmp_path):
    """As a run that was killed leaves it."""
    path = tmp_path / "socket"
    process = subprocess.Popen([*COMMAND, "run", ECHO, "--monitor", f"unix:{path}"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    assert path.stat().st_mode & 0o777 == 0o600
    process.kill()
    process.communicate()
    assert path.exists()
    assert armvcpu("run", ECHO, "--monitor", f"unix:{path}", input="quit\r").returncode == 0
    assert not path.exists()


def test_a_crash_is_looked_at_backwards(terminal):
    """With `--history` on a terminal; going on from the past comes to the same crash, and `continue` ends the run."""
    started = terminal(*COMMAND, "run", GUESTS / "crash.elf", "--history", "64M")
    started.read_until(rb"armvcpu: .*endless exception loop")
    started.read_until(PROMPT)
    started.type(b"break call_probe\rrcontinue\r")
    started.read_until(rb"cpu0 has come to a breakpoint\r\n=> 0x[0-9a-f]+ <call_probe>")
    started.read_until(PROMPT)
    started.type(b"delete\rcontinue\r")
    started.read_until(rb"armvcpu: .*endless exception loop")
    started.read_until(PROMPT)
    started.type(b"continue\r")
    started.read_until(b"reason    endless exception loop")
    assert started.status() == 3
