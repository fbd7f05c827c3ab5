"""The user's terminal: its keys of command, and raw mode from which it always comes back.

Kept apart from `console.py`, which moves bytes. `EscapeFilter` is pure; `RawTerminal` is the only user of termios.
The keys are those that users of QEMU's `-nographic` expect.
"""

from __future__ import annotations

import atexit
import contextlib
import signal
import termios
from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

CTRL_A = 0x01
KEYS = b"Ctrl-A X quits, Ctrl-A H helps"
HELP = b"""
Ctrl-A X       end the run
Ctrl-A C       the monitor: stop the guest and look inside, and back
Ctrl-A H       this help
Ctrl-A Ctrl-A  send Ctrl-A to the guest
"""


class Escape(Enum):
    """A command that the user gave by Ctrl-A and a key."""

    QUIT = "x"
    MONITOR = "c"
    HELP = "h"


_COMMANDS = {ord(key): escape for escape in Escape for key in (escape.value, escape.value.upper())}
_COMMANDS[ord("?")] = Escape.HELP


class EscapeFilter:
    """Tells the user's commands from what is for the guest, however the bytes are cut into pieces.

    Ctrl-A with a key that means nothing is dropped, both of them.
    """

    def __init__(self) -> None:
        self._escaped = False

    def feed(self, data: bytes) -> Iterator[bytes | Escape]:
        """The runs of bytes for the guest and the commands, in order."""
        plain = bytearray()
        for byte in data:
            if not self._escaped:
                if byte == CTRL_A:
                    self._escaped = True
                else:
                    plain.append(byte)
                continue
            self._escaped = False
            if byte == CTRL_A:
                plain.append(byte)
            elif command := _COMMANDS.get(byte):
                if plain:
                    yield bytes(plain)
                    plain.clear()
                yield command
        if plain:
            yield bytes(plain)


class RawTerminal:
    """A terminal in raw mode: every key reaches us, Ctrl-C too. Output processing stays as it is.

    Stopped by SIGTSTP the terminal is given back, and taken again at SIGCONT; at exit it is restored. For the
    signals that end the process the caller raises an exception, so that `restore` is reached.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._saved: list[int | list[bytes | int]] | None = None

    def __enter__(self) -> Self:
        self.enter()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.restore()

    def enter(self) -> None:
        """Raw mode, from whatever mode it is in now; does nothing where it is raw by us."""
        if self._saved is not None:
            return
        self._saved = termios.tcgetattr(self._fd)
        self._set_raw()
        atexit.register(self.restore)

    def restore(self) -> None:
        """Back to the mode before `enter`; may be called at any time, and twice."""
        if self._saved is None:
            return
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(self._fd, termios.TCSANOW, self._saved)
        self._saved = None
        atexit.unregister(self.restore)

    def _set_raw(self) -> None:
        iflag, oflag, cflag, lflag, ispeed, ospeed, cc = termios.tcgetattr(self._fd)
        iflag &= ~(termios.BRKINT | termios.ICRNL | termios.INLCR | termios.IGNCR | termios.INPCK)
        iflag &= ~(termios.ISTRIP | termios.IXON)
        cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.IEXTEN | termios.ISIG)
        cc[termios.VMIN], cc[termios.VTIME] = 1, 0
        # TCSANOW: waiting for the output to drain can take for ever, and flushing would lose what was typed ahead
        termios.tcsetattr(self._fd, termios.TCSANOW, [iflag, oflag, cflag, lflag, ispeed, ospeed, cc])

    def suspend(self, *_signal: int | FrameType | None) -> None:
        """Handle SIGTSTP: give the terminal back, stop here, and take it again."""
        self.restore()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self.enter()  # by SIGCONT already, unless there was no job control to stop us

    def resume(self, *_signal: int | FrameType | None) -> None:
        """Handle SIGCONT: after a SIGSTOP, too, the shell has set the terminal to its own mode."""
        if self._saved is None:
            self.enter()
        else:
            self._set_raw()
