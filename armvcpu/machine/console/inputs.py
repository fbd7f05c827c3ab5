"""What a user types, on its way to the guest: as it comes, or at moments that can be kept and repeated.

By the instruction clock what a console has is admitted only where the run loop looks, between two blocks of the guest,
and the guest's devices take from what has been admitted. So a recording of (moment, bytes) is all that a repetition
needs (`recording.py`).
"""

from __future__ import annotations

import os
from contextlib import suppress

from armvcpu.arch.static import TYPE_CHECKING, Any, Protocol
from armvcpu.devices.deadline import NEVER
from armvcpu.errors import ImageError, UsageError, described
from armvcpu.machine.board.clock import InstructionClock
from armvcpu.machine.outcome import Outcome

if TYPE_CHECKING:
    from armvcpu.machine.board.clock import Clock
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.console.output_file import OutputFile
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.port import Console
    from armvcpu.machine.console.recording import Event
    from armvcpu.machine.kinds import PathLike

_ADMITTED_AT_ONCE = 1 << 20


class Input(Protocol):
    """Where the guest's devices get their input from."""

    def begin(self) -> None:
        """The machine is complete: a recording begins."""

    def take(self, limit: int) -> bytes:
        """At most `limit` bytes; none where none waits."""

    def put_back(self, data: bytes) -> None:
        """Return what the guest had no room for; the next `take` gives it first."""

    @property
    def has_come(self) -> bool:
        """Does `admit` have something to let in? Where it is not known, it may."""

    def admit(self) -> bool:
        """Between two blocks of the guest: from now on it may have what has come. Is there more, for the next time?"""

    @property
    def ended(self) -> bool:
        """Is what `take` may still give all that will ever come?"""

    @property
    def deadline(self) -> int:
        """When the next input comes, ns of the machine's clock, where that is known."""

    @property
    def end(self) -> Outcome | None:
        """How the run is to end now."""

    @property
    def comes_in_host_time(self) -> bool:
        """May a user type at any moment? Then waiting takes as long as by the host's clock."""

    @property
    def is_recorded(self) -> bool:
        """Is what comes written to a file of the host's, which may keep the run waiting?"""

    def close(self, outcome: Outcome | None) -> None:
        """No more input. `outcome`: how the host ended the last run, None where the guest ended it."""


def _taken(console: Console, limit: int) -> bytes:
    data: object = console.take(limit)
    if not isinstance(data, bytes | bytearray):
        raise UsageError(f"a console's input, {described(console.take)}, gave {data!r}: return bytes, empty for none")
    return bytes(data)


class HostInput:
    """A console as it is."""

    deadline, end, comes_in_host_time, is_recorded, has_come = NEVER, None, True, False, True

    def __init__(self, console: Console) -> None:
        self._console = console
        self.put_back = console.put_back

    def take(self, limit: int) -> bytes:
        """As the console has it."""
        return _taken(self._console, limit)

    def begin(self) -> None:
        """Nothing is kept."""

    @property
    def ended(self) -> bool:
        """As the console says."""
        return self._console.ended

    def admit(self) -> bool:
        """There is nothing to keep in order."""
        return False

    def close(self, outcome: Outcome | None) -> None:
        """Nothing is kept."""


class AdmittedInput:
    """A console whose input is let in between two blocks, and recorded.

    What has been let in can come again: `keep` has it kept from then on, and a machine that has gone back gets it at
    its moments, until it is where it has been already (`go_back`). What a user types meanwhile waits.
    """

    def __init__(
        self, console: Console, clock: InstructionClock, patience: Patience, path: PathLike | None = None,
        header: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._console, self._clock, self._patience, self._path, self._header = console, clock, patience, path, header
        self._record: OutputFile | None = None
        self._admitted = bytearray()
        self._ended = self._is_kept = False
        self._events: list[Event] = []
        """Of those that are known, from `_next` on they are still to come."""
        self._next = self._live_from = 0
        self.end: Outcome | None = None

    def begin(self) -> None:
        """Start the recording, where there is to be one; ImageError, with no new file left, where the host can't."""
        if self._path is None:
            return
        import json

        from armvcpu.machine.console.output_file import OutputFile

        is_new = not os.path.lexists(self._path)
        record = OutputFile(self._path, self._patience, self._unwritable, "ascii")
        record.write(json.dumps(self._header) + "\n", at_once=True)
        try:
            record.check()
        except ImageError:
            if is_new:
                with suppress(OSError):
                    os.unlink(self._path)
            raise
        self._record = record

    def _unwritable(self, said: str) -> ImageError:
        return ImageError(self._path, f"cannot be written: {said}", "choose another place")

    @property
    def is_recorded(self) -> bool:
        """Is there a recording?"""
        return self._record is not None

    @property
    def ended(self) -> bool:
        """Has its end been admitted?"""
        return self._ended

    @property
    def deadline(self) -> int:
        """The moment of the next event that is known; a user types when they like."""
        return self._events[self._next][0] if self._next < len(self._events) else NEVER

    @property
    def _is_live(self) -> bool:
        """Does the guest get what the console has?"""
        return self._next == len(self._events) and self._clock.executed >= self._live_from

    @property
    def comes_in_host_time(self) -> bool:
        """As the console says."""
        return self._is_live and self._console.is_live

    @property
    def has_come(self) -> bool:
        """Has the console something, or has it ended?"""
        if not self._is_live:
            return self.deadline <= self._clock.ns()
        data = _taken(self._console, 1)
        self._console.put_back(data)
        return bool(data) or (self._console.ended and not self._ended)

    def take(self, limit: int) -> bytes:
        """The first of what has been admitted."""
        data = bytes(self._admitted[:limit])
        del self._admitted[:limit]
        return data

    def put_back(self, data: bytes) -> None:
        """Have it taken first."""
        self._admitted[:0] = data

    def admit(self) -> bool:
        """All that the console has, up to a MiB, and that no more will come: recorded as an input of nothing."""
        if not self._is_live:
            self._repeat()
            return self._is_live
        ended = self._console.ended
        data = _taken(self._console, _ADMITTED_AT_ONCE)
        if data:
            self._admitted += data
            self._note(data)
        if ended and not self._ended and len(data) < _ADMITTED_AT_ONCE:
            self._ended = True
            self._note(b"")
        return len(data) == _ADMITTED_AT_ONCE

    def _repeat(self) -> None:
        """All whose moment has come."""
        while self.deadline <= self._clock.ns():
            _, what = self._events[self._next]
            self._next += 1
            if isinstance(what, Outcome):
                self.end = what
            else:
                self._admitted += what
                self._ended = self._ended or not what

    def _note(self, data: bytes) -> None:
        if self._is_kept:
            self._events.append((self._clock.ns(), data))
            self._next = len(self._events)
        self._write(input=data.decode("latin-1"))

    # --- going back

    def keep(self) -> None:
        """From now on what is let in can come again."""
        self._is_kept = True

    def state(self) -> tuple[bytes, bool, int]:
        """What has been let in and not been taken, whether that is all, and which event comes next."""
        return bytes(self._admitted), self._ended, self._next

    def go_back(self, state: tuple[bytes, bool, int], live_from: int) -> None:
        """Return to a state that `state()` gave; until so many instructions have been executed all is as it was."""
        admitted, self._ended, self._next = state
        self._admitted[:] = admitted
        self._live_from, self.end = live_from, None

    def forget_future(self) -> None:
        """What is typed from now on comes at once."""
        del self._events[self._next :]
        self._live_from = 0

    def close(self, outcome: Outcome | None) -> None:
        """Record how it ended, and close the file; ImageError where something could not be written."""
        if outcome is not None:
            self._write(end=[outcome.ending.name, outcome.reason, outcome.status])
        record, self._record = self._record, None
        if record is not None:
            record.close()

    def _write(self, **what: Any) -> None:
        if self._record is not None:
            import json

            self._record.write(json.dumps({"at": self._clock.ns(), **what}) + "\n", at_once=True)


class ReplayedInput(AdmittedInput):
    """What a recording has, at its moments; what is typed meanwhile goes nowhere."""

    def __init__(
        self, console: Console, clock: InstructionClock, patience: Patience, path: PathLike, header: dict[str, Any]
    ) -> None:
        super().__init__(console, clock, patience)
        from armvcpu.machine.console.recording import read_recording

        self._events = read_recording(path, header)

    comes_in_host_time = False
    """All of it is there."""

    @property
    def ended(self) -> bool:
        """Is no event left?"""
        return self._next == len(self._events)

    @property
    def has_come(self) -> bool:
        """Has the moment of one?"""
        return self.deadline <= self._clock.ns()

    def admit(self) -> bool:
        """All whose moment has come."""
        self._console.take(_ADMITTED_AT_ONCE)
        self._repeat()
        return False

    def forget_future(self) -> None:
        """The recording's events are still to come."""


def open_input(config: MachineConfig, console: Console, clock: Clock, patience: Patience) -> Input:
    """The input that a machine is configured to have; ImageError where a recording can't be used."""
    if not isinstance(clock, InstructionClock):
        return HostInput(console)
    if config.replay is None and config.record is None:
        return AdmittedInput(console, clock, patience)
    from armvcpu.machine.console.recording import header_of  # most machines keep and repeat nothing

    if config.replay is not None:
        return ReplayedInput(console, clock, patience, config.replay, header_of(config))
    return AdmittedInput(console, clock, patience, config.record, header_of(config))
