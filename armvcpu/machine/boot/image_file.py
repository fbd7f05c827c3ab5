"""Image files: read with care, told apart, and handed to the decoder of their format.

The only part of image handling that opens files: what is no regular file or too large is refused before it is
read. Which kinds can be run is `REMEDIES` in `image`.
"""

from __future__ import annotations

import os
import stat

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import ImageError, UsageError, named, words_of
from armvcpu.machine.boot.image import GIB, LINUX_KINDS, MIB, REMEDIES, ImageKind, LoadedImage, Segment, identify
from armvcpu.machine.boot.image_elf import load_elf

if TYPE_CHECKING:
    from armvcpu.machine.board.memory_map import MemoryMap
    from armvcpu.machine.kinds import PathLike

GUESTS_RAM, LOADED = "the guest's RAM", "what is loaded at all"
"""What sets a limit that more memory raises."""
RAW_OFFSET = 0x80000
"""Where in RAM a raw image goes, in bytes."""


def load_image(path: PathLike, memory: MemoryMap, load_address: int | None = None) -> LoadedImage:
    """Read the image file `path` and decode it for `memory`.

    Raises:
        ImageError: the file cannot be used or does not fit.
        UsageError: `load_address` contradicts the file.
    """
    # An ELF file may carry debug information that is not loaded.
    data = read_file(path, max(memory.ram.size, GIB), LOADED)
    return decode_image(path, data, memory, load_address)


def decode_image(path: object, data: bytes, memory: MemoryMap, load_address: int | None = None) -> LoadedImage:
    """`load_image` for contents that are in memory; `path` is for messages."""
    kind = identify(data)
    if kind in LINUX_KINDS:
        from armvcpu.machine.boot.image_linux import load_linux, unwrap

        wrapper, data = kind, unwrap(path, data, memory.ram.size)
        kind = identify(data)
        if kind is ImageKind.LINUX_IMAGE:
            return load_linux(path, data, memory, load_address)
        if kind is ImageKind.RAW:
            raise ImageError(path, f"{wrapper.value} with no kernel in it", "unpack it first")
    if kind in REMEDIES:
        raise ImageError(path, f"{kind.value}, nothing to run", REMEDIES[kind])
    if kind is ImageKind.ELF:
        if load_address is not None:
            raise UsageError(f"{path}: an ELF file says itself where it goes; leave {named('load_address')} out")
        return load_elf(path, data, memory)
    addr = memory.ram.base + RAW_OFFSET if load_address is None else load_address
    memory.place(path, "the raw image", addr, len(data), f"give another {named('load_address')}")
    return LoadedImage(kind, addr, (Segment(addr, data, len(data)),))


def load_firmware(path: PathLike, memory: MemoryMap) -> Segment:
    """Read a flash image for the first bank.

    Raises:
        ImageError: the file cannot be read, is no flash image, or larger than the bank.
    """
    bank = memory.flash[0]
    data = read_file(path, bank.size, bank.name)
    kind = identify(data)
    if kind is ImageKind.ELF:
        load_elf(path, data, memory)  # says itself what is wrong with it where it can't be run either
        raise ImageError(path, f"{kind.value}, not a flash image", f"run it without {named('firmware')}")
    if kind is ImageKind.GZIP or kind in REMEDIES:
        raise ImageError(path, f"{kind.value}, not a flash image", "give the plain flash contents")
    return Segment(bank.base, data, len(data))


def read_file(path: PathLike, limit: int, limit_is: str, *, may_be_empty: bool = False) -> bytes:
    """The contents of a regular file of 1 to `limit` bytes; `limit_is` says what sets the limit.

    Raises:
        ImageError: it is missing, unreadable, not a regular file, larger, or empty where it must not be.
    """
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            _check_status(path, status, limit, limit_is)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(min(limit, max(status.st_size, MIB)))  # files of /proc have more than their size
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        raise ImageError(path, words_of(error).lower(), "check the path and its permissions") from None
    except MemoryError:
        raise ImageError(path, "does not fit into the host's memory", "use a smaller file") from None
    if not data and not may_be_empty:
        raise ImageError(path, "is empty", "build or copy it again")
    return data


def _check_status(path: PathLike, status: os.stat_result, limit: int, limit_is: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(path, "is a directory", "name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(path, "is not a regular file", "copy its contents to one")
    if status.st_size > limit:
        problem = f"its {status.st_size} bytes are more than {limit_is} ({limit} bytes)"
        more = f", or raise {named('memory')} if it is to be in RAM" if limit_is in (GUESTS_RAM, LOADED) else ""
        raise ImageError(path, problem, f"use a smaller file{more}")
