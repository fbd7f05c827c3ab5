"""`armvcpu run` ends when it is told to, whatever stands still behind its pipes, FIFOs and sockets."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from raw_guest import FOREVER, SYSTEM_OFF, UART, branch, image, mov, print_text, psci, store

COMMAND = [sys.executable, "-m", "armvcpu", "run"]
FLOOD = [*mov(1, UART), *mov(2, 10), store(2, 1, 1), branch(-1)]
"""Prints for ever."""
READY = [*print_text("ready\n"), FOREVER]
LINES = [word for _ in range(9000) for word in print_text("0123456")]
PATIENCE = 20.0
"""Seconds, for hosts that have much else to do. What is broken hangs for ever."""


@pytest.fixture
def guest(tmp_path):
    """Write instruction words as a raw image; its path."""

    def guest(*words):
        (tmp_path / "guest.bin").write_bytes(image(*words))
        return str(tmp_path / "guest.bin")

    return guest


@pytest.fixture
def start():
    """Start `armvcpu run ...`; all of them end with the test."""
    children = []

    def start(*words, **streams):
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams}
        children.append(subprocess.Popen([*COMMAND, *map(str, words)], **streams))
        return children[-1]

    yield start
    for child in children:
        child.kill()
        child.wait()


@pytest.fixture
def pipe():
    """A pipe whose reading end nobody reads: (reading end, writing end)."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.fixture
def fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def is_full(fd: int) -> bool:
    """Is there no room behind the writing end?"""
    return not select.select([], [fd], [], 0)[1]


def wait_until(condition) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


WAYS = [
    pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
    pytest.param(None, 4, id="time-out"),
]
"""How a run is told to end, and its status."""


def limits(way) -> list[str]:
    return ["--timeout", "1"] if way is None else []


def ends(child, way, status: int) -> None:
    if way is not None:
        child.send_signal(way)
    assert child.wait(PATIENCE) == status


@pytest.mark.parametrize(("way", "status"), WAYS)
@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_stdout_that_nobody_reads(guest, start, pipe, way, status, clock):
    """The guest waits for the reader, and the run still ends."""
    child = start(guest(FLOOD), "--json", "--clock", clock, *limits(way), stdout=pipe[1])
    wait_until(lambda: is_full(pipe[1]))
    ends(child, way, status)


@pytest.mark.parametrize(("way", "status"), WAYS)
def test_a_stream_socket_as_stdout(guest, start, way, status):
    """As under inetd."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        child = start(guest(FLOOD), *limits(way), stdout=theirs)
        ours.recv(1, socket.MSG_PEEK)
        ends(child, way, status)


@pytest.mark.parametrize(("way", "status"), WAYS)
def test_stderr_that_nobody_reads(guest, start, pipe, way, status):
    """Traces fill it."""
    child = start(guest(FLOOD), "--trace", "mmio", *limits(way), stderr=pipe[1])
    wait_until(lambda: is_full(pipe[1]))
    ends(child, way, status)


@pytest.mark.parametrize(("way", "status"), WAYS)
@pytest.mark.parametrize("option", ["--trace", "--record"])
def test_a_fifo_without_a_reader(guest, start, fifo, pipe, option, way, status):
    """It is waited for, as a shell's redirection is, and the guest has not begun."""
    path = f"exits:{fifo}" if option == "--trace" else fifo
    child = start(guest(FOREVER), "--json", option, path, *limits(way), stdout=pipe[1], stderr=subprocess.PIPE)
    time.sleep(0 if way is None else 1)  # there is nothing to see of a process that waits
    if way is not None and child.poll() is None:
        child.send_signal(way)
    assert child.wait(PATIENCE) == status
    if b"had not begun" in child.stderr.read():
        assert json.loads(os.read(pipe[0], 4096))["status"] == status


@pytest.mark.parametrize(("way", "status"), WAYS)
def test_a_fifo_that_nobody_reads_on(guest, start, fifo, way, status):
    """Its reader has opened it, and sleeps."""
    child = start(guest(FLOOD), "--trace", f"mmio:{fifo}", *limits(way))
    ends_of_fifo = [os.open(fifo, os.O_RDONLY), os.open(fifo, os.O_WRONLY)]
    wait_until(lambda: is_full(ends_of_fifo[1]))
    ends(child, way, status)
    for fd in ends_of_fifo:
        os.close(fd)


@pytest.mark.parametrize(("way", "status"), WAYS)
def test_input_that_never_ends(guest, start, way, status):
    """A run that repeats reads its input to the end first."""
    reader, writer = os.pipe()
    child = start(guest(FOREVER), "--clock", "instructions", *limits(way), stdin=reader)
    os.close(reader)

    def type_for_ever():
        try:
            while True:
                os.write(writer, b"y\n" * 2048)
        except BrokenPipeError:
            os.close(writer)

    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    typist = threading.Thread(target=type_for_ever)
    typist.start()
    time.sleep(0 if way is None else 1.5)
    ends(child, way, status)
    typist.join()


@pytest.mark.parametrize(("way", "status"), WAYS)
def test_a_listener_whose_queue_is_full(guest, start, tmp_path, way, status):
    """`--net unix:`: connect() waits there."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(tmp_path / "net"))
        listener.listen(0)
        first.connect(str(tmp_path / "net"))
        child = start(guest(FOREVER), "--net", f"unix:{tmp_path / 'net'}", *limits(way))
        time.sleep(0 if way is None else 2)
        ends(child, way, status)


@pytest.mark.parametrize(("way", "status"), WAYS)
def test_a_peer_that_never_accepts(guest, start, tmp_path, way, status):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "net"))
        listener.listen(5)
        child = start(guest(READY), "--net", f"unix:{tmp_path / 'net'}", *limits(way), stdout=subprocess.PIPE)
        assert child.stdout.read(6) == b"ready\n"
        ends(child, way, status)


def test_a_slow_reader_gets_everything(guest, start, pipe):
    """A guest that has powered off waits for it, however long that takes, with --json's line too."""
    child = start(guest(LINES, psci(SYSTEM_OFF)), "--json", stdout=pipe[1])
    wait_until(lambda: child.poll() is not None or is_full(pipe[1]))
    data = b""
    while not data.endswith(b"}\n"):
        data += os.read(pipe[0], 4096)
    assert child.wait(PATIENCE) == 0
    assert data.startswith(b"0123456" * 9000 + b"\n{")
