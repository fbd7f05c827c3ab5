"""Coverage-guided fuzzing of a guest: libFuzzer, by the package atheris, and the guest's own edges.

    finding = fuzz(target, lambda data: target.call("parse", BUFFER, len(data)), write=BUFFER, seconds=60)
    if finding is not None: print(finding.data, finding.report)

Each input begins with the state that the machine was in. libFuzzer makes the inputs, and takes the map in which the
engine counts the guest's edges (`Machine.edges`) as counters of its own: no Python stands between. It runs in a forked
process, since it ends the process that it runs in; what it has found is executed here again, for its report. Between
its rounds the inputs that it has kept are tried with what the guest compares their bytes with.

libFuzzer was chosen, not AFL++, because it runs in the process of the machine: there is no fork for each input, and its
mutations, corpus and minimisation are those that `-help=1` of every libFuzzer explains. A machine returns to its
snapshot in 0.1 ms, which is less than a fork takes.
"""

from __future__ import annotations

import ctypes as C
import hashlib
import os
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from armvcpu.errors import GuestCrash, UsageError, callable_in, kind_in, number_in, seconds_in
from armvcpu.machine.machine import Machine
from armvcpu.machine.watching.edges import MAP_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.machine.watching.edges import EdgeMap

INSTALL = "fuzzing needs the package atheris: pip install 'armvcpu[fuzz]'"
_ROUND = 5.0
"""Seconds of libFuzzer's between two looks at what is compared."""
_FILE_FOUND = "crash-found"
"""The input that has failed, beside libFuzzer's own artifacts."""
_STATUS_FOUND = 77
"""The status with which libFuzzer ends where an input has failed."""
_held: list[object] = []
"""What libFuzzer has the addresses of, as long as its process lives."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An input with which the guest failed."""

    data: bytes
    reason: str
    """One line: how it ended, or what was raised."""
    report: str
    """The crash report; of a guest that has dealt with its fault in its own way, and ended, what it was."""


def fuzz(
    machine: Machine,
    test: Callable[[bytes], object],
    *,
    write: int | None = None,
    seeds: Sequence[bytes] = (),
    corpus: PathLike | None = None,
    seconds: float = 60.0,
    max_length: int = 4096,
    options: Sequence[str] = (),
    log: PathLike | None = None,
) -> Finding | None:
    """Look for an input with which `test` raises GuestCrash; None where none was found within `seconds`.

    The machine is where the test is to begin, between two runs, and is there again after. `test` gets each input, which
    lies at the guest-physical address `write` already where that is given; what else it raises ends the fuzzing.

    `seeds` are inputs to begin with; libFuzzer invents some where there are none. `corpus` is a directory of inputs, to
    which those that reach something new are added; else it is a temporary one. `options` are libFuzzer's, as
    `-use_value_profile=1` or `-dict=FILE`, and `log` is where its own words go. Inputs have `max_length` bytes at most.

    Raises:
        UsageError: there is no atheris here, or an argument is wrong; nothing was run.
        StateError: the guest runs.
    """
    kind_in("what is fuzzed", machine, Machine)
    callable_in("what tries an input", test)
    number_in("max_length", max_length, 31)
    seconds_in("seconds", seconds)
    _require_atheris()
    snapshot = machine.snapshot()
    try:
        with tempfile.TemporaryDirectory(prefix="armvcpu-fuzz-") as directory:
            inputs = Path(directory, "seeds") if corpus is None else Path(corpus)
            inputs.mkdir(parents=True, exist_ok=True)
            for seed in seeds:
                _keep(inputs, seed)
            trial, end, turn = _Trial(machine, test, snapshot, write), time.monotonic() + seconds, _ROUND
            while (left := end - time.monotonic()) > 0:
                failing = _solve_compares(trial, inputs, end)
                if failing is not None and (finding := trial.finding(failing)) is not None:
                    return finding
                words = [
                    f"-max_total_time={max(1, round(min(turn, left)))}", f"-max_len={max_length}",
                    f"-artifact_prefix={directory}/", "-rss_limit_mb=0", *options, str(inputs),
                ]  # fmt: skip
                if (finding := _fuzz_apart(trial, words, Path(directory), log)) is not None:
                    return finding
                turn *= 2
            return None
    finally:
        machine.restore(snapshot)
        snapshot.close()


class _Trial:
    """One input after the other, each from the snapshot."""

    def __init__(
        self, machine: Machine, test: Callable[[bytes], object], snapshot: Snapshot, write: int | None
    ) -> None:
        self.machine, self._test, self._snapshot, self._write = machine, test, snapshot, write

    def run(self, data: bytes) -> None:
        """Try one."""
        machine = self.machine
        machine.restore(self._snapshot)
        if self._write is not None:
            machine.write(self._write, data)
        self._test(data)

    def finding(self, data: bytes) -> Finding | None:
        """The same again, of an input that has failed; None where it does no longer, as by a time-out it may."""
        try:
            self.run(data)
        except GuestCrash as crash:
            report = "" if crash.outcome is None else crash.outcome.report
            return Finding(data, str(crash), report or self.machine.crash_report(str(crash)).render())
        return None


def _require_atheris() -> tuple[Any, Any]:
    try:
        return import_module("atheris"), import_module("atheris.core_with_libfuzzer")
    except ImportError as error:
        raise UsageError(INSTALL) from error


def _fuzz_apart(trial: _Trial, words: list[str], directory: Path, log: PathLike | None) -> Finding | None:
    """Fork, wait, and look at what has been found."""
    said = directory / "log" if log is None else Path(log)
    with said.open("wb") as output:
        child = os.fork()
        if child == 0:
            _fuzz_here(trial, words, directory / _FILE_FOUND, output.fileno())
    _, status = os.waitpid(child, 0)
    for artifact in sorted(directory.glob("*-*")):  # libFuzzer's own, of tests that take too long, have such names too
        finding = trial.finding(artifact.read_bytes())
        artifact.unlink()
        if finding is not None:
            return finding
    if os.waitstatus_to_exitcode(status) not in {0, _STATUS_FOUND}:
        last = said.read_text(errors="replace").splitlines()[-12:]
        raise UsageError("libFuzzer ended: " + " | ".join(last))
    return None


def _fuzz_here(trial: _Trial, words: list[str], found: Path, output: int) -> NoReturn:
    """In the forked process, which libFuzzer ends."""
    try:
        os.dup2(output, 1)
        os.dup2(output, 2)
        atheris, core = _require_atheris()
        with trial.machine.edges() as edges:
            _count_with(core.__file__, edges)
            atheris.Setup(["fuzz", *words], _tried(trial, edges, found))
            atheris.Fuzz()
    except BaseException as error:  # nothing of this process's is to go on from here
        print(repr(error), file=sys.stderr, flush=True)
    finally:
        os._exit(1)


def _tried(trial: _Trial, edges: EdgeMap, found: Path) -> Callable[[bytes], None]:
    def one(data: bytes) -> None:
        edges.begin_path()
        try:
            trial.run(data)
        except GuestCrash:
            found.write_bytes(data)
            os._exit(_STATUS_FOUND)

    return one


def _solve_compares(trial: _Trial, inputs: Path, end: float) -> bytes | None:
    """What the guest compares with another number becomes that number, in each input that has it; what fails, if any.

    Chance takes some hundred thousand tries for a byte that must have one value, and this takes one. An input that
    reaches an edge which none before it has is kept, and looked at in turn.
    """
    waiting = deque(sorted((path.read_bytes() for path in inputs.iterdir() if path.is_file()), key=len))
    known, reached = set(waiting), set[int]()
    with trial.machine.edges(compares=True) as edges:
        while waiting and time.monotonic() < end:
            data = waiting.popleft()
            edges.clear()
            edges.forget_compares()
            try:
                trial.run(data)
            except GuestCrash:
                return data
            new = edges.seen - reached
            reached |= new
            if not new and len(known) > len(waiting) + 1:
                continue
            _keep(inputs, data)
            for changed in _changes(data, edges.compared()):
                if changed not in known:
                    known.add(changed)
                    waiting.append(changed)
    return None


def _keep(inputs: Path, data: bytes) -> None:
    """Have a file with it, named as libFuzzer does, so that none of the user's is written over."""
    if not (path := inputs / hashlib.sha1(data, usedforsecurity=False).hexdigest()).exists():
        path.write_bytes(data)


def _changes(data: bytes, pairs: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """The input with one number in place of another, in the width of the larger one and in either order of bytes."""
    for pair in pairs:
        for there, wanted in (pair, pair[::-1]):
            bits = max(there.bit_length(), wanted.bit_length(), 1)
            width = next(width for width in (1, 2, 4, 8) if bits <= 8 * width)
            orders: tuple[Literal["little", "big"], ...] = ("little", "big") if width > 1 else ("little",)
            for order in orders:
                old, new = there.to_bytes(width, order), wanted.to_bytes(width, order)
                at = data.find(old)
                while at >= 0:
                    yield data[:at] + new + data[at + width :]
                    at = data.find(old, at + 1)


def _count_with(library: str, edges: EdgeMap) -> None:
    """The map is libFuzzer's counters from now on: it clears them before each input, and looks at them after it.

    It wants a table of as many code addresses, with a word of flags each, by which it would show symbols.
    """
    fuzzer = C.CDLL(library)
    counters = (C.c_uint8 * MAP_SIZE).from_buffer(edges.memory)
    places = (C.c_uint64 * (2 * MAP_SIZE))(
        *(number // 2 + 1 if number % 2 == 0 else 0 for number in range(2 * MAP_SIZE))
    )
    _held.extend((counters, places))
    for function, table in (("8bit_counters", counters), ("pcs", places)):
        begin = C.addressof(table)
        end = begin + C.sizeof(table)
        getattr(fuzzer, f"__sanitizer_cov_{function}_init")(C.c_void_p(begin), C.c_void_p(end))
