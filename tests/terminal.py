"""A terminal of its own for a program, and what it shows."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import termios
import time
from pathlib import Path

PATIENCE = 20.0


class Terminal:
    """A program with a terminal of its own, which it controls."""

    def __init__(self, *command: str) -> None:
        self.pid, self.master = pty.fork()
        if not self.pid:
            os.execvp(command[0], command)
        self.screen = b""

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def read_until(self, pattern: bytes) -> re.Match[bytes]:
        """What appears next, up to and with `pattern`."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.screen)):
            assert time.monotonic() < deadline, self.screen
            if select.select([self.master], [], [], 0.1)[0]:
                self.screen += os.read(self.master, 4096)
        self.screen = self.screen[found.end() :]
        return found

    @property
    def mode(self) -> list[object]:
        return termios.tcgetattr(self.master)

    def wait_until(self, condition) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def status(self) -> int:
        """What `$?` is in a shell."""
        pid, status, deadline = 0, 0, time.monotonic() + PATIENCE
        while not pid:
            assert time.monotonic() < deadline
            pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
            time.sleep(0.01)
        assert not os.WIFSTOPPED(status)
        code = os.waitstatus_to_exitcode(status)
        return 128 - code if code < 0 else code

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.master)


def child_of(pid: int) -> int:
    """The one child of a process."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)
