"""`--coverage`: counts what the guest executes, and writes that when the run is over."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from armvcpu.debug.coverage.coverage import LCOV, check_name
from armvcpu.debug.coverage.machine import Covering
from armvcpu.errors import ArmvcpuError, UsageError, named

if TYPE_CHECKING:
    from contextlib import ExitStack

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome


class CoverageTool:
    """Of one run."""

    def __init__(self, path: str, elf_files: tuple[str, ...]) -> None:
        self._path, self._elf_files = path, elf_files
        self._covering: Covering | None = None

    def prepare(self, described: dict[str, Any]) -> None:
        """A machine needs nothing for it."""

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Count from here on; UsageError where there would be no lines to tell of."""
        del console
        self._covering = covering = Covering(machine.parts, self._elf_files)
        if check_name(self._path) == LCOV:
            covering.coverage.check_lines()

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Write the file."""
        del machine, outcome
        assert self._covering is not None
        self._covering.end()
        try:
            self._covering.coverage.write(self._path)
        except ArmvcpuError as error:
            return [error]
        return []


def open_coverage(config: RunConfig, stack: ExitStack, patience: Patience) -> CoverageTool | None:
    """UsageError for a file that can't be made; None: the page alone has it."""
    del stack, patience
    if config.coverage is None:
        if config.report is None:
            raise UsageError(f"{named('coverage_elf')} is for {named('coverage')} or {named('report')}")
        return None
    check_name(config.coverage)
    directory = os.path.dirname(config.coverage) or "."
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK):
        raise UsageError(f"{named('coverage')} {config.coverage}: no file can be made in {directory}; name another")
    return CoverageTool(config.coverage, config.coverage_elf)
