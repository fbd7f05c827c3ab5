"""The process's standard input and output as a guest's console: a terminal, a pipe or a file."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading

from armvcpu.arch.static import TYPE_CHECKING, Self
from armvcpu.errors import UsageError, named
from armvcpu.machine.console.host_writer import reopened
from armvcpu.machine.console.output import FLUSH_AFTER_MS, BufferedOutput
from armvcpu.machine.console.patience import Patience
from armvcpu.machine.console.port import Listeners, nothing, take_from

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.machine.console.terminal import Escape, EscapeFilter, RawTerminal

INPUT_LIMIT = 64 << 10
"""Bytes of piped input that wait for the guest before reading pauses."""
LARGEST_INPUT = 64 << 20
"""Bytes of piped input that are read before the guest begins."""


class StdioConsole(BufferedOutput):
    """Standard input and output, between `start` and `close` (or as a context manager).

    A terminal is put in raw mode and Ctrl-A commands it; piped input reaches the guest byte for byte, and its end
    is not the end of the run. A thread reads, and flushes output that no newline flushes. The callbacks are called
    in that thread, but for `output_lost`, which comes in any. Start and close it in the main thread to have
    SIGTSTP and SIGCONT handled for a terminal; the other signals are the machine's.
    """

    def __init__(self, stdin: int = 0, stdout: int = 1, patience: Patience | None = None) -> None:
        """`patience`: the machine's that it is for, so that output that nobody reads can't keep a run from ending."""
        super().__init__(stdout, Patience() if patience is None else patience)
        self._on_input: Callable[[], None] = nothing
        self._on_quit: Callable[[], None] = nothing
        self._on_monitor: Callable[[], None] = nothing
        self._listeners = Listeners()
        self.eof = False
        self._input_limit = INPUT_LIMIT
        self._stdin = self._opened = stdin
        self._is_tty = os.isatty(stdin)
        self._terminal: RawTerminal | None = None
        self._filter: EscapeFilter | None = None
        if self._is_tty:
            from armvcpu.machine.console.terminal import EscapeFilter, RawTerminal

            self._terminal, self._filter = RawTerminal(stdin), EscapeFilter()
        self._input = bytearray()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._is_stuck = False  # does output wait that nobody reads?
        self._ended = threading.Event()
        self._is_wanted = self._is_lent = False
        """Is what is typed for the monitor, and has that the terminal?"""
        self._is_away = threading.Event()
        """Does the thread leave the terminal alone?"""
        self._ahead = bytearray()
        """What was typed for the monitor before it had the terminal, or at it for the guest."""
        self._undo = contextlib.ExitStack()

    @property
    def terminal_fd(self) -> int | None:
        """The terminal's descriptor; None where the input is none."""
        return self._stdin if self._is_tty else None

    @property
    def is_live(self) -> bool:
        """A terminal, or a pipe that has not ended."""
        return not self.eof

    @property
    def ended(self) -> bool:
        """Has the pipe ended, or the terminal hung up?"""
        return self.eof

    def call_on(
        self, *, quit: Callable[[], None] = nothing, monitor: Callable[[], None] = nothing,
        output_lost: Callable[[], None] = nothing,
    ) -> None:  # fmt: skip
        """Before `start`: what is called when the user gives a command.

        `output_lost`: once, when output can't be written any more, since the reader of a pipe has gone.
        """
        self._on_quit, self._on_monitor, self._on_output_lost = quit, monitor, output_lost

    def hear(self, listener: Callable[[int], object]) -> Callable[[], None]:
        """Call `listener` with each character of the guest's, beside those that hear it already; what ends that."""
        return self._listeners.add(listener)

    # --- the guest's side

    def call_on_input(self, callback: Callable[[], None] | None) -> None:
        """Call this in the console's thread when something has been typed, or the input has ended."""
        self._on_input = callback or nothing

    def write(self, byte: int) -> None:
        """One character from the guest."""
        super().write(byte)
        self._listeners.tell(byte)

    def take(self, limit: int) -> bytes:
        """At most `limit` bytes of input."""
        was_full = len(self._input) >= self._input_limit
        data = take_from(self._input, limit)
        if was_full and len(self._input) < self._input_limit:
            self._wake()
        return data

    def feed(self, data: bytes) -> None:
        """Type `data`, behind what has been typed; from any thread."""
        self._input += data
        self._on_input()

    def put_back(self, data: bytes) -> None:
        """Have `data` taken first."""
        self._input[:0] = data

    # --- life

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to read; set the callbacks before."""
        with self._undo:  # what is set up is taken down should a later step fail
            self._wake_in, self._wake_out = os.pipe()
            self._undo.callback(os.close, self._wake_in)
            self._undo.callback(os.close, self._wake_out)
            os.set_blocking(self._wake_in, False)
            os.set_blocking(self._wake_out, False)
            if self._terminal is not None:
                self._undo.enter_context(self._terminal)
                self._handle_job_control(self._terminal)
            thread = threading.Thread(target=self._serve, name="console", daemon=True)
            self._open_stdin()
            self._closing = self._timer_runs = self._is_stuck = False
            thread.start()
            self._thread = thread
            self._undo = self._undo.pop_all()

    def _open_stdin(self) -> None:
        """Where others read the same pipe or terminal, one of them may take what poll() has told us of: never wait."""
        with contextlib.suppress(OSError):  # closed: that is the end of the input
            own = reopened(self._opened, os.O_RDONLY)
            if own >= 0:
                self._stdin = own
                self._undo.callback(os.close, own)

    def _handle_job_control(self, terminal: RawTerminal) -> None:
        if threading.current_thread() is threading.main_thread():
            for number, handler in ((signal.SIGTSTP, terminal.suspend), (signal.SIGCONT, terminal.resume)):
                self._undo.callback(signal.signal, number, signal.signal(number, handler))

    def close(self) -> None:
        """Stop reading, write out what waits and restore the terminal; may be called twice."""
        if self._thread is None:
            return
        if self._terminal is not None:
            self._terminal.restore()
        self._closing = True
        self._wake()
        self._thread.join()
        self._thread, self._timer_runs = None, True
        self._undo.close()
        self._stdin = self._opened
        self.flush()
        self._writer.close()

    def read_to_end(self, patience: float) -> bool:
        """Read a pipe or file to its end first; False where that stays open and silent for `patience` seconds.

        Raises:
            UsageError: it has more than LARGEST_INPUT.
        """
        if self._is_tty:
            return False
        self._input_limit = LARGEST_INPUT + 1
        self._wake()
        size = -1
        while not self._ended.wait(patience) and len(self._input) > size:
            size = len(self._input)
        self._input_limit = INPUT_LIMIT
        if len(self._input) > LARGEST_INPUT:
            raise UsageError(
                f"the input is more than {LARGEST_INPUT >> 20} MiB, and by the instruction clock a run reads it to its "
                f"end before the guest begins; give less, for nothing `</dev/null`, or use {named('record')}"
            )
        return self.eof

    @contextlib.contextmanager
    def lent(self) -> Iterator[bytes]:
        """For a `with` block: the monitor has the terminal, which stays in raw mode, and the thread leaves it alone.

        Gives what was typed for it already.
        """
        self._is_wanted = self._is_lent = True
        self._wake()
        self._is_away.wait()
        self.flush()
        ahead, self._ahead = bytes(self._ahead), bytearray()
        try:
            yield ahead
        finally:
            self._is_away.clear()
            self._is_wanted = self._is_lent = False
            self._wake()

    def type_ahead(self, data: bytes) -> None:
        """While it is lent: what was typed at the monitor behind the line that has the guest go on."""
        self._ahead += data

    # --- the thread

    def _wake(self) -> None:
        if self._thread is not None:
            with contextlib.suppress(BlockingIOError):  # full: it will wake
                os.write(self._wake_out, b"\0")

    def _serve(self) -> None:
        # The kernel shall give signals to the main thread, which may wait where only a signal of its own ends it
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        while not self._closing:
            ready = self._wait()
            if self._wake_in in ready:
                os.read(self._wake_in, 4096)
            if self._ahead and not self._is_wanted:
                ahead, self._ahead = bytes(self._ahead), bytearray()
                self._take_in(ahead)
            if self._stdin in ready:
                self._read_input()
            if self._timer_runs and ready != {self._wake_in}:
                self._is_stuck = self._flush_late(timed_out=not ready)

    def _wait(self) -> set[int]:
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        # A user may always give a command; what is piped waits until the guest has read.
        if self._is_lent:
            self._is_away.set()
        elif not self.eof and (self._is_tty or len(self._input) < self._input_limit):
            poll.register(self._stdin, select.POLLIN)
        if self._is_stuck:  # nothing to do for the timer until somebody has read
            poll.register(self._writer.fileno(), select.POLLOUT)
        return {fd for fd, _ in poll.poll(FLUSH_AFTER_MS if self._timer_runs and not self._is_stuck else None)}

    def _read_input(self) -> None:
        try:
            data = os.read(self._stdin, INPUT_LIMIT)
        except BlockingIOError:
            return
        except OSError:  # closed, or the terminal hung up
            data = b""
        self.eof = not data
        if self.eof:
            self._ended.set()
        self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        arrived = False
        for part in (data,) if self._filter is None else self._filter.feed(data):
            if isinstance(part, bytes):
                into = self._ahead if self._is_wanted else self._input
                into += part
                arrived = arrived or bool(part)
            elif self._is_wanted and part.value != "x":  # who wants to leave need not wait for the monitor
                self._ahead += b"\x01" + part.value.encode()
            else:
                self._obey(part)
        if arrived or self.eof:
            self._on_input()

    def _obey(self, command: Escape) -> None:
        from armvcpu.machine.console.terminal import HELP, Escape

        match command:
            case Escape.QUIT:
                self._on_quit()
            case Escape.MONITOR:
                self._is_wanted = self._on_monitor is not nothing
                self._on_monitor()
            case Escape.HELP:
                self._show_soon(HELP)
