"""`--gdb` and `--gdb-wait`: a machine that gdb connects to while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.cli.history import keep_for_gdb
from armvcpu.cli.standard import say
from armvcpu.debug.gdb.serving import open_listener
from armvcpu.errors import UsageError, named

if TYPE_CHECKING:
    from contextlib import ExitStack

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.debug.gdb.address import Listener
    from armvcpu.errors import ArmvcpuError
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class Gdb:
    """The tool: it listens before the machine is there, so that a port in use ends the command at once."""

    def __init__(self, listener: Listener, *, waits: bool) -> None:
        self._listener, self._waits = listener, waits

    def prepare(self, described: dict[str, Any]) -> None:
        """The machine is the same with it."""

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Have gdb come from now on."""
        del console
        keep_for_gdb(machine)
        server = machine.serve_gdb(self._listener, wait=self._waits, say=say)
        if self._waits:
            say(f"waits for gdb: target remote {server.address}")
        elif not self._listener.is_as_asked:
            say(f"gdb connects by: target remote {server.address}")

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Nothing is left to be written; the machine lets gdb go when it is closed."""
        del machine, outcome
        return []


def open_gdb(config: RunConfig, stack: ExitStack, patience: Patience) -> Gdb:
    """Listen; UsageError where that can't be, or gdb has no place to connect to."""
    del patience
    if config.gdb is None:
        raise UsageError(f"{named('gdb_wait')} waits for a gdb that could not connect: give {named('gdb')} PORT, too")
    listener = open_listener(config.gdb)
    stack.callback(listener.close)
    return Gdb(listener, waits=config.gdb_wait)
