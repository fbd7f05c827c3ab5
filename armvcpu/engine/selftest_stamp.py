"""That the self-test has passed is remembered for this Unicorn library, this armvcpu and this Python.

Where it can't be remembered, the self-test runs each time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from armvcpu import __version__
from armvcpu.engine.library import library


def ensure_selftest() -> None:
    """Run the self-test unless this installation has passed it before.

    Raises:
        EngineUnsupported: naming the first check that failed.
    """
    stamp = stamp_path(Path(library().quick._name))
    if stamp is not None and stamp.exists():
        return
    from armvcpu.engine.selftest import require, run_selftest  # noqa: PLC0415  the checks cost a start 10 ms

    require(run_selftest())
    if stamp is not None:
        _remember(stamp)


def stamp_path(unicorn: Path) -> Path | None:
    """The file whose existence says that this Unicorn, armvcpu and Python passed; None where there can be none."""
    try:
        about = unicorn.stat()
        cache = _cache_directory()
    except (OSError, RuntimeError):
        return None
    build = f"{about.st_size:x}-{about.st_mtime_ns:x}"
    return cache / f"selftest-{__version__}-{sys.implementation.cache_tag}-{build}"


def _cache_directory() -> Path:
    """$ARMVCPU_CACHE, or `armvcpu` in the user's cache directory (XDG Base Directory Specification)."""
    if chosen := os.environ.get("ARMVCPU_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "armvcpu"


def _remember(stamp: Path) -> None:
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    except OSError:
        return  # then the self-test runs again next time
