"""The files that a run writes: none of them may be one that it reads, or another of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_READ = ("image", "firmware", "vars", "initrd", "dtb", "replay", "snapshot_load")
_ANEW = frozenset({("snapshot_save", "snapshot_load")})
"""What is read to its end before it is replaced."""


def check_outputs(options: dict[str, Any], traces: Iterable[str]) -> None:
    """UsageError, before anything is written, for a file that would be overwritten while it is needed."""
    used = [(name, options[name]) for name in _READ if options[name]]
    used += [("disk", disk.removesuffix(",ro")) for disk in options["disks"]]
    written = [(name, options[name]) for name in ("record", "snapshot_save") if options[name]]
    written += [("trace", path) for path in traces]
    for name, path in written:
        for other, taken in used:
            if (name, other) not in _ANEW and _is_same(path, taken):
                what = "IMAGE" if other == "image" else _option(other)
                raise UsageError(f"{_option(name)} {path}: that is the file of {what}; name another")
        used.append((name, path))


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _is_same(one: str, other: str) -> bool:
    """Are they one file, also where it is not there yet? Devices, as a terminal, may be written by several."""
    if os.path.exists(one) and not os.path.isfile(one):
        return False
    return os.path.realpath(one) == os.path.realpath(other) or (
        os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)
    )
