"""`--history`: a machine that keeps its states, for gdb, the monitor and scripts to go back to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.history.history import check_history

if TYPE_CHECKING:
    from contextlib import ExitStack

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.errors import ArmvcpuError
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class Keeping:
    """The tool."""

    def __init__(self, size: int) -> None:
        self._size = size

    def prepare(self, described: dict[str, Any]) -> None:
        """The guest's time is its instructions; UsageError where what comes from outside could not come again."""
        described.setdefault("clock", "instructions")
        others = {name: value for name, value in described.items() if name != "image"}
        check_history(MachineConfig.of(described.get("image"), **others))

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """From the first instruction on."""
        del console
        machine.keep_history(self._size)

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Nothing is left to be written."""
        del machine, outcome
        return []


def open_history(config: RunConfig, stack: ExitStack, patience: Patience) -> Keeping:
    """The tool of `--history`."""
    del stack, patience
    assert config.history is not None
    return Keeping(config.history)


def keep_for_gdb(machine: Machine) -> None:
    """Have gdb go back, where that needs no other run than the one that is asked for."""
    if machine.history is not None or not machine.repeats:
        return
    try:
        check_history(machine.config)
    except UsageError:
        return
    machine.keep_history()
