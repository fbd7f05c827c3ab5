"""The symbols that a Linux kernel's Image has in itself."""

from __future__ import annotations

import random
from struct import pack

import pytest

from armvcpu import Machine, UsageError
from armvcpu.machine.boot.symbols import Symbols
from armvcpu.machine.boot.symbols_kallsyms import find_kallsyms

BASE, LOADED = 0xFFFF_8000_0800_0000, 0x4020_0000
FIRST = 0x1_0000
"""Where the first symbol is in the Image."""
NAMES = ["T_stext", "tshared", "dshared_data", "Tshared", *(f"tfunction_{n:04}" for n in range(700)), "t" + "long" * 50]
ADDRESSES = [0, *[0x40] * 3, *(0x100 + 0x20 * n for n in range(700)), 0x2_0000]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def image(*, is_new: bool = False, with_sequence: bool = False, is_relocated: bool = False) -> bytes:
    """Like the kernel's: zeroes, the parts of kallsyms in the order of a release, and relocations.

    Tokens are the characters themselves, and the last ones words.
    """
    tokens = [bytes([code]) if 32 <= code < 127 else f"w{code:03}".encode() for code in range(256)]
    table, index = b"", b""
    for token in tokens:
        index += pack("<H", len(table))
        table += token + b"\0"
    names, markers = b"", b""
    for number, name in enumerate(NAMES):
        if number % 256 == 0:
            markers += pack("<I", len(names))
        size = len(name)
        names += (bytes([size]) if size < 128 else bytes([size & 0x7F | 0x80, size >> 7])) + name.encode()
    count = padded(pack("<I", len(NAMES)))
    offsets = padded(pack(f"<{len(NAMES)}I", *ADDRESSES))
    base = pack("<Q", BASE + FIRST if is_relocated else 0)
    middle = [count, padded(names), padded(markers)]
    if with_sequence:
        middle.append(padded(bytes(range(1, 250)) * (3 * len(NAMES) // 249)))
    last = [padded(table), padded(index)]
    parts = [*middle, *last, offsets, base] if is_new else [offsets, base, *middle, *last]
    before = bytes(FIRST)
    at = len(before) + sum(map(len, parts[: parts.index(base)]))
    relocations = [pack("<3Q", BASE + 0x2000, 0x403, BASE + 0x3008), pack("<3Q", BASE + at, 0x403, BASE + FIRST)]
    return before + b"".join(parts) + b"".join(relocations) + bytes(64)


ORDERS = [
    {},
    {"with_sequence": True},
    {"is_new": True},
    {"is_new": True, "is_relocated": True},
    {"is_relocated": True},
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
def test_every_symbol_is_found_by_name_and_by_address(order):
    """In the orders of all releases, with the base in the file or in its relocation only."""
    found = find_kallsyms(image(**order))
    assert found is not None
    assert found.image == BASE
    assert [(begin - BASE - FIRST, name) for begin, _, name in found.symbols()] == [
        (address, name[1:]) for address, name in zip(ADDRESSES, NAMES, strict=True)
    ]
    for address, name in zip(ADDRESSES[4:], NAMES[4:], strict=True):
        assert found.by_name[name[1:]] == BASE + FIRST + address
        assert found.find(BASE + FIRST + address + 4) == (name[1:], 4)


def test_of_several_symbols_at_one_address_the_best_is_shown():
    """Code before data; and of one name the global one counts."""
    found = find_kallsyms(image())
    assert found is not None
    assert found.find(BASE + FIRST + 0x40) == ("shared", 0)
    assert found.by_name["shared"] == BASE + FIRST + 0x40


def test_what_no_symbol_covers():
    """Before the first, far behind the last, and addresses of programs."""
    found = find_kallsyms(image())
    assert found is not None
    for address in (0, 0x40_0000, BASE, BASE + FIRST - 4, BASE + FIRST + 0x4_0000, (1 << 64) - 4):
        assert found.find(address) is None


def test_symbols_by_physical_address_and_by_pattern():
    """Where the Image is loaded, before the kernel's MMU is on."""
    symbols = Symbols().and_of_kernel(image(), LOADED)
    assert symbols.format(LOADED + FIRST + 0x104) == "function_0000+0x4"
    assert symbols.address("function_0699") == BASE + FIRST + 0x100 + 0x20 * 699
    assert symbols.ranges("function_0000") == [
        (BASE + FIRST + 0x100, BASE + FIRST + 0x120), (LOADED + FIRST + 0x100, LOADED + FIRST + 0x120),
    ]  # fmt: skip
    assert symbols.starts("shared") == [BASE + FIRST + 0x40]
    with pytest.raises(UsageError, match="did you mean function_0001"):
        symbols.address("function_00001")


def test_a_kernel_without_them_has_no_symbols():
    """No question is an error but one for a name."""
    symbols = Symbols().and_of_kernel(bytes(1 << 16), LOADED)
    assert symbols.find(LOADED) is None
    with pytest.raises(UsageError, match="no symbol table"):
        symbols.address("panic")


@pytest.mark.parametrize("order", ORDERS[:3], ids=str)
def test_damaged_ones_do_no_harm(order):
    """Any byte may be wrong, and any piece missing: there are others then, or none."""
    whole, dice = image(**order), random.Random(14)
    for _ in range(60):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 30)):
            data[dice.randrange(FIRST, len(data))] = dice.randrange(256)
        del data[dice.randrange(FIRST, len(data) + 1) :]
        found = find_kallsyms(bytes(data))
        if found is not None:
            list(found.symbols())
            found.find(BASE + FIRST + 0x104)


def test_other_guests_have_their_own():
    """An ELF file's."""
    with Machine("guests/bin/hello.elf") as machine:
        assert machine.symbols.address("main") > 0
