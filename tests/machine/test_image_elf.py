"""The ELF loader (gABI chapters 4 and 5)."""

from __future__ import annotations

import random
from io import BytesIO
from struct import pack

import pytest
from elftools.elf.elffile import ELFFile
from image_bytes import BOARD, RAM, load, make_elf

from armvcpu.errors import ImageError
from armvcpu.machine.boot.image import Segment
from armvcpu.machine.boot.image_elf import load_elf

HIGH = 0xFFFF_0000_0000_0000
PT_INTERP = 3


def test_segments_go_to_their_physical_addresses():
    """PT_LOAD is loaded at p_paddr; memory behind the file's bytes is zero (gABI chapter 5)."""
    elf = make_elf(load(RAM, b"text", vaddr=HIGH), load(RAM + 0x1000, b"data", memsz=0x100), entry=HIGH)
    assert load_elf("f", elf, BOARD).segments == (
        Segment(RAM, b"text", 4),
        Segment(RAM + 0x1000, b"data", 0x100),
    )


@pytest.mark.parametrize(
    ("entry", "physical"),
    [(HIGH + 2, RAM + 2), (RAM + 2, RAM + 2), (0x1000, RAM + 0x1000), (0x1003, RAM + 0x1003)],
)
def test_virtual_entry_is_translated_through_its_segment(entry, physical):
    """e_entry is virtual; a physical one beside virtual segments is taken as it is."""
    elf = make_elf(load(RAM, vaddr=HIGH), load(RAM + 0x1000, vaddr=0x1000), entry=entry)
    assert load_elf("f", elf, BOARD).entry == physical


def test_empty_segments_and_other_headers_are_ignored():
    """A PT_LOAD of no size may lie anywhere; PT_GNU_STACK and PT_NOTE load nothing."""
    elf = make_elf(load(RAM), load(0x0900_0000, b""), load(0, p_type=0x6474E551), load(0, p_type=4))
    assert len(load_elf("f", elf, BOARD).segments) == 1


def test_initialised_data_stays_in_flash_without_its_bss():
    """A segment stored in flash and linked to RAM takes only its file bytes at its load address."""
    elf = make_elf(load(0, b"data", vaddr=RAM, memsz=0x1000), entry=RAM)
    assert load_elf("f", elf, BOARD).segments == (Segment(0, b"data", 4),)


def test_zeroes_linked_in_flash_are_there():
    """A file that runs in flash has its .bss there, as QEMU's board loads it."""
    assert load_elf("f", make_elf(load(0x1000, memsz=64)), BOARD).segments == (Segment(0x1000, b"code", 64),)


@pytest.mark.parametrize("e_type", [0, 2, 3, 0xFE00])
def test_linked_files_are_loaded_whatever_they_call_themselves(e_type):
    """QEMU's loader does not look at e_type: a position-independent file goes where it is linked."""
    image = load_elf("f", make_elf(load(RAM), e_type=e_type), BOARD)
    assert image.segments == (Segment(RAM, b"code", 4),)
    assert [note for note in image.notes if "ET_DYN" in note] == list(image.notes)
    assert bool(image.notes) is (e_type == 3)


def test_an_interpreter_is_not_missed():
    """A program that names one (PT_INTERP) is loaded without it, and says so."""
    image = load_elf("f", make_elf(load(RAM), load(0, b"/lib/ld.so", p_type=PT_INTERP)), BOARD)
    assert len(image.segments) == 1
    assert "interpreter" in image.notes[0]


def test_what_loading_does_not_use_may_be_anything():
    """OS/ABI, flags, section headers, p_align, and p_offset of a segment without file bytes (gABI chapters 4, 5)."""
    elf = bytearray(make_elf(load(RAM), load(RAM + 0x1000, b"", memsz=0x1000)))
    elf[7:9] = b"\xff\xff"  # EI_OSABI, EI_ABIVERSION
    elf[40:56] = b"\xff" * 16  # e_shoff, e_flags, e_ehsize, e_phentsize
    elf[52:56] = pack("<HH", 0xFFFF, 56)
    elf[58:64] = b"\xff" * 6  # e_shentsize, e_shnum, e_shstrndx
    elf[64 + 48 : 64 + 56] = b"\x03" * 8  # p_align
    elf[120 + 8 : 120 + 16] = b"\xff" * 8  # p_offset of the second
    assert load_elf("f", bytes(elf), BOARD).segments == (Segment(RAM, b"code", 4), Segment(RAM + 0x1000, b"", 0x1000))


def test_program_headers_may_be_longer_than_is_known():
    """e_phentsize is the distance between them (gABI chapter 4)."""
    elf = bytearray(make_elf(load(RAM), load(RAM + 0x1000)))
    elf[120:120] = bytes(8)
    elf[54:56] = pack("<H", 64)
    assert [s.addr for s in load_elf("f", bytes(elf) + bytes(8), BOARD).segments] == [RAM, RAM + 0x1000]


def test_a_segment_may_span_the_flash_banks():
    """The banks lie side by side."""
    assert load_elf("f", make_elf(load(0x03FF_FFFE), entry=0x03FF_FFFE), BOARD).entry == 0x03FF_FFFE


@pytest.mark.parametrize(
    ("elf", "words"),
    [
        (make_elf()[:5], "truncated"),
        (make_elf(load(RAM))[:63], "truncated"),
        (make_elf(load(RAM))[:119], "truncated"),
        (make_elf(load(RAM))[:-1], "truncated"),
        (make_elf(load(RAM), bits=1), "32-bit"),
        (make_elf(load(RAM), order=2), "big-endian"),
        (make_elf(load(RAM), machine=62), "x86-64"),
        (make_elf(load(RAM), machine=40), "32-bit Arm"),
        (make_elf(load(RAM), e_type=1), "relocatable"),
        (make_elf(load(RAM), e_type=4), "core dump"),
        (make_elf(), "nothing to load"),
        (make_elf(load(RAM, memsz=2)), "larger in the file"),
        (make_elf(load(RAM), load(RAM + 3)), "overlap"),
        (make_elf(load(RAM, memsz=1 << 40)), "outside RAM"),
        (make_elf(load(0x0900_0000)), "overlaps the device pl011"),
        (make_elf(load(HIGH)), "virtual address"),
    ],
)
def test_unusable_files_are_refused(elf, words):
    """Each says in one line what is wrong with the file, and what to do."""
    with pytest.raises(ImageError, match=words) as refusal:
        load_elf("f", elf, BOARD)
    assert str(refusal.value).startswith("f: ")
    assert "\n" not in str(refusal.value)
    assert refusal.value.remedy


@pytest.mark.parametrize("seed", range(4))
def test_damage_never_gets_past_the_loader(seed):
    """Any bytes end in segments inside memory or in ImageError, in nothing else."""
    rng = random.Random(seed)
    original = make_elf(load(RAM, b"x" * 64, vaddr=HIGH), load(RAM + 0x1000), entry=HIGH)
    for _ in range(2000):
        elf = bytearray(original)
        for _ in range(rng.randint(1, 6)):
            elf[rng.randrange(4, len(elf))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        try:
            image = load_elf("f", bytes(elf[: rng.randint(5, 2 * len(elf))]), BOARD)
        except ImageError:
            continue
        for segment in image.segments:
            assert len(segment.data) <= segment.memory_size
            BOARD.place("f", "segment", segment.addr, segment.memory_size)


def test_segments_agree_with_an_independent_elf_library():
    """What is decoded here is what pyelftools finds in the same file."""
    elf = make_elf(load(RAM, b"text", vaddr=HIGH), load(RAM + 64, b"", memsz=32), load(0, p_type=4), entry=HIGH)
    segments = ELFFile(BytesIO(elf)).iter_segments("PT_LOAD")
    expected = tuple(Segment(s["p_paddr"], s.data(), s["p_memsz"]) for s in segments)
    assert load_elf("f", elf, BOARD).segments == expected
