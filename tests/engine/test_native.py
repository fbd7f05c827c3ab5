"""Both encodings of the native callbacks, executed as guest code on Unicorn."""

from __future__ import annotations

import struct

import pytest
import unicorn
from unicorn import arm64_const as arm
from unicorn import x86_const as x86

from armvcpu.arch.registers import by_name
from armvcpu.engine import native
from armvcpu.engine.instruction_cache import NO_PAGE
from armvcpu.engine.native import ENCODINGS, TABLE_AT, TABLE_SIZE, table_index

CODE, DATA, REGISTER, STACK = 0x1000, 0x10_0000, 0x20_0000, 0x30_0000
CALLBACK, RETURN = 0x2000, 0x3000
HOSTS = {
    "x86_64": (
        (unicorn.UC_ARCH_X86, unicorn.UC_MODE_64),
        (x86.UC_X86_REG_RDI, x86.UC_X86_REG_RSI, x86.UC_X86_REG_RDX, x86.UC_X86_REG_RCX),
        (x86.UC_X86_REG_RAX, x86.UC_X86_REG_RIP),
    ),
    "aarch64": (
        (unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM),
        (arm.UC_ARM64_REG_X0, arm.UC_ARM64_REG_X1, arm.UC_ARM64_REG_X2, arm.UC_ARM64_REG_X3),
        (arm.UC_ARM64_REG_X0, arm.UC_ARM64_REG_PC),
    ),
}


class Call:
    """One function called with four arguments, as the host's compiler would; ends at its return or in the callback."""

    def __init__(self, host: str, code: bytes) -> None:
        kind, self.arguments, (self.result, self.pc) = HOSTS[host]
        self.host = host
        self.uc = unicorn.Uc(*kind)
        self.uc.mem_map(0, 0x40_0000)
        self.uc.mem_write(CODE, code)

    def __call__(self, *arguments: int) -> tuple[int, int]:
        """(Where it ended, what it returned)."""
        for register, value in zip(self.arguments, arguments, strict=True):
            self.uc.reg_write(register, value)
        if self.host == "x86_64":
            self.uc.mem_write(STACK, struct.pack("<Q", RETURN))
            self.uc.reg_write(x86.UC_X86_REG_RSP, STACK)
        else:
            self.uc.reg_write(arm.UC_ARM64_REG_LR, RETURN)
            self.uc.reg_write(arm.UC_ARM64_REG_SP, STACK)
        ends = []

        def arrived(uc: unicorn.Uc, address: int, _size: int, _data: object) -> None:
            ends.append(address)
            uc.emu_stop()

        hooks = [self.uc.hook_add(unicorn.UC_HOOK_CODE, arrived, begin=at, end=at) for at in (CALLBACK, RETURN)]
        self.uc.emu_start(CODE, 0, count=100)
        for hook in hooks:
            self.uc.hook_del(hook)
        return ends[0], self.uc.reg_read(self.result) & 0xFFFF_FFFF


@pytest.mark.parametrize("host", HOSTS)
def test_the_counter_adds_blocks_and_stops_at_the_limit(host: str) -> None:
    call = Call(host, ENCODINGS[host].count)
    call.uc.mem_write(DATA, struct.pack("<5Q", 100, 0, 0, 111, CALLBACK))
    top = 0xFFFF_8000_0000_1000
    assert call(0xAA, top, 44, DATA)[0] == RETURN
    assert struct.unpack("<3Q", call.uc.mem_read(DATA, 24)) == (111, top, 11)
    assert call(0xAA, top + 4, 4, DATA)[0] == CALLBACK
    assert struct.unpack("<3Q", call.uc.mem_read(DATA, 24)) == (112, top + 4, 1)
    assert call.uc.reg_read(call.arguments[0]) == 0xAA  # what the stop function gets


@pytest.mark.parametrize("host", HOSTS)
def test_the_filter_lets_through_what_is_in_its_table(host: str) -> None:
    call = Call(host, ENCODINGS[host].filter)
    wanted = by_name["CNTV_CTL_EL0"].encoding
    table = bytearray(TABLE_AT + TABLE_SIZE)
    table[:8] = struct.pack("<Q", CALLBACK)
    table[TABLE_AT + table_index(wanted)] = 1
    call.uc.mem_write(DATA, bytes(table))
    for name in ("CNTV_CTL_EL0", "CNTV_CVAL_EL0", "SCTLR_EL1", "MDSCR_EL1", "TPIDR_EL0", "VBAR_EL1"):
        e = native.Encoding(by_name[name].encoding)
        call.uc.mem_write(REGISTER, struct.pack("<6IQ", e.CRn, e.CRm, e.Op0, e.Op1, e.Op2, 0xFFFF_FFFF, 77))
        end, result = call(0xAA, 200, REGISTER, DATA)
        if name == "CNTV_CTL_EL0":
            assert end == CALLBACK
            assert [call.uc.reg_read(each) for each in call.arguments] == [0xAA, 200, REGISTER, DATA]
        else:
            assert (end, result) == (RETURN, 0)


CNTVCT = native.Encoding(by_name["CNTVCT_EL0"].encoding)
KEY = (CNTVCT.CRn, CNTVCT.CRm, CNTVCT.Op0, CNTVCT.Op1, CNTVCT.Op2)
READ, WRITE = 0x4000, 0x5000
RETURNS = {"x86_64": b"\xc3", "aarch64": 0xD65F_03C0.to_bytes(4, "little")}


@pytest.mark.parametrize("level", [0, 4, 8])
@pytest.mark.parametrize("host", HOSTS)
def test_a_site_answers_its_instruction_above_el0(host: str, level: int) -> None:
    """It asks for the level, then writes the value; any other instruction, and EL0, are left to the engine."""
    call = Call(host, ENCODINGS[host].answer)
    for function in (READ, WRITE):
        call.uc.mem_write(function, RETURNS[host])
    heard: list[tuple[int, list[int]]] = []

    def called(uc: unicorn.Uc, address: int, _size: int, _data: object) -> None:
        if address in {READ, WRITE}:
            heard.append((address, [uc.reg_read(each) & 0xFFFF_FFFF for each in call.arguments[:3]]))

    call.uc.hook_add(unicorn.UC_HOOK_CODE, called)
    call.uc.mem_write(DATA, struct.pack("<6I4Q", *KEY, 9, level, READ, 0x1234, WRITE))
    call.uc.mem_write(REGISTER, struct.pack("<6IQ", *KEY, 0xFFFF_FFFF, 77))
    assert call(0xAA, 200, REGISTER, DATA) == (RETURN, int(level > 0))
    asked, written = (READ, [0xAA, 9, DATA + 24]), (WRITE, [0xAA, 200, DATA + 40])
    assert heard == ([asked, written] if level else [asked])
    for place in range(5):
        other = [number ^ (place == index) for index, number in enumerate(KEY)]
        call.uc.mem_write(REGISTER, struct.pack("<6IQ", *other, 0, 77))
        assert call(0xAA, 200, REGISTER, DATA) == (RETURN, 0)


@pytest.mark.parametrize("host", HOSTS)
def test_a_page_that_is_gone_needs_no_more(host: str) -> None:
    """Any address in the page that stands in the cell; another page, or another instruction, is the callback's."""
    call = Call(host, ENCODINGS[host].same_page)
    page, cell = 0xFFFF_8000_1234_5000, DATA + 0x100
    call.uc.mem_write(DATA, struct.pack("<6I2Q", *KEY, 0, cell, CALLBACK))
    call.uc.mem_write(cell, struct.pack("<Q", page))
    for address, key, end in (
        (page, KEY, RETURN), (page + 0xFFF, KEY, RETURN), (page + 0x1000, KEY, CALLBACK), (page - 1, KEY, CALLBACK),
        (page, (*KEY[:4], KEY[4] ^ 1), CALLBACK), (page, (KEY[0] ^ 1, *KEY[1:]), CALLBACK),
    ):  # fmt: skip
        call.uc.mem_write(REGISTER, struct.pack("<6IQ", *key, 0, address))
        ended, result = call(0xAA, 200, REGISTER, DATA)
        assert ended == end
        assert result == 1 or end == CALLBACK


@pytest.mark.parametrize("host", HOSTS)
def test_a_translation_is_counted_and_no_page_is_gone(host: str) -> None:
    call = Call(host, ENCODINGS[host].translated)
    call.uc.mem_write(DATA, struct.pack("<3Q", (1 << 32) - 1, 0xFFFF_8000_1234_5000, 77))
    for count in (1 << 32, (1 << 32) + 1):
        assert call(0xAA, 0xBB, 0xCC, DATA)[0] == RETURN
        assert struct.unpack("<3Q", call.uc.mem_read(DATA, 24)) == (count, NO_PAGE, 77)


def test_no_two_registers_share_a_place_in_the_table() -> None:
    rows = [row.encoding for row in by_name.values()]
    places = {table_index(encoding) for encoding in rows}
    assert len(places) == len(set(rows))
    assert max(places) < TABLE_SIZE
