"""One test of a suite, run in this process: its machine, its script, its end, and the verdict."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from armvcpu.errors import ArmvcpuError
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.page.facts import MachineFacts
    from armvcpu.testing.failure import Failure
    from armvcpu.testing.looking import Looker
    from armvcpu.testing.suite.script import Step
    from armvcpu.testing.suite.suite import Case
    from armvcpu.testing.target.target import Target

REPORTED = 300
"""Characters of what a crash's report was to match that are shown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a test went: `problem` is empty where it passed."""

    name: str
    problem: str
    seconds: float
    console: str = ""
    report: str = ""
    """How the guest ended or where it is, with its registers; empty where it passed."""
    place: str = ""
    """PC and symbol, where it failed."""
    hint: str = ""
    """Of a crash, what to do about it."""
    kept: str = ""
    """Where what is left of it was kept, and how to load that, a line for each."""
    machine: MachineFacts | None = None
    """What a report page says of its machine, where there is to be one."""
    coverage: tuple[bytes, ...] = ()
    """What its guest has executed, at each attempt, where that is wanted (`Coverage.pack`)."""
    earlier: tuple[str, ...] = ()
    """The problems of its earlier attempts, where it was run again."""

    @property
    def attempts(self) -> list[str]:
        """A line for each earlier attempt; what went wrong as at the last one is not told again."""
        return [
            f"attempt {number}: {'the same' if each == self.problem else each}"
            for number, each in enumerate(self.earlier, 1)
        ]

    @property
    def passed(self) -> bool:
        """Did it pass, at last?"""
        return not self.problem

    @property
    def flaky(self) -> bool:
        """Did it pass after it had failed?"""
        return self.passed and bool(self.earlier)


def run_case(case: Case) -> Verdict:
    """Run one test in this process, again where it fails and may; whatever goes wrong is its verdict."""
    return with_retries(case, run_once)


def with_retries(case: Case, run: Callable[[Case], Verdict]) -> Verdict:
    """`run(case)` until it has passed or has no attempt left: the last verdict, with all that went wrong before."""
    verdict = run(case)
    while not verdict.passed and len(verdict.earlier) < case.retries:
        following = run(case)
        verdict = replace(
            following,
            earlier=(*verdict.earlier, verdict.problem),
            seconds=verdict.seconds + following.seconds,
            kept=following.kept or verdict.kept,
            coverage=(*verdict.coverage, *following.coverage),
        )
    return verdict


def run_once(case: Case) -> Verdict:
    """Run one test once, with fresh copies of what it makes."""
    with TemporaryDirectory(prefix="armvcpu-") as made:
        return _run(case, Path(made))


def _run(case: Case, made: Path) -> Verdict:
    from pexpect import EOF, TIMEOUT  # in the worker's process

    from armvcpu.testing.failure import look_at
    from armvcpu.testing.suite.files import real_files
    from armvcpu.testing.target.target import NotReachedError, Target

    start = time.monotonic()
    try:
        target = Target(record=False, timeout=case.timeout, **real_files(case.options, made))
    except ArmvcpuError as error:
        return Verdict(case.name, str(error), time.monotonic() - start)
    with target:
        looker = _look(target) if case.is_reported else None
        pack = _counting(target) if case.counts else _nothing
        try:
            _play(case, target, start + case.timeout)
        except (EOF, TIMEOUT, NotReachedError, ArmvcpuError, _Wrong) as error:
            seconds, failure = time.monotonic() - start, look_at(target)
            kept = _keep(case, target, failure) if case.keep else ""
            machine = None if looker is None else looker.facts(failed=True)
            return Verdict(
                case.name, str(error).splitlines()[0], seconds, target.output, failure.report, failure.place,
                failure.hint, kept, machine, pack(),
            )  # fmt: skip
        seconds = time.monotonic() - start
        machine = None if looker is None else looker.facts(failed=False)
        return Verdict(case.name, "", seconds, target.output, machine=machine, coverage=pack())


def _look(target: Target) -> Looker:
    from armvcpu.testing.looking import Looker  # most suites have no report page

    return Looker(target, profiled=True)


def _nothing() -> tuple[bytes, ...]:
    return ()


def _counting(target: Target) -> Callable[[], tuple[bytes, ...]]:
    """Count what the guest executes from here on; what gives that."""
    from armvcpu.debug.coverage.machine import Covering

    covering = Covering(target.parts)
    return lambda: (covering.coverage.pack(),)


def _keep(case: Case, target: Target, failure: Failure) -> str:
    from armvcpu.testing.failure import keep

    try:
        return keep(target, failure, Path(case.keep))
    except ArmvcpuError as error:
        return f"nothing is kept: {error}"


class _Wrong(Exception):
    """The end is not the one that was wanted."""


def _play(case: Case, target: Target, end: float) -> None:
    from pexpect import EOF, TIMEOUT

    for number, step in enumerate(case.script, 1):
        left = max(0.0, end - time.monotonic())
        patience = left if step.timeout is None else min(step.timeout, left)
        where = f"step {number}, {step.kind} {step.text!r}"
        try:
            _step(step, target, patience)
        except TIMEOUT as error:
            raise _Wrong(f"{where}: the guest has not printed it in {patience:.3g} s") from error
        except EOF as error:
            ended = target.talk.outcome
            raise _Wrong(f"{where}: the guest has ended: {ended.reason if ended is not None else error}") from error
    if case.end != "running":
        _check_end(case, target, max(0.001, end - time.monotonic()))


def _check_end(case: Case, target: Target, patience: float) -> None:
    outcome = target.finish(patience)
    if case.end == "crashed" and outcome.ending is not Ending.CRASHED:
        raise _Wrong(f"it ended with status {outcome.status}, not by a crash: {outcome.reason}")
    if case.status not in {None, outcome.status}:
        raise _Wrong(f"it ended with status {outcome.status}, not {case.status}: {outcome.reason}")
    if case.report and not re.search(case.report, f"{outcome.reason}\n{outcome.report}"):
        raise _Wrong(f"it crashed, but the report has no {case.report[:REPORTED]!r}: {outcome.reason}")


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
