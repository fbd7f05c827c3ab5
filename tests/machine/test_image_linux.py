"""Linux Image, gzip and EFI zboot (Documentation/arch/arm64/booting.rst)."""

from __future__ import annotations

import gzip
import lzma
import random
from contextlib import suppress
from struct import pack

import pytest
from image_bytes import BOARD, RAM, make_linux, make_zboot

from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.boot.image_linux import load_linux, read_header, unwrap

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text_offset", "image_size", "addr"),
    [
        (0x80000, 0x10000, RAM + 0x80000),
        (0, 0x10000, RAM + 2 * MIB),  # room for the device tree below it
        (0x1234, 0, RAM + 0x80000),  # before v3.17: text_offset means nothing without image_size
    ],
)
def test_image_goes_text_offset_behind_a_2_mib_boundary(text_offset, image_size, addr):
    """The kernel is entered where booting.rst and QEMU put it."""
    assert load_linux("f", make_linux(text_offset, image_size), BOARD).entry == addr


def test_image_size_reserves_the_kernels_bss():
    """image_size bytes must be free behind the start, however small the file."""
    (segment,) = load_linux("f", make_linux(image_size=0x50000), BOARD).segments
    assert segment.memory_size == 0x50000


def test_load_address_must_keep_text_offset():
    """A given address is used if text_offset behind a 2 MiB boundary, and refused otherwise."""
    image = make_linux(0x80000)
    assert load_linux("f", image, BOARD, RAM + 4 * MIB + 0x80000).entry == RAM + 4 * MIB + 0x80000
    with pytest.raises(UsageError, match="load_address 0x40400000: a Linux"):
        load_linux("f", image, BOARD, RAM + 4 * MIB)


def make_efi_application(image: bytes, sizes: list[tuple[int, int]]) -> bytes:
    """The Image with a PE header whose sections have these (SizeOfRawData, PointerToRawData)."""
    header = pack("<4sHHIIIHH", b"PE\0\0", 0xAA64, len(sizes), 0, 0, 0, 8, 0) + bytes(8)
    table = b"".join(pack("<8sIIII16x", b".text", 0, 0, *section) for section in sizes)
    image = b"MZ" + image[2:60] + pack("<I", 64) + image[64:]
    return image[:64] + header + table + image[64 + len(header + table) :]


def test_a_kernel_shorter_than_its_sections_is_truncated():
    """An EFI application's section table says how long its file is; a certificate may follow."""
    sections = [(2048, 512), (1024, 2560)]
    assert load_linux("f", make_efi_application(make_linux(size=3584), sections), BOARD).segments
    assert load_linux("f", make_efi_application(make_linux(size=4096), sections), BOARD).segments
    with pytest.raises(ImageError, match="truncated Linux Image of 3583 bytes"):
        load_linux("f", make_efi_application(make_linux(size=3583), sections), BOARD)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (make_linux()[:60], "truncated"),
        (make_linux(flags=1), "big-endian"),
        (make_linux(image_size=1 << 40), "raise memory"),
        (make_linux(text_offset=1 << 62), "outside RAM"),
    ],
)
def test_unusable_kernels_are_refused(image, words):
    """Damage and lack of room are said in one line."""
    with pytest.raises(ImageError, match=words):
        load_linux("f", image, BOARD)


@pytest.mark.parametrize(("flags", "words"), [(0, "unspecified"), (2, "4K"), (4, "16K"), (6, "64K")])
def test_page_size_is_flags_bits_1_and_2(flags, words):
    """The header's flags name the kernel's page size."""
    assert read_header("f", make_linux(flags=flags)).page_size == words


@pytest.mark.parametrize(
    "wrapped",
    [
        make_linux(),
        gzip.compress(make_linux(), mtime=0),
        gzip.compress(make_linux(), mtime=0) + b"trailing",
        make_zboot(gzip.compress(make_linux(), mtime=0)),
        make_zboot(lzma.compress(make_linux()), b"xzkern"),
        make_zboot(lzma.compress(make_linux(), lzma.FORMAT_ALONE), b"lzma"),
        gzip.compress(make_zboot(gzip.compress(make_linux(), mtime=0)), mtime=0),
    ],
)
def test_wrappers_come_off(wrapped):
    """The same kernel comes out of every wrapper."""
    assert unwrap("f", wrapped, MIB) == make_linux()


@pytest.mark.parametrize(
    ("wrapped", "words"),
    [
        (gzip.compress(make_linux(), mtime=0)[:-12], "truncated"),
        (b"\x1f\x8b\x08\xff" + bytes(20), "damaged"),
        (gzip.compress(gzip.compress(make_linux(), mtime=0), mtime=0), "more than once"),
        (make_zboot(gzip.compress(make_linux(), mtime=0))[:40], "truncated"),
        (make_zboot(gzip.compress(make_linux(), mtime=0))[:-1], "payload"),
        (make_zboot(b"x", b"zstd"), "compressed by 'zstd'"),
        (make_zboot(b"no xz at all", b"xzkern"), "damaged"),
    ],
)
def test_damaged_wrappers_are_refused(wrapped, words):
    """A wrapper that does not come off says why."""
    with pytest.raises(ImageError, match=words):
        unwrap("f", wrapped, MIB)


@pytest.mark.parametrize("size", [MIB, MIB + 1])
def test_decompression_stops_at_the_size_of_ram(size):
    """A file that unpacks to more than RAM is refused; one that just fits is not."""
    bomb = gzip.compress(bytes(size))
    if size == MIB:
        assert unwrap("f", bomb, MIB) == bytes(MIB)
        return
    with pytest.raises(ImageError, match="more than the guest's 1 MiB"):
        unwrap("f", bomb, MIB)


def test_damage_never_gets_past_the_wrappers():
    """Any bytes end in an image or in ImageError."""
    rng = random.Random(1)
    for original in (gzip.compress(make_linux(), mtime=0), make_zboot(gzip.compress(make_linux(), mtime=0))):
        for _ in range(300):
            wrapped = bytearray(original)
            for _ in range(3):
                wrapped[rng.randrange(len(wrapped))] = rng.randrange(256)
            with suppress(ImageError):
                assert len(unwrap("f", bytes(wrapped), MIB)) <= MIB
