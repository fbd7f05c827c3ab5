"""Does the installed Unicorn behave as the engine layer needs? Proved by running it, in 0.1 s, at first use.

The engine rests on behaviour that Unicorn does not promise (docs/engine.md), so it is proved on the machine it runs
on, by miniature guests (`selftest_checks.py`). `selftest_stamp.py` remembers a success.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from time import perf_counter

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.selftest_bench import Bench, MismatchError
from armvcpu.engine.selftest_checks import CHECKS, Check
from armvcpu.errors import ArmvcpuError, EngineUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine

PATIENCE = 5.0
"""Seconds after which a guest that runs on where it should have trapped is stopped, so that its check fails."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found: `problem` is empty where it passed, else a sentence and what was seen."""

    name: str
    seconds: float
    problem: str = ""

    @property
    def passed(self) -> bool:
        """Did the engine behave?"""
        return not self.problem


def unicorn_engine() -> Engine:
    """A fresh engine on Unicorn."""
    from armvcpu.engine.unicorn_engine import UnicornEngine  # tests run without it

    return UnicornEngine()


def run_selftest(engine_factory: Callable[[], Engine] = unicorn_engine) -> list[CheckResult]:
    """Run every check on one engine, which is closed again. EngineUnsupported where it can't even be made."""
    engine, done = engine_factory(), threading.Event()

    def guard() -> None:
        while not done.wait(PATIENCE):
            engine.request_stop()

    thread = threading.Thread(target=guard, daemon=True)
    thread.start()
    try:
        bench = Bench(engine)
        return [_run(check, bench) for check in CHECKS]
    finally:
        done.set()
        thread.join()
        engine.close()


def _run(check: Check, bench: Bench) -> CheckResult:
    start, problem = perf_counter(), ""
    try:
        check.run(bench)
    except (MismatchError, ArmvcpuError) as found:
        problem = f"{check.failure} ({found})"
    return CheckResult(check.name, perf_counter() - start, problem)


def require(results: list[CheckResult]) -> None:
    """EngineUnsupported with one line for the first failure among `results`."""
    for result in results:
        if not result.passed:
            raise EngineUnsupported(
                f"the installed Unicorn fails the engine's self-test: {result.problem};"
                " install another build (pip install --force-reinstall 'unicorn==2.1.4')"
            )
