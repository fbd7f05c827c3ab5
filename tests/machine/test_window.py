"""The size of the terminal reaches the guest's virtio console, at the start and when it changes."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import termios
import threading

import pytest
from raw_guest import FOREVER, image

from armvcpu import Machine
from armvcpu.machine.console.stdio import StdioConsole
from armvcpu.machine.console.window import Window


@pytest.fixture
def terminal():
    """The user's side of a terminal and the program's, 100 columns by 30 rows."""
    master, slave = os.openpty()
    resize(master, 100, 30)
    yield master, slave
    os.close(master)
    os.close(slave)


def resize(master: int, columns: int, rows: int) -> None:
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


def size_of(machine: Machine) -> tuple[int, ...]:
    """cols and rows of the configuration space (VIRTIO 1.2, 5.3.4)."""
    return struct.unpack_from("<HH", machine.parts.peripherals.console.config())


@pytest.fixture
def boot(terminal, tmp_path):
    """A guest that does nothing, with a virtio console on that terminal."""
    (tmp_path / "guest.bin").write_bytes(image(FOREVER))
    with StdioConsole(*(terminal[1],) * 2) as console:

        def boot(**options) -> Machine:
            return Machine(tmp_path / "guest.bin", console=console, virtio_console=True, **options)

        yield boot


def test_the_guest_sees_the_size_and_its_changes(terminal, boot):
    """Also one between two runs; and who heard of SIGWINCH before hears of it after."""
    before = signal.getsignal(signal.SIGWINCH)
    with boot() as machine:
        assert size_of(machine) == (100, 30)
        resize(terminal[0], 132, 43)
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGWINCH)).start()
        machine.run(timeout=1)
        assert size_of(machine) == (132, 43)
        resize(terminal[0], 80, 24)
        machine.run(timeout=0.1)
        assert size_of(machine) == (80, 24)
    assert signal.getsignal(signal.SIGWINCH) is before


def test_a_run_that_repeats_knows_of_no_window(boot):
    with boot(clock="instructions") as machine:
        assert size_of(machine) == (0, 0)
        assert not machine.parts.peripherals.console.features & 1


def test_a_terminal_that_is_gone_has_no_size():
    master, slave = os.openpty()
    os.close(slave)
    os.close(master)
    assert Window(slave).size == (0, 0)
