"""`--armvcpu-report`: a page about a session of pytest, of all its tests and of what their machines did.

This is loaded only where a page is wanted. With pytest-xdist a test's process finds what there is to tell, as JSON,
which is what goes from process to process, and the one that prints makes the page; with pytest-rerunfailures a test
that passes at last is told as flaky.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from armvcpu.debug.page.covered import coverage_facts
from armvcpu.debug.page.page import Entry, check_needs, render
from armvcpu.errors import UsageError
from armvcpu.testing.suite.reports import can_be_written, write_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from armvcpu.testing.looking import Looker
    from armvcpu.testing.target.target import Target

FLAG = "--armvcpu-report"
_FACTS = "armvcpu_machines"
"""Of a report: what a test's machines did, as a list in JSON."""
_OURS = re.compile(r"^-+ armvcpu\b.* -+$", re.MULTILINE)
"""The heading of what the plugin puts into a failure's text; a page has it in another form."""


class Reporting:
    """pytest's hooks for it; UsageError where the page can't be made, or not be there."""

    def __init__(self, path: Path, config: pytest.Config, used_targets: Callable[[pytest.Item], list[Target]]) -> None:
        check_needs(FLAG)
        if not can_be_written(path):
            raise UsageError(f"{FLAG} {path}: give a file in a directory that can be written")
        self._path, self._used_targets = path.absolute(), used_targets
        self._is_worker = hasattr(config, "workerinput")
        self._lookers: dict[int, Looker] = {}
        """Who hears each machine that is open, by the machine's id."""
        self._entries: dict[str, Entry] = {}
        self._earlier: dict[str, list[str]] = {}
        self._said = ""

    def look_at(self, target: Target) -> None:
        """A machine has been made."""
        from armvcpu.testing.looking import Looker  # when a test has a machine

        self._lookers[id(target)] = Looker(target, profiled=False)

    # --- in the process that runs a test

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """What machines that tests share did before is another test's; its fixtures come after this."""
        self._lookers = {key: looker for key, looker in self._lookers.items() if not looker.is_over}
        for looker in self._lookers.values():
            looker.forget()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Find what there is to tell of a test while it has its machines."""
        report: pytest.TestReport = yield
        if call.when == "call" or (call.when == "setup" and report.failed):
            lookers = [self._lookers[id(target)] for target in self._used_targets(item) if id(target) in self._lookers]
            setattr(report, _FACTS, json.dumps([looker.facts(failed=report.failed) for looker in lookers]))
        return report

    # --- in the process that prints

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test has ended."""
        if self._is_worker:
            return
        outcome: str = report.outcome  # pytest-rerunfailures has one more
        if outcome == "rerun":
            self._earlier.setdefault(report.nodeid, []).append(_last_line(report.longreprtext))
        elif report.when == "call" or outcome != "passed":
            self._note(report, outcome)

    def _note(self, report: pytest.TestReport, outcome: str) -> None:
        before = self._entries.get(report.nodeid)
        machines = json.loads(getattr(report, _FACTS, "[]")) or ([] if before is None else before["machines"])
        earlier = self._earlier.get(report.nodeid, [])
        words, text = "", report.longreprtext if outcome == "failed" else ""
        if machines:
            text = _OURS.split(text, maxsplit=1)[0]
        if outcome == "failed":
            words = _last_line(getattr(getattr(report.longrepr, "reprcrash", None), "message", "") or text)
        elif outcome == "skipped":
            words = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        elif earlier:
            outcome, words = "flaky", "; ".join(f"attempt {n}: {each}" for n, each in enumerate(earlier, 1))
        seconds = report.duration + (0 if before is None else before["seconds"])
        self._entries[report.nodeid] = Entry(
            name=report.nodeid, verdict=outcome, words=words, seconds=seconds, text=text, machines=machines
        )

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make the page; where the host refuses, say so in a line, and end with a status that is not success."""
        if self._is_worker or session.config.option.collectonly:
            return
        covering = session.config.pluginmanager.get_plugin("armvcpu-coverage")
        coverage = None if covering is None else coverage_facts(covering.whole)
        title = f"pytest in {session.config.rootpath.name}"
        try:
            write_report(self._path, render(title, list(self._entries.values()), coverage))
            self._said = f"{FLAG}: {self._path}"
        except UsageError as error:
            self._said = f"{FLAG}: {error}"
            if session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
                session.exitstatus = pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Where the page is."""
        if self._said:
            terminalreporter.write_line(self._said)


def _last_line(text: str) -> str:
    """Of a failure: the first line of what was raised, which is the last of a traceback that has an E before it."""
    lines = [line for line in text.splitlines() if line.strip()]
    marked = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (marked or lines or [""])[0]
