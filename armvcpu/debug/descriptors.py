"""Descriptors of the host's for who connects to a run: the last ones are the run's own, which opens some each time."""

from __future__ import annotations

import os
import resource

SPARE = 8
"""As many are left for the run."""


def are_left() -> bool:
    """May somebody who has connected keep the descriptor that that takes?"""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        return most == resource.RLIM_INFINITY or most - len(os.listdir("/proc/self/fd")) >= SPARE
    except OSError:  # there is not even one for the look
        return False
