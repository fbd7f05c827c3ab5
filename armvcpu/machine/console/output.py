"""A guest's characters on their way to a file descriptor: cheap for each byte, and never late.

Output is written at each newline, when the guest goes idle (`flush`), and FLUSH_AFTER_MS after it began to wait. The
last needs a second thread, which is that of `StdioConsole`: here is what the two threads share.

The guest waits for a reader that is slow, until the run is to end (`Patience`). The second thread never waits: it hears
what the user types meanwhile, which may be that they want to leave.
"""

from __future__ import annotations

import threading

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.console.host_writer import HostWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.console.patience import Patience

FLUSH_AFTER_MS = 20
"""The longest that output without a newline waits."""
FLUSH_SIZE = 4096

_NEWLINE = 0x0A


class BufferedOutput:
    """The writing half of a console on a file descriptor."""

    def __init__(self, stdout: int, patience: Patience) -> None:
        self._on_output_lost: Callable[[], None] = lambda: None
        self.output_error: OSError | None = None
        self.is_at_line_start = True
        """Is what was written last the end of a line?"""
        self._writer, self._patience = HostWriter(stdout, patience), patience
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
        """Write out what waits, and wait for its reader; from any thread."""
        with self._flushing:
            left = len(self._output)  # not more, or a busy guest would keep the thread here
            while left > 0 and self._output:
                sent = self._send(bytes(self._output[:left]))
                if not sent and not self._patience.wait_for_room(self._writer.fileno()):
                    sent = left
                del self._output[:sent]
                left -= sent

    def _flush_now(self) -> bool:
        """Write out what is taken at once; is there something that has to wait?"""
        if not self._flushing.acquire(blocking=False):  # whoever has it writes
            return False
        try:
            left = len(self._output)
            while left > 0 and self._output:
                sent = self._send(bytes(self._output[:left]))
                if not sent:
                    return True
                del self._output[:sent]
                left -= sent
            return False
        finally:
            self._flushing.release()

    def show(self, text: bytes) -> None:
        """Write text of our own among the guest's."""
        self._output += text
        self.flush()

    def _show_soon(self, text: bytes) -> None:
        """The same from the thread, which must not wait: its timer writes what is left."""
        self._output += text
        self._timer_runs = True
        self._flush_now()

    def _flush_late(self, *, timed_out: bool) -> bool:
        """The timer's part. A period with nothing to flush stops it, so that an idle guest costs nothing.

        Is there something that has to wait until somebody reads?
        """
        if self._output:
            return self._flush_now()
        if timed_out:
            self._timer_runs = False
            self._timer_runs = bool(self._output)  # written meanwhile, by a writer that saw the timer run
        return False

    def _send(self, data: bytes) -> int:
        """Bytes that need not be sent again; none where there is no room."""
        if self.output_error is not None:
            return len(data)
        try:
            sent = self._writer.try_write(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self.output_error = error
            self._on_output_lost()
            return len(data)
        if sent:
            self.is_at_line_start = data[sent - 1] == _NEWLINE
        return sent
