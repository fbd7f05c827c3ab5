"""A monitor's socket, whose clients may do anything: the guest is never disturbed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import socket
import threading
import time

import pytest
from raw_guest import FOREVER, NOP, image

from armvcpu import Machine
from armvcpu.debug.monitor.client import MonitorClient
from armvcpu.debug.monitor.server import MOST_CLIENTS, MOST_UNREAD, NO_ROOM, UNREAD_S, MonitorServer
from armvcpu.errors import StateError, UsageError
from armvcpu.machine.outcome import QUIT

LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)


@contextlib.contextmanager
def exhausted():
    """This process has two descriptors left, and no more until its limits are set anew."""
    highest = max(map(int, os.listdir("/proc/self/fd"))) + 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, LIMITS[1]))
    held = []
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        for _ in range(2):
            os.close(held.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)
        for each in held:
            os.close(each)


@pytest.fixture
def machine(tmp_path):
    """Its guest loops."""
    (tmp_path / "guest.bin").write_bytes(image(NOP, NOP, FOREVER))
    with Machine(tmp_path / "guest.bin") as machine:
        yield machine


@pytest.fixture
def path(tmp_path, machine):
    """The socket of the machine, which runs; it has not been disturbed in the end."""
    outcomes = []
    server = MonitorServer(str(tmp_path / "socket"))
    server.start(machine.monitor.desk, machine.monitor.complete)
    thread = threading.Thread(target=lambda: outcomes.append(machine.run(timeout=60)))
    thread.start()
    yield str(tmp_path / "socket")
    machine.quit()
    thread.join(30)
    server.close()
    assert [outcome.reason for outcome in outcomes] == [QUIT]


def test_clients_ask_at_the_same_time(path):
    """Each gets its own answers."""
    wrong = []

    def ask(number: int) -> None:
        with MonitorClient(path) as client:
            for each in range(20):
                said, is_done = client.ask(f"print {number * 1000 + each}")
                if not is_done or not said.endswith(f"= {number * 1000 + each}"):
                    wrong.append(said)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert wrong == []


def test_garbage_and_disconnects_change_nothing(path):
    """Bytes of all kinds, half lines, connections that end at any moment, and one that never reads."""
    rng = random.Random(14)
    for _ in range(60):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(
                rng.randbytes(rng.randrange(2000)) + rng.choice((b"", b"\n", b'{"line": 5}\n', b"{\n", b"[]\n"))
            )
            if rng.random() < 0.5:
                client.settimeout(0.01)
                with contextlib.suppress(TimeoutError):
                    client.recv(1 << 16)
    greedy = socket.socket(socket.AF_UNIX)
    greedy.connect(path)
    greedy.sendall(b"help\n" * 50)
    with MonitorClient(path) as client:
        assert client.ask("print 1") == ("0x1 = 1", True)
    greedy.close()


def test_plain_lines_will_do(path):
    """As `socat` sends them; the answer is a line of JSON."""
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rw") as lines:
        client.connect(path)
        lines.write("print 2\nnosuch\n")
        lines.flush()
        assert json.loads(lines.readline()) == {"text": "0x2 = 2", "ok": True}
        said = json.loads(lines.readline())
        assert (said["ok"], "no command" in said["text"]) == (False, True)


def test_a_line_without_an_end_is_dropped(path):
    """It is refused, and its client is hung up on."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"x" * (1 << 17))
        assert b"is no command" in client.recv(1 << 16)
        assert client.recv(1) == b""


def test_completion_comes_over_the_socket(path):
    """As at a prompt."""
    with MonitorClient(path) as client:
        assert client.complete("info devices pl0") == (13, ["pl011", "pl031", "pl061"])


def test_there_is_a_most_number_of_clients(path):
    """One more is told so; when one has gone there is room again."""
    clients = [MonitorClient(path) for _ in range(MOST_CLIENTS)]
    assert all(client.ask("print 1")[1] for client in clients)
    with MonitorClient(path) as client:
        assert client.ask("print 1") == (f"{MOST_CLIENTS} clients are there already", False)
        with pytest.raises(StateError):
            client.ask("print 1")
    for client in clients:
        client.close()


def test_a_client_that_reads_nothing_keeps_nobody_waiting(path, machine):
    """What is told to all is not sent by the thread of the run; the others hear of it."""
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.connect(path)
        deaf.sendall(b"print 1\n" * 5)
        heard = []
        with MonitorClient(path, heard.append) as client:
            client.ask("print 1")
            began = time.monotonic()
            for _ in range(MOST_UNREAD // 2):
                machine.monitor.desk.do(lambda: [hear("x" * 50_000) for hear in machine.monitor.desk.hear])
                client.ask("print 1")
            assert time.monotonic() - began < UNREAD_S / 2
            assert len(heard) == MOST_UNREAD // 2


def test_a_host_without_descriptors_takes_clients_later(path):
    """Neither the socket nor who waits there is lost."""
    while not any(thread.name == "armvcpu-waker" for thread in threading.enumerate()):
        time.sleep(0.001)  # the run opens something yet
    with exhausted(), socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        for client in (first, second):
            client.settimeout(20)
            client.connect(path)
        assert json.loads(first.recv(1 << 16)) == {"text": NO_ROOM, "ok": False}  # what is left is the run's
        resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)
        with socket.socket(socket.AF_UNIX) as third:
            third.settimeout(20)
            third.connect(path)
            third.sendall(b"print 2\n")
            assert b"0x2 = 2" in third.recv(1 << 16)


def test_what_nobody_listens_at_is_told_from_what_cannot_be_asked(tmp_path):
    """A socket of another kind is somebody's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(tmp_path / "socket"))
        with pytest.raises(UsageError, match=r"the monitor can't listen at .*socket: "):
            MonitorServer(str(tmp_path / "socket"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.connect(str(tmp_path / "socket"))


def test_a_prompt_that_fails_leaves_the_desk_as_it_was(machine):
    """The next run is stopped for whoever asks."""

    class Broken:
        def converse(self, _desk: object, _said: str) -> None:
            raise RuntimeError("no terminal")

    desk = machine.monitor.desk
    desk.talk = Broken()
    desk.want_prompt()
    with pytest.raises(RuntimeError, match="no terminal"):
        machine.run(timeout=10)
    desk.talk = None
    said = []
    thread = threading.Thread(target=lambda: said.append(desk.ask("print 1").text) or machine.quit())
    thread.start()
    assert machine.run(timeout=10).reason == QUIT
    thread.join(10)
    assert said == ["0x1 = 1"]


def test_nobody_listens(tmp_path):
    """A line says so."""
    with pytest.raises(UsageError, match="no monitor is at"):
        MonitorClient(str(tmp_path / "socket"))


def test_an_answer_may_be_as_long_as_any_command_s(path):
    """Hundreds of thousands of bytes, after which the client goes on."""
    with MonitorClient(path) as client:
        client.ask("stop")
        said, is_done = client.ask("disassemble 0x40080000 16384")
        assert (is_done, said.count("\n"), len(said) > 1 << 19) == (True, 16383, True)
        assert client.ask("print 1") == ("0x1 = 1", True)
        client.ask("continue")
