"""The walk along frame records (IHI 0055, "The Frame Pointer")."""

from __future__ import annotations

import pytest
from elf_symbols import make_elf, symbol
from guest_state import Memory, frame_records

from armvcpu.debug.backtrace import MAX_FRAMES, backtrace
from armvcpu.machine.boot.symbols import Symbols

CODE, STACK = 0x4008_0000, 0x4100_0000
LEAF, CALLER, MAIN = CODE + 0x10, CODE + 0x110, CODE + 0x210  # places inside three functions
SYMBOLS = Symbols.from_elf(
    make_elf(
        *(symbol(name, CODE + at, 0x100) for name, at in (("leaf", 0), ("caller", 0x100), ("main", 0x200))), vaddr=CODE
    )
)


def walk(*records: tuple[int, int, int], pc: int = LEAF, x29: int = STACK, x30: int = 0, symbols=SYMBOLS) -> list[int]:
    memory = Memory({CODE: bytes(0x1000), **frame_records(*records)})
    return backtrace(pc, x29, x30, memory.read, symbols)


def test_chain_of_frame_records_gives_the_callers():
    """[x29] is the caller's x29, [x29 + 8] the return address; a zero ends the chain."""
    assert walk((STACK, STACK + 0x20, CALLER), (STACK + 0x20, 0, MAIN)) == [LEAF, CALLER, MAIN]


def test_function_without_a_frame_returns_by_x30():
    """A leaf stores nothing: the chain starts with its caller's record."""
    assert walk((STACK, 0, MAIN), x30=CALLER) == [LEAF, CALLER, MAIN]


@pytest.mark.parametrize(
    "x30",
    [
        pytest.param(MAIN, id="already stored in the record"),
        pytest.param(CALLER + 0x40, id="left by a call that has returned"),
        pytest.param(0, id="zero"),
        pytest.param(CODE + 0x8000, id="no code there"),
        pytest.param(CALLER + 2, id="not aligned"),
    ],
)
def test_x30_that_is_no_caller_is_left_out(x30):
    """The function at PC has a frame, and x30 is anything."""
    assert walk((STACK, 0, MAIN), pc=CALLER, x30=x30) == [CALLER, MAIN]


def test_wild_jump_still_shows_who_made_it():
    """After a call through a null pointer PC is nowhere, x30 behind the call."""
    assert walk((STACK, 0, MAIN), pc=0, x30=CALLER) == [0, CALLER, MAIN]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([(STACK, STACK, CALLER)], id="to itself"),
        pytest.param([(STACK, STACK - 0x20, CALLER), (STACK - 0x20, STACK, MAIN)], id="down"),
        pytest.param([(STACK, STACK + 0x24, CALLER), (STACK + 0x24, 0, MAIN)], id="not aligned"),
        pytest.param([(STACK, STACK + 0x20, CALLER)], id="to no memory"),
        pytest.param([(STACK, STACK + 0x20, CALLER), (STACK + 0x20, 0, 0x1234)], id="to no code"),
    ],
)
def test_chain_ends_where_it_is_damaged(records):
    """A guest may have overwritten its stack; the walk ends and claims nothing more."""
    assert walk(*records) == [LEAF, CALLER]


@pytest.mark.parametrize("x29", [0, 3, STACK + 0x1000, (1 << 64) - 8])
def test_x29_that_is_no_frame_pointer_gives_the_pc_alone(x29):
    """Code without frames uses x29 for anything."""
    assert walk((STACK, 0, MAIN), x29=x29) == [LEAF]


def test_endless_recursion_is_bounded():
    """A stack overflow leaves thousands of frames."""
    records = [(STACK + 16 * n, STACK + 16 * (n + 1), CALLER) for n in range(200)]
    assert len(walk(*records)) == MAX_FRAMES


def test_without_symbols_the_chain_is_walked_too():
    """x30 is then shown when it could be a caller."""
    assert walk((STACK, 0, MAIN), x30=CALLER, symbols=Symbols()) == [LEAF, CALLER, MAIN]
