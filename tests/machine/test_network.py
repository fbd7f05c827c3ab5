"""What `--net` means, and what becomes of it where it can't be had."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from armvcpu import Machine
from armvcpu.errors import UsageError
from armvcpu.machine.board import network
from armvcpu.machine.board.network import NetworkSpec, open_networks
from armvcpu.machine.running.wake import Waker

MAC = bytes.fromhex("525400123457")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("user", NetworkSpec("user")),
        ("user,tcp=8080:80", NetworkSpec("user", tcp="8080:80")),
        ("user,udp=53,mac=52:54:00:12:34:57", NetworkSpec("user", MAC, udp="53")),
        ("unix:/tmp/a", NetworkSpec("unix:/tmp/a")),
        ("localhost:1234,mac=525400123457", NetworkSpec("localhost:1234", MAC)),
    ],
)
def test_what_can_be_written(text, spec):
    """The forms that the documentation names."""
    assert NetworkSpec.parse(text) == spec


@pytest.mark.parametrize(
    "text",
    ["", "nobody", "user,tcp", "user,port=3", "unix:/tmp/a,tcp=3", "user,mac=1", "user,mac=01:00:00:00:00:00"],
)
def test_what_cannot_is_one_clear_line(text):
    """A group address is no address of an interface (IEEE 802)."""
    with pytest.raises(UsageError) as error:
        NetworkSpec.parse(text)
    assert "write" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_program_is_named_with_its_package(monkeypatch):
    """passt is not a part of armvcpu: one line has the way with root and the way without."""
    monkeypatch.setattr(network, "find_program", lambda _name: None)
    with pytest.raises(UsageError, match=r"apt-get install passt, or without root: armvcpu firmware fetch passt$"):
        open_networks(["user"])


def test_a_program_that_ends_at_once_says_why(tmp_path, monkeypatch):
    """Its last words are part of the message."""
    program = tmp_path / "passt"
    program.write_text("#!/bin/sh\necho Port 1 is taken >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(network, "find_program", lambda _name: str(program))
    with pytest.raises(UsageError, match="status 3: Port 1 is taken"):
        open_networks(["user"])


def test_a_program_ends_with_the_machine(tmp_path, monkeypatch):
    """Whatever it does."""
    program = tmp_path / "passt"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setattr(network, "find_program", lambda _name: str(program))
    [net] = open_networks(["user"])
    child = net._passt
    net.close()
    assert child.poll() is not None


def test_nobody_listens_is_refused(tmp_path):
    """With the address, and nothing left open."""
    with pytest.raises(UsageError, match="unix:"):
        Machine("guests/bin/hello.elf", networks=(f"unix:{tmp_path}/nobody",))


def test_a_frame_wakes_whoever_waits_once_until_it_is_read():
    """No polling: the thread that waits for deadlines waits for descriptors too."""
    ours, peer = socket.socketpair()
    woken = threading.Event()
    calls = []

    class Source:
        wants_read, wants_write = True, False

        def fileno(self):
            return ours.fileno()

    def attend():
        calls.append(time.monotonic())
        woken.set()

    with ours, peer, Waker(attend, [Source()]) as waker:
        peer.send(b"x")
        assert woken.wait(5)
        woken.clear()
        assert waker.has_input
        peer.send(b"y")
        ours.recv(10)
        assert len(calls) == 1
        waker.listen()
        peer.send(b"z")
        assert woken.wait(5)
    assert len(calls) == 2
