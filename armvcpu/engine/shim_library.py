"""The engine's native part: finding it, and refusing one that was made from other sources than those beside it.

In an installed wheel the library lies alone. In a checkout its sources lie beside it, and an editable install compiles
it only once, so a source that is newer than the library makes the two be compared: `make` compiles it anew.
"""

from __future__ import annotations

import ctypes as C
import os
import sys
from functools import cache

from armvcpu.arch.static import NamedTuple
from armvcpu.errors import EngineUnsupported

DIRECTORY = f"{os.path.dirname(__file__)}/shim"
LIBRARY_NAME = "libarmvcpu.so"
HOSTS = ("linux x86_64", "linux aarch64")
OVERRIDE = "ARMVCPU_SHIM"
"""The environment variable that names another library, for example one with sanitizers."""


class ShimLibrary(NamedTuple):
    """Two handles to one library: `blocking` lets other Python threads run, `quick` keeps the interpreter lock."""

    blocking: C.CDLL
    quick: C.PyDLL


@cache
def load() -> ShimLibrary:
    """The process's one native part; EngineUnsupported with one clear line where there is none that fits."""
    require_host(host())
    override = os.environ.get(OVERRIDE)
    return open_library(override or f"{DIRECTORY}/{LIBRARY_NAME}", DIRECTORY)


def host() -> str:
    """The operating system and architecture of this host, as in `HOSTS`."""
    machine = os.uname().machine if hasattr(os, "uname") else "unknown"
    return f"{sys.platform} {machine}" + ("" if sys.maxsize > 1 << 32 else " with a 32-bit Python")


def require_host(name: str) -> None:
    """EngineUnsupported unless the native part can be compiled for the host of that name."""
    if name not in HOSTS:
        raise EngineUnsupported(f"armvcpu runs on Linux on x86-64 and AArch64 only; this host is {name}")


def open_library(path: str | os.PathLike[str], sources: str | os.PathLike[str]) -> ShimLibrary:
    """The library at `path`, compared with the C files in the directory `sources` if there are any."""
    if not os.path.isfile(path):
        where = f" ({OVERRIDE} is {path})" if os.path.dirname(path) != os.fspath(sources) else ""
        raise EngineUnsupported(f"the engine's native part is not built (run make, or pip install -e .){where}")
    try:
        shim = ShimLibrary(C.CDLL(os.fspath(path)), C.PyDLL(os.fspath(path)))
        shim.quick.shim_sources.restype, shim.quick.shim_sources.argtypes = C.c_char_p, ()
        made_from = shim.quick.shim_sources()
    except (OSError, AttributeError) as error:
        raise EngineUnsupported(f"cannot load the engine's native part: {error}") from error
    if _may_be_stale(path, sources) and made_from.decode() != _source_hash(sources):
        raise EngineUnsupported("the engine's native part was built from other sources (run make)")
    return shim


def _may_be_stale(library: str | os.PathLike[str], sources: str | os.PathLike[str]) -> bool:
    """Whether a source is newer than the library: a look at a few times, where a hash reads every file."""
    built = os.stat(library).st_mtime_ns
    with os.scandir(sources) as entries:
        return any(entry.name.endswith((".c", ".h")) and entry.stat().st_mtime_ns > built for entry in entries)


def _source_hash(sources: str | os.PathLike[str]) -> str:
    from pathlib import Path

    from armvcpu.engine.shim.build import source_hash  # not in a wheel, as the sources aren't

    return source_hash(Path(sources))
