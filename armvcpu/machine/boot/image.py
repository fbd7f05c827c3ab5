"""What an image file is, told by its content, and the vocabulary of loading it: regions, segments, memory.

Pure data, no engine and no files: bytes in, facts out. Each format's own layout is in `image_elf` and
`image_linux`; where things go in the guest's memory is decided in `loader`.
"""

from __future__ import annotations

from enum import Enum

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import ImageError, named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.machine.board.memory_map import Region
    from armvcpu.machine.boot.image_linux import LinuxHeader

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


class ImageKind(Enum):
    """What a file's first bytes say it is; the value is how it is called in messages."""

    ELF = "ELF file"
    LINUX_IMAGE = "Linux arm64 Image"
    EFI_ZBOOT = "Linux EFI zboot image"
    GZIP = "gzip-compressed file"
    RAW = "raw image"
    # Recognised, so that they are refused by name instead of being run as code:
    LINUX_ARM32 = "32-bit Arm Linux zImage"
    LINUX_X86 = "x86 Linux bzImage"
    LINUX_RISCV = "RISC-V Linux Image"
    PE = "EFI application (PE)"
    DEVICE_TREE = "device tree blob"
    FIT = "U-Boot FIT image"
    UIMAGE = "U-Boot uImage"
    ANDROID_BOOT = "Android boot image"
    CPIO = "cpio archive"
    COMPRESSED = "compressed file"
    ARCHIVE = "archive"
    DISK = "disk image"
    MACH_O = "Mach-O file"
    BITCODE = "LLVM bitcode file"
    SNAPSHOT = "snapshot of armvcpu"
    SOURCE = "source text"
    SCRIPT = "script"
    HEX = "Intel HEX or S-record file"
    TEXT = "text file"


LINUX_KINDS = frozenset((ImageKind.LINUX_IMAGE, ImageKind.EFI_ZBOOT, ImageKind.GZIP))
REMEDIES = {
    ImageKind.LINUX_ARM32: "use the Image of an arm64 kernel",
    ImageKind.LINUX_X86: "use the Image of an arm64 kernel",
    ImageKind.LINUX_RISCV: "use the Image of an arm64 kernel",
    ImageKind.PE: f"start it from UEFI: {named('firmware')} with EDK2, and the file on one of {named('disks')}",
    ImageKind.DEVICE_TREE: f"pass it with {named('dtb')} beside an image",
    ImageKind.FIT: "extract the kernel from it (dumpimage) and run that",
    ImageKind.UIMAGE: "extract the kernel from it (dumpimage) and run that",
    ImageKind.ANDROID_BOOT: "extract the kernel from it and run that",
    ImageKind.CPIO: f"pass it with {named('initrd')} beside a kernel",
    ImageKind.COMPRESSED: "unpack it first",
    ImageKind.ARCHIVE: "unpack it first and run the image inside",
    ImageKind.DISK: f"pass it with {named('disks')} beside a kernel or firmware",
    ImageKind.MACH_O: "build for aarch64-none-elf",
    ImageKind.BITCODE: "compile it for aarch64-none-elf and link it",
    ImageKind.SNAPSHOT: f"go on from it with {named('snapshot')}, beside the image that it was made with",
    ImageKind.SOURCE: "compile it for aarch64-none-elf and link it into RAM, 0x40080000 say",
    ImageKind.SCRIPT: "name an image that the guest can execute",
    ImageKind.HEX: "convert it first: objcopy -O binary, or to ELF",
    ImageKind.TEXT: "name an image that the guest can execute",
}
"""Every kind that cannot be run, and what to do instead."""

_MAGIC: tuple[tuple[int, bytes, ImageKind], ...] = (
    (0, b"\x7fELF", ImageKind.ELF),
    # Before PE: an Image built with EFI support starts with "MZ" as well.
    (56, b"ARM\x64", ImageKind.LINUX_IMAGE),
    (56, b"RSC\x05", ImageKind.LINUX_RISCV),
    (4, b"zimg", ImageKind.EFI_ZBOOT),
    (0x24, b"\x18\x28\x6f\x01", ImageKind.LINUX_ARM32),
    (0x202, b"HdrS", ImageKind.LINUX_X86),
    (0, b"\x1f\x8b\x08", ImageKind.GZIP),
    (0, b"\xd0\x0d\xfe\xed", ImageKind.DEVICE_TREE),
    (0, b"\x27\x05\x19\x56", ImageKind.UIMAGE),
    (0, b"ANDROID!", ImageKind.ANDROID_BOOT),
    (0, b"070701", ImageKind.CPIO),
    (0, b"070702", ImageKind.CPIO),
    (0, b"\xfd7zXZ\0", ImageKind.COMPRESSED),
    (0, b"\x28\xb5\x2f\xfd", ImageKind.COMPRESSED),  # zstd
    (0, b"\x04\x22\x4d\x18", ImageKind.COMPRESSED),  # lz4
    (0, b"\x02\x21\x4c\x18", ImageKind.COMPRESSED),  # lz4, as Linux builds it
    (4, b"1AY&SY", ImageKind.COMPRESSED),  # bzip2, behind "BZh" and a digit
    (0, b"\x5d\0\0\x80\0", ImageKind.COMPRESSED),  # lzma alone, with its usual dictionary of 8 MiB
    (0, b"\x89LZO\0\r\n", ImageKind.COMPRESSED),
    (0, b"PK\x03\x04", ImageKind.ARCHIVE),  # zip
    (0, b"7z\xbc\xaf\x27\x1c", ImageKind.ARCHIVE),
    (0, b"\xed\xab\xee\xdb", ImageKind.ARCHIVE),  # rpm
    (0, b"!<arch>\n", ImageKind.ARCHIVE),  # ar: a static library or a Debian package
    (257, b"ustar", ImageKind.ARCHIVE),
    (0, b"QFI\xfb", ImageKind.DISK),  # qcow2
    (512, b"EFI PART", ImageKind.DISK),  # GPT
    (0x8001, b"CD001", ImageKind.DISK),  # ISO 9660
    (0, b"hsqs", ImageKind.DISK),  # squashfs
    (0, b"\xcf\xfa\xed\xfe", ImageKind.MACH_O),
    (0, b"BC\xc0\xde", ImageKind.BITCODE),
    (0, b"armvcpu snapshot", ImageKind.SNAPSHOT),
)
"""(offset, bytes, kind). A raw image may begin with any instruction: none of these is one that code begins with."""

_TEXT_LOOKED_AT = 4 * KIB
_SHORTEST_TEXT = 8
_NO_TEXT = bytes(set(range(0x20)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_SOURCE_LINE = (
    r"(?m)^\s*(#\s*(include|define|pragma|if|ifndef|ifdef)\b|//|/\*|\.(global|globl|text|section|org|arch|cpu)\b"
    r"|(static|extern|void|int|const|typedef|struct|fn|use|pub)\b)"
)


def identify(data: bytes) -> ImageKind:
    """What `data`, a whole file or at least its first 64 KiB, is; RAW when nothing is recognised."""
    for offset, magic, kind in _MAGIC:
        if data.startswith(magic, offset):
            # A FIT is a device tree blob whose root has a node "images".
            is_fit = kind is ImageKind.DEVICE_TREE and b"\0\0\0\x01images\0" in data[: 64 * KIB]
            return ImageKind.FIT if is_fit else kind
    pe_header = int.from_bytes(data[0x3C:0x40], "little")
    if data.startswith(b"MZ") and data.startswith(b"PE\0\0", pe_header):
        return ImageKind.PE
    return _identify_text(data[:_TEXT_LOOKED_AT])


def _identify_text(start: bytes) -> ImageKind:
    """Which text it is; RAW where it is none: code has bytes that no text has within a few instructions."""
    if len(start) < _SHORTEST_TEXT or start.translate(None, _NO_TEXT) != start:
        return ImageKind.RAW
    try:
        text = start.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else a character is cut in two where `start` ends
            return ImageKind.RAW
        text = start[: error.start].decode("utf-8-sig")
    import re  # few images are text

    if text.startswith("#!"):
        return ImageKind.SCRIPT
    if re.match(r":[0-9A-Fa-f]{10,}\s|S[0-3][0-9A-Fa-f]{8,}\s", text):
        return ImageKind.HEX
    return ImageKind.SOURCE if re.search(_SOURCE_LINE, text) else ImageKind.TEXT


class Segment(Row):
    """`data` at physical address `addr`, zero-filled to `memory_size` bytes."""

    addr: int
    data: bytes
    memory_size: int

    @property
    def end(self) -> int:
        """First address behind the segment."""
        return self.addr + self.memory_size


class LoadedImage(Row):
    """An image decoded for a memory map: where execution starts and what is in memory then."""

    kind: ImageKind
    entry: int
    segments: tuple[Segment, ...]
    linux: LinuxHeader | None = None
    elf: bytes | None = None
    """The ELF file itself, for its symbols and DWARF."""
    notes: tuple[str, ...] = ()
    """What is unusual about it, and no reason to refuse it: one line each."""


def check_disjoint(path: object, segments: Iterable[Region]) -> None:
    """Raise ImageError when two of the segments claim the same byte."""
    before: Region | None = None
    for region in sorted(segments, key=lambda region: region.base):
        if before is not None and before.overlaps(region.base, region.size):
            raise ImageError(path, f"{before} and {region} overlap", "fix its linker script")
        before = region
