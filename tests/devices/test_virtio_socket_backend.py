"""The stream backend: QEMU's framing over a socket pair, which never blocks and never grows without bound."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from armvcpu.devices.virtio.socket_backend import BACKLOG, SocketBackend
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FRAME = bytes(range(60))


def framed(*frames: bytes) -> bytes:
    return b"".join(len(frame).to_bytes(4, "big") + frame for frame in frames)


class Bench:
    """A backend with its other end, and a network interface with `room` that keeps what was handed on."""

    def __init__(self) -> None:
        ours, self.peer = socket.socketpair()
        self.backend = SocketBackend(ours)
        self.room = 1 << 30
        self.frames: list[bytes] = []
        self.links: list[bool] = []
        self.could_send: list[bool] = []
        self.on_frame: Callable[[], object] = int
        self.backend.attach(self)

    def receive(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.room -= 1
        self.on_frame()

    def has_room(self) -> bool:
        return self.room > 0

    def link_changed(self) -> None:
        self.links.append(self.backend.is_up)

    def drained(self) -> None:
        self.could_send.append(self.backend.can_send)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    with bench.peer:
        yield bench
        bench.backend.close()


def test_a_frame_is_sent_behind_its_length(bench: Bench) -> None:
    """32 bits, big-endian."""
    bench.backend.send(FRAME)
    assert bench.peer.recv(100) == b"\0\0\0\x3c" + FRAME


def test_frames_are_received_however_the_stream_is_cut(bench: Bench) -> None:
    """One byte at a time, or all at once."""
    data = framed(FRAME, b"x" * 1514, b"")
    for at in range(len(data)):
        bench.peer.send(data[at : at + 1])
        bench.backend.poll()
    bench.peer.send(data)
    bench.backend.poll()
    assert bench.frames == [FRAME, b"x" * 1514, b""] * 2


def test_nothing_to_read_is_no_wait(bench: Bench) -> None:
    """`poll` returns, and the link stays."""
    bench.backend.poll()
    assert (bench.frames, bench.backend.is_up) == ([], True)


def test_what_the_other_side_does_not_read_waits(bench: Bench) -> None:
    """Up to BACKLOG bytes, then the guest is to wait; every frame arrives whole and in order."""
    interests: list[bool] = []
    bench.backend.watch(lambda: interests.append(bench.backend.wants_write))
    sent = 0
    while bench.backend.can_send:
        bench.backend.send(sent.to_bytes(4, "big") * 300)
        sent += 1
    assert (bench.backend.wants_write, interests, bench.could_send) == (True, [True], [])
    assert len(bench.backend._unsent) <= BACKLOG + 1204
    data = b""
    while len(data) < 1204 * sent:
        data += bench.peer.recv(1 << 20)
        bench.backend.poll()
    assert data == framed(*(number.to_bytes(4, "big") * 300 for number in range(sent)))
    assert (bench.backend.wants_write, bench.could_send) == (False, [True])


def test_a_flood_leaves_the_guest_time(bench: Bench) -> None:
    """One `poll` reads a bounded amount."""
    bench.peer.setblocking(False)
    bench.on_frame = lambda: bench.peer.send(framed(FRAME))
    bench.peer.send(framed(FRAME))
    bench.backend.poll()
    assert 0 < len(bench.frames) < 100


@pytest.mark.parametrize("end", [b"", b"\0\0", framed(FRAME)[:30]])
def test_the_link_goes_down_with_the_other_side(bench: Bench, end: bytes) -> None:
    """Even inside a frame; later frames go nowhere, and nothing waits for them."""
    bench.peer.send(end)
    bench.peer.close()
    bench.backend.poll()
    assert (bench.links, bench.backend.is_up, bench.backend.fileno(), bench.frames) == ([False], False, -1, [])
    bench.backend.send(FRAME)
    bench.backend.poll()
    assert (bench.backend.can_send, bench.backend.wants_write) == (True, False)


def test_the_link_goes_down_when_sending_fails(bench: Bench) -> None:
    """Without a signal or an exception."""
    bench.peer.close()
    bench.backend.send(FRAME)
    assert bench.links == [False]


def test_an_impossible_length_ends_the_link(bench: Bench) -> None:
    """The other side speaks something else; nothing is kept for it."""
    bench.peer.send(b"HTTP/1.1 200 OK")
    bench.backend.poll()
    assert bench.links == [False]


def test_connecting_to_a_unix_socket(tmp_path: Path) -> None:
    """unix:PATH."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "net"))
        server.listen()
        backend = SocketBackend.dial(f"unix:{tmp_path}/net")
        backend.send(FRAME)
        with server.accept()[0] as peer:
            assert peer.recv(100) == framed(FRAME)
        backend.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_connecting_to_a_port(host: str) -> None:
    """HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        backend = SocketBackend.dial(f"{host}:{server.getsockname()[1]}")
        backend.send(FRAME)
        with server.accept()[0] as peer:
            assert peer.recv(100) == framed(FRAME)
        backend.close()


@pytest.mark.parametrize("address", ["unix:/nowhere/net", "localhost:port", "127.0.0.1:1", "nonsense", ""])
def test_an_address_without_a_listener_is_a_clear_error(address: str) -> None:
    """One line that says what to do."""
    with pytest.raises(UsageError, match=r"^network .*; give unix:PATH or HOST:PORT, and start"):
        SocketBackend.dial(address)


def test_what_the_guest_has_no_room_for_stays_in_the_socket(bench: Bench) -> None:
    """The other side notices, as its own buffer fills."""
    bench.room = 0
    bench.peer.send(framed(FRAME))
    bench.backend.poll()
    assert (bench.frames, bench.backend.wants_read) == ([], False)
    bench.room = 9
    bench.backend.poll()
    assert (bench.frames, bench.backend.wants_read) == ([FRAME], True)


def test_what_was_read_already_waits_for_room_too(bench: Bench) -> None:
    """Frames come as there is room for them, also when the room is made while one is handed on."""
    bench.room, bench.on_frame = 1, bench.backend.resume
    frames = [bytes([number]) * 60 for number in range(6)]
    bench.peer.send(framed(*frames))
    bench.backend.poll()
    assert bench.frames == frames[:1]
    bench.room = 3
    bench.backend.resume()
    assert bench.frames == frames[:4]
    bench.room = 9
    bench.backend.resume()
    assert bench.frames == frames


def test_a_listener_whose_queue_is_full_is_refused(tmp_path, monkeypatch):
    """In a while, and in one line."""
    monkeypatch.setattr("armvcpu.devices.virtio.socket_backend.PATIENCE", 1)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(str(tmp_path / "net"))
        listener.listen(0)
        first.connect(str(tmp_path / "net"))
        with pytest.raises(UsageError, match="takes no more connections"):
            SocketBackend.dial(f"unix:{tmp_path}/net")
