"""Failures of pytest's tests beside their lines on GitHub and in GitLab, with what each machine has to say.

This is for `--armvcpu-annotate`, and is loaded only then. With pytest-xdist a test's process finds what there is to
tell, and the one that prints tells it; with pytest-rerunfailures a test that passes at last is told as flaky.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from armvcpu.testing.suite.annotations import Annotation, Annotations, in_repository, message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.testing.target.target import Target

FLAG = "--armvcpu-annotate"
_TOLD = "armvcpu_annotation"
"""Of a report: what there is to tell, as JSON can have it, which is what goes from process to process."""


class Annotating:
    """pytest's hooks for it, with what finds the machines of a test; UsageError for what is no kind of annotation."""

    def __init__(self, kinds: list[str], used_targets: Callable[[pytest.Item], list[Target]]) -> None:
        self._used_targets = used_targets
        self._lines: list[str] = []
        self._annotations = Annotations(kinds, self._lines.append, FLAG)
        self._found: list[Annotation] = []
        self._earlier: dict[str, list[Annotation]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Note what there is to tell of a test while it has its machines."""
        report: pytest.TestReport = yield
        if report.failed and call.excinfo is not None:
            setattr(report, _TOLD, list(_annotation(item, call.excinfo, self._used_targets(item))))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has ended, or is to be run again."""
        told: list[Any] | None = getattr(report, _TOLD, None)
        outcome: str = report.outcome  # pytest-rerunfailures has one more
        if told is not None and outcome == "failed":
            self._found.append(Annotation(*told))
        elif told is not None and outcome == "rerun":
            self._earlier.setdefault(report.nodeid, []).append(Annotation(*told))
        elif (report.when, outcome) == ("call", "passed"):
            self._found += _flaky(self._earlier.pop(report.nodeid, []))

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """At the end, where nothing else is on a line."""
        self._annotations.add(self._found)
        for line in self._lines:
            terminalreporter.write_line(line)


def _annotation(item: pytest.Item, error: pytest.ExceptionInfo[BaseException], targets: list[Target]) -> Annotation:
    """Of a failed test, at the line of its file where it failed; else where it begins."""
    from armvcpu.testing.failure import look_at  # which a test with machines has

    lines, console = [error.exconly().splitlines()[0]], ""
    for target in targets:
        failure = look_at(target)
        lines += [failure.hint, failure.place]
        console = console or failure.console
    inside = [entry.lineno for entry in error.traceback if Path(entry.path) == item.path]
    line = inside[-1] if inside else item.location[1] or 0
    title = f"{item.name} failed"
    return Annotation("error", in_repository(item.path), line + 1, title, message_of(*lines, console=console))


def _flaky(earlier: list[Annotation]) -> Iterator[Annotation]:
    """A test that passed at last, with what its attempts failed by."""
    if earlier:
        attempts = [f"attempt {number}: {each.message.splitlines()[0]}" for number, each in enumerate(earlier, 1)]
        title = earlier[0].title.removesuffix("failed") + "is flaky"
        yield earlier[0]._replace(level="warning", title=title, message="\n".join(attempts))
