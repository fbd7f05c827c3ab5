"""LDSMAX, LDSMIN, LDUMAX and LDUMIN, and their ST forms, against a model (DDI 0487 C6.2.160, LDSMAX)."""

from __future__ import annotations

import itertools

import pytest
from bare import RAM, BareEngine

DATA = 0x8000
OPERATIONS = {"smax": 4, "smin": 5, "umax": 6, "umin": 7}
BASE = 0x3820_0000


def word(size: int, order: int, operation: str, rs: int, rt: int, rn: int) -> int:
    """`order`: A and R, bits 23:22; of 1 << `size` bytes."""
    return BASE | size << 30 | order << 22 | rs << 16 | OPERATIONS[operation] << 12 | rn << 5 | rt


def model(operation: str, bits: int, old: int, operand: int) -> int:
    """What is in memory after it."""

    def signed(value: int) -> int:
        return value - (1 << bits) if operation[0] == "s" and value >> bits - 1 else value

    operand &= (1 << bits) - 1
    choose = max if operation.endswith("max") else min
    return choose(old, operand, key=signed)


def values(bits: int) -> tuple[int, ...]:
    top = 1 << bits - 1
    return 0, 1, top - 1, top, top + 1, 2 * top - 1


@pytest.mark.parametrize("size", range(4), ids="BHWX")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_result_is_the_models(bare: BareEngine, operation: str, size: int) -> None:
    """In memory and in Rt, zero-extended; the bits of Rs above the size don't matter; with A, L, both or neither."""
    bits = 8 << size
    for order in range(4):
        bare.place(word(size, order, operation, 3, 4, 2))
        for old, operand in itertools.product(values(bits), repeat=2):
            bare.ram[DATA : DATA + 8] = b"\xa5" * 8
            bare.ram[DATA : DATA + bits // 8] = old.to_bytes(bits // 8, "little")
            state = bare.engine.state
            state.set_pc(RAM + 0x1000)
            state.set_gpr(2, RAM + DATA)
            state.set_gpr(3, (0x5A5A_5A5A_5A5A_5A5A << bits | operand) % (1 << 64))
            bare.engine.run()
            memory = model(operation, bits, old, operand).to_bytes(bits // 8, "little").ljust(8, b"\xa5")
            assert (state.gpr(4), bytes(bare.ram[DATA : DATA + 8])) == (old, memory)


@pytest.mark.parametrize("size", range(4), ids="BHWX")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_store_forms_have_no_result(bare: BareEngine, operation: str, size: int) -> None:
    """Rt is 31; and Rs may be Rt, or XZR."""
    bits = 8 << size
    old = 1 << bits - 1
    for rs, rt, operand in ((3, 31, 5), (3, 3, 5), (31, 4, 0)):
        bare.place(word(size, 0, operation, rs, rt, 2))
        bare.ram[DATA : DATA + 8] = old.to_bytes(8, "little")
        state = bare.engine.state
        state.set_gpr(2, RAM + DATA)
        state.set_gpr(3, 5)
        bare.engine.run()
        assert int.from_bytes(bare.ram[DATA : DATA + 8], "little") == model(operation, bits, old, operand)
        assert (state.gpr(3), state.gpr(4)) == (old if rt == 3 else 5, old if rt == 4 else RAM + 0x1004)
