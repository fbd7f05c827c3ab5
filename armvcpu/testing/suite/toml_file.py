"""A suite's file: read within bounds, so that none of any size or shape takes a host's memory or hours."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.boot.image_file import read_file

if TYPE_CHECKING:
    from pathlib import Path

LARGEST = 1 << 20
"""Bytes: thousands of tests."""
MOST_DOTS = 1000


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The file's text, and what it says; UsageError where it can't be read, or is no TOML."""
    try:
        text = read_file(path, LARGEST, "a suite may be").decode()
    except ImageError as error:
        raise UsageError(f"{path}: cannot be read: {error.problem}; {error.remedy}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    _check_keys(text, path)
    try:
        return text, tomllib.loads(text)
    except ValueError as error:  # TOML's own, or Python's of a number with too many digits
        raise UsageError(f"{path}: no TOML: {error}") from error
    except RecursionError as error:
        raise UsageError(f"{path}: its values are nested too deeply") from error


def _check_keys(text: str, path: Path) -> None:
    """UsageError for a key of very many parts: the library takes the square of that, hours for one of a MiB."""
    for line in text.splitlines():
        if line.count(".") > MOST_DOTS and any(part.count(".") > MOST_DOTS for part in line.split("=")):
            raise UsageError(f"{path}: a line has more than {MOST_DOTS} dots between two '='; is that a suite?")
