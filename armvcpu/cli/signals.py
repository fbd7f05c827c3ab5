"""Signals to commands that write files or have children: they end as by Ctrl-C, and leave nothing half-done behind."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from armvcpu.machine.outcome import SIGNALLED

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, with the status of their own; not where they are ignored."""
    came: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        came.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                stack.callback(signal.signal, number, signal.signal(number, interrupt))
        try:
            yield
        except KeyboardInterrupt:
            if came:
                sys.exit(SIGNALLED + came[0])
            raise
