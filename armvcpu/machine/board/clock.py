"""What time is for a machine: the host's, or how many instructions have been executed.

Both count nanoseconds. By instructions each takes NS_PER_INSTRUCTION, so the guest sees the same time at the same place
in every run, and waiting costs nothing: where all CPUs wait, time jumps to the next moment that somebody waits for.
"""

from __future__ import annotations

import os
import time

from armvcpu.arch.static import TYPE_CHECKING, Protocol
from armvcpu.devices.deadline import NEVER

if TYPE_CHECKING:
    from threading import Event

    from armvcpu.engine.api import Engine

NS_PER_INSTRUCTION = 4
"""A CPU of 250 MHz with one instruction a cycle: about what the engine does."""
EPOCH = 1_700_000_000
"""When a machine whose time is its instructions is switched on: Unix time, 2023-11-14 22:13:20 UTC."""
POLL_GAP_NS = 200 * NS_PER_INSTRUCTION
"""Two reads of a count at one place with no more between them are a loop that waits for time to pass."""
POLL_SHARE, MOST_POLL_NS = 8, 100_000
"""Each of its reads takes an eighth of what it has waited, up to 0.1 ms: so it may wait for seconds in no time."""
LONGEST_SLEEP_NS = 10**18
"""A longer one has no end."""


class Clock(Protocol):
    """The time of one machine."""

    repeats: bool
    """Is it the same in every run?"""
    began: int
    """When the machine was switched on, by `ns`."""
    idle_ns: int
    """How much of that time all CPUs have waited since this clock was made."""

    def attach(self, engine: Engine) -> None:
        """The machine's engine, once it is there."""

    def ns(self) -> int:
        """Nanoseconds since some moment; never goes back."""

    def busy_ns(self) -> int:
        """The same, without those in which the host did something else than this process."""

    def unix(self) -> float:
        """Seconds since 1970-01-01, UTC."""

    def random(self, size: int) -> bytes:
        """Bytes of an entropy source."""

    def note_read(self, pc: int) -> bool:
        """The guest reads the count: does time pass for it, beside that of its instructions?"""

    def set_deadline(self, moment: int) -> int:
        """Somebody waits for this moment: when the host is to stop the engine, ns of CLOCK_MONOTONIC."""

    def wait(self, moment: int, attention: Event, time_out: int, *, in_host_time: bool) -> None:
        """All CPUs wait for this moment, or for `attention`; until `time_out`, ns of CLOCK_MONOTONIC.

        `in_host_time`: somebody may want attention meanwhile, so that waiting is to take as long as it says.
        """

    def state(self) -> list[int]:
        """What a snapshot keeps, beside the count of instructions."""

    def load_state(self, state: list[int]) -> None:
        """Return to a state that `state()` gave."""


class HostClock:
    """The host's CLOCK_MONOTONIC and wall clock."""

    repeats = False
    ns = staticmethod(time.monotonic_ns)
    busy_ns = staticmethod(time.process_time_ns)  # not the thread's: the next run may be another's
    unix = staticmethod(time.time)
    random = staticmethod(os.urandom)

    def __init__(self) -> None:
        self.began = self.ns()
        self.idle_ns = 0

    def attach(self, engine: Engine) -> None:
        """The engine's own counts are this clock's."""

    def note_read(self, pc: int) -> bool:
        """It passes by itself."""
        del pc
        return False

    def set_deadline(self, moment: int) -> int:
        """At that very moment."""
        return moment

    def wait(self, moment: int, attention: Event, time_out: int, *, in_host_time: bool) -> None:
        """Sleep."""
        del in_host_time
        start = self.ns()
        _sleep(attention, min(moment, time_out) - start)
        self.idle_ns += self.ns() - start

    def state(self) -> list[int]:
        """Nothing: the host's time goes on."""
        return []

    def load_state(self, state: list[int]) -> None:
        """Nothing to return to."""


class InstructionClock:
    """Time by executed instructions: the same in every run. So is its entropy, which therefore is none."""

    repeats = True
    began = 0

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._skipped = self.idle_ns = 0
        self._drawn = 0
        self._poll_pc = self._poll_start = self._poll_last = 0
        self._deadline = NEVER

    def attach(self, engine: Engine) -> None:
        """Count the instructions of this engine."""
        self._engine = engine
        engine.count_instructions()

    @property
    def executed(self) -> int:
        """Instructions since power-on."""
        return 0 if self._engine is None else self._engine.instructions

    def ns(self) -> int:
        """Nanoseconds since power-on."""
        executed = 0 if self._engine is None else self._engine.instructions  # asked for at each look at a timer
        return executed * NS_PER_INSTRUCTION + self._skipped

    def busy_ns(self) -> int:
        """The same: it stands still while the host does something else."""
        return self.ns()

    def unix(self) -> float:
        """Seconds since 1970 by the date that the machine is switched on at."""
        return EPOCH + self.ns() / 1e9

    def random(self, size: int) -> bytes:
        """The next bytes of one fixed sequence: the SHA-256 of 0, 1, 2 and so on."""
        import hashlib  # the host's clock needs none

        data = bytearray()
        while len(data) < size:
            data += hashlib.sha256(self._drawn.to_bytes(8, "little")).digest()
            self._drawn += 1
        return bytes(data[:size])

    def note_read(self, pc: int) -> bool:
        """The guest reads the count: does time pass for it, beside that of its instructions?"""
        now, step = self.ns(), 0
        if pc == self._poll_pc and now - self._poll_last <= POLL_GAP_NS:
            step = max(0, min((now - self._poll_start) // POLL_SHARE, MOST_POLL_NS, self._deadline - now))
            self._skipped += step
        else:
            self._poll_pc, self._poll_start = pc, now
        self._poll_last = now + step
        return step > 0

    def set_deadline(self, moment: int) -> int:
        """The engine stops itself at the count at which the moment will have come; the host need not."""
        self._deadline = moment
        if self._engine is not None:
            never = moment >= NEVER
            self._engine.stop_at(None if never else max(0, -((self._skipped - moment) // NS_PER_INSTRUCTION)))
        return NEVER

    def wait(self, moment: int, attention: Event, time_out: int, *, in_host_time: bool) -> None:
        """Time jumps; where it must not, and without a moment, the host waits."""
        now, start = self.ns(), time.monotonic_ns()
        if moment >= NEVER or in_host_time:
            _sleep(attention, min(moment - now, time_out - start))
        if moment < NEVER:
            end = min(moment, now + time.monotonic_ns() - start) if in_host_time else moment
            waited = max(0, end - now)
            self._skipped += waited
            self.idle_ns += waited

    def state(self) -> list[int]:
        """What has passed without instructions, how much has been drawn, and where the guest waits."""
        return [self._skipped, self._drawn, self._poll_pc, self._poll_start, self._poll_last]

    def load_state(self, state: list[int]) -> None:
        """Return to a state that `state()` gave."""
        self._skipped, self._drawn, self._poll_pc, self._poll_start, self._poll_last = state


def _sleep(attention: Event, duration: int) -> None:
    """Until `attention`, or for so many ns."""
    attention.wait(None if duration > LONGEST_SLEEP_NS else max(0.0, duration / 1e9))
