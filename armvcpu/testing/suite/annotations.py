"""Failures shown beside the lines of a suite's file, by GitHub and by GitLab.

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
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError
from armvcpu.testing.suite.reports import tail

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from armvcpu.testing.suite.case import Verdict
    from armvcpu.testing.suite.suite import Suite

KINDS = "github or gitlab:F"
_ROOTS = "GITHUB_WORKSPACE", "CI_PROJECT_DIR"
"""Where a runner has the repository, to whose root the names of files are relative."""

Told = tuple["Suite", Path, "Sequence[Verdict]"]
"""A suite, its file, and its verdicts."""


def parse(text: str) -> tuple[str, Path | None]:
    """The kind, and for gitlab the file; UsageError for what is none."""
    kind, colon, file = text.partition(":")
    if (kind, colon) == ("github", ""):
        return kind, None
    if kind == "gitlab" and file:
        return kind, Path(file)
    raise UsageError(f"--annotate {text}: give {KINDS}")


def github(told: Told) -> Iterator[str]:
    """A workflow command for each test that failed, and a warning for each that is flaky."""
    for level, file, line, title, message in _annotations(told):
        place = f"file={_property(file)},line={line},title={_property(title)}"
        yield f"::{level} {place}::{_data(message)}"


def gitlab(all_told: Sequence[Told]) -> str:
    """The Code Quality report: JSON."""
    issues = [
        {
            "description": f"{title}: {message}",
            "check_name": "armvcpu-test",
            "fingerprint": hashlib.sha256(f"{file}\0{title}".encode()).hexdigest(),
            "severity": "major" if level == "error" else "minor",
            "location": {"path": file, "lines": {"begin": line}},
        }
        for told in all_told
        for level, file, line, title, message in _annotations(told)
    ]
    return json.dumps(issues, indent=2) + "\n"


def _annotations(told: Told) -> Iterator[tuple[str, str, int, str, str]]:
    """(level, file, line, title, message) of each test that failed or is flaky."""
    suite, path, verdicts = told
    file, lines = _in_repository(path), {case.name: case.line for case in suite.cases}
    for verdict in verdicts:
        if not verdict.passed or verdict.flaky:
            level, problems = ("error", [verdict.problem]) if not verdict.passed else ("warning", [])
            console = [] if verdict.passed or not verdict.console.strip() else ["console:", tail(verdict)]
            message = "\n".join(filter(None, [*problems, verdict.hint, *verdict.attempts, verdict.place, *console]))
            word = "failed" if not verdict.passed else "is flaky"
            yield level, file, lines.get(verdict.name, 1), f"{suite.name}: {verdict.name} {word}", message


def _in_repository(path: Path) -> str:
    for name in _ROOTS:
        if (root := os.environ.get(name)) and path.absolute().is_relative_to(root):
            return str(path.absolute().relative_to(root))
    return os.path.relpath(path) if path.absolute().is_relative_to(Path.cwd()) else str(path)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
