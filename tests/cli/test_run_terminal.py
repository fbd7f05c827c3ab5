"""`armvcpu run` in a terminal: it is given back whatever ends the run, and the shell's job control works."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from raw_guest import FOREVER, image, print_text
from terminal import child_of

GUESTS = Path(__file__).parents[2] / "guests" / "bin"


@pytest.fixture
def ready(tmp_path):
    """A guest that says so and loops."""
    (tmp_path / "ready.bin").write_bytes(image(print_text("ready\n"), FOREVER))
    return tmp_path / "ready.bin"


@pytest.fixture
def run(terminal, ready):
    """A run in raw mode, the mode before, and the process that runs the machine."""
    started = terminal(sys.executable, "-c", "import time; time.sleep(0.2); from armvcpu.cli import main; main()",
                       "run", ready)  # fmt: skip
    cooked = started.mode
    started.read_until(b"ready")
    assert started.mode != cooked
    return started, cooked, child_of(started.pid)


def test_a_terminal_that_hangs_up_ends_both(run):
    """SIGHUP comes to the leader of the session alone, here the keeper, as where a program of a test has started it."""
    started, _, child = run
    os.close(started.master)
    started.wait_until(lambda: not Path(f"/proc/{child}").exists())
    assert started.status() == 128 + signal.SIGHUP
    started.master = os.open(os.devnull, os.O_RDWR)  # for its end


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGABRT, signal.SIGUSR1, signal.SIGUSR2,
        signal.SIGXCPU, signal.SIGALRM, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL,
    ],
)  # fmt: skip
@pytest.mark.parametrize("whole_job", [False, True])
def test_every_signal_gives_the_terminal_back(run, number, whole_job):
    """Sent to the process that was started, or to its job; the status is 128 + n."""
    started, cooked, _ = run
    (os.killpg if whole_job else os.kill)(started.pid, number)
    assert started.status() == 128 + number
    assert started.mode == cooked


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_crash_of_the_engine_gives_the_terminal_back(run, number):
    """A fault in native code runs nothing of Python's any more, and neither does SIGKILL."""
    started, cooked, child = run
    os.kill(child, number)
    assert started.status() == 128 + number
    assert started.mode == cooked


def test_the_machine_ends_where_its_keeper_is_killed(run):
    """And gives the terminal back itself."""
    started, cooked, child = run
    os.kill(started.pid, signal.SIGKILL)
    assert started.status() == 137
    started.wait_until(lambda: started.mode == cooked)
    started.wait_until(lambda: not Path(f"/proc/{child}").exists() or state_of(child) == "Z")


def test_ctrl_a_x_has_status_0(run):
    started, cooked, _ = run
    started.type(b"\x01x")
    assert started.status() == 0
    assert started.mode == cooked


def test_a_shells_job_control(terminal, ready):
    """Suspended by SIGTSTP the shell has the terminal; `fg` takes the guest on, raw again; Ctrl-Z is the guest's."""
    shell = terminal("/bin/bash", "--norc", "--noprofile", "--noediting", "-i")
    shell.type(b"PS1='$ '; echo o''k\r")
    shell.read_until(b"ok\r\n")
    cooked = shell.mode
    shell.type(f"{sys.executable} -m armvcpu run {GUESTS / 'echo.elf'}\r".encode())
    shell.read_until(b"quit powers off")
    keeper = child_of(shell.pid)
    shell.type(b"a\x1ab\r")
    shell.read_until(b"echo: a\x1ab")
    raw = shell.mode
    for number in (signal.SIGTSTP, signal.SIGSTOP):
        os.kill(keeper if number == signal.SIGTSTP else child_of(keeper), number)
        shell.read_until(b"Stopped")
        shell.wait_until(lambda: shell.mode == cooked)
        shell.type(b"echo $((6 * 7)) is here\r")
        shell.read_until(b"42 is here")
        shell.type(b"fg\r")
        shell.wait_until(lambda: shell.mode == raw)
        shell.type(b"again\r")
        shell.read_until(b"echo: again")
    os.kill(keeper, signal.SIGWINCH)  # which ends nothing
    shell.type(b"quit\r")
    shell.read_until(b"[$] ")
    shell.type(b"echo status $?\r")
    shell.read_until(b"status 0")
    assert shell.mode == cooked
