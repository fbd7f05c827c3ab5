"""What is told of a suite's verdicts: lines for people, JUnit XML and JSON for machines."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from dataclasses import asdict
from typing import TYPE_CHECKING

from armvcpu.debug.page.page import Entry
from armvcpu.errors import UsageError
from armvcpu.machine.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

    from armvcpu.testing.suite.case import Verdict
    from armvcpu.testing.suite.suite import Suite

TAIL = 12
"""Lines of a failed test's console that are shown."""


def line(verdict: Verdict) -> str:
    """A verdict for people: one line; of a failure PC, report, console's end and what is kept besides."""
    word = "FLAKY" if verdict.flaky else "PASS" if verdict.passed else "FAIL"
    first = f"{word} {verdict.name} ({verdict.seconds:.2f} s)"
    attempts = [f"    {attempt}" for attempt in verdict.attempts]
    if verdict.passed:
        return "\n".join([first, *attempts, *_indented("", verdict.kept)])
    place = verdict.place if verdict.place not in verdict.report else ""
    return "\n".join(
        [
            f"{first}: {verdict.problem}", *attempts, *_indented("", place), *_indented("", verdict.report),
            *_indented("| ", last_lines(verdict.console)), *_indented("", verdict.kept),
        ]
    )  # fmt: skip


def last_lines(console: str) -> str:
    """The console's."""
    return "\n".join(console.replace("\r", "").splitlines()[-TAIL:])


def _indented(mark: str, text: str) -> list[str]:
    return [f"    {mark}{each}" for each in text.splitlines()]


def summary(suite: Suite, verdicts: Sequence[Verdict]) -> str:
    """How many of a suite passed; how many of those at a later attempt, where any did."""
    passed = sum(verdict.passed for verdict in verdicts)
    flaky = sum(verdict.flaky for verdict in verdicts)
    words = f"{suite.name}: {passed} passed, {len(verdicts) - passed} failed"
    return f"{words}, {flaky} of the passed flaky" if flaky else words


def junit_xml(suite: Suite, path: Path, verdicts: Sequence[Verdict]) -> str:
    """JUnit's format, with each failed test's report and console, and Surefire's elements for attempts that failed."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    lines = {case.name: str(case.line) for case in suite.cases}
    root = ET.Element("testsuites")
    element = ET.SubElement(
        root, "testsuite", name=suite.name, tests=str(len(verdicts)), failures=str(len(failed)), errors="0",
        time=f"{sum(verdict.seconds for verdict in verdicts):.3f}",
    )  # fmt: skip
    for verdict in verdicts:
        case = ET.SubElement(
            element, "testcase", classname=suite.name, name=verdict.name, time=f"{verdict.seconds:.3f}",
            file=str(path), line=lines.get(verdict.name, "1"),
        )  # fmt: skip
        if not verdict.passed:
            told = [verdict.place if verdict.place not in verdict.report else "", verdict.report, verdict.kept]
            failure = ET.SubElement(case, "failure", message=_printable(verdict.problem))
            failure.text = _printable("\n".join(filter(None, told)))
        for problem in verdict.earlier:
            kind = "flakyFailure" if verdict.passed else "rerunFailure"
            ET.SubElement(case, kind, message=_printable(problem), type="attempt")
        ET.SubElement(case, "system-out").text = _printable(verdict.console)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _printable(text: str) -> str:
    """Without what XML 1.0 has no place for."""
    return "".join(c if c in "\t\n" or ord(c) >= 32 else "\ufffd" for c in text if c != "\r")


def as_json(suite: Suite, verdicts: Sequence[Verdict]) -> str:
    """One object: the suite's name and its verdicts."""
    return json.dumps({"suite": suite.name, "tests": [_as_json(verdict) for verdict in verdicts]})


def _as_json(verdict: Verdict) -> dict[str, Any]:
    facts = {**asdict(verdict), "flaky": verdict.flaky}
    del facts["machine"], facts["coverage"]  # which are for a page, and for a file of its own
    return facts


def entry(suite: Suite, verdict: Verdict, *, with_suite: bool) -> Entry:
    """A verdict for a report page; `with_suite`, where that has tests of several suites."""
    return Entry(
        name=f"{suite.name}: {verdict.name}" if with_suite else verdict.name,
        verdict="flaky" if verdict.flaky else "passed" if verdict.passed else "failed",
        words=verdict.problem or "; ".join(verdict.attempts),
        seconds=verdict.seconds,
        text="\n".join(filter(None, ["\n".join(verdict.attempts), verdict.kept])),
        machines=[] if verdict.machine is None else [verdict.machine],
    )


def write_report(path: Path, text: str) -> None:
    """Write a report; it appears when it is complete. UsageError where the host refuses."""
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be written: {error.strerror}; choose another place") from error


def can_be_written(path: Path) -> bool:
    """May a report have this name?"""
    if path.exists() and not path.is_file():
        return not path.is_dir()  # /dev/stdout
    return os.access(path.absolute().parent, os.W_OK | os.X_OK)
