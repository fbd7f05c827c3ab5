"""Runs an attack on many inputs, each from its number alone, in worker processes, and tells what was not allowed.

An attack returns one word for how armvcpu took the input. Not allowed are: an exception that is none of armvcpu's, an
error of more than one line, an input that takes longer than its bound, and a worker that dies.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.errors import ArmvcpuError, InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Attack = "Callable[[Random, Path], str]"
BOUND = 20
"""Seconds for one input, the host being busy otherwise too."""
ADDRESS_SPACE = 12 << 30
"""Bytes that a worker may map: RAM of machines is reserved, and little of it used."""


class Failure(NamedTuple):
    """One input that was not taken as it has to be."""

    seed: int
    what: str


class Result(NamedTuple):
    """What became of an attack's inputs."""

    verdicts: Counter[str]
    failures: list[Failure]
    slowest: tuple[float, int]
    """Seconds, and of which input."""


class TooLongError(Exception):
    """An input took longer than BOUND."""


def _alarm(_signal: int, _frame: object) -> None:
    raise TooLongError


def judge(attack: Callable[[Random, Path], str], seed: int, directory: Path) -> tuple[str, str]:
    """(verdict, what is wrong): one of them is empty."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(BOUND)
    try:
        return attack(Random(seed), directory), ""
    except TooLongError:
        return "", f"took more than {BOUND} s:\n{traceback.format_exc()}"
    except InternalError:
        return "", traceback.format_exc()
    except ArmvcpuError as error:
        said = str(error)
        return ("", f"an error of several lines: {said!r}") if "\n" in said else ("refused", "")
    except MemoryError:
        return "", f"more than {ADDRESS_SPACE >> 30} GiB:\n{traceback.format_exc()}"
    except Exception:
        return "", traceback.format_exc()
    finally:
        signal.alarm(0)


def run(attack: Callable[[Random, Path], str], seeds: range, workers: int) -> Result:
    """Attack with each seed."""
    result = Result(Counter(), [], (0.0, 0))
    shares = [list(seeds[index::workers]) for index in range(workers)]
    slowest = result.slowest
    running = [_Worker(attack, share) for share in shares if share]
    while running:
        for worker in list(running):
            for line in worker.lines():
                seed, verdict, wrong, seconds = line
                slowest = max(slowest, (seconds, seed))
                if wrong:
                    result.failures.append(Failure(seed, wrong))
                else:
                    result.verdicts[verdict] += 1
            running.remove(worker)
            dead, left = worker.end()
            if dead is not None:
                result.failures.append(dead)
            if left:
                running.append(_Worker(attack, left))
    return result._replace(slowest=slowest)


class _Worker:
    """A child that takes a list of seeds, one after the other, and writes a line of JSON before and after each."""

    def __init__(self, attack: Callable[[Random, Path], str], seeds: list[int]) -> None:
        self._seeds, self._started, self._ended = seeds, -1, 0
        reading, writing = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(reading)
            _work(attack, seeds, writing)
        os.close(writing)
        self._pipe = os.fdopen(reading, encoding="utf-8")

    def lines(self) -> Iterator[tuple[int, str, str, float]]:
        for line in self._pipe:
            facts = json.loads(line)
            if isinstance(facts, int):
                self._started = facts
            else:
                self._ended += 1
                yield tuple(facts)

    def end(self) -> tuple[Failure | None, list[int]]:
        """How it died, if it did, and the seeds that it did not come to."""
        self._pipe.close()
        _, status = os.waitpid(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if self._ended == len(self._seeds):
            return None, []
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
        return Failure(self._started, f"the process died: {how}"), self._seeds[self._ended + 1 :]


def _work(attack: Callable[[Random, Path], str], seeds: list[int], pipe: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory(prefix="hostile") as name, os.fdopen(pipe, "w", encoding="utf-8") as out:
        for seed in seeds:
            out.write(f"{seed}\n")
            out.flush()
            start = time.monotonic()
            verdict, wrong = judge(attack, seed, Path(name))
            out.write(json.dumps([seed, verdict, wrong, time.monotonic() - start]) + "\n")
            out.flush()
    os._exit(0)
