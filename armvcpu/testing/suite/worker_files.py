"""The files of tests on a cluster's worker: kept by the SHA-256 of their contents, linked or copied for each test."""

from __future__ import annotations

import os
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armvcpu.machine.files import sha256

if TYPE_CHECKING:
    from pathlib import Path

PIECE = 8 << 20
"""Bytes of a file that travel at once."""
CAPACITY = 16 << 30
"""Bytes that a worker keeps; what has not been used for longest goes."""
ABANDONED = 3600.0
"""Seconds after which a file that never became complete goes."""
PART = ".part"


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file of a test: its path where the suite is, and the sum of its contents, empty where there is no file."""

    path: str
    sum: str
    writable: bool = False
    before: str = ""
    behind: str = ""
    """What stands before and behind the path in the option's value."""


class FileCache:
    """A directory of a worker."""

    def __init__(self, directory: Path, capacity: int = CAPACITY) -> None:
        self.directory, self._capacity = directory, capacity
        directory.mkdir(parents=True, exist_ok=True)

    def lacks(self, file: SentFile) -> bool:
        """Has it to be sent?"""
        return bool(file.sum) and not (self.directory / file.sum).is_file()

    def keep(self, wanted: str, sender: str, offset: int, packed: bytes) -> str:
        """Add a piece of the file whose sum is `wanted`, the last when it is a short one; what is wrong, or nothing."""
        part = self.directory / f"{wanted}.{sender}{PART}"
        piece = zlib.decompress(packed)
        with part.open("r+b" if offset else "wb") as file:
            file.seek(offset)
            if piece != bytes(len(piece)):  # a hole needs no room
                file.write(piece)
            file.truncate(offset + len(piece))
        if len(piece) == PIECE:
            return ""
        if sha256(part) != wanted:
            part.unlink()
            return "changed while it was sent"
        part.chmod(0o444)
        part.replace(self.directory / wanted)
        self._make_room()
        return ""

    def place(self, file: SentFile, where: Path) -> str:
        """Have the file at `where`, which a test may write to if it is writable; FileNotFoundError if it lacks."""
        if file.sum:
            kept = self.directory / file.sum
            os.utime(kept)
            if file.writable:
                copy(kept, where)
            else:
                os.link(kept, where)
        return f"{file.before}{where}{file.behind}"

    def _make_room(self) -> None:
        files = sorted((path.stat().st_mtime, path) for path in self.directory.iterdir() if path.is_file())
        total = sum(path.stat().st_size for _, path in files)
        for used, path in files:
            if path.suffix == PART:
                if used < time.time() - ABANDONED:
                    path.unlink()
            elif total > self._capacity:
                total -= path.stat().st_size
                path.unlink()


def copy(source: Path, target: Path) -> None:
    """Copy a file with its holes."""
    with source.open("rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        start = 0
        while (start := _next_data(old.fileno(), start, size)) < size:
            end = os.lseek(old.fileno(), start, os.SEEK_HOLE)
            new.seek(start)
            old.seek(start)
            while start < end:
                start += os.sendfile(new.fileno(), old.fileno(), None, end - start)


def _next_data(descriptor: int, start: int, size: int) -> int:
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA) if start < size else size
    except OSError:  # ENXIO: a hole up to the end
        return size
