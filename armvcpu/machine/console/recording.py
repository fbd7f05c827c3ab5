"""Recordings of what was typed: their file, which names the machine that they are of.

A recording is a text file: a line of JSON that names the machine and the files it started from, one for each
input, and one for how the run ended. Moments are ns of the machine's clock.
"""

from __future__ import annotations

import os

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.errors import ImageError, named
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.files import sha256
from armvcpu.machine.kinds import FILE
from armvcpu.machine.outcome import Ending, Outcome

if TYPE_CHECKING:
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.option import Option

Event = tuple[int, bytes | Outcome]
"""When, in ns of the machine's clock; what was typed, empty where the input has ended, or how the run was ended."""
VERSION = 1
_KIND = "armvcpu recording"
_LARGEST = 256 << 20
"""Bytes: of somebody's typing all that a life has, of a program's input a few hundred MiB."""


def header_of(config: MachineConfig) -> dict[str, Any]:
    """What a recording and a machine must have in common; in JSON's types."""
    recorded = [option for option in MachineConfig.options.values() if option.is_recorded]
    return {_KIND: VERSION, **{option.name: _common(option, getattr(config, option.name)) for option in recorded}}


def _common(option: Option, value: Any) -> Any:
    """A value, of files the sums of their contents."""
    if option.kind is not FILE:
        return list(value) if option.is_several else value
    return [_digest_of_one(option, each) for each in value] if option.is_several else _digest(value)


def _digest_of_one(option: Option, value: PathLike) -> str | None:
    """With the words around the file's name: another address, item or slot is another machine."""
    before, path, behind = option.file_of(value)
    digest = _digest(path) if path else ""
    return digest if digest is None else before + digest + option.recorded_part(behind)


def _digest(path: PathLike | None) -> str | None:
    if path is None or not os.path.isfile(path):
        return None
    return sha256(path)


def read_recording(path: PathLike, wanted: dict[str, Any]) -> list[Event]:
    """The events of a recording of the machine whose header is `wanted`; ImageError where it is none, or another's."""
    import json
    from io import BytesIO

    from armvcpu.machine.boot.image_file import read_file

    remedy = f"record it anew with {named('record')}"
    lines = BytesIO(read_file(path, _LARGEST, "a recording may be", may_be_empty=True))
    events: list[Event] = []
    number = 1
    try:
        header = json.loads(next(lines).decode("ascii"))
        if header[_KIND] != VERSION:
            raise ImageError(path, f"is a recording of version {header[_KIND]}, not {VERSION}", remedy)
        for number, line in enumerate(lines, 2):  # noqa: B007  the handler tells it
            events.append(_event(json.loads(line.decode("ascii")), events[-1][0] if events else 0))
    except (AttributeError, KeyError, StopIteration, RecursionError, TypeError, ValueError) as error:
        what = "is no recording" if number == 1 else f"line {number}: is damaged"
        raise ImageError(path, what, remedy) from error
    files = {option.name for option in MachineConfig.options.values() if option.kind is FILE}
    for name, here in wanted.items():
        there = header.get(name)
        if there != here:
            differs = "is not the same" if name in files else f"is {there}, here it is {here}"
            raise ImageError(
                path, f"is a recording of another machine: its {name} {differs}",
                "start with the same options and unchanged files",
            )  # fmt: skip
    return events


def _event(row: dict[str, Any], earliest: int) -> Event:
    moment = row["at"]
    if type(moment) is not int or moment < earliest:
        raise ValueError(moment)
    if "end" in row:
        ending, reason, status = row["end"]
        if type(status) is not int or not 0 <= status < 256:
            raise ValueError(status)
        return moment, Outcome(Ending[ending], str(reason), status)
    return moment, row["input"].encode("latin-1")
