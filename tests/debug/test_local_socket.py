"""Where gdb and a monitor's clients connect in the file system: nobody else's place is taken."""

from __future__ import annotations

import socket

import pytest

from armvcpu.debug.local_socket import listen_at


@pytest.fixture
def path(tmp_path):
    """Of a socket."""
    return tmp_path / "socket"


def test_it_is_its_owners_alone_and_gone_when_it_is_closed(path):
    """From the beginning on, whatever the umask is."""
    one = listen_at(str(path), 1)
    assert path.stat().st_mode & 0o777 == 0o600
    one.close()
    one.close()
    assert not path.exists()


def test_one_that_was_left_behind_is_replaced(path):
    """And closing the first one later does not take the second's path away."""
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    first = listen_at(str(path), 1)
    path.unlink()
    second = listen_at(str(path), 1)
    first.close()
    assert path.exists()
    second.close()


def test_one_that_can_take_nobody_more_is_in_use(path):
    """It is somebody's all the same, and is not waited for."""
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waits:
        busy.bind(str(path))
        busy.listen(0)
        waits.connect(str(path))
        with pytest.raises(OSError, match="somebody listens there already"):
            listen_at(str(path), 1)
        assert path.exists()


@pytest.mark.parametrize("make", ["file", "directory"])
def test_what_is_no_socket_stays(path, make):
    """In one line."""
    path.write_text("mine") if make == "file" else path.mkdir()
    with pytest.raises(OSError, match="that is no socket"):
        listen_at(str(path), 1)
    assert path.exists()
