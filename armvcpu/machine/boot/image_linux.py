"""The Linux kernel's own formats: the arm64 `Image` header, its gzip form, and the EFI zboot wrapper.

Documentation/arch/arm64/booting.rst ("Call the kernel image") gives the Image header, and
drivers/firmware/efi/libstub/zboot-header.S the wrapper. Decompression is bounded by the size of the guest's
RAM, so that a small file cannot fill the host's memory.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import TYPE_CHECKING, Protocol

from armvcpu.arch.rows import Row
from armvcpu.errors import ImageError, UsageError, named
from armvcpu.machine.boot.image import KIB, MIB, ImageKind, LoadedImage, Segment, identify

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.board.memory_map import MemoryMap

# code0, code1, text_offset, image_size, flags, res2 to res4, magic, res5: the offset of the PE header
_HEADER = Struct("<IIQQQ24x4sI")
# "PE", machine, NumberOfSections, SizeOfOptionalHeader, characteristics; then, behind the optional header, for each
# section (name and two more) SizeOfRawData and PointerToRawData
_PE_HEADER = Struct("<4s2xH12xH2x")
_PE_SECTION = Struct("<16xII16x")
# "MZ", 0, "zimg", payload offset, payload size, reserved, compression type
_ZBOOT = Struct("<4x4sII8x32s")

BASE_ALIGNMENT = 2 * MIB
"""The Image goes text_offset bytes from a base aligned so."""
OLD_TEXT_OFFSET = 0x80000
"""What kernels before v3.17 mean; they leave image_size zero."""
FLAG_BIG_ENDIAN = 1 << 0
UNPACKED_LIMIT = 1 << 30
"""Bytes that are unpacked at most, however much RAM the guest has: a small file could fill a host."""
LZMA_MEMORY = 256 * MIB
"""A file's header says how much a decoder needs; `xz -9` says 65 MiB."""
_PAGE_SIZES = {0: "unspecified", 1: "4K", 2: "16K", 3: "64K"}


class LinuxHeader(Row):
    """The arm64 Image header; sizes and offsets in bytes."""

    text_offset: int
    image_size: int
    flags: int

    @property
    def page_size(self) -> str:
        """The kernel's page size: flags bits 1 and 2."""
        return _PAGE_SIZES[self.flags >> 1 & 3]


def read_header(path: object, data: bytes) -> LinuxHeader:
    """Decode the header at the start of an Image.

    Raises:
        ImageError: it is truncated, or the kernel is big-endian.
    """
    if len(data) < _HEADER.size:
        raise ImageError(path, "a truncated Linux Image", "copy or build it again")
    _, _, text_offset, image_size, flags, _, _ = _HEADER.unpack_from(data)
    if flags & FLAG_BIG_ENDIAN:
        raise ImageError(path, "a big-endian Linux kernel", "build it little-endian")
    if not image_size:
        text_offset = OLD_TEXT_OFFSET
    return LinuxHeader(text_offset, image_size, flags)


def _expected_size(data: bytes) -> int:
    """How long the file must be at least by its section table, which a kernel with an EFI stub has; else 0.

    The table of "Microsoft Portable Executable and Common Object File Format Specification", 3 and 4: `image_size`
    includes what the kernel zeroes itself, so it does not tell.
    """
    start = _HEADER.unpack_from(data)[-1]
    if not data.startswith(b"MZ") or len(data) < start + _PE_HEADER.size:
        return 0
    signature, count, optional_size = _PE_HEADER.unpack_from(data, start)
    start += _PE_HEADER.size + optional_size
    if signature != b"PE\0\0" or len(data) < start + count * _PE_SECTION.size:
        return 0
    return max(
        (sum(section) for section in _PE_SECTION.iter_unpack(data[start : start + count * _PE_SECTION.size])), default=0
    )


def load_linux(path: object, data: bytes, memory: MemoryMap, load_address: int | None = None) -> LoadedImage:
    """Place a Linux Image in RAM, or its first byte at `load_address`.

    Raises:
        ImageError: the file is damaged or does not fit into RAM.
        UsageError: `load_address` is not text_offset bytes from a 2 MiB boundary.
    """
    header = read_header(path, data)
    if _expected_size(data) > len(data):
        raise ImageError(path, f"a truncated Linux Image of {len(data)} bytes", "copy or build it again")
    addr = load_address
    if addr is None:
        base = -(-memory.ram.base // BASE_ALIGNMENT) * BASE_ALIGNMENT
        # As QEMU does: leave room for a device tree below a kernel whose text_offset leaves none.
        addr = base + header.text_offset + (BASE_ALIGNMENT if header.text_offset < 4 * KIB else 0)
    elif (addr - header.text_offset) % BASE_ALIGNMENT:
        raise UsageError(
            f"{named('load_address')} {addr:#x}: a Linux Image goes text_offset {header.text_offset:#x} behind a "
            f"2 MiB boundary; leave the option out"
        )
    size = max(len(data), header.image_size)
    if not any(region.contains(addr, size) for region in (memory.ram, *memory.more)):
        raise ImageError(
            path, f"the kernel takes {size} bytes at {addr:#x}, outside {memory.ram}", f"raise {named('memory')}"
        )
    return LoadedImage(ImageKind.LINUX_IMAGE, addr, (Segment(addr, data, size),), linux=header)


class _Decompressor(Protocol):
    """What zlib and lzma decompression objects have in common."""

    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_Compression = tuple["_Decompressor", type[Exception]]


def _gzip() -> _Compression:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), zlib.error


def _lzma() -> _Compression:
    import lzma  # rarely needed

    return lzma.LZMADecompressor(lzma.FORMAT_AUTO, LZMA_MEMORY), lzma.LZMAError


_ZBOOT_COMPRESSIONS: dict[str, Callable[[], _Compression]] = {"gzip": _gzip, "lzma": _lzma, "xzkern": _lzma}


def unwrap(path: object, data: bytes, limit: int) -> bytes:
    """The image inside a gzip file or an EFI zboot wrapper; `data` itself if it is neither.

    Raises:
        ImageError: the wrapper is damaged, its compression unknown, or it holds more than `limit` bytes.
    """
    kind = identify(data)
    if kind is ImageKind.GZIP:
        data = _decompress(path, _gzip(), data, limit)
        kind = identify(data)
        if kind is ImageKind.GZIP:
            raise ImageError(path, "is compressed more than once", "unpack it first")
    if kind is ImageKind.EFI_ZBOOT:
        data = _unwrap_zboot(path, data, limit)
    return data


def _unwrap_zboot(path: object, data: bytes, limit: int) -> bytes:
    if len(data) < _ZBOOT.size:
        raise ImageError(path, "a truncated EFI zboot image", "copy or build it again")
    _, offset, size, compression = _ZBOOT.unpack_from(data)
    if offset + size > len(data):
        raise ImageError(path, f"its payload ends behind its {len(data)} bytes", "copy or build it again")
    name = compression.split(b"\0")[0].decode("ascii", "replace")
    if name not in _ZBOOT_COMPRESSIONS:
        known = ", ".join(_ZBOOT_COMPRESSIONS)
        raise ImageError(path, f"an EFI zboot image compressed by {name!r}, not {known}", "use the kernel's Image")
    return _decompress(path, _ZBOOT_COMPRESSIONS[name](), data[offset : offset + size], limit)


def _decompress(path: object, compression: _Compression, data: bytes, limit: int) -> bytes:
    decompressor, damaged = compression
    limit = min(limit, UNPACKED_LIMIT)
    try:
        unpacked = decompressor.decompress(data, limit + 1)
    except damaged as error:
        raise ImageError(path, f"its compressed data are damaged ({error})", "copy or build it again") from None
    except MemoryError:
        raise ImageError(path, "does not fit into the host's memory unpacked", "use a smaller file") from None
    if len(unpacked) > limit:
        if limit == UNPACKED_LIMIT:
            raise ImageError(path, f"unpacks to more than {limit // MIB} MiB, the most that is", "use a smaller kernel")
        raise ImageError(
            path, f"unpacks to more than the guest's {limit // MIB} MiB of RAM", f"raise {named('memory')}"
        )
    if not decompressor.eof:
        raise ImageError(path, "its compressed data are truncated", "copy or build it again")
    return unpacked
