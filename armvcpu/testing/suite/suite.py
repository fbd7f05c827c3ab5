"""Suites of firmware tests, as a TOML file describes them; docs/testing.md has the format.

    [suite]
    name = "boot"
    [[test]]
    name = "u-boot"
    firmware = "@u-boot/u-boot.bin"
    script = [{ expect = "any key" }, { send = "x" }, { expect = "=> " }, { sendline = "poweroff" }]

What is wrong in it is one line with the file and the test, before anything runs.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from armvcpu.errors import UsageError
from armvcpu.machine.config import MAX_CPUS, MachineConfig
from armvcpu.machine.kinds import DIRECTORY, FILE
from armvcpu.machine.option import check_names
from armvcpu.testing.suite.script import Step, check_pattern, script_of, seconds_of
from armvcpu.testing.suite.toml_file import read_toml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from armvcpu.machine.option import Option

VERDICTS = ("off", "running", "crashed")
MOST_RETRIES = 100
DISK = "@disk/"
_OWN = {"name", "script", "timeout", "end", "status", "report", "retries"}
_OPTIONS = {name: option for name, option in MachineConfig.options.items() if option.is_in_suites}
FILES = {name: option for name, option in _OPTIONS.items() if option.kind is FILE}
"""The options that name files of the host."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test: a machine, a script, and how it is to end."""

    name: str
    options: dict[str, Any]
    script: tuple[Step, ...] = ()
    timeout: float = 60.0
    end: str = "off"
    status: int | None = 0
    """None where any is right: of a test whose guest has to crash."""
    report: str = ""
    """What the report of a crash that is wanted has to match."""
    retries: int = 0
    """How often the test is run again after it has failed."""
    line: int = 1
    """Where it begins in its suite's file."""
    is_reported: bool = False
    """Is what its machine does to be on a report page?"""
    counts: bool = False
    """Is it to tell what its guest has executed?"""
    keep: str = ""
    """The directory for what is left of a guest whose test fails; empty where nothing is kept."""


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests under one name."""

    name: str
    cases: tuple[Case, ...] = field(default=())


def map_files(options: Mapping[str, Any], function: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The options with `function(option, file)` in the place of each file."""

    def mapped(key: str, value: Any) -> Any:
        return tuple(function(key, each) for each in value) if isinstance(value, tuple) else function(key, value)

    return {key: mapped(key, value) if key in FILES else value for key, value in options.items()}


def load_suite(path: str | Path) -> Suite:
    """Read a suite; UsageError with file and place where it is none."""
    path = Path(path)
    text, data = read_toml(path)
    unknown = set(data) - {"suite", "disk", "test"}
    if unknown:
        words = "there are [suite], [disk.NAME] and [[test]]"
        raise UsageError(f"{path}: no such table: {', '.join(sorted(unknown)[:5])}; {words}")
    about, tests = data.get("suite", {}), data.get("test", [])
    if not isinstance(about, dict) or not isinstance(tests, list) or not all(isinstance(test, dict) for test in tests):
        raise UsageError(f"{path}: [suite] is one table, and each [[test]] another")
    wrong = set(about) - {"name", "timeout", "retries"}
    if wrong:
        raise UsageError(f"{path}: [suite] has no {', '.join(sorted(wrong)[:5])}; it has name, timeout and retries")
    if not isinstance(about.get("name", ""), str):
        raise UsageError(f"{path}: [suite]: name = {about['name']!r}: it is text")
    if not tests:
        raise UsageError(f"{path}: no [[test]] in it; docs/testing.md has an example")
    where = f"{path}: [suite]"
    default = Case("", {}, timeout=seconds_of(about.get("timeout", 60.0), where), retries=_retries(about, 0, where))
    disks = _disks(data.get("disk", {}), path)
    lines = _lines(text, len(tests))
    cases = [
        replace(case, line=line)
        for number, (test, line) in enumerate(zip(tests, lines, strict=True), 1)
        for case in _cases(test, number, path, default, disks)
    ]
    times = Counter(case.name for case in cases)
    if twice := next((name for name, count in times.items() if count > 1), None):
        raise UsageError(f"{path}: two tests are called {twice!r}")
    return Suite(str(about.get("name", path.stem)), tuple(cases))


def _lines(text: str, count: int) -> list[int]:
    """The line of each [[test]]; 1 for all where one has that in its text, or is written in another way."""
    found = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*test\s*\]\]", line)]
    return found if len(found) == count else [1] * count


def _retries(table: dict[str, Any], default: int, where: str) -> int:
    count = table.get("retries", default)
    if type(count) is not int or not 0 <= count <= MOST_RETRIES:
        raise UsageError(f"{where}: retries is a number from 0 to {MOST_RETRIES}")
    return count


def _disks(tables: Any, path: Path) -> dict[str, dict[str, str]]:
    """The files of each disk by their names on it; the runner makes it."""
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise UsageError(f"{path}: each [disk.NAME] is a table")
    return {
        name: {file: _file(value, path.parent, f"{path}: disk {name}: {file}") for file, value in table.items()}
        for name, table in tables.items()
    }


def _cases(
    test: dict[str, Any], number: int, path: Path, default: Case, disks: dict[str, dict[str, str]]
) -> Iterator[Case]:
    name = test.get("name")
    where = f"{path}: test {name or number}"
    if not isinstance(name, str) or not name:
        raise UsageError(f"{where}: it needs a name")
    with placed(where):
        check_names(test, _OWN | _OPTIONS.keys())
    options = {key: _option(key, value, path.parent, where) for key, value in test.items() if key in _OPTIONS}
    if "disks" in options:
        options["disks"] = tuple(_disk(each, disks, where) for each in options["disks"])
    if not options.keys() & {"image", "firmware", "loads"}:
        raise UsageError(f"{where}: it needs an image or firmware")
    end, status, report = _wanted_end(test, where)
    script = script_of(test.get("script", []), where)
    timeout, retries = seconds_of(test.get("timeout", default.timeout), where), _retries(test, default.retries, where)
    cpus = options.pop("cpus", 1)
    for count in _counts(cpus, where):
        _check_machine({**options, "cpus": count}, where)
        shown = f"{name}[{count}]" if isinstance(cpus, list) else name
        yield Case(shown, {**options, "cpus": count}, script, timeout, end, status, report, retries)


def _wanted_end(test: dict[str, Any], where: str) -> tuple[str, int | None, str]:
    """How a test is to end, with which status, and what a crash's report has to match."""
    end, report = test.get("end", "off"), test.get("report", "")
    if end not in VERDICTS:
        raise UsageError(f"{where}: end is one of {', '.join(VERDICTS)}")
    status = test.get("status", None if end == "crashed" else 0)
    if status is not None and (type(status) is not int or not 0 <= status < 256):
        raise UsageError(f"{where}: status is a number from 0 to 255")
    if not isinstance(report, str):
        raise UsageError(f"{where}: report = {report!r} is no text")
    if report and end != "crashed":
        raise UsageError(f'{where}: report is that of a crash: write end = "crashed" too')
    check_pattern(report, f"{where}: report")
    return end, status, report


def _counts(cpus: Any, where: str) -> list[int]:
    """The numbers of CPUs that a test is for."""
    counts: list[int] = cpus if isinstance(cpus, list) else [cpus]
    if not counts or len(counts) > MAX_CPUS[3] or not all(type(count) is int for count in counts):
        raise UsageError(f"{where}: cpus is a number or a list of up to {MAX_CPUS[3]} numbers")
    return counts


def _option(key: str, value: Any, directory: Path, where: str) -> Any:
    """The option's value, except that what is looked for where the test runs stays as it is written."""
    option = _OPTIONS[key]
    if option.kind is FILE:
        several = value if option.is_several and isinstance(value, list) else [value]
        files = tuple(_file(each, directory, where, option) for each in several)
        return files if option.is_several else files[0]
    if option.kind is DIRECTORY or key == "cpus":
        return value
    with placed(where):
        return option.accept([value] if option.is_several and not isinstance(value, list) else value)


def _check_machine(options: dict[str, Any], where: str) -> None:
    """UsageError for options that can't be, or contradict each other.

    A directory is looked for where the test runs, and the names of disks have been looked at.
    """
    later = {name for name, option in _OPTIONS.items() if option.kind is DIRECTORY or name == "disks"}
    with placed(where):
        MachineConfig.of(**{key: value for key, value in options.items() if key not in later})


@contextmanager
def placed(where: str) -> Iterator[None]:
    """What is wrong is said with its place."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _disk(value: str, disks: dict[str, dict[str, str]], where: str) -> str | dict[str, str]:
    """The disk that the suite describes, for `@disk/NAME`."""
    if not value.startswith(DISK):
        return value
    name = value.removeprefix(DISK)
    if name not in disks:
        raise UsageError(f"{where}: no [disk.{name}] in the suite; there are {', '.join(disks) or 'none'}")
    return disks[name]


def _file(value: Any, directory: Path, where: str, option: Option | None = None) -> str:
    """A path beside the suite, or `@...`, which the runner fetches or makes; in a value of `option`, as it has it."""
    if not isinstance(value, str) or not value:
        raise UsageError(f"{where}: {value!r} is no file name")
    with placed(where):
        before, path, behind = ("", str(value), "") if option is None else option.file_of(value)
    return value if not path or path.startswith("@") else f"{before}{directory / path}{behind}"
