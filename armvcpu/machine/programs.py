"""Programs of others that armvcpu starts: those on $PATH, else those that `armvcpu firmware fetch` has unpacked."""

from __future__ import annotations

import os
import shutil

from armvcpu.engine.selftest_stamp import cache_directory

PLACE = "programs/bin"
"""Of the unpacked ones, in the cache."""


def find_program(name: str) -> str | None:
    """Where a program is; None where it is neither on $PATH nor unpacked."""
    if (found := shutil.which(name)) is not None:
        return found
    cache = cache_directory()
    unpacked = f"{cache}/{PLACE}/{name}"
    return unpacked if cache is not None and os.access(unpacked, os.X_OK) else None
