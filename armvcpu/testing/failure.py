"""What is told of a machine whose test failed, and what is kept of it: for the pytest plugin and for suites alike."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.errors import ArmvcpuError, UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.kinds import FLAG
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.testing.target.target import Target

CONSOLE, REPORT, CORE, SNAPSHOT = "console.txt", "report.txt", "core", "snapshot"
"""The files of a failed test, in its directory."""
_MADE_BY_RUN = {"snapshot", "record", "replay"}


class Failure(NamedTuple):
    """Where a machine was when its test failed; all of it is text."""

    console: str
    """Its end."""
    title: str
    """Of the report: how the guest ended, or where it is."""
    report: str
    place: str
    """PC and symbol, of a loop of exceptions where it began; empty of a machine that is closed."""
    hint: str = ""
    """Of a crash, what to do about it; empty where nothing is obvious."""


def look_at(target: Target) -> Failure:
    """What is to be told; each register is in it once, in the report of a guest that crashed or still runs."""
    console, outcome = target.talk.tail(), target.talk.outcome or target.ended
    if target.is_closed:
        return Failure(console, "how the guest ended", "the test has closed its machine", "")
    pc = target.vcpu.state.pc
    place = f"PC {pc:#x} {target.symbols.format(pc)}".rstrip()
    title = "where it is" if outcome is None else "how the guest ended"
    if outcome is not None and outcome.ending is Ending.CRASHED and (details := outcome.details) is not None:
        at = details.cause_at
        return Failure(console, title, details.render(), f"PC {at.pc:#x} {at.symbol}".rstrip(), details.hint)
    if outcome is not None and outcome.ending in {Ending.POWERED_OFF, Ending.REPORTED_FAILURE}:
        lines = [f"{outcome.reason}, status {outcome.status}", place, *_exits(target)]
        return Failure(console, title, "\n".join(lines), place)
    why = "the test failed here, and the guest still runs" if outcome is None else outcome.reason
    return Failure(console, title, target.crash_report(why).render(), place)


def _exits(target: Target) -> Iterator[str]:
    from armvcpu.debug.words import describe_exit

    for pc, reason in target.last_exits:
        yield f"exit {pc:#x} {describe_exit(reason)}"


def keep(target: Target, failure: Failure, directory: Path) -> str:
    """Write all that is left of a machine to `directory`, which is made; how to load it, a line for each.

    A guest that crashed leaves a core, one that still runs a snapshot besides.

    Raises:
        UsageError: the host can't write it.
    """
    write_texts(directory, target.output, failure.report)
    if target.is_closed:
        return f"kept in {directory}"
    lines = [f"kept in {directory}"]
    try:
        snapshot = target.snapshot()
    except ArmvcpuError as error:
        return f"{lines[0]}; no core: {error}"
    try:
        lines += _keep_state(target, snapshot, directory)
    except OSError as error:
        raise UsageError(f"{error.filename or directory}: {error.strerror}; choose another place") from error
    finally:
        snapshot.close()
    return "\n".join(lines)


def _keep_state(target: Target, snapshot: Snapshot, directory: Path) -> Iterator[str]:
    from armvcpu.machine.snapshots import snapshot_file
    from armvcpu.testing.core_file import write_core

    write_core(directory / CORE, snapshot, target.memory.read, target.memory.layout)
    image = target.config.image
    words = [str(image)] if image is not None and _is_elf(Path(image)) else []
    yield shlex.join(["gdb-multiarch", *words, "-c", str(directory / CORE)])
    if target.can_go_on:
        snapshot_file.save(snapshot, directory / SNAPSHOT)
        yield command_line(target.config, directory / SNAPSHOT)
    else:
        (directory / SNAPSHOT).unlink(missing_ok=True)


def _is_elf(image: Path) -> bool:
    with image.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def write_texts(directory: Path, console: str, report: str) -> None:
    """Write a failed test's console and report to `directory`, which is made; UsageError where the host can't."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / CONSOLE).write_text(console)
        (directory / REPORT).write_text(f"{report.rstrip()}\n")
    except OSError as error:
        raise UsageError(f"{directory}: {error.strerror}; choose another place") from error


def file_name(name: str) -> str:
    """A test's name as that of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".")[:200] or "_"


def command_line(config: MachineConfig, snapshot: Path) -> str:
    """The `armvcpu run` that goes on from a machine's snapshot."""
    words = ["armvcpu", "run"]
    for option in MachineConfig.options.values():
        value = getattr(config, option.name)
        if option.name in _MADE_BY_RUN or not option.flag or value == option.default:
            continue
        if option.kind is FLAG:
            words.append(option.flag)
            continue
        for each in value if option.is_several else (value,):
            words += [option.written(each)] if option.flag == "IMAGE" else [option.flag, option.written(each)]
    return shlex.join([*words, "--snapshot-load", str(snapshot)])
