"""Running a suite on a Dask cluster: Dask gives each test to a worker, and to another one where that is lost.

Files travel by the SHA-256 of their contents. A worker that has not all files of a test answers so, is sent them
through the scheduler, and is given the test again. `worker` is what runs there.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import defaultdict, deque
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.testing.suite import worker as suite_worker
from armvcpu.testing.suite.case import Verdict
from armvcpu.testing.suite.host_files import HostFiles, packed_piece
from armvcpu.testing.suite.run import RunnerLost
from armvcpu.testing.suite.worker_files import PIECE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator

    from armvcpu.testing.suite.run import Runner
    from armvcpu.testing.suite.suite import Case, Suite

CONNECT = 8.0
"""Seconds for the scheduler to answer."""
PATIENCE = 30.0
"""Seconds without any worker after which a suite is given up."""
ANSWER = 60.0
"""Seconds for a worker to take a piece of a file."""
ROUNDS = 8
"""How often a test is offered to workers that have not its files, or are lost once they have them."""
POLL = 1.0

log = logging.getLogger("armvcpu.suite")


@contextmanager
def cluster(address: str, jobs: int | None = None) -> Iterator[Runner]:
    """Runs suites on the cluster of the scheduler at `address`, at most `jobs` tests at once.

    Raises:
        UsageError: Dask is not installed, or no scheduler answers.
    """
    with TemporaryDirectory(prefix="armvcpu-") as made, asyncio.Runner() as runner:
        client = runner.run(_connected(address))
        try:
            yield partial(_verdicts, runner, Cluster(client, address, jobs, HostFiles(Path(made))))
        finally:
            runner.run(client.close(timeout=CONNECT))


async def _connected(address: str) -> Any:
    try:
        from distributed import Client  # it is an extra, and takes its time
    except ImportError as error:
        raise UsageError("--scheduler needs Dask, which is not installed: pip install 'armvcpu[dask]'") from error
    for name in ("client", "core", "comm.tcp"):  # what goes wrong is said once, by armvcpu
        logging.getLogger(f"distributed.{name}").setLevel(logging.CRITICAL)
    client: Any = Client(address, asynchronous=True, timeout=CONNECT, set_as_default=False, name="armvcpu")
    try:
        async with asyncio.timeout(CONNECT + 1):  # Dask's own time-out does not cover what comes after connecting
            return await client
    except BaseException as error:
        await client.close(timeout=CONNECT)
        if not isinstance(error, OSError | ValueError | TypeError):  # TypeError: tls:// without certificates
            raise
        raise UsageError(f"--scheduler {address}: no Dask scheduler there: {_line(error)}") from error


def _line(error: BaseException) -> str:
    silent = "no answer" if isinstance(error, TimeoutError) else type(error).__name__
    return " ".join(str(error).split()).split(". ")[0] or silent


def _verdicts(runner: asyncio.Runner, where: Cluster, suite: Suite) -> Iterator[Verdict]:
    verdicts = where.verdicts(suite)

    async def following() -> Verdict | None:
        return await anext(verdicts, None)

    try:
        while (verdict := runner.run(following())) is not None:
            yield verdict
    finally:
        runner.run(_closed(verdicts))


async def _closed(verdicts: Any) -> None:
    await verdicts.aclose()


class Cluster:
    """A cluster, through a connected `distributed.Client`."""

    def __init__(self, client: Any, address: str, jobs: int | None, files: HostFiles) -> None:
        self._client, self._address, self._jobs, self._files = client, address, jobs, files
        self._sending: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._name = uuid.uuid4().hex
        self._workers: dict[str, int] = {}
        self._last_seen = time.monotonic()

    async def verdicts(self, suite: Suite) -> AsyncIterator[Verdict]:
        """Of each test, in the order in which they end; as many run as the workers have threads."""
        waiting = deque(suite.cases)
        running: set[asyncio.Task[Verdict]] = set()
        self._last_seen = time.monotonic()
        try:
            while waiting or running:
                room = await self._room()
                while waiting and len(running) < room:
                    running.add(asyncio.create_task(self._verdict(waiting.popleft())))
                if not running:
                    await asyncio.sleep(POLL)
                    continue
                done, running = await asyncio.wait(running, timeout=POLL, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda task: task.exception() is not None):
                    yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _room(self) -> int:
        """How many tests may run; RunnerLost where there has been no worker for too long."""
        try:
            async with asyncio.timeout(CONNECT):
                self._workers = await self._client.nthreads()
        except (OSError, TimeoutError, AttributeError) as error:  # a client without connection has no scheduler
            raise self._lost("its scheduler does not answer any more") from error
        threads = sum(self._workers.values())
        if threads:
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > PATIENCE:
            raise self._lost(f"it has had no worker for {PATIENCE:g} s")
        return min(threads, self._jobs or threads)

    def _lost(self, why: str) -> RunnerLost:
        return RunnerLost(f"the cluster at {self._address} is lost: {why}")

    async def _verdict(self, case: Case) -> Verdict:
        try:
            job = await asyncio.to_thread(self._files.sent, case)
        except ArmvcpuError as error:
            return Verdict(case.name, str(error), 0.0)
        worker = None
        for _ in range(ROUNDS):
            answer = await self._answer(job, worker)
            if isinstance(answer, Verdict):
                return answer
            worker = answer.worker if answer is not None else None
            if answer is not None and (problem := await self._send(answer)):
                return Verdict(case.name, problem, 0.0)
        return Verdict(case.name, f"no worker had its files and lived; attempts: {ROUNDS}", 0.0)

    async def _answer(self, job: Case, worker: str | None) -> Verdict | suite_worker.Missing | None:
        """What becomes of a test, on `worker` if one is named; None where that is gone."""
        from distributed import CancelledError, KilledWorker

        key = f"armvcpu-{uuid.uuid4().hex}"
        future = self._client.submit(suite_worker.run_job, job, key=key, pure=False, workers=worker and [worker])
        asked = asyncio.ensure_future(future.result())
        try:
            while not (await asyncio.wait({asked}, timeout=2 * POLL))[0]:
                if worker is not None and worker not in self._workers:
                    return None  # Dask would wait for its return
            answer = asked.result()
        except KilledWorker as error:
            return Verdict(job.name, f"its worker was lost; attempts: {error.allowed_failures + 1}", 0.0)
        except CancelledError as error:
            if not future.cancelled():
                raise
            raise self._lost("its scheduler does not answer any more") from error
        except Exception as error:
            raise self._lost(f"it can't run tests, {_line(error)}; scheduler and workers need this armvcpu") from error
        finally:
            asked.cancel()
            if not future.done():
                with suppress(OSError, TimeoutError):
                    async with asyncio.timeout(CONNECT):
                        await self._client.cancel([future], force=True)
        assert isinstance(answer, Verdict | suite_worker.Missing)
        return answer

    async def _send(self, missing: suite_worker.Missing) -> str:
        """Send a worker those files that it still has not; what is wrong with them, or nothing."""
        worker = missing.worker
        async with self._sending[worker]:
            try:
                for file in await self._on(worker, suite_worker.lacking, missing.files):
                    path = self._files.path(file)
                    log.info("sending %s, %s, to %s", path, file.sum, worker)
                    if problem := await self._send_file(worker, file.sum, path):
                        return f"{file.path}: {problem}"
            except (OSError, TimeoutError) as error:  # the worker's end, which Dask will notice
                log.info("%s takes no files: %s", worker, _line(error))
        return ""

    async def _send_file(self, worker: str, wanted: str, path: Path) -> str:
        length, offset = PIECE, 0
        while length == PIECE:
            try:
                length, packed = await asyncio.to_thread(packed_piece, path, offset)
            except OSError as error:
                return f"cannot be read: {error.strerror}"
            problem = await self._on(worker, suite_worker.keep, wanted, self._name, offset, packed)
            if problem:
                return str(problem)
            offset += length
        return ""

    async def _on(self, worker: str, function: Any, *arguments: Any) -> Any:
        async with asyncio.timeout(ANSWER):
            answers: Coroutine[Any, Any, dict[str, Any]] = self._client.run(function, *arguments, workers=[worker])
            return (await answers)[worker]
