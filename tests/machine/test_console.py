"""Consoles: escape keys, piped and terminal input, output that is neither lost nor late, and the terminal restored."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import termios
import threading
from typing import TYPE_CHECKING

import pytest

from armvcpu.machine.console.output import FLUSH_SIZE
from armvcpu.machine.console.patience import Patience
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.console.stdio import INPUT_LIMIT, StdioConsole
from armvcpu.machine.console.terminal import HELP, Escape, EscapeFilter
from armvcpu.testing.expect import ExpectConsole

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 20.0
"""Seconds after which a test gives up; nothing waits that long unless it is broken."""


def read_until(fd: int, enough: bytes) -> bytes:
    """What arrives on `fd` up to and with `enough`."""
    data = b""
    while enough not in data:
        assert select.select([fd], [], [], PATIENCE)[0], f"only {data!r} came"
        data += os.read(fd, 4096)
    return data


class Pair:
    """A StdioConsole whose other ends the test holds, and the events of its callbacks."""

    def __init__(self, stdin: int, keyboard: int) -> None:
        self.keyboard, (self.screen, self.stdout) = keyboard, os.pipe()
        self.console = StdioConsole(stdin, self.stdout)
        self.input, self.quit, self.monitor, self.lost = (threading.Event() for _ in range(4))
        self.console.call_on_input(self.input.set)
        self.console.call_on(quit=self.quit.set, monitor=self.monitor.set, output_lost=self.lost.set)

    def print(self, text: bytes) -> None:
        for byte in text:
            self.console.write(byte)

    def type(self, data: bytes) -> None:
        os.write(self.keyboard, data)

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes of input, however they arrive."""
        data = b""
        while len(data) < size:
            self.input.clear()
            piece = self.console.take(size - len(data))
            assert piece or self.input.wait(PATIENCE), f"only {data!r} came"
            data += piece
        return data


@pytest.fixture
def pipe() -> Iterator[Pair]:
    stdin, keyboard = os.pipe()
    pair = Pair(stdin, keyboard)
    yield pair
    pair.console.close()
    for fd in (stdin, pair.keyboard, pair.screen, pair.stdout):
        if fd >= 0:
            os.close(fd)


@pytest.fixture
def tty() -> Iterator[Pair]:
    keyboard, stdin = os.openpty()
    pair = Pair(stdin, keyboard)
    yield pair
    pair.console.close()
    for fd in (stdin, keyboard, pair.screen, pair.stdout):
        os.close(fd)


# --- escape keys


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        (b"", []),
        (b"plain\x02\x18", [b"plain\x02\x18"]),
        (b"\x01x", [Escape.QUIT]),
        (b"\x01X", [Escape.QUIT]),
        (b"\x01c", [Escape.MONITOR]),
        (b"\x01h", [Escape.HELP]),
        (b"\x01?", [Escape.HELP]),
        (b"\x01\x01", [b"\x01"]),
        (b"\x01\x01x", [b"\x01x"]),
        (b"a\x01zb", [b"ab"]),
        (b"a\x01cb\x01hc", [b"a", Escape.MONITOR, b"b", Escape.HELP, b"c"]),
        (b"a\x01", [b"a"]),
    ],
)
def test_escape_keys(typed: bytes, parts: list[bytes | Escape]) -> None:
    """Ctrl-A and a key is a command, all else is for the guest, in order."""
    assert list(EscapeFilter().feed(typed)) == parts


def test_escape_keys_may_arrive_apart() -> None:
    """The filter remembers a Ctrl-A at the end of a piece."""
    keys = EscapeFilter()
    assert [list(keys.feed(piece)) for piece in (b"a\x01", b"", b"x", b"x")] == [[b"a"], [], [Escape.QUIT], [b"x"]]


# --- in memory


def test_memory_console_keeps_output_and_gives_input() -> None:
    """Output is collected and told, input is taken in order."""
    told: list[int] = []
    console, wakes = MemoryConsole(told.append), threading.Event()
    console.call_on_input(wakes.set)
    for byte in b"hi":
        console.write(byte)
    console.feed(b"abc")
    assert (bytes(console.output), told, wakes.is_set()) == (b"hi", [*b"hi"], True)
    first = console.take(2)
    console.put_back(first[1:])
    assert (first, console.take(9), console.take(9)) == (b"ab", b"bc", b"")


# --- piped input


def test_piped_input_arrives_whole(pipe: Pair) -> None:
    """More than the console or the pipe holds, Ctrl-A included, and its callback tells of it."""
    data = bytes(range(256)) * (INPUT_LIMIT // 64)
    writer = threading.Thread(target=lambda: os.write(pipe.keyboard, data))
    pipe.console.start()
    writer.start()
    assert pipe.take(len(data)) == data
    writer.join()


def test_piped_input_waits_for_the_guest(pipe: Pair) -> None:
    """A guest that doesn't read can't have its host read an endless pipe into memory."""
    os.set_blocking(pipe.keyboard, False)
    pipe.console.start()
    pipe.type(b"x")
    assert pipe.input.wait(PATIENCE)
    written = 1
    while written < 10 * INPUT_LIMIT and select.select([], [pipe.keyboard], [], 0.1)[1]:
        written += os.write(pipe.keyboard, bytes(4096))
    assert written < 10 * INPUT_LIMIT
    assert pipe.take(written) == b"x" + bytes(written - 1)


def test_put_back_input_is_taken_first(pipe: Pair) -> None:
    """What the UART's FIFO had no room for isn't lost."""
    pipe.console.start()
    pipe.type(b"abcd")
    assert pipe.take(4) == b"abcd"
    pipe.console.put_back(b"cd")
    assert (pipe.console.take(1), pipe.console.take(9)) == (b"c", b"d")


def test_end_of_piped_input_is_not_the_end(pipe: Pair) -> None:
    """What was written before the end is there, nobody asks to quit, and output goes on."""
    pipe.type(b"last\x01x")
    os.close(pipe.keyboard)
    pipe.keyboard = -1
    pipe.console.start()
    assert pipe.take(6) == b"last\x01x"
    pipe.print(b"still here\n")
    assert read_until(pipe.screen, b"\n") == b"still here\n"
    assert not pipe.quit.is_set()


def test_regular_files_and_closed_descriptors_are_input() -> None:
    """stdin may be a file, /dev/null or nothing at all."""
    for fd in (os.open(__file__, os.O_RDONLY), os.open(os.devnull, os.O_RDONLY), 10_000):
        pair = Pair(fd, -1)
        with pair.console:
            pair.print(b"ok\n")
            assert read_until(pair.screen, b"\n") == b"ok\n"


# --- output


def test_several_hear_what_the_guest_prints(pipe: Pair) -> None:
    """In the order in which they have asked, until they want no more, and in every kind of console."""
    for console in (pipe.console, MemoryConsole(), ExpectConsole()):
        told: list[tuple[int, int]] = []
        ends = [console.hear(lambda byte, number=number, told=told: told.append((number, byte))) for number in range(3)]
        console.write(65)
        assert told == [(0, 65), (1, 65), (2, 65)]
        ends[1]()
        ends[1]()
        console.write(66)
        assert told[3:] == [(0, 66), (2, 66)]


def test_a_newline_flushes(pipe: Pair) -> None:
    """At once, in the caller's thread: the console isn't even started."""
    pipe.print(b"line\nrest")
    assert os.read(pipe.screen, 100) == b"line\n"


def test_a_prompt_without_newline_is_not_held_back(pipe: Pair) -> None:
    """The thread's timer flushes it, again and again."""
    pipe.console.start()
    for prompt in (b"=> ", b"login: "):
        pipe.print(prompt)
        assert read_until(pipe.screen, prompt) == prompt


def test_flush_and_close_write_the_rest(pipe: Pair) -> None:
    """flush() for an idle guest, close() at the end; after it nothing is lost either."""
    pipe.print(b"idle")
    pipe.console.flush()
    assert os.read(pipe.screen, 100) == b"idle"
    pipe.console.start()
    pipe.print(b"end")
    pipe.console.close()
    assert read_until(pipe.screen, b"end") == b"end"
    pipe.print(b"after\n")
    assert os.read(pipe.screen, 100) == b"after\n"


def test_long_output_without_newlines_is_bounded(pipe: Pair) -> None:
    """It is written at FLUSH_SIZE at the latest."""
    pipe.print(b"x" * FLUSH_SIZE)
    assert os.read(pipe.screen, 2 * FLUSH_SIZE) == b"x" * FLUSH_SIZE


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_reader_loses_nothing(pipe: Pair, blocking: bool) -> None:
    """The guest waits for it, also where stdout is non-blocking."""
    os.set_blocking(pipe.stdout, blocking)
    text = b"".join(b"%06d%s" % (i, b"\n" if i % 3 else b" ") for i in range(30_000))
    pipe.console.start()
    writer = threading.Thread(target=pipe.print, args=(text + b"END\n",))
    writer.start()
    assert read_until(pipe.screen, b"END\n") == text + b"END\n"
    writer.join()


def test_partial_writes_are_completed(pipe: Pair) -> None:
    """More at once than a non-blocking pipe takes."""
    os.set_blocking(pipe.stdout, False)
    text = bytes(range(32, 96)) * 10_000 + b"END"
    writer = threading.Thread(target=pipe.console.show, args=(text,))
    writer.start()
    assert read_until(pipe.screen, b"END") == text
    writer.join()


def test_a_closed_pipe_is_told_once_and_harmless(pipe: Pair) -> None:
    """`armvcpu run | head`: `output_lost` is called, then output goes nowhere."""
    os.close(pipe.screen)
    pipe.screen = -1
    pipe.print(b"line\n")
    assert (pipe.lost.is_set(), type(pipe.console.output_error)) == (True, BrokenPipeError)
    pipe.lost.clear()
    pipe.print(b"more\n" * 10)
    assert not pipe.lost.is_set()


# --- terminal


def test_terminal_is_raw_with_output_processing_and_restored(tty: Pair) -> None:
    """ECHO, ICANON, ISIG and ICRNL off, OPOST kept; the same as before after close(), called twice."""
    before = termios.tcgetattr(tty.keyboard)
    tty.console.start()
    iflag, oflag, _, lflag, *_ = termios.tcgetattr(tty.keyboard)
    assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
    assert not iflag & (termios.ICRNL | termios.IXON)
    assert oflag == before[1]
    tty.console.close()
    tty.console.close()
    assert termios.tcgetattr(tty.keyboard) == before


def test_terminal_is_restored_when_the_run_fails(tty: Pair) -> None:
    """By the context manager, also for KeyboardInterrupt and SystemExit."""
    before = termios.tcgetattr(tty.keyboard)
    with pytest.raises(SystemExit), tty.console:
        raise SystemExit
    assert termios.tcgetattr(tty.keyboard) == before


def test_keys_reach_the_guest_unprocessed(tty: Pair) -> None:
    """Ctrl-C, Ctrl-Z, Ctrl-D, Ctrl-S and Return, and nothing is echoed."""
    tty.console.start()
    tty.type(b"\x03\x1a\x04\x13\r")
    assert tty.take(5) == b"\x03\x1a\x04\x13\r"
    assert select.select([tty.keyboard], [], [], 0)[0] == []


def test_commands_are_obeyed(tty: Pair) -> None:
    """Ctrl-A H, C and X, with what is typed around them for the guest; behind Ctrl-A C it is the monitor's."""
    tty.console.start()
    tty.type(b"a\x01hb\x01cc\x01x")
    assert tty.quit.wait(PATIENCE)
    assert tty.monitor.is_set()
    assert read_until(tty.screen, HELP) == HELP
    assert tty.take(2) == b"ab"
    assert tty.console.take(9) == b""


def test_a_terminal_that_hangs_up_is_the_end_of_input() -> None:
    """The console survives it, and so does close()."""
    keyboard, stdin = os.openpty()
    pair = Pair(stdin, keyboard)
    with pair.console:
        pair.type(b"x")
        assert pair.take(1) == b"x"
        os.close(keyboard)
        pair.print(b"alive\n")
        assert read_until(pair.screen, b"\n") == b"alive\n"


def test_piped_input_leaves_signal_handlers_alone(pipe: Pair) -> None:
    """Only a terminal's user suspends; the handlers of before are back after close()."""
    before = signal.getsignal(signal.SIGTSTP)
    pipe.console.start()
    assert signal.getsignal(signal.SIGTSTP) == before


def test_handlers_are_given_back(tty: Pair) -> None:
    """SIGTSTP and SIGCONT."""
    before = [signal.getsignal(n) for n in (signal.SIGTSTP, signal.SIGCONT)]
    tty.console.start()
    tty.console.close()
    assert [signal.getsignal(n) for n in (signal.SIGTSTP, signal.SIGCONT)] == before


CHILD = """
import os, signal, sys, threading
from armvcpu.machine.console.stdio import StdioConsole
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
with StdioConsole():
    resume = signal.getsignal(signal.SIGCONT)
    signal.signal(signal.SIGCONT, lambda *_: (resume(*_), os.write(1, b"resumed")))
    os.write(1, b"ready")
    threading.Event().wait(30)
"""


@pytest.mark.parametrize("stop", [signal.SIGTSTP, signal.SIGSTOP])
def test_suspended_run_gives_the_terminal_back_and_takes_it_again(stop: signal.Signals) -> None:
    """SIGTSTP restores before stopping; SIGSTOP can't, so a shell does; SIGCONT is raw again, SIGTERM restores."""
    keyboard, stdin = os.openpty()
    cooked = termios.tcgetattr(stdin)
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, bufsize=0, process_group=0) as child:
        assert child.stdout is not None
        read_until(child.stdout.fileno(), b"ready")
        raw = termios.tcgetattr(stdin)
        child.send_signal(stop)
        assert os.WIFSTOPPED(os.waitpid(child.pid, os.WUNTRACED)[1])
        assert termios.tcgetattr(stdin) == (cooked if stop == signal.SIGTSTP else raw)
        termios.tcsetattr(stdin, termios.TCSANOW, cooked)
        child.send_signal(signal.SIGCONT)
        read_until(child.stdout.fileno(), b"resumed")
        assert termios.tcgetattr(stdin) == raw != cooked
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == 143
    assert termios.tcgetattr(stdin) == cooked
    os.close(keyboard)
    os.close(stdin)


# --- output that nobody reads


def fill(fd: int) -> None:
    """Have a pipe take nothing more."""
    own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(own, b"x" * 4096)
    os.close(own)


@pytest.mark.parametrize("can_reopen", [True, False])
def test_a_flush_ends_with_the_patience_and_the_output_is_dropped(monkeypatch, can_reopen: bool) -> None:
    """Also where /proc refuses, as it does for a pipe of another user's."""
    if not can_reopen:
        monkeypatch.setattr("armvcpu.machine.console.host_writer.reopened", lambda _fd, _flags: -1)
    screen, stdout = os.pipe()
    patience = Patience()
    console = StdioConsole(10_000, stdout, patience)
    fill(stdout)
    writer = threading.Thread(target=lambda: [console.write(byte) for byte in b"lost\n"])
    writer.start()
    writer.join(0.1)
    assert writer.is_alive()
    patience.end()
    writer.join(PATIENCE)
    assert not writer.is_alive()
    assert patience.gave_up
    patience.renew()
    os.read(screen, 1 << 16)
    for byte in b"next run\n":
        console.write(byte)
    assert read_until(screen, b"run\n").endswith(b"next run\n")
    console.close()
    for fd in (screen, stdout):
        os.close(fd)


def test_a_command_is_heard_while_nobody_reads_the_output(tty: Pair) -> None:
    """`armvcpu run | less`: the guest's thread waits for the reader, the user's Ctrl-A X comes all the same."""
    fill(tty.stdout)
    tty.console.start()
    writer = threading.Thread(target=tty.print, args=(b"line\n",))
    writer.start()
    writer.join(0.1)
    assert writer.is_alive()
    tty.type(b"\x01h\x01x")
    assert tty.quit.wait(PATIENCE)
    os.read(tty.screen, 1 << 16)
    read_until(tty.screen, HELP)
    writer.join(PATIENCE)
