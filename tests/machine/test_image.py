"""Telling images apart by content, and the memory they may be loaded into."""

from __future__ import annotations

import pytest
from image_bytes import BOARD, RAM, make_elf, make_linux, make_zboot

from armvcpu.errors import ImageError
from armvcpu.machine.board.memory_map import Region
from armvcpu.machine.boot.image import REMEDIES, ImageKind, check_disjoint, identify

DTB = b"\xd0\x0d\xfe\xed" + bytes(36)


def at(offset: int, magic: bytes) -> bytes:
    return bytes(offset) + magic + bytes(64)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (make_elf(), ImageKind.ELF),
        (make_linux(), ImageKind.LINUX_IMAGE),
        (b"MZ" + make_linux()[2:], ImageKind.LINUX_IMAGE),
        (make_zboot(b""), ImageKind.EFI_ZBOOT),
        (b"\x1f\x8b\x08\0", ImageKind.GZIP),
        (b"\x0a\0\0\x14" + bytes(2048), ImageKind.RAW),
        (b"", ImageKind.RAW),
        (at(0x24, b"\x18\x28\x6f\x01"), ImageKind.LINUX_ARM32),
        (at(0x202, b"HdrS"), ImageKind.LINUX_X86),
        (at(56, b"RSC\x05"), ImageKind.LINUX_RISCV),
        (b"MZ" + bytes(0x3A) + b"\x40\0\0\0PE\0\0", ImageKind.PE),
        (DTB, ImageKind.DEVICE_TREE),
        (DTB + b"\0\0\0\x01images\0\0", ImageKind.FIT),
        (b"\x27\x05\x19\x56", ImageKind.UIMAGE),
        (b"070701", ImageKind.CPIO),
        (b"\xfd7zXZ\0", ImageKind.COMPRESSED),
        (b"!<arch>\n", ImageKind.ARCHIVE),
        (b"QFI\xfb", ImageKind.DISK),
        (at(512, b"EFI PART"), ImageKind.DISK),
        (b"PK\x03\x04", ImageKind.ARCHIVE),
        (b"BZh91AY&SY", ImageKind.COMPRESSED),
        (b"armvcpu snapshot\x05", ImageKind.SNAPSHOT),
        (b"#!/bin/sh\nexit 0\n", ImageKind.SCRIPT),
        (b"#include <stdio.h>\nint main(void) { return 0; }\n", ImageKind.SOURCE),
        (b"/* start */\n    .global _start\n_start: b .\n", ImageKind.SOURCE),
        ("// gr\u00fc\u00df dich\nvoid f();".encode(), ImageKind.SOURCE),
        (b":10000000000080D2E10315AA01000094FFFFFF17E0\n", ImageKind.HEX),
        (b"S00600004844521B\nS1130000285F\n", ImageKind.HEX),
        (b"[[test]]\nname = 'boot'\n", ImageKind.TEXT),
        (("\u20ac" * 5000).encode(), ImageKind.TEXT),
    ],
)
def test_content_tells_the_kind(data, kind):
    """Each kind is recognised by its magic number, the Linux one before the PE one it may carry too."""
    assert identify(data) is kind


def test_mz_with_a_wild_pe_offset_is_raw():
    """The PE header's offset may point anywhere; "MZ" alone is no EFI application."""
    assert identify(b"MZ" + b"\xff" * 100) is ImageKind.RAW


@pytest.mark.parametrize(
    "start",
    [
        b"BZh9\x1f\x20\x03\xd5",
        b"#!/bin\0\0",
        b"#!code\x1f\xd6",
        b"\x21\x20\x21\x2e" * 2 + b"\xc0\x03\x5f\xd6",
        b"text" + b"\xff" * 8,
        b"abcd",
    ],
)
def test_code_that_begins_like_text_is_raw(start):
    """A few printable bytes, or two or three of a magic number, may be instructions or data: they are run."""
    assert identify(start + bytes(256)) is ImageKind.RAW


def test_every_kind_is_run_or_has_a_remedy():
    """A kind that is refused says what to do instead."""
    runs = {ImageKind.ELF, ImageKind.LINUX_IMAGE, ImageKind.EFI_ZBOOT, ImageKind.GZIP, ImageKind.RAW}
    assert set(ImageKind) == runs | REMEDIES.keys()


@pytest.mark.parametrize(
    ("base", "size", "words"),
    [
        (0x0900_0800, 4, "overlaps the device pl011"),
        (0x08FF_FFFF, 2, "overlaps the device pl011"),
        (RAM - 1, 4, "outside RAM"),
        (RAM + BOARD.ram.size - 1, 2, "raise memory"),
        (0xFFFF_8000_0800_0000, 4, "virtual address"),
        (0x0800_0000 - 1, 2, "outside RAM"),
    ],
)
def test_memory_refuses_what_it_does_not_hold(base, size, words):
    """Anything not wholly inside RAM or one flash bank is refused, naming what is in its way."""
    with pytest.raises(ImageError, match=words):
        BOARD.place("f", "segment", base, size)


@pytest.mark.parametrize(("base", "name"), [(RAM, "RAM"), (0, "flash bank 0"), (0x0400_0000, "flash bank 1")])
def test_memory_tells_where_an_address_is(base, name):
    """RAM and both flash banks can be loaded into, up to their last byte."""
    BOARD.place("f", "segment", base, 64 << 20)
    assert [each and each.name for each, _, _ in BOARD.pieces(base, 64 << 20)] == [name]


def test_one_range_may_be_in_two_memories():
    """The flash banks lie side by side; behind them there is a hole."""
    BOARD.place("f", "segment", 0x03FF_FFFE, 4)
    assert [(at, size) for _, at, size in BOARD.pieces(0x03FF_FFFE, 4)] == [(0x03FF_FFFE, 2), (0x0400_0000, 2)]
    with pytest.raises(ImageError, match="nothing lies from 0x8000000 on"):
        BOARD.place("f", "segment", 0x03FF_FFFE, (64 << 20) + 4)


def test_segments_may_touch_but_not_overlap():
    """Overlap of a single byte is refused, in any order."""
    check_disjoint("f", [Region("b", 8, 8), Region("a", 0, 8)])
    with pytest.raises(ImageError, match=r"a .* and b .* overlap"):
        check_disjoint("f", [Region("b", 7, 8), Region("a", 0, 8)])
