"""`armvcpu test`: run suites of firmware tests."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from armvcpu.testing.suite.run import Runner, Verdict
    from armvcpu.testing.suite.suite import Suite

TAIL = 12
"""Lines of a failed test's console that are shown."""


@click.command()
@click.argument("suites", metavar="SUITE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Tests at the same time. [default: a core each]")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler: tcp://HOST:PORT.")
@click.option("-k", "word", metavar="TEXT", default="", help="Only tests with TEXT in their names.")
@click.option("--junit-xml", metavar="F", type=click.Path(path_type=Path), help="Write JUnit XML to F.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON, a line for each suite.")
@click.pass_context
def test(
    ctx: click.Context,
    suites: tuple[Path, ...],
    jobs: int | None,
    scheduler: str | None,
    word: str,
    junit_xml: Path | None,
    as_json: bool,
) -> None:
    """Run suites of firmware tests: TOML files, which docs/testing.md describes.

    The status is 0 when every test passed, 1 when one failed, 2 for a suite or a cluster that cannot be used.
    """
    from dataclasses import replace

    from armvcpu.testing.suite import run as suite_run
    from armvcpu.testing.suite.files import check_files
    from armvcpu.testing.suite.suite import load_suite

    loaded = [load_suite(path) for path in suites]
    loaded = [replace(suite, cases=tuple(case for case in suite.cases if word in case.name)) for suite in loaded]
    if not any(suite.cases for suite in loaded):
        raise UsageError(f"no test has {word!r} in its name")
    for path, suite in zip(suites, loaded, strict=True):
        for case in suite.cases:
            check_files(case, str(path))
    if junit_xml is not None and (len(loaded) > 1 or not _can_be_written(junit_xml)):
        raise UsageError(f"--junit-xml {junit_xml}: give one suite, and a file in a directory that can be written")
    failed = 0
    with _signals_interrupt(), _where(scheduler, jobs) as run:
        for suite in loaded:
            verdicts, problem = _run(suite, run, quiet=as_json)
            failed += sum(not verdict.passed for verdict in verdicts)
            if as_json:
                click.echo(suite_run.as_json(suite, verdicts))
            if junit_xml is not None:
                suite_run.write_report(junit_xml, suite_run.junit_xml(suite, verdicts))
            if problem is not None:
                raise problem
    ctx.exit(1 if failed else 0)


def _can_be_written(path: Path) -> bool:
    if path.exists() and not path.is_file():
        return not path.is_dir()  # /dev/stdout
    return os.access(path.absolute().parent, os.W_OK | os.X_OK)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does, with the status of their own; not where they are ignored."""
    came: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        came.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            raise KeyboardInterrupt
        signal.raise_signal(signal.SIGINT)

    with ExitStack() as stack:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                stack.callback(signal.signal, number, signal.signal(number, interrupt))
        try:
            yield
        except KeyboardInterrupt:
            if came:
                sys.exit(128 + came[0])
            raise


def _where(scheduler: str | None, jobs: int | None) -> AbstractContextManager[Runner]:
    if scheduler is None:
        from armvcpu.testing.suite.run import local

        return local(jobs)
    from armvcpu.testing.suite.cluster import cluster

    return cluster(scheduler, jobs)


def _run(suite: Suite, run: Runner, *, quiet: bool) -> tuple[list[Verdict], UsageError | None]:
    """The verdicts, and what kept the other tests from having one."""
    from armvcpu.testing.suite.run import RunnerLost

    verdicts: list[Verdict] = []
    problem = None
    with ExitStack() as stack:
        bar = None
        if sys.stderr.isatty() and not quiet:
            bar = stack.enter_context(click.progressbar(length=len(suite.cases), label=suite.name, file=sys.stderr))
        try:
            for verdict in run(suite):
                verdicts.append(verdict)
                if bar is not None:
                    bar.update(1, None)
                elif not quiet:
                    click.echo(_line(verdict))
        except RunnerLost as error:
            left = {case.name for case in suite.cases} - {verdict.name for verdict in verdicts}
            problem = UsageError(f"{error}; without a verdict: {', '.join(sorted(left))}")
    if quiet:
        return verdicts, problem
    if bar is not None:
        for verdict in verdicts:
            if not verdict.passed:
                click.echo(_line(verdict))
    passed = sum(verdict.passed for verdict in verdicts)
    click.echo(f"{suite.name}: {passed} passed, {len(verdicts) - passed} failed")
    return verdicts, problem


def _line(verdict: Verdict) -> str:
    line = f"{'PASS' if verdict.passed else 'FAIL'} {verdict.name} ({verdict.seconds:.2f} s)"
    if verdict.passed:
        return line
    tail = [f"    | {text}" for text in verdict.console.replace("\r", "").splitlines()[-TAIL:]]
    return "\n".join([f"{line}: {verdict.problem}", *tail])
