"""The worker's side of a suite on a Dask cluster: its files, and each test in a process that a time-out can kill."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from armvcpu.debug.coverage.coverage import renamed
from armvcpu.testing.suite.case import Verdict, with_retries
from armvcpu.testing.suite.child import CASE, VERDICT
from armvcpu.testing.suite.run import RETRIES, lost_process
from armvcpu.testing.suite.suite import map_files
from armvcpu.testing.suite.worker_files import FileCache, SentFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.testing.suite.suite import Case

GRACE = 30.0
"""Seconds beyond a test's own time-out after which its process is killed."""
POLL = 0.2


@dataclass(frozen=True, slots=True)
class Missing:
    """Instead of a verdict: the files that this worker has to be sent first."""

    worker: str
    files: tuple[SentFile, ...]


def run_job(case: Case) -> Verdict | Missing:
    """Run a test whose files are SentFiles; a task of the cluster."""
    from distributed import get_worker

    worker: Any = get_worker()
    key = worker.get_current_task()

    def is_unwanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled" or worker.status.name in {"closing", "closed", "failed"}

    cache, start = _cache(worker), time.monotonic()
    try:
        return with_retries(case, partial(_run, cache=cache, is_unwanted=is_unwanted))
    except _Lacking as lacking:
        return Missing(worker.address, lacking.files)
    except _Unwanted:
        return Verdict(case.name, "cancelled", time.monotonic() - start)
    except OSError as error:
        return Verdict(case.name, f"worker {worker.address}: {error}", 0.0)


class _Lacking(Exception):
    """This worker has not all files of a test."""

    def __init__(self, files: Sequence[SentFile]) -> None:
        super().__init__()
        self.files = tuple(files)


class _Unwanted(Exception):
    """Nobody waits for the verdict any more."""


def _run(case: Case, cache: FileCache, is_unwanted: Callable[[], bool]) -> Verdict:
    """One run of the test; another one where its process is lost."""
    for _ in range(1 + RETRIES):
        if (verdict := _attempt(case, cache, is_unwanted)) is not None:
            return verdict
    return lost_process(case)


def _attempt(case: Case, cache: FileCache, is_unwanted: Callable[[], bool]) -> Verdict | None:
    """One run, with fresh copies of what it writes to; None where its process was lost."""
    names: dict[str, str] = {}
    missing: list[SentFile] = []
    with TemporaryDirectory(prefix="case-", dir=cache.directory, ignore_cleanup_errors=True) as temporary:
        place = Path(temporary)

        def placed(_: str, file: SentFile | str) -> str:
            if isinstance(file, str):  # a value that names no file
                return file
            where = place / f"{len(names)}-{Path(file.path).name}"
            names[str(where)] = file.path
            try:
                return cache.place(file, where)
            except FileNotFoundError:
                missing.append(file)
                return ""

        options = map_files(case.options, placed)
        if missing:
            raise _Lacking(missing)
        verdict = _in_child(replace(case, options=options), place, is_unwanted)
    if verdict is None:
        return None
    problem, report = verdict.problem, verdict.report
    for here, there in names.items():
        problem, report = problem.replace(here, there), report.replace(here, there)
    coverage = tuple(renamed(each, names) for each in verdict.coverage)
    return replace(verdict, problem=problem, report=report, coverage=coverage)


def _in_child(case: Case, place: Path, is_unwanted: Callable[[], bool]) -> Verdict | None:
    (place / CASE).write_bytes(pickle.dumps(case))
    command = [sys.executable, "-m", "armvcpu.testing.suite.child", str(place)]
    path = os.pathsep.join(os.path.abspath(each) for each in sys.path)
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(place)}
    start = time.monotonic()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        process_group=0,
        env=environment,
    ) as child:
        try:
            while child.poll() is None:
                if is_unwanted():
                    raise _Unwanted
                if (seconds := time.monotonic() - start) > case.timeout + GRACE:
                    return Verdict(case.name, f"it was still there {GRACE:g} s after its time-out", seconds)
                try:
                    child.wait(POLL)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
    if child.returncode:
        return None
    verdict = pickle.loads((place / VERDICT).read_bytes())  # noqa: S301  the child has written it
    assert isinstance(verdict, Verdict)
    return verdict


def lacking(files: Sequence[SentFile], dask_worker: Any = None) -> list[SentFile]:
    """Those of the files that a worker has not."""
    cache = _cache(dask_worker)
    return [file for file in files if cache.lacks(file)]


async def keep(wanted: str, sender: str, offset: int, packed: bytes, dask_worker: Any = None) -> str:
    """Give a worker a piece of a file; what is wrong, or nothing."""
    try:
        return await asyncio.to_thread(_cache(dask_worker).keep, wanted, sender, offset, packed)
    except OSError as error:
        return f"worker {dask_worker.address} cannot keep it: {error.strerror}"


def _cache(worker: Any) -> FileCache:
    return FileCache(Path(worker.local_directory) / "armvcpu")
