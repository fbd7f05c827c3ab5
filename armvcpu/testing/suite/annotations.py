"""Failures shown beside the lines of a suite's file or of a test's, by GitHub and by GitLab.

GitHub reads workflow commands from a step's output (GitHub Actions, "Workflow commands": `::error file=,line=,title=`).
GitLab reads a file that a job names as its Code Quality report (GitLab, "Code Quality report format", which is a part
of Code Climate's): it shows that in the merge request, and beside the lines of its changes. Its list of tests is from
JUnit XML, which `--junit-xml` writes.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.errors import UsageError
from armvcpu.testing.suite.reports import can_be_written, last_lines, write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from armvcpu.testing.suite.case import Verdict
    from armvcpu.testing.suite.suite import Suite

KINDS = "github or gitlab:F"
_ROOTS = "GITHUB_WORKSPACE", "CI_PROJECT_DIR"
"""Where a runner has the repository, to whose root the names of files are relative."""


class Annotation(NamedTuple):
    """What is told of one test."""

    level: str
    """`error` of one that failed, `warning` of a flaky one."""
    file: str
    line: int
    title: str
    message: str


class Annotations:
    """Failures in each of the kinds that are given, github's by `say`, line by line; a file is complete at any time.

    Raises:
        UsageError: one is no kind, or its file can't be written; `flag` is the option that gave them.
    """

    def __init__(self, kinds: Iterable[str], say: Callable[[str], None], flag: str = "--annotate") -> None:
        self._say, self._told = say, list[Annotation]()
        parsed = [_parse(text, flag) for text in dict.fromkeys(kinds)]
        self._has_github = None in parsed
        self._files = [path for path in parsed if path is not None]

    def add(self, found: Iterable[Annotation]) -> None:
        """Tell of these, which may be none."""
        new = list(found)
        self._told += new
        for path in self._files:
            write_report(path, gitlab(self._told))
        if self._has_github:
            for each in new:
                self._say(github(each))


def _parse(text: str, flag: str) -> Path | None:
    """Gitlab's file, or None for github."""
    kind, colon, file = text.partition(":")
    if (kind, colon) == ("github", ""):
        return None
    if kind != "gitlab" or not file:
        raise UsageError(f"{flag} {text}: give {KINDS}")
    if not can_be_written(Path(file)):
        raise UsageError(f"{flag} {text}: give a file in a directory that can be written")
    return Path(file)


def github(told: Annotation) -> str:
    """A workflow command."""
    place = f"file={_property(told.file)},line={told.line},title={_property(told.title)}"
    return f"::{told.level} {place}::{_data(told.message)}"


def gitlab(all_told: Sequence[Annotation]) -> str:
    """The Code Quality report: JSON."""
    issues = [
        {
            "description": f"{told.title}: {told.message}",
            "check_name": "armvcpu-test",
            "fingerprint": hashlib.sha256(f"{told.file}\0{told.title}".encode()).hexdigest(),
            "severity": "major" if told.level == "error" else "minor",
            "location": {"path": told.file, "lines": {"begin": told.line}},
        }
        for told in all_told
    ]
    return json.dumps(issues, indent=2) + "\n"


def of_suite(suite: Suite, path: Path, verdicts: Sequence[Verdict]) -> Iterator[Annotation]:
    """One for each test that failed or is flaky."""
    file, lines = in_repository(path), {case.name: case.line for case in suite.cases}
    for verdict in verdicts:
        if not verdict.passed or verdict.flaky:
            level, problems = ("error", [verdict.problem]) if not verdict.passed else ("warning", [])
            console = "" if verdict.passed else verdict.console
            message = message_of(*problems, verdict.hint, *verdict.attempts, verdict.place, console=console)
            word = "failed" if not verdict.passed else "is flaky"
            yield Annotation(level, file, lines.get(verdict.name, 1), f"{suite.name}: {verdict.name} {word}", message)


def message_of(*lines: str, console: str = "") -> str:
    """What is told of a failure: those of the lines that there are, and the console's last ones."""
    tail = ["console:", last_lines(console)] if console.strip() else []
    return "\n".join(filter(None, [*lines, *tail]))


def in_repository(path: Path) -> str:
    """The name of a file as the host of the repository knows it."""
    for name in _ROOTS:
        if (root := os.environ.get(name)) and path.absolute().is_relative_to(root):
            return str(path.absolute().relative_to(root))
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
