"""The formats of a profile, told apart by the end of a file's name.

.collapsed, .txt   a line for each stack, its frames separated by semicolons, and its microseconds: what flame graph
                   programs read (Brendan Gregg's flamegraph.pl, inferno, speedscope)
.speedscope.json   https://www.speedscope.app/file-format-schema.json
.pb.gz             pprof: profile.proto of github.com/google/pprof, compressed
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError, words_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.profile.profile import Profile
    from armvcpu.machine.kinds import PathLike

FORMATS = {
    ".collapsed": "armvcpu.debug.profile.collapsed",
    ".txt": "armvcpu.debug.profile.collapsed",
    ".speedscope.json": "armvcpu.debug.profile.speedscope",
    ".pb.gz": "armvcpu.debug.profile.pprof",
}
"""By the end of a name, the module whose `encode(profile)` gives the file's bytes."""


def format_of(path: PathLike) -> str:
    """The module that writes a file of this name.

    Raises:
        UsageError: its end says no format.
    """
    name = os.fspath(path)
    for ending, module in FORMATS.items():
        if name.endswith(ending):
            return module
    raise UsageError(f"a profile's file ends in {', '.join(FORMATS)}, which says its format: {name} does not")


def encoded(profile: Profile, path: PathLike) -> bytes:
    """The bytes of a file of this name; UsageError where its end says no format."""
    encode: Callable[[Profile], bytes] = import_module(format_of(path)).encode
    return encode(profile)


def write_profile(profile: Profile, path: PathLike) -> None:
    """Write it in the format that the name ends in.

    Raises:
        UsageError: it ends otherwise, or the host can't write it.
    """
    data = encoded(profile, path)
    try:
        Path(path).write_bytes(data)
    except (OSError, ValueError) as error:
        raise UsageError(f"the profile {os.fspath(path)}: {words_of(error)}; name another file") from error
