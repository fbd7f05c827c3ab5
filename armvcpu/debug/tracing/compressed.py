"""Compression of traces on the fly, by the name of the file: `.gz` by gzip, `.zst` by Zstandard (RFC 8878)."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    Wrap = Callable[[IO[bytes]], IO[bytes]]

GZIP_LEVEL, ZSTD_LEVEL = 3, 3
"""Traces repeat themselves: more effort gains little and costs the guest's time."""
_LONGEST_HEADER = 18
"""Bytes of a Zstandard frame, before its first block."""
SUFFIXES = (".gz", ".zst")


def bare(path: str) -> str:
    """The name without the suffix of its compression."""
    return next((path.removesuffix(suffix) for suffix in SUFFIXES if path.endswith(suffix)), path)


def compression(path: str) -> Wrap | None:
    """What makes of an open file one whose contents are compressed into it, and closes it too; None: nothing is."""
    return _gzip if path.endswith(".gz") else _zstd if path.endswith(".zst") else None


class _Gzip(io.RawIOBase):
    """gzip.GzipFile that closes what it writes to."""

    def __init__(self, file: IO[bytes]) -> None:
        import gzip

        self._under = file
        self._file = gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=GZIP_LEVEL, mtime=0)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._file.close()
        finally:
            super().close()
            self._under.close()


def _gzip(file: IO[bytes]) -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedWriter(_Gzip(file)))


def _zstd(file: IO[bytes]) -> IO[bytes]:
    import zstandard

    writer: Any = zstandard.ZstdCompressor(level=ZSTD_LEVEL).stream_writer(file, closefd=True)
    return cast("IO[bytes]", writer)


def open_to_read(path: str) -> IO[bytes]:
    """The contents of a file, whatever it is compressed by: told by its first bytes.

    Reading raises EOFError where what is compressed breaks off.

    Raises:
        OSError: the host refuses.
    """
    file = open(path, "rb")  # noqa: SIM115  the caller's
    magic = file.peek(4)[:4]
    if magic[:2] == b"\x1f\x8b":
        import gzip

        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if magic == b"\x28\xb5\x2f\xfd":
        return cast("IO[bytes]", io.BufferedReader(_ZstdReader(file), 1 << 16))
    return file


class _ZstdReader(io.RawIOBase):
    """zstandard's reader, which takes a file that breaks off for one that ends there."""

    def __init__(self, file: IO[bytes]) -> None:
        import zstandard

        self._under = file
        self._reader: Any = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._reader.readinto(buffer))
        if not count and len(buffer) and self._under.seekable() and not _is_whole(self._under):
            raise EOFError
        return count

    def close(self) -> None:
        super().close()
        self._under.close()


def _is_whole(file: IO[bytes]) -> bool:
    """Are its frames and their blocks all there? RFC 8878, 3.1.1."""
    import zstandard

    size, at = file.seek(0, os.SEEK_END), 0
    while at < size:
        file.seek(at)
        head = file.read(_LONGEST_HEADER)
        try:
            at, ends = at + zstandard.frame_header_size(head), zstandard.get_frame_parameters(head).has_checksum * 4
        except zstandard.ZstdError:
            return False
        is_last = False
        while not is_last:
            file.seek(at)
            block = int.from_bytes(file.read(3), "little")
            if at + 3 > size:
                return False
            is_last, is_repeated = bool(block & 1), block >> 1 & 3 == 1
            at += 3 + (1 if is_repeated else block >> 3)
        at += ends
    return at == size
