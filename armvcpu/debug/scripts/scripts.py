"""All scripts of one machine: loaded before it runs, loaded anew when their files change, told of the run's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.scripts.failures import MISTAKES, Failures, to_stderr
from armvcpu.debug.scripts.script import Script
from armvcpu.debug.scripts.site import Shared
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.scripts.changes import Changes
    from armvcpu.errors import ArmvcpuError
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class Scripts:
    """The scripts at some paths. `goes_on`: a mistake in one of their functions does not end the run.

    `write` gets tracebacks and what there is to say of reloading.

    Raises:
        UsageError: one can't be loaded.
    """

    def __init__(
        self, machine: Machine, *paths: PathLike, goes_on: bool = False, write: Callable[[str], object] = to_stderr
    ) -> None:
        self._machine, self._write = machine, write
        self.failures = Failures(machine, write, goes_on=goes_on)
        self._shared = Shared(machine, self.failures)
        self._scripts = [Script(path, self._shared, write) for path in paths]
        self._changes: Changes | None = None
        try:
            for script in self._scripts:
                script.load()
        except BaseException:
            self.remove()
            raise

    def start(self) -> None:
        """The guest is about to begin: call what is to be called then.

        UsageError where one of those fails, with its traceback told.
        """
        for script in self._scripts:
            self._start(script)

    def _start(self, script: Script) -> None:
        for call in script.site.starts:
            try:
                call()
            except MISTAKES as error:
                self.failures.between(error)

    def watch(self) -> None:
        """From now on a script whose file changes is loaded anew, between two instructions of the guest.

        It ends with `remove()`, or when the machine is closed.
        """
        from armvcpu.debug.scripts.changes import Changes  # who loads a script in Python rarely changes it

        self._changes = Changes([script.path for script in self._scripts], self._machine.parts.attention.call)
        self._machine.parts.attention.others.append(self._reload)
        self._machine.parts.held.callback(self._watch_no_more)

    def _watch_no_more(self) -> None:
        if self._changes is not None:
            self._changes.close()
            self._machine.parts.attention.others.remove(self._reload)
            self._changes = None

    def _reload(self) -> None:
        changed = set() if self._changes is None else self._changes.take()
        for script in self._scripts:
            if script.path in changed:
                self.reload(script)

    def reload(self, script: Script) -> None:
        """Load one anew; where that can't be, it is told, and the old one stays."""
        try:
            script.load()
        except UsageError as mistake:
            self._write(f"armvcpu: {mistake}; the script stays as it was\n")
            return
        self._write(f"armvcpu: {script.name} has changed and is loaded anew\n")
        self._start(script)

    def end(self, outcome: Outcome) -> list[ArmvcpuError]:
        """The run has ended so; the mistakes that this has led to."""
        failed = [error for script in self._scripts for call in script.site.ends if (error := call(outcome))]
        self.failures.tell_rest()
        return failed

    def remove(self) -> None:
        """Nothing of the scripts is called any more."""
        self._watch_no_more()
        for script in self._scripts:
            script.remove()
