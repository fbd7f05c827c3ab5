"""Runs `armvcpu ...` in a process of its own, to its end."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

COMMAND = (sys.executable, "-m", "armvcpu")


def armvcpu(*words: object, timeout: float = 60, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command with these words and no input; `options` are those of `subprocess.run`, `timeout` is in seconds."""
    given = {"text": True, **({} if "input" in options else {"stdin": subprocess.DEVNULL}), **options}
    return subprocess.run([*COMMAND, *map(str, words)], capture_output=True, timeout=timeout, check=False, **given)
