"""Names for addresses, from ELF symbol tables (gABI chapter 4)."""

from __future__ import annotations

import random

import pytest
from elf_symbols import ABS, LOCAL, NOTYPE, OBJECT, SECTION, UNDEF, make_elf, symbol
from elftools.elf.elffile import ELFFile
from guest_state import GUESTS

from armvcpu import Machine
from armvcpu.errors import UsageError
from armvcpu.machine.boot.symbols import Symbols

BASE = 0x4000_0000
HIGH = 0xFFFF_8000_0000_0000


def test_every_function_of_a_guest_is_found_where_pyelftools_sees_it():
    """Each sized function covers its first and last byte, and no more (gABI, "Symbol Table")."""
    with (GUESTS / "crash.elf").open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        rows = [
            (s.name, s["st_value"], s["st_size"]) for s in table.iter_symbols() if s["st_info"]["type"] == "STT_FUNC"
        ]
    symbols = Symbols.from_elf((GUESTS / "crash.elf").read_bytes())
    sized = [row for row in rows if row[2]]
    assert {"main", "call_probe", "start_driver"} <= {name for name, _, _ in sized}
    for name, start, size in sized:
        assert symbols.find(start) == (name, 0)
        assert symbols.find(start + size - 1) == (name, size - 1)
        assert symbols.address(name) == start


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (BASE, "start"),
        (BASE + 0x1C, "start+0x1c"),
        (BASE + 0x20, ""),  # between functions
        (BASE + 0x104, "outer+0x4"),
        (BASE + 0x110, "inner"),
        (BASE + 0x118, "outer+0x18"),  # behind what lies inside it
        (BASE + 0x200, "global_name"),
        (BASE + 0x300, "label"),
        (BASE + 0x3FF, "label+0xff"),  # up to the next symbol
        (BASE + 0x400, "table"),
        (BASE + 0xFFF, "last+0xff"),  # up to the section's end
        (BASE + 0x1000, ""),
        (0, ""),
    ],
)
def test_address_is_named_by_the_innermost_symbol_that_covers_it(address, text):
    """Sized symbols cover their bytes, labels all until the next symbol or the end of their section."""
    symbols = Symbols.from_elf(
        make_elf(
            symbol("start", BASE, 0x20),
            symbol("linker_start", BASE, 0, NOTYPE),
            symbol("outer", BASE + 0x100, 0x40),
            symbol("inner", BASE + 0x110, 8, bind=LOCAL),
            symbol("loop", BASE + 0x104, 0, NOTYPE),
            symbol("local_name", BASE + 0x200, 0x10, bind=LOCAL),
            symbol("global_name", BASE + 0x200, 0x10),
            symbol("label", BASE + 0x300, 0, NOTYPE),
            symbol("table", BASE + 0x400, 0x10, OBJECT),
            symbol("last", BASE + 0xF00, 0),
            symbol("image_end", BASE + 0x1000, 0, NOTYPE),
        )
    )
    assert symbols.format(address) == text


@pytest.mark.parametrize(
    "row",
    [
        symbol("$x", BASE, 0, NOTYPE, LOCAL),
        symbol("$d.12", BASE, 0, NOTYPE, LOCAL),
        symbol(".Ltmp0", BASE, 0, NOTYPE, LOCAL),
        symbol("section", BASE, 4, SECTION, LOCAL),
        symbol("elsewhere", BASE, 4, section=UNDEF),
        symbol("CONSTANT", BASE, 0, NOTYPE, section=ABS),
        symbol("", BASE, 4),
        symbol("\x1b[31m", BASE, 4),
    ],
)
def test_what_is_no_place_in_the_guest_names_no_address(row):
    """Mapping symbols (IHI 0056, "Mapping symbols"), assembler labels, sections, undefined symbols, constants, junk."""
    assert Symbols.from_elf(make_elf(row)).find(BASE) is None


def test_constants_have_a_value_by_name():
    """An SHN_ABS symbol is asked for by name like any other."""
    assert Symbols.from_elf(make_elf(symbol("SIZE", 0x123, 0, NOTYPE, section=ABS))).address("SIZE") == 0x123


def test_kernel_is_found_at_virtual_and_at_physical_addresses():
    """Before its MMU is on, a kernel runs at p_paddr of the segment it was linked into at p_vaddr."""
    symbols = Symbols.from_elf(make_elf(symbol("primary_entry", HIGH + 0x40, 0x40), vaddr=HIGH, paddr=BASE))
    assert symbols.format(HIGH + 0x44) == symbols.format(BASE + 0x44) == "primary_entry+0x4"
    assert symbols.find(BASE + 0x1044) is None
    assert symbols.address("primary_entry") == HIGH + 0x40


def test_several_images_are_asked_in_order():
    """A kernel's symbols join its firmware's."""
    symbols = Symbols.from_elf(make_elf(symbol("firmware", 0, 0x10), vaddr=0))
    symbols.add_elf(make_elf(symbol("kernel", BASE, 0x10)))
    assert (symbols.format(4), symbols.format(BASE)) == ("firmware+0x4", "kernel")
    assert symbols.address("kernel") == BASE


def test_of_equal_names_the_global_one_has_the_address():
    """Static functions of several files may share a name with a global one."""
    rows = symbol("init", BASE, 4), symbol("init", BASE + 8, 4, bind=LOCAL)
    assert Symbols.from_elf(make_elf(*rows)).address("init") == BASE


def test_unknown_name_suggests_close_ones():
    """A mistyped name is one line with what may have been meant."""
    symbols = Symbols.from_elf(make_elf(symbol("start_driver", BASE, 4), symbol("main", BASE + 4, 4)))
    with pytest.raises(UsageError, match=r"no symbol 'start_drivr'.*did you mean start_driver\?"):
        symbols.address("start_drivr")


def test_without_symbols_nothing_is_found_and_the_error_says_why():
    """A raw image, or a stripped one."""
    for symbols in (Symbols(), Symbols.from_elf(make_elf())):
        assert symbols.find(BASE) is None
        with pytest.raises(UsageError, match="not stripped"):
            symbols.address("main")


def test_damaged_files_have_no_symbols_but_break_nothing(caplog):
    """Symbols are a help: a file that was good enough to load must not end the run by them."""
    good = (GUESTS / "crash.elf").read_bytes()
    chance = random.Random(1)
    for _ in range(500):
        data = bytearray(good[: chance.choice((len(good), chance.randrange(len(good))))])
        for _ in range(4):
            data[chance.randrange(min(len(data), 64)) if chance.random() < 0.5 else -1] = chance.randrange(256)
        Symbols.from_elf(bytes(data)).find(0x4008_0068)
    assert "cannot be used" in caplog.text


def test_the_size_of_a_symbol():
    """What its file says; a label has none, and so has a name that is not there."""
    symbols = Symbols.from_elf(make_elf(symbol("table", BASE + 0x400, 0x10, OBJECT), symbol("end", BASE, 0, NOTYPE)))
    assert [symbols.size(name) for name in ("table", "end", "nothing")] == [0x10, 0, 0]


def test_names_of_a_program_that_has_moved_are_where_it_is_now():
    """So many bytes behind where it was linked; whoever reads more of the file gets the address in it."""
    linked, moved = (Symbols.from_file("guests/bin/hello.elf", offset) for offset in (0, 0x1_0000))
    main = linked.address("main")
    assert moved.address("main") == main + 0x1_0000
    assert moved.format(main + 0x1_0004) == "main+0x4"
    assert moved.find(main - 0x1000) is None
    assert moved.size("main") == linked.size("main")
    assert next(moved.places(main + 0x1_0000))[1] == main


@pytest.mark.parametrize("offset", ["0x", "0x10000000000000000", "1x"])
def test_an_offset_that_is_none_is_said(offset):
    """With the option's name."""
    with pytest.raises(UsageError, match=f"symbols guests/bin/hello.elf@{offset}"):
        Machine("guests/bin/hello.elf", symbols=f"guests/bin/hello.elf@{offset}")
