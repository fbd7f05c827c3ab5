"""Files of the host: the sum of one's contents, and one that appears when it is complete."""

from __future__ import annotations

import os
from contextlib import contextmanager

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 sum of a file, in hexadecimal."""
    import hashlib  # most runs take no sum

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes that place at the end, or is removed where that is an exception."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
