"""That the self-test has passed is remembered for this Unicorn library, this armvcpu and this Python.

Where it can't be remembered, the self-test runs each time.
"""

from __future__ import annotations

import os
import sys

from armvcpu import __version__
from armvcpu.engine.library import library
from armvcpu.engine.shim_library import load


def ensure_selftest() -> None:
    """Run the self-test unless this installation has passed it before.

    Raises:
        EngineUnsupported: naming the first check that failed.
    """
    stamp = stamp_path(library().quick._name)
    if stamp is not None and os.path.exists(stamp):
        return
    from armvcpu.engine.selftest import require, run_selftest  # the checks cost a start 10 ms

    require(run_selftest())
    if stamp is not None:
        _remember(stamp)


def stamp_path(unicorn: str | os.PathLike[str]) -> str | None:
    """The file whose existence says that this Unicorn, armvcpu and Python passed; None where there can be none.

    The shim is a part of that: its size and time are in the name too.
    """
    try:
        builds = [os.stat(path) for path in (unicorn, load().quick._name)]
    except OSError:
        return None
    cache = cache_directory()
    build = "-".join(f"{about.st_size:x}-{about.st_mtime_ns:x}" for about in builds)
    return cache and f"{cache}/selftest-{__version__}-{sys.implementation.cache_tag}-{build}"


def cache_directory() -> str | None:
    """$ARMVCPU_CACHE, or `armvcpu` in the user's cache directory (XDG Base Directory Specification).

    None where the user has no home.
    """
    if chosen := os.environ.get("ARMVCPU_CACHE"):
        return os.path.abspath(chosen)
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):
        home = os.path.expanduser("~")
        if not home.startswith("/"):
            return None
        base = f"{home}/.cache"
    return f"{base}/armvcpu"


def _remember(stamp: str) -> None:
    try:
        os.makedirs(os.path.dirname(stamp), exist_ok=True)
        with open(stamp, "a"):
            pass
    except OSError:
        return  # then the self-test runs again next time
