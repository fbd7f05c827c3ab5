"""`--script`: loads scripts into the machine of a run."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from armvcpu.debug.scripts.script import compiled
from armvcpu.debug.scripts.scripts import Scripts
from armvcpu.errors import UsageError, named

if TYPE_CHECKING:
    from contextlib import ExitStack

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.errors import ArmvcpuError
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class Scripting:
    """The scripts of a run; each file is loaded anew when it changes."""

    def __init__(self, paths: tuple[str, ...], stack: ExitStack, patience: Patience, *, goes_on: bool) -> None:
        self._paths, self._stack, self._patience, self._goes_on = paths, stack, patience, goes_on
        self._scripts: Scripts | None = None

    def prepare(self, described: dict[str, Any]) -> None:
        """Scripts need nothing of the machine."""

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Load them; what they print comes where the guest's own lines do."""
        del console
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)
        with self._patience.waiting():  # nobody knows what a script does
            self._scripts = scripts = Scripts(machine, *self._paths, goes_on=self._goes_on)
            self._stack.callback(scripts.remove)
            scripts.watch()
            scripts.start()

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Tell them how it ended."""
        assert self._scripts is not None
        return self._scripts.end(outcome)


def open_scripts(config: RunConfig, stack: ExitStack, patience: Patience) -> Scripting:
    """UsageError for a file that can't be read or is no Python."""
    if not config.script:
        raise UsageError(f"{named('script_errors')} is for {named('script')}, which names the file to execute")
    for path in config.script:
        compiled(path)
    return Scripting(config.script, stack, patience, goes_on=config.script_errors == "continue")
