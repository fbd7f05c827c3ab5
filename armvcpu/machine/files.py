"""Files of the host: the sum of one's contents, one that appears when it is complete, one that is for its owner."""

from __future__ import annotations

import os
from contextlib import contextmanager

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


LONGEST_NAME, LONGEST_PATH = 255, 4095
"""Bytes of a file's name, and of a path (limits.h: NAME_MAX, and PATH_MAX without its NUL)."""


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 sum of a file, in hexadecimal."""
    import hashlib  # most runs take no sum

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes that place at the end, or is removed where that is an exception."""
    temporary = path.with_name(_temporary_name(path.name))
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary_name(name: str) -> str:
    """Hidden, and not longer than a name may be: so a file can have any name that the host allows."""
    behind = f".{os.getpid()}.part"
    return f".{os.fsdecode(os.fsencode(name)[: LONGEST_NAME - len(behind) - 1])}{behind}"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there in whole or not at all; to what is no regular file, as /dev/stdout, just write it."""
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    with appearing(path.resolve()) as temporary:  # a link stays one
        temporary.write_bytes(data)


def private(path: str | os.PathLike[str], flags: int) -> int:
    """An opener for `open`: a file that is made is its owner's alone, as one with a guest's secrets is to be."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out while they ask for the same lock; never through a link, which others may have laid."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
