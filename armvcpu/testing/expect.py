"""Talking with a guest: pexpect's `expect` and `send` over a machine's console, in this process.

pexpect has what people know and what is easily got wrong (several patterns, what stands before and after a match,
TIMEOUT and EOF as patterns, search windows), and its `SpawnBase` takes any transport. Here reading is running the
guest: it runs while somebody waits for its words and stands still otherwise, so a guest can't run away from its test,
and what is typed waits in the console until the guest takes it, however fast it is typed.

A run ends at the end of a line, when the guest goes idle, at a character that the pattern ends in, and otherwise after
PATIENCE seconds with new output, for guests that print a prompt and poll; by the instruction clock after as many
instructions as that takes, so that the guest is found at the same place in every run.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Protocol

from pexpect import EOF, TIMEOUT
from pexpect.spawnbase import SpawnBase

from armvcpu.errors import UsageError, kind_in, seconds_in
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.outcome import Ending
from armvcpu.vcpu.timer import NS_PER_COUNT

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.outcome import Outcome

PATIENCE = 0.05
PATIENCE_INSTRUCTIONS = 25_000_000
TAIL = 2000
"""Characters of output that a failure shows."""
LAST_LINES = 8
"""Lines of output in the words of an exception."""
CONTROLS = "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_?"
"""What gives a control character with Ctrl: its place here, but DEL for the last."""
WAITED = "somebody waits for the console"
TIMER_HZ = 1_000_000_000 // NS_PER_COUNT
"""CNTFRQ_EL0."""
_FOREVER = 1e9


class NotPrintedError(TIMEOUT, AssertionError):  # type: ignore[misc]
    """The guest did not print in time what a test waits for. pexpect's TIMEOUT, in words about the guest."""


class GuestEndedError(EOF, AssertionError):  # type: ignore[misc]
    """The guest ended before it printed what a test waits for. pexpect's EOF, in words about the guest."""


class ExpectConsole(MemoryConsole):
    """A console that ends the run when there is something to look at."""

    def __init__(self) -> None:
        super().__init__()
        self._stop: Callable[[], None] | None = None
        self.stop_at = b"\n"
        """The characters at which the run ends, while somebody waits."""
        self._seen = 0

    def begin_wait(self, stop: Callable[[], None]) -> None:
        """Somebody waits for the guest's words: call `stop`, which ends the run, at `stop_at` and when it idles."""
        self._stop = stop

    def end_wait(self) -> None:
        """Nobody waits any more."""
        self._stop = None

    def write(self, byte: int) -> None:
        """A character of the guest's."""
        super().write(byte)
        if self._stop is not None and byte in self.stop_at:
            self._stop()

    def flush(self) -> None:
        """The guest goes idle: whatever it has printed is all there will be for now."""
        if self._stop is not None and len(self.output) > self._seen:
            self._stop()

    def new_output(self) -> bytes:
        """What was printed since the last call."""
        data = bytes(self.output[self._seen :])
        self._seen += len(data)
        return data

    @property
    def has_new(self) -> bool:
        """Is there any?"""
        return len(self.output) > self._seen


class Runnable(Protocol):
    """What is talked with."""

    def run(self, timeout: float | None = None, max_instructions: int = 0) -> Outcome:
        """Run the guest."""

    @property
    def repeats(self) -> bool:
        """Is its time that of its instructions?"""

    def quit(self, reason: str) -> None:
        """End the run."""

    def guest_seconds(self) -> float:
        """The guest's own time."""

    @property
    def is_running(self) -> bool:
        """Is a run at work?"""


class Conversation(SpawnBase):  # type: ignore[misc]
    """`expect`, `expect_exact`, `send`, `sendline` and pexpect's other methods, for the guest on `console`."""

    def __init__(self, machine: Runnable, console: ExpectConsole, timeout: float = 30) -> None:
        super().__init__(timeout=timeout, encoding="utf-8", codec_errors="replace")
        self.delayafterread = None  # nothing is gained by sleeping: the guest runs in this very thread
        self._machine, self._console = machine, console
        self.outcome: Outcome | None = None
        """How the guest ended, once it has."""
        self.linesep = "\r"

    def start_over(self) -> None:
        """What has been said is past: the guest has returned to another state, in which it has not ended."""
        self.outcome = None
        self.before = self.after = self.match = None
        self.buffer = ""
        self._before = self.buffer_type()
        self._decoder.reset()

    # --- pexpect's transport

    def read_nonblocking(self, size: int = 1, timeout: float | None = None) -> str:
        """Run the guest until it has printed something; EOF where it has ended, TIMEOUT where it is silent."""
        del size
        if not self._console.has_new:
            if self.outcome is not None:
                raise EOF(f"the guest has ended: {self.outcome.reason}")
            self._run(time.monotonic() + (_FOREVER if timeout is None else timeout))
        data = self._console.new_output()
        if not data:
            return self.read_nonblocking(timeout=0) if self.outcome is not None else ""
        text: str = self._decoder.decode(data, final=False)
        self._log(text, "read")
        return text

    def _run(self, deadline: float) -> None:
        console, machine = self._console, self._machine
        console.begin_wait(self._stop)
        try:
            while not console.has_new:
                left = deadline - time.monotonic()
                if left <= 0 or self._guest_deadline <= machine.guest_seconds():
                    raise TIMEOUT("the guest said nothing that was waited for")
                if machine.repeats:
                    outcome = machine.run(timeout=left, max_instructions=PATIENCE_INSTRUCTIONS)
                else:
                    outcome = machine.run(timeout=min(left, PATIENCE))
                is_slice = outcome.ending is Ending.LIMIT and outcome.status == Ending.LIMIT.value
                if not is_slice and outcome.reason != WAITED:
                    self.outcome = outcome
                    return
        finally:
            console.end_wait()

    def _stop(self) -> None:
        if self._machine.is_running:  # a run that ends shows its output too
            self._machine.quit(WAITED)

    # --- what callers use

    _guest_deadline = float("inf")

    def expect_list(self, pattern_list: Any, timeout: Any = -1, searchwindowsize: int = -1, **kw: Any) -> int:
        """pexpect's, which `expect` calls too; `guest_timeout` is in seconds of the guest's own time."""
        __tracebackhide__ = True
        self._console.stop_at = b"\n"
        return self._waiting(super().expect_list, pattern_list, timeout, searchwindowsize, kw)

    def expect_exact(self, pattern_list: Any, timeout: Any = -1, searchwindowsize: int = -1, **kw: Any) -> int:
        """pexpect's: the strings as they stand, found as soon as their last character is printed."""
        __tracebackhide__ = True
        patterns = pattern_list if isinstance(pattern_list, list | tuple) else [pattern_list]
        last = {pattern.encode()[-1] for pattern in patterns if isinstance(pattern, str) and pattern}
        self._console.stop_at = bytes(last | {ord("\n")})
        return self._waiting(super().expect_exact, pattern_list, timeout, searchwindowsize, kw)

    def compile_pattern_list(self, patterns: Any) -> list[Any]:
        """pexpect's; UsageError for what is no regular expression."""
        __tracebackhide__ = True
        try:
            compiled: list[Any] = super().compile_pattern_list(patterns)
        except (re.error, RecursionError, OverflowError) as error:
            shown = getattr(error, "pattern", patterns)
            raise UsageError(f"expect: {shown!r:.60} is no regular expression: {error}") from error
        return compiled

    def expect(self, pattern: Any, timeout: Any = -1, searchwindowsize: int = -1, **kw: Any) -> int:
        """pexpect's: one regular expression or several, TIMEOUT and EOF among them; the index of what was found."""
        __tracebackhide__ = True
        return self.expect_list(self.compile_pattern_list(pattern), timeout, searchwindowsize, **kw)

    def _waiting(self, call: Any, patterns: Any, timeout: Any, window: int, kw: dict[str, Any]) -> int:
        __tracebackhide__ = True
        guest = kw.pop("guest_timeout", None)
        if guest is not None:
            self._guest_deadline = self._machine.guest_seconds() + seconds_in("guest_timeout", guest)
        try:
            found: int = call(patterns, timeout, window, **kw)
        except EOF:
            assert self.outcome is not None
            raise GuestEndedError(
                f"the guest has ended before it printed {_shown(patterns)}: {self.outcome.reason}\n{self}"
            ) from None
        except TIMEOUT:
            seconds = self.timeout if timeout == -1 else timeout
            limits = [] if seconds is None else [f"{seconds:.3g} s"]
            limits += [] if guest is None else [f"{guest:.3g} s of its own time"]
            within = " or ".join(limits)
            raise NotPrintedError(f"the guest did not print {_shown(patterns)} within {within}\n{self}") from None
        finally:
            self._guest_deadline = float("inf")
        return found

    def send(self, text: str | bytes) -> int:
        """Type; nothing is lost, however much it is. The number of bytes."""
        if not isinstance(text, str | bytes):
            raise UsageError(f"{text!r} can't be typed: give text or bytes")
        data = text.encode() if isinstance(text, str) else text
        self._log(text if isinstance(text, str) else text.decode(errors="replace"), "send")
        self._console.feed(data)
        return len(data)

    def sendline(self, text: str = "") -> int:
        """Type a line and Return."""
        kind_in("a line", text, str)
        return self.send(text + self.linesep)

    def sendcontrol(self, letter: str) -> int:
        """Type Ctrl and one of CONTROLS, letters in any case."""
        key = str(letter).upper()
        if len(key) != 1 or key not in CONTROLS:
            raise UsageError(f"there is no Ctrl-{letter}: give one of {CONTROLS}")
        return self.send(bytes([CONTROLS.index(key) if key != "?" else 0x7F]))

    def ask(self, command: str, prompt: str, timeout: Any = -1) -> str:
        """Type a command and return what it printed before the next prompt, without its echo."""
        __tracebackhide__ = True
        self.sendline(command)
        echo = command.split("\n", maxsplit=1)[0]
        end = echo[-40:]  # a line editor may scroll the beginning of a long one, and draw it anew
        self.expect_exact(end if echo.index(end) + len(end) == len(echo) else echo, timeout)
        self.expect_exact(prompt, timeout)
        return str(self.before).replace("\r", "").strip("\n")

    def tail(self) -> str:
        """The last of what the guest printed."""
        return self._console.output[-TAIL:].decode(errors="replace").replace("\r", "")

    def __str__(self) -> str:
        end = "it still runs" if self.outcome is None else f"it has ended: {self.outcome.reason}"
        last = self.tail().splitlines()[-LAST_LINES:]
        return "\n".join(["the console's last lines:", *(f"  | {line}" for line in last), f"--- {end}"])


def _shown(patterns: Any) -> str:
    """What was waited for, as the test wrote it."""
    several = patterns if isinstance(patterns, list | tuple) else [patterns]
    words = [
        repr(each) if isinstance(each, str) else repr(each.pattern) for each in several if not isinstance(each, type)
    ]
    return " or ".join(words) or "anything"


__all__ = ["EOF", "TIMEOUT", "Conversation", "ExpectConsole", "GuestEndedError", "NotPrintedError"]
