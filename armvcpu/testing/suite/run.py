"""Running a suite: each test in a process of its own pool, verdicts as they come, and the reports for machines."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
import xml.etree.ElementTree as ET
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.machine.files import appearing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.context import BaseContext

    from armvcpu.testing.suite.suite import Case, Step, Suite
    from armvcpu.testing.target.target import Target

RETRIES = 1
"""How often a test is run again whose process was lost."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test went: `problem` is empty where it passed."""

    name: str
    problem: str
    seconds: float
    console: str = ""
    report: str = ""

    @property
    def passed(self) -> bool:
        """Did it pass?"""
        return not self.problem


Runner: TypeAlias = "Callable[[Suite], Iterator[Verdict]]"
"""Runs a suite somewhere: the verdict of each test, in the order in which they end."""


class RunnerLost(ArmvcpuError):
    """The place where a suite runs is lost: the other tests can't have verdicts."""


def run_case(case: Case) -> Verdict:
    """Run one test in this process; whatever goes wrong is its verdict."""
    with TemporaryDirectory(prefix="armvcpu-") as made:
        return _run(case, Path(made))


def _run(case: Case, made: Path) -> Verdict:
    from pexpect import EOF, TIMEOUT  # in the worker's process

    from armvcpu.testing.suite.files import real_files
    from armvcpu.testing.target.target import NotReachedError, Target

    start = time.monotonic()
    try:
        target = Target(record=False, timeout=case.timeout, **real_files(case.options, made))
    except ArmvcpuError as error:
        return Verdict(case.name, str(error), time.monotonic() - start)
    problem = report = ""
    with target:
        try:
            _play(case, target, start + case.timeout)
        except (EOF, TIMEOUT, NotReachedError, ArmvcpuError, _Wrong) as error:
            problem = str(error).splitlines()[0]
            if target.talk.outcome is not None:
                report = target.describe_end(target.talk.outcome)
        return Verdict(case.name, problem, time.monotonic() - start, target.output, report)


class _Wrong(Exception):
    """The end is not the one that was wanted."""


def _play(case: Case, target: Target, end: float) -> None:
    from pexpect import EOF, TIMEOUT

    for number, step in enumerate(case.script, 1):
        left = max(0.0, end - time.monotonic())
        try:
            _step(step, target, left if step.timeout is None else min(step.timeout, left))
        except TIMEOUT as error:
            raise _Wrong(f"step {number}, {step.kind} {step.text!r}: the guest has not printed it in time") from error
        except EOF as error:
            raise _Wrong(f"step {number}, {step.kind} {step.text!r}: {str(error).splitlines()[0]}") from error
    if case.end == "off":
        outcome = target.finish(max(0.001, end - time.monotonic()))
        if outcome.status != case.status:
            raise _Wrong(f"it ended with status {outcome.status}, not {case.status}: {outcome.reason}")


def _step(step: Step, target: Target, patience: float) -> None:
    match step.kind:
        case "expect":
            target.expect(step.text, timeout=patience)
        case "expect_exact":
            target.expect_exact(step.text, timeout=patience)
        case "send":
            target.send(step.text)
        case "sendline":
            target.sendline(step.text)
        case _:
            target.run(timeout=min(float(step.text), patience))


@contextmanager
def local(jobs: int | None) -> Iterator[Runner]:
    """Runs suites in processes of this machine, a core each where `jobs` does not say how many."""
    yield lambda suite: run_suite(suite, jobs or default_jobs(len(suite.cases)))


def run_suite(suite: Suite, jobs: int) -> Iterator[Verdict]:
    """The verdict of each test, in the order in which they end; `jobs` processes. A lost process loses no verdict.

    Whatever ends this early, an interrupt or a signal, kills the processes and removes their files.
    """
    lost: dict[str, int] = {}
    left: list[Case] = list(suite.cases)
    while left:
        broken: list[Case] = []
        with _pool(jobs) as pool:
            running: dict[Future[Verdict], Case] = {pool.submit(run_case, case): case for case in left}
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    case = running.pop(future)
                    try:
                        yield future.result()
                    except BrokenProcessPool:
                        broken.append(case)
        left = []
        alone = len(broken) == 1
        for case in broken:
            lost[case.name] = lost.get(case.name, 0) + alone
            if lost[case.name] > RETRIES:
                yield lost_process(case)
            else:
                left.append(case)
        jobs = 1 if broken and not alone else jobs  # who of several it was shows when each runs alone


def _context() -> BaseContext:
    """Processes that have all their modules from the start; where other threads run, none may be forked."""
    if threading.active_count() > 1:
        return multiprocessing.get_context("spawn")
    for name in ("suite.files", "target.target"):
        import_module(f"armvcpu.testing.{name}")
    return multiprocessing.get_context("fork")


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    others = set(multiprocessing.active_children())
    with (
        TemporaryDirectory(prefix="armvcpu-", ignore_cleanup_errors=True) as made,
        ProcessPoolExecutor(jobs, mp_context=_context(), initializer=_follow_parent, initargs=(made,)) as pool,
    ):
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            started = set(multiprocessing.active_children()) - others
            for process in started:
                process.kill()
            for process in started:
                process.join()
            raise


def _follow_parent(made: str) -> None:
    """In a process of the pool: leave interrupts to the parent, have files where that removes them, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    tempfile.tempdir = made
    threading.Thread(target=_end_with_parent, args=(made,), daemon=True).start()


def _end_with_parent(made: str) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    shutil.rmtree(made, ignore_errors=True)
    os._exit(1)


def lost_process(case: Case) -> Verdict:
    """Of a test that loses its process each time."""
    return Verdict(case.name, "its process was lost, twice", 0.0)


def default_jobs(count: int) -> int:
    """As many processes as there are cores for, and tests."""
    return max(1, min(count, len(os.sched_getaffinity(0))))


def junit_xml(suite: Suite, verdicts: Sequence[Verdict]) -> str:
    """JUnit's format, with each failed test's console."""
    failed = [verdict for verdict in verdicts if not verdict.passed]
    root = ET.Element("testsuites")
    element = ET.SubElement(
        root, "testsuite", name=suite.name, tests=str(len(verdicts)), failures=str(len(failed)), errors="0",
        time=f"{sum(verdict.seconds for verdict in verdicts):.3f}",
    )  # fmt: skip
    for verdict in verdicts:
        case = ET.SubElement(
            element, "testcase", classname=suite.name, name=verdict.name, time=f"{verdict.seconds:.3f}"
        )
        if not verdict.passed:
            ET.SubElement(case, "failure", message=_printable(verdict.problem)).text = _printable(verdict.report)
        ET.SubElement(case, "system-out").text = _printable(verdict.console)
    return ET.tostring(root, encoding="unicode", xml_declaration=True)


def _printable(text: str) -> str:
    """Without what XML 1.0 has no place for."""
    return "".join(c if c in "\t\n" or ord(c) >= 32 else "\ufffd" for c in text if c != "\r")


def as_json(suite: Suite, verdicts: Sequence[Verdict]) -> str:
    """One object: the suite's name and its verdicts."""
    return json.dumps({"suite": suite.name, "tests": [asdict(verdict) for verdict in verdicts]})


def write_report(path: Path, text: str) -> None:
    """Write a report; it appears when it is complete. UsageError where the host refuses."""
    try:
        if path.exists() and not path.is_file():  # /dev/stdout
            path.write_text(text)
            return
        with appearing(path) as temporary:
            temporary.write_text(text)
    except OSError as error:
        raise UsageError(f"{path}: the report cannot be written: {error.strerror}; choose another place") from error
