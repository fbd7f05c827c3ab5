"""`armvcpu test`: run suites of firmware tests."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from armvcpu.cli.signals import signals_interrupt
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from armvcpu.cli.reporting import SuiteReport
    from armvcpu.debug.coverage.coverage import Coverage
    from armvcpu.testing.suite.annotations import Annotations
    from armvcpu.testing.suite.case import Verdict
    from armvcpu.testing.suite.run import Runner
    from armvcpu.testing.suite.suite import Suite


@click.command()
@click.argument("suites", metavar="SUITE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Tests at the same time. [default: a core each]")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the Dask cluster of this scheduler: tcp://HOST:PORT.")
@click.option("-k", "word", metavar="TEXT", default="", help="Only tests with TEXT in their names.")
@click.option("--junit-xml", metavar="F", type=click.Path(path_type=Path), help="Write JUnit XML to F.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON, a line for each suite.")
@click.option(
    "--annotate", metavar="KIND", multiple=True,
    help="Show failures on github, or in gitlab:F, a Code Quality report. Repeatable.",
    shell_complete=lambda _ctx, _param, begun: [kind for kind in ("github", "gitlab:") if kind.startswith(begun)],
)  # fmt: skip
@click.option("--report", metavar="F.html", help="Write a page about all tests, HTML that needs no network, to F.html.")
@click.option(
    "--keep", metavar="DIR", type=click.Path(path_type=Path), help="Keep what is left of failed tests in DIR."
)
@click.option(
    "--coverage", metavar="F", type=click.Path(path_type=Path),
    help="Write what the tests have executed: lines for lcov (F ends in .info), or blocks (.drcov).",
)  # fmt: skip
@click.pass_context
def test(
    ctx: click.Context,
    suites: tuple[Path, ...],
    jobs: int | None,
    scheduler: str | None,
    word: str,
    junit_xml: Path | None,
    as_json: bool,
    annotate: tuple[str, ...],
    report: str | None,
    keep: Path | None,
    coverage: Path | None,
) -> None:
    """Run suites of firmware tests: TOML files, which docs/testing.md describes.

    The status is 0 when every test passed, 1 when one failed, 2 for a suite or a cluster that cannot be used.
    """
    from armvcpu.testing.suite import reports

    loaded = _load(suites, word)
    if junit_xml is not None and (len(loaded) > 1 or not reports.can_be_written(junit_xml)):
        raise UsageError(f"--junit-xml {junit_xml}: give one suite, and a file in a directory that can be written")
    annotations = _annotations(annotate, is_json=as_json)
    page, loaded = _page(report, loaded)
    if keep is not None:
        loaded = _kept(loaded, keep, is_here=scheduler is None)
    counted = _Counted(coverage)
    loaded = counted.asked_for(loaded)
    failed = 0
    with signals_interrupt(), _where(scheduler, jobs) as run:
        for path, suite in zip(suites, loaded, strict=True):
            verdicts, problem = _run(suite, run, keep, quiet=as_json)
            failed += sum(not verdict.passed for verdict in verdicts)
            counted.add(verdicts)
            if as_json:
                click.echo(reports.as_json(suite, verdicts))
            if junit_xml is not None:
                reports.write_report(junit_xml, reports.junit_xml(suite, path, verdicts))
            if annotations is not None:
                from armvcpu.testing.suite.annotations import of_suite

                annotations.add(of_suite(suite, path, verdicts))
            page.add(suite, verdicts)
            if problem is not None:
                raise problem
    whole = counted.whole()
    page.finish(whole)
    counted.write(whole)
    ctx.exit(1 if failed else 0)


class _Counted:
    """What the tests execute, where that is wanted: in the file `path`."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._packed: list[bytes] = []
        if path is not None:
            from armvcpu.debug.coverage.coverage import check_name
            from armvcpu.testing.suite.reports import can_be_written

            check_name(path)
            if not can_be_written(path):
                raise UsageError(f"--coverage {path}: give a file in a directory that can be written")

    def asked_for(self, suites: list[Suite]) -> list[Suite]:
        """The suites, whose tests are to count."""
        from dataclasses import replace

        if self._path is None:
            return suites
        return [replace(suite, cases=tuple(replace(case, counts=True) for case in suite.cases)) for suite in suites]

    def add(self, verdicts: list[Verdict]) -> None:
        """Tests are over."""
        self._packed += [packed for verdict in verdicts for packed in verdict.coverage]

    def whole(self) -> Coverage | None:
        """What all tests have executed; None where nobody asked."""
        if self._path is None:
            return None
        from armvcpu.debug.coverage.coverage import Coverage

        whole = Coverage()
        for packed in self._packed:
            whole.unpack(packed)
        return whole

    def write(self, whole: Coverage | None) -> None:
        """Write the file; CoverageProblem where that can't be."""
        if whole is not None and self._path is not None:
            whole.write(self._path)


def _page(report: str | None, suites: list[Suite]) -> tuple[SuiteReport | _NoReport, list[Suite]]:
    """The page, and the suites, which are to tell of their machines where there is one."""
    if report is None:
        return _NoReport(), suites
    from armvcpu.cli.reporting import SuiteReport

    page = SuiteReport(report)
    return page, page.asked_of(suites)


class _NoReport:
    """Where nobody wants a page."""

    def add(self, suite: Suite, verdicts: list[Verdict]) -> None:
        """Nobody hears of it."""

    def finish(self, coverage: Coverage | None) -> None:
        """Nothing is written."""


def _load(paths: tuple[Path, ...], word: str) -> list[Suite]:
    """The suites, of each the tests that have `word` in their names; UsageError for what can't be."""
    from dataclasses import replace

    from armvcpu.testing.suite.files import check_files
    from armvcpu.testing.suite.suite import load_suite

    loaded = [load_suite(path) for path in paths]
    loaded = [replace(suite, cases=tuple(case for case in suite.cases if word in case.name)) for suite in loaded]
    if not any(suite.cases for suite in loaded):
        raise UsageError(f"no test has {word!r} in its name")
    for path, suite in zip(paths, loaded, strict=True):
        for case in suite.cases:
            check_files(case, str(path))
    return loaded


def _kept(suites: list[Suite], directory: Path, *, is_here: bool) -> list[Suite]:
    """The suites with a directory for each test; a test on a cluster leaves its words only."""
    from dataclasses import replace

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep {directory}: {error.strerror}; choose another place") from error
    if not is_here:
        return suites
    return [
        replace(
            suite, cases=tuple(replace(case, keep=str(_place(directory, suite, case.name))) for case in suite.cases)
        )
        for suite in suites
    ]


def _place(directory: Path, suite: Suite, name: str) -> Path:
    from armvcpu.testing.failure import file_name

    return directory / file_name(f"{suite.name}-{name}")


def _annotations(kinds: tuple[str, ...], *, is_json: bool) -> Annotations | None:
    """None where they are not wanted; what is for the output goes beside JSON where that is there."""
    if not kinds:
        return None
    from armvcpu.testing.suite.annotations import Annotations

    return Annotations(kinds, partial(click.echo, err=is_json))


def _where(scheduler: str | None, jobs: int | None) -> AbstractContextManager[Runner]:
    if scheduler is None:
        from armvcpu.testing.suite.run import local

        return local(jobs)
    from armvcpu.testing.suite.cluster import cluster

    return cluster(scheduler, jobs)


def _run(suite: Suite, run: Runner, keep: Path | None, *, quiet: bool) -> tuple[list[Verdict], UsageError | None]:
    """The verdicts, and what kept the other tests from having one."""
    from armvcpu.testing.suite import reports
    from armvcpu.testing.suite.run import RunnerLost

    verdicts: list[Verdict] = []
    problem = None
    with ExitStack() as stack:
        bar = None
        if sys.stderr.isatty() and not quiet:
            bar = stack.enter_context(click.progressbar(length=len(suite.cases), label=suite.name, file=sys.stderr))
        try:
            for verdict in run(suite):
                verdicts.append(_with_words(verdict, suite, keep))
                if bar is not None:
                    bar.update(1, None)
                elif not quiet:
                    click.echo(reports.line(verdicts[-1]))
        except RunnerLost as error:
            left = {case.name for case in suite.cases} - {verdict.name for verdict in verdicts}
            problem = UsageError(f"{error}; without a verdict: {', '.join(sorted(left))}")
    if quiet:
        return verdicts, problem
    if bar is not None:
        for verdict in verdicts:
            if not verdict.passed or verdict.flaky:
                click.echo(reports.line(verdict))
    click.echo(reports.summary(suite, verdicts))
    return verdicts, problem


def _with_words(verdict: Verdict, suite: Suite, keep: Path | None) -> Verdict:
    """The verdict; console and report of a failure are kept here where no machine was left to keep."""
    if keep is None or verdict.passed or verdict.kept:
        return verdict
    from dataclasses import replace

    from armvcpu.testing.failure import write_texts

    place = _place(keep, suite, verdict.name)
    write_texts(place, verdict.console, verdict.report or verdict.problem)
    return replace(verdict, kept=f"kept in {place}")
