"""The files of tests that go to a cluster, where they come from: by the SHA-256 of their contents, in pieces."""

from __future__ import annotations

import os
import zlib
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from armvcpu.errors import ImageError
from armvcpu.machine.disk_option import DiskOption
from armvcpu.machine.files import sha256
from armvcpu.testing.suite.files import real_file
from armvcpu.testing.suite.suite import FILES, map_files
from armvcpu.testing.suite.worker_files import PIECE, SentFile

if TYPE_CHECKING:
    from armvcpu.testing.suite.suite import Case


class HostFiles:
    """The files that tests name: each is fetched or made, in the directory `made`, and its sum taken, once."""

    def __init__(self, made: Path) -> None:
        self._made = made
        self._sums: dict[str, tuple[str, Path]] = {}
        self._paths: dict[str, Path] = {}
        self._lock = Lock()

    def sent(self, case: Case) -> Case:
        """The test with SentFiles; UsageError where a file can't be had."""
        return replace(case, options=map_files(case.options, self._sent))

    def path(self, file: SentFile) -> Path:
        """Where the contents of a file are."""
        return self._paths[file.sum]

    def _sent(self, option: str, value: object) -> object:
        is_disk = option == "disks"
        before, plain, behind = FILES[option].file_of(value) if isinstance(value, str) else ("", value, "")
        if not plain:
            return value
        disk = DiskOption.parse(value) if is_disk and isinstance(value, str) else DiskOption("")
        name = repr(plain)
        with self._lock:
            if name not in self._sums:
                self._sums[name] = self._sum(Path(str(real_file(plain, self._made))))
            found, path = self._sums[name]
        writable = FILES[option].is_written and (not is_disk or (not disk.read_only and os.access(path, os.W_OK)))
        if is_disk:
            behind = str(DiskOption("", bool(found) and not writable, disk.slot))
        return SentFile(str(path), found, writable, before, behind)

    def _sum(self, path: Path) -> tuple[str, Path]:
        if not path.exists():
            return "", path  # the test says so, or makes it
        if not path.is_file() and not path.is_block_device():
            raise ImageError(path, "is not a file or a block device", "only those travel to a cluster")
        try:
            found = sha256(path)
        except OSError as error:
            raise ImageError(path, f"cannot be read: {error.strerror}") from error
        self._paths[found] = path
        return found, path


def packed_piece(path: Path, offset: int) -> tuple[int, bytes]:
    """The length of the piece at `offset`, and the piece for `FileCache.keep`."""
    with path.open("rb") as file:
        file.seek(offset)
        piece = file.read(PIECE)
    return len(piece), zlib.compress(piece, 1)
