"""The size of the user's terminal, for a guest's console that can be told: the virtio console's cols and rows."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

from armvcpu.machine.console.stdio import StdioConsole

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.console.port import Console


class Window:
    """That of the terminal at a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._previous: object = None

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows; (0, 0), which is "not known", where the terminal is gone."""
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except (OSError, ValueError):
            return 0, 0
        return columns, rows

    def watch(self, changed: Callable[[], object]) -> None:
        """Have `changed` called when the size may be another (SIGWINCH), which wakes the run loop as every signal does.

        Only the main thread hears of signals; in another one the size stays what it is when a run begins.
        """
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGWINCH, lambda *_: changed())

    def close(self) -> None:
        """Who heard of the signal before hears of it again."""
        if self._previous is not None:
            signal.signal(signal.SIGWINCH, self._previous)  # type: ignore[arg-type]
            self._previous = None


def window_of(console: Console) -> Window | None:
    """The window of a console on a terminal, or None."""
    fd = console.terminal_fd if isinstance(console, StdioConsole) else None
    return None if fd is None else Window(fd)
