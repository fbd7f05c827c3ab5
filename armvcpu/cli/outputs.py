"""The files that a run writes: none of them may be one that it reads, or another of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from armvcpu.cli.run_options import OPTIONS
from armvcpu.errors import UsageError, named
from armvcpu.machine.kinds import FILE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from armvcpu.machine.option import Option

_ANEW = frozenset({("snapshot_save", "snapshot")})
"""What is read to its end before it is replaced."""


def check_outputs(options: Mapping[str, Any], traces: Iterable[str]) -> None:
    """UsageError, before anything is written, for a file that would be overwritten while it is needed."""
    files = [option for option in OPTIONS.values() if option.kind is FILE]
    used = [(option.name, path) for option in files if not option.is_output for path in _paths(option, options)]
    written = [(option.name, path) for option in files if option.is_output for path in _paths(option, options)]
    written += [("trace", path) for path in traces]
    for name, path in written:
        for other, taken in used:
            if (name, other) not in _ANEW and _is_same(path, taken):
                raise UsageError(f"{named(name)} {path}: that is the file of {named(other)}; name another")
        used.append((name, path))


def _paths(option: Option, options: Mapping[str, Any]) -> Iterator[str]:
    given = options.get(option.name) or ()
    for path in given if option.is_several else (given,) if given else ():
        if file := option.file_of(path)[1]:
            yield file


def _is_same(one: str, other: str) -> bool:
    """Are they one file, also where it is not there yet? Devices, as a terminal, may be written by several."""
    if os.path.exists(one) and not os.path.isfile(one):
        return False
    return os.path.realpath(one) == os.path.realpath(other) or (
        os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)
    )
