"""A guest's characters on their way to a file descriptor: cheap for each byte, and never late.

Output is written at each newline, when the guest goes idle (`flush`), and FLUSH_AFTER_MS after it began to wait. The
last needs a second thread, which is that of `StdioConsole`: here is what the two threads share.
"""

from __future__ import annotations

import os
import select
import threading

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH_AFTER_MS = 20
"""The longest that output without a newline waits."""
FLUSH_SIZE = 4096

_NEWLINE = 0x0A


class BufferedOutput:
    """The writing half of a console on a file descriptor."""

    def __init__(self, stdout: int) -> None:
        self._on_output_lost: Callable[[], None] = lambda: None
        self.output_error: OSError | None = None
        self.is_at_line_start = True
        """Is what was written last the end of a line?"""
        self._stdout = stdout
        self._output = bytearray()
        self._flushing = threading.RLock()  # a signal handler may flush while its thread does
        self._timer_runs = True  # false: the thread must be woken to see that output waits

    def _wake(self) -> None:
        """Have the thread start its timer."""
        raise NotImplementedError

    def write(self, byte: int) -> None:
        """One character from the guest. The path for every byte of output: at most 0.3 µs without a flush."""
        output = self._output
        output.append(byte)
        if byte == _NEWLINE or not self._timer_runs or len(output) >= FLUSH_SIZE:
            self._write_slowly(byte)

    def _write_slowly(self, byte: int) -> None:
        if byte == _NEWLINE or len(self._output) >= FLUSH_SIZE:
            self.flush()
        else:
            self._timer_runs = True
            self._wake()

    def flush(self) -> None:
        """Write out what waits; from any thread."""
        with self._flushing:
            left = len(self._output)  # not more, or a busy guest would keep the thread here
            while left > 0 and self._output:
                sent = self._send(bytes(self._output[:left]))
                del self._output[:sent]
                left -= sent

    def show(self, text: bytes) -> None:
        """Write text of our own among the guest's."""
        self._output += text
        self.flush()

    def _flush_late(self, *, timed_out: bool) -> None:
        """The timer's part. A period with nothing to flush stops it, so that an idle guest costs nothing."""
        if self._output:
            self.flush()
        elif timed_out:
            self._timer_runs = False
            self._timer_runs = bool(self._output)  # written meanwhile, by a writer that saw the timer run

    def _send(self, data: bytes) -> int:
        """Bytes that need not be sent again."""
        if self.output_error is not None:
            return len(data)
        try:
            sent = os.write(self._stdout, data)
        except BlockingIOError:  # somebody made the terminal non-blocking
            poll = select.poll()
            poll.register(self._stdout, select.POLLOUT)
            poll.poll()
            return 0
        except OSError as error:
            self.output_error = error
            self._on_output_lost()
            return len(data)
        if sent:
            self.is_at_line_start = data[sent - 1] == _NEWLINE
        return sent
