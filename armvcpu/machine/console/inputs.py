"""What a user types, on its way to the guest: as it comes, or at moments that can be kept and repeated.

By the instruction clock what a console has is admitted only where the run loop looks, between two blocks of the guest,
and the guest's devices take from what has been admitted. So a recording of (moment, bytes) is all that a repetition
needs.

A recording is a text file: a line of JSON that names the machine and the files it started from, one for each
input, and one for how the run ended. Moments are ns of the machine's clock.
"""

from __future__ import annotations

import os

from armvcpu.arch.static import TYPE_CHECKING, Any, Protocol
from armvcpu.devices.deadline import NEVER
from armvcpu.errors import ImageError, UsageError, described, named
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.files import sha256
from armvcpu.machine.kinds import FILE
from armvcpu.machine.outcome import Ending, Outcome

if TYPE_CHECKING:
    from armvcpu.machine.board.clock import Clock
    from armvcpu.machine.console.output_file import OutputFile
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.port import Console
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.option import Option

VERSION = 1
_KIND = "armvcpu recording"
_ADMITTED_AT_ONCE = 1 << 20
_LARGEST_RECORDING = 256 << 20
"""Bytes: of somebody's typing all that a life has, of a program's input a few hundred MiB."""


class Input(Protocol):
    """Where the guest's devices get their input from."""

    def begin(self) -> None:
        """The machine is complete: a recording begins."""

    def take(self, limit: int) -> bytes:
        """At most `limit` bytes; none where none waits."""

    def put_back(self, data: bytes) -> None:
        """Return what the guest had no room for; the next `take` gives it first."""

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

    deadline, end, comes_in_host_time, is_recorded = NEVER, None, True, False

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
    """A console whose input is let in between two blocks, and recorded."""

    def __init__(
        self, console: Console, clock: Clock, patience: Patience, path: PathLike | None = None,
        header: dict[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._console, self._clock, self._patience, self._path, self._header = console, clock, patience, path, header
        self._record: OutputFile | None = None
        self._admitted = bytearray()
        self._ended = False
        self.end: Outcome | None = None

    def begin(self) -> None:
        """Start the recording, where there is to be one; ImageError where the host can't."""
        if self._path is None:
            return
        import json

        from armvcpu.machine.console.output_file import OutputFile

        self._record = OutputFile(self._path, self._patience, self._unwritable, "ascii")
        self._record.write(json.dumps(self._header) + "\n", at_once=True)
        self._record.check()

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
        """A user types when they like."""
        return NEVER

    @property
    def comes_in_host_time(self) -> bool:
        """As the console says."""
        return self._console.is_live

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
        ended = self._console.ended
        data = _taken(self._console, _ADMITTED_AT_ONCE)
        if data:
            self._admitted += data
            self._write(input=data.decode("latin-1"))
        if ended and not self._ended and len(data) < _ADMITTED_AT_ONCE:
            self._ended = True
            self._write(input="")
        return len(data) == _ADMITTED_AT_ONCE

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
        self, console: Console, clock: Clock, patience: Patience, path: PathLike, header: dict[str, Any]
    ) -> None:
        super().__init__(console, clock, patience)
        self._events = _read(path, header)

    @property
    def comes_in_host_time(self) -> bool:
        """All of it is there."""
        return False

    @property
    def ended(self) -> bool:
        """Is no event left?"""
        return not self._events

    @property
    def deadline(self) -> int:
        """The moment of the next event."""
        return self._events[0][0] if self._events else NEVER

    def admit(self) -> bool:
        """All whose moment has come."""
        self._console.take(_ADMITTED_AT_ONCE)
        while self._events and self._events[0][0] <= self._clock.ns():
            _, what = self._events.pop(0)
            if isinstance(what, Outcome):
                self.end = what
            else:
                self._admitted += what
        return False


def open_input(config: MachineConfig, console: Console, clock: Clock, patience: Patience) -> Input:
    """The input that a machine is configured to have; ImageError where a recording can't be used."""
    if config.clock == "host":
        return HostInput(console)
    if config.replay is not None:
        return ReplayedInput(console, clock, patience, config.replay, _header(config))
    header = None if config.record is None else _header(config)
    return AdmittedInput(console, clock, patience, config.record, header)


def _header(config: MachineConfig) -> dict[str, Any]:
    """What a recording and a machine must have in common."""
    recorded = [option for option in MachineConfig.options.values() if option.is_recorded]
    return {_KIND: VERSION, **{option.name: _common(option, getattr(config, option.name)) for option in recorded}}


def _common(option: Option, value: Any) -> Any:
    """A value, of files the sums of their contents."""
    if option.kind is not FILE:
        return list(value) if option.is_several else value
    return [_digest_of_one(option, each) for each in value] if option.is_several else _digest(value)


def _digest_of_one(option: Option, value: PathLike) -> str | None:
    before, path, behind = option.file_of(value)
    digest = _digest(path) if path else ""
    if digest is not None and option.recorded_part is not None:
        return digest + option.recorded_part(behind)
    return digest if digest is None or not option.is_recorded_whole else before + digest + behind


def _digest(path: PathLike | None) -> str | None:
    if path is None or not os.path.isfile(path):
        return None
    return sha256(path)


def _read(path: PathLike, wanted: dict[str, Any]) -> list[tuple[int, bytes | Outcome]]:
    import json
    from io import BytesIO

    from armvcpu.machine.boot.image_file import read_file

    remedy = f"record it anew with {named('record')}"
    lines = BytesIO(read_file(path, _LARGEST_RECORDING, "a recording may be", may_be_empty=True))
    events: list[tuple[int, bytes | Outcome]] = []
    number = 1
    try:
        header = json.loads(next(lines).decode("ascii"))
        if header[_KIND] != VERSION:
            raise ImageError(path, f"is a recording of version {header[_KIND]}, not {VERSION}", remedy)
        for number, line in enumerate(lines, 2):  # noqa: B007  the handler tells it
            events.append(_event(json.loads(line.decode("ascii")), events[-1][0] if events else 0))
    except (AttributeError, KeyError, StopIteration, RecursionError, TypeError, ValueError) as error:
        what = "is no recording" if number == 1 else f"line {number}: is damaged"
        raise ImageError(path, what, remedy) from error
    files = {option.name for option in MachineConfig.options.values() if option.kind is FILE}
    for name, here in wanted.items():
        there = header.get(name)
        if there != here:
            differs = "is not the same" if name in files else f"is {there}, here it is {here}"
            raise ImageError(
                path, f"is a recording of another machine: its {name} {differs}",
                "start with the same options and unchanged files",
            )  # fmt: skip
    return events


def _event(row: dict[str, Any], earliest: int) -> tuple[int, bytes | Outcome]:
    moment = row["at"]
    if type(moment) is not int or moment < earliest:
        raise ValueError(moment)
    if "end" in row:
        ending, reason, status = row["end"]
        if type(status) is not int or not 0 <= status < 256:
            raise ValueError(status)
        return moment, Outcome(Ending[ending], str(reason), status)
    return moment, row["input"].encode("latin-1")
