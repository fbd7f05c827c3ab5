"""`armvcpu test`: run suites of firmware tests."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from armvcpu.testing.suite import Suite
    from armvcpu.testing.suite_run import Verdict

TAIL = 12
"""Lines of a failed test's console that are shown."""


@click.command()
@click.argument("suites", metavar="SUITE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Tests at the same time. [default: a core each]")
@click.option("-k", "word", metavar="TEXT", default="", help="Only tests with TEXT in their names.")
@click.option("--junit-xml", metavar="F", type=click.Path(path_type=Path), help="Write JUnit XML to F.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdicts as JSON, a line for each suite.")
@click.pass_context
def test(
    ctx: click.Context, suites: tuple[Path, ...], jobs: int | None, word: str, junit_xml: Path | None, as_json: bool
) -> None:
    """Run suites of firmware tests: TOML files, which docs/testing.md describes.

    The status is 0 when every test passed, 1 when one failed, 2 for a suite that cannot be used.
    """
    from dataclasses import replace  # noqa: PLC0415

    from armvcpu.testing import suite_run  # noqa: PLC0415  for a fast start
    from armvcpu.testing.suite import load_suite  # noqa: PLC0415

    loaded = [load_suite(path) for path in suites]
    loaded = [replace(suite, cases=tuple(case for case in suite.cases if word in case.name)) for suite in loaded]
    if not any(suite.cases for suite in loaded):
        raise UsageError(f"no test has {word!r} in its name")
    if junit_xml is not None and (len(loaded) > 1 or not junit_xml.absolute().parent.is_dir()):
        raise UsageError(f"--junit-xml {junit_xml}: give one suite, and a directory that is there")
    failed = 0
    for suite in loaded:
        verdicts = _run(suite, jobs or suite_run.default_jobs(len(suite.cases)), quiet=as_json)
        failed += sum(not verdict.passed for verdict in verdicts)
        if as_json:
            click.echo(suite_run.as_json(suite, verdicts))
        if junit_xml is not None:
            suite_run.write_report(junit_xml, suite_run.junit_xml(suite, verdicts))
    ctx.exit(1 if failed else 0)


def _run(suite: Suite, jobs: int, *, quiet: bool) -> list[Verdict]:
    from armvcpu.testing.suite_run import run_suite  # noqa: PLC0415

    verdicts: list[Verdict] = []
    with ExitStack() as stack:
        bar = None
        if sys.stderr.isatty() and not quiet:
            bar = stack.enter_context(click.progressbar(length=len(suite.cases), label=suite.name, file=sys.stderr))
        for verdict in run_suite(suite, jobs):
            verdicts.append(verdict)
            if bar is not None:
                bar.update(1, None)
            elif not quiet:
                click.echo(_line(verdict))
    if quiet:
        return verdicts
    if bar is not None:
        for verdict in verdicts:
            if not verdict.passed:
                click.echo(_line(verdict))
    passed = sum(verdict.passed for verdict in verdicts)
    click.echo(f"{suite.name}: {passed} passed, {len(verdicts) - passed} failed")
    return verdicts


def _line(verdict: Verdict) -> str:
    line = f"{'PASS' if verdict.passed else 'FAIL'} {verdict.name} ({verdict.seconds:.2f} s)"
    if verdict.passed:
        return line
    tail = [f"    | {text}" for text in verdict.console.replace("\r", "").splitlines()[-TAIL:]]
    return "\n".join([f"{line}: {verdict.problem}", *tail])
