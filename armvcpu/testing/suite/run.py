"""Running a suite on this machine: each test in a process of its own pool, verdicts as they come."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from armvcpu.errors import ArmvcpuError
from armvcpu.testing.suite.case import Verdict, run_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.context import BaseContext

    from armvcpu.testing.suite.suite import Case, Suite

RETRIES = 1
"""How often a test is run again whose process was lost."""


Runner: TypeAlias = "Callable[[Suite], Iterator[Verdict]]"
"""Runs a suite somewhere: the verdict of each test, in the order in which they end."""


class RunnerLost(ArmvcpuError):
    """The place where a suite runs is lost: the other tests can't have verdicts."""


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
