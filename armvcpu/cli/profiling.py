"""`--profile`: a profile of a run, written when it is over, and its summary on stderr."""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from armvcpu.debug.profile.write import encoded, format_of
from armvcpu.errors import ArmvcpuError, UsageError, named, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.debug.profile.profile import Profile
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class Profiling:
    """The profile of one run, for `file`, which was opened at `path`; `stack` is what the run holds."""

    def __init__(self, path: str, file: IO[bytes], interval: int, stack: ExitStack, patience: Patience) -> None:
        self._path, self._file, self._interval, self._patience = path, file, interval, patience
        self._stack, self._running = stack, ExitStack()
        self._profile: Profile | None = None

    def prepare(self, described: dict[str, Any]) -> None:
        """Any machine will do."""

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Begin."""
        del console
        self._stack.enter_context(self._running)  # it ends before the machine is closed
        self._profile = self._running.enter_context(machine.profile(self._interval))

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Write it, and say where the time went."""
        del machine, outcome
        self._running.close()
        profile = self._profile
        assert profile is not None
        sys.stderr.write(f"armvcpu: {profile.summary()}\n")
        try:
            with _explained(self._path), self._patience.waiting():
                self._file.write(encoded(profile, self._path))
                self._file.close()
        except ArmvcpuError as problem:
            return [problem]
        return []

    def facts(self) -> dict[str, Any]:
        """For --json."""
        return {} if self._profile is None else {"profile": self._profile.summary().as_dict()}


def open_profile(config: RunConfig, stack: ExitStack, patience: Patience) -> Profiling | None:
    """UsageError where the file's name says no format, or it can't be written; None: the page alone has it."""
    path = config.profile
    if path is None:
        if config.report is None:
            raise UsageError(f"{named('profile_interval')} is for {named('profile')} or {named('report')}")
        return None
    format_of(path)
    with _explained(path), patience.waiting():  # a FIFO is opened once it has a reader
        file = open(path, "wb")  # noqa: SIM115  held until the run is over
    stack.callback(partial(_close, file))
    return Profiling(path, file, config.profile_interval, stack, patience)


def _close(file: IO[bytes]) -> None:
    file.close()


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """UsageError for what the host refuses: a directory that is not there, a full disk."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise UsageError(f"--profile file {path}: {words_of(error)}; name another") from error
