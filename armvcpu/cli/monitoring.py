"""`--monitor unix:PATH`: a run with a monitor at a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.debug.monitor.server import MonitorServer
from armvcpu.errors import ArmvcpuError, UsageError

if TYPE_CHECKING:
    from contextlib import ExitStack

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome

_UNIX = "unix:"


class MonitorSocket:
    """The monitor at a socket: a tool of `run`."""

    def __init__(self, server: MonitorServer) -> None:
        self._server = server

    def prepare(self, described: dict[str, Any]) -> None:
        """It needs nothing."""

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Answer from now on."""
        del console
        self._server.start(machine.monitor.desk, machine.monitor.complete)

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Nobody is answered any more."""
        del outcome
        machine.monitor.desk.close()
        self._server.close()
        return []


def open_socket(config: RunConfig, stack: ExitStack, patience: Patience) -> MonitorSocket:
    """Listen; UsageError where that can't be."""
    del patience
    where = config.monitor or ""
    path = where.removeprefix(_UNIX)
    if path == where or not path:
        raise UsageError(f"--monitor {where}: give unix:PATH, a path on the host for the socket")
    server = MonitorServer(path)
    stack.callback(server.close)
    return MonitorSocket(server)
