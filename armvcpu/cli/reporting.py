"""`--report` of `run` and of `test`: who hears the machine, and the page at the end."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armvcpu.debug.coverage.machine import Covering
from armvcpu.debug.page.collector import RUN, Collector
from armvcpu.debug.page.covered import coverage_facts, has_readable_lines
from armvcpu.debug.page.ends import report_of, verdict_of
from armvcpu.debug.page.facts import gather
from armvcpu.debug.page.flame import flame_facts
from armvcpu.debug.page.page import Entry, check_needs, render
from armvcpu.debug.profile.names import IDLE
from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.testing.suite.reports import can_be_written, write_report
from armvcpu.testing.suite.reports import entry as entry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.cli.run_options import RunConfig
    from armvcpu.debug.coverage.coverage import Coverage
    from armvcpu.debug.page.covered import CoverageFacts
    from armvcpu.debug.profile.profile import Profile
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome
    from armvcpu.testing.suite.case import Verdict
    from armvcpu.testing.suite.suite import Suite

FLAG = "--report"


class RunReport:
    """The page of one run, as a tool (`looking.py`)."""

    def __init__(self, path: Path, config: RunConfig, stack: ExitStack) -> None:
        self._path, self._collector = path, Collector(RUN)
        self._elf_files, self._interval = config.coverage_elf, config.profile_interval
        self._running = stack.enter_context(ExitStack())
        self._covering: Covering | None = None
        self._profile: Profile | None = None

    def prepare(self, described: dict[str, Any]) -> None:
        """Nothing: every machine can be heard."""

    def attach(self, machine: Machine, console: StdioConsole) -> None:
        """Hear console and machine."""
        console.hear(self._collector.hear)
        self._collector.attach(machine.parts, machine.observe)
        if has_readable_lines(machine.parts, self._elf_files):
            self._covering = Covering(machine.parts, self._elf_files)
        self._profile = machine.current_profile or self._running.enter_context(machine.profile(self._interval))

    def finish(self, machine: Machine, outcome: Outcome) -> list[ArmvcpuError]:
        """Write the page."""
        assert self._profile is not None
        self._running.close()
        facts = gather(
            self._collector, machine.parts, machine.symbols, report_of(outcome),
            flame=flame_facts(self._profile.stacks(), IDLE),
            coverage=None if self._covering is None else coverage_facts(self._covering.coverage),
        )  # fmt: skip
        config = machine.config
        name = os.path.basename(os.fsdecode(config.image or config.firmware or "snapshot"))
        entry = Entry(
            name=name, verdict=verdict_of(outcome), words=outcome.reason, seconds=facts["seconds"], text="",
            machines=[facts],
        )  # fmt: skip
        return write_page(self._path, f"{name} on armvcpu", [entry])


def open_report(config: RunConfig, stack: ExitStack, patience: Patience) -> RunReport:
    """Before the run; UsageError where a page can't be made, or not be there."""
    del patience
    assert config.report is not None
    return RunReport(page_path(config.report), config, stack)


def page_path(text: str) -> Path:
    """Where a page is to be; UsageError where none can be, before anything runs."""
    check_needs(FLAG)
    path = Path(text)
    if not text or not can_be_written(path):
        raise UsageError(f"{FLAG} {text or repr(text)}: give a file in a directory that can be written")
    return path


def write_page(
    path: Path, title: str, entries: Sequence[Entry], coverage: CoverageFacts | None = None
) -> list[ArmvcpuError]:
    """Write it, in whole or not at all; what kept it from being written."""
    try:
        write_report(path, render(title, entries, coverage))
    except UsageError as error:
        return [error]
    return []


class SuiteReport:
    """The page of all suites that `armvcpu test` runs; complete after each of them."""

    def __init__(self, text: str) -> None:
        """UsageError where a page can't be made, or not be there."""
        self._path = page_path(text)
        self._names: list[str] = []
        self._entries: list[Entry] = []

    def asked_of(self, suites: Sequence[Suite]) -> list[Suite]:
        """The suites, whose tests are to say what their machines do."""
        self._names = [suite.name for suite in suites]
        return [
            replace(suite, cases=tuple(replace(case, is_reported=True) for case in suite.cases)) for suite in suites
        ]

    def add(self, suite: Suite, verdicts: Sequence[Verdict]) -> None:
        """A suite has been run; UsageError where the page can't be written."""
        self._entries += [entry_of(suite, verdict, with_suite=len(self._names) > 1) for verdict in verdicts]
        for problem in write_page(self._path, ", ".join(self._names), self._entries):
            raise problem

    def finish(self, coverage: Coverage | None) -> None:
        """All suites have been run, and this is what they have executed, if that is known; UsageError as `add`."""
        if coverage is None:
            return
        for problem in write_page(self._path, ", ".join(self._names), self._entries, coverage_facts(coverage)):
            raise problem
