"""Coverage of all machines of pytest's tests, in one file: `--armvcpu-coverage`, and loaded only then.

With pytest-xdist each test's process counts for itself, and the one that prints adds it all up and writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from armvcpu.debug.coverage.coverage import Coverage, check_name
from armvcpu.debug.coverage.machine import Covering
from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.testing.suite.reports import can_be_written

if TYPE_CHECKING:
    from pathlib import Path

    from armvcpu.machine.machine import Machine

FLAG = "--armvcpu-coverage"
_PACKED = "armvcpu_coverage"
"""Of what a process of pytest-xdist gives back."""


class CoveringTests:
    """pytest's hooks for it; UsageError for a file whose name says no format, or that can't be there."""

    def __init__(self, path: Path) -> None:
        try:
            check_name(path)
        except UsageError as error:
            raise UsageError(f"{FLAG}: {error}") from error
        if not can_be_written(path):
            raise UsageError(f"{FLAG} {path}: give a file in a directory that can be written")
        self._path, self._file = path, path.absolute()  # tests may go to another directory
        self.whole = Coverage()
        """What all of them have executed, once their machines are closed."""
        self._problems: list[str] = []
        self._lost = 0

    def cover(self, machine: Machine) -> None:
        """Count what a machine executes, until it is closed."""
        coverage = Covering(machine.parts).coverage
        machine.parts.held.callback(self.whole.add, coverage)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A process of pytest-xdist has ended, of itself or by a crash."""
        del error
        packed: bytes | None = getattr(node, "workeroutput", {}).get(_PACKED)
        if packed is None:
            self._lost += 1
        else:
            self.whole.unpack(packed)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Give it to the process that prints; or write it."""
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_PACKED] = self.whole.pack()
            return
        if self._lost:
            self._problems.append(f"{self._lost} processes were lost, with what their tests had executed")
        if session.config.option.collectonly:
            return
        if not self.whole.programs:
            self._problems.append(f"no test had a machine: {self._path} is not written")
            return
        try:
            self.whole.write(self._file)
        except ArmvcpuError as problem:
            self._problems.append(str(problem))
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """What could not be."""
        for problem in self._problems:
            terminalreporter.write_line(f"{FLAG}: {problem}")
