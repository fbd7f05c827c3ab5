"""What looks at a run: traces, and whatever else an option of `run` asks for. Each is a tool.

A run has none of them but those that it names, and imports nothing for the others. A tool is opened before the machine
is made, so that a mistake in what it is asked for comes before anything else happens; it is attached once there is a
machine, and finished when the run is over. The field `tool` of an option in RunConfig has the function that opens it,
with (config, stack, patience). A tool that has something to tell beside what it writes has a method `facts() -> dict`,
whose items are among those of --json.
"""

from __future__ import annotations

from importlib import import_module

from armvcpu.arch.static import TYPE_CHECKING, Any, Protocol
from armvcpu.cli.run_options import RunConfig

if TYPE_CHECKING:
    from contextlib import ExitStack

    from armvcpu.errors import ArmvcpuError
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class Tool(Protocol):
    """One thing that looks at a run."""

    def prepare(self, described: dict[str, Any]) -> None:
        """Before the machine is made: set what it needs among the machine's options, which are by their Python names.

        UsageError where it can't be had with what the user has asked for.
        """

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Before the run: have the machine tell what it is to hear."""

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """After the run: write what is left, and close; what could not be written."""


def open_tools(config: RunConfig, stack: ExitStack, patience: Patience) -> list[Tool]:
    """Those that a run asks for, in the options' order; what they hold is given back with `stack`.

    Raises:
        UsageError: one is asked for something that can't be, or its file can't be written.
    """
    options = RunConfig.options.items()
    wanted = (option.tool for name, option in options if option.tool and getattr(config, name) != option.default)
    tools: list[Tool] = []
    for tool in dict.fromkeys(wanted):  # several options may be one tool's
        module, _, function = tool.partition(":")
        opened = getattr(import_module(module), function)(config, stack, patience)
        if opened is not None:  # else the option is about what another tool does
            tools.append(opened)
    return tools
