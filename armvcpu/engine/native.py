"""Two callbacks as native code, for hooks that a guest makes far more often than Python could answer.

*count* hears of every block and adds its instructions to a counter; at a limit it asks the engine to stop. *filter*
hears of every MSR or MRS and passes those on to Python whose register is in a table. Each is a dozen instructions for
the host, a nanosecond where a call of Python costs a quarter of a microsecond. On a host that has neither encoding,
or that forbids executable memory, Python does the same, slowly. `tests/engine/test_native.py` runs both encodings.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import mmap
import platform
from dataclasses import dataclass
from functools import cache

from armvcpu.arch.registers import Encoding

TABLE_AT, TABLE_SIZE = 8, 1 << 15
"""A filter's data: the address of the callback, and a byte for each register by `table_index`."""


@dataclass(frozen=True, slots=True)
class HostCode:
    """Position-independent functions for one kind of host."""

    count: bytes
    """void count(uc, u64 address, u32 size, u64 data[5]): instructions, block address, block length, limit, stop."""
    filter: bytes
    """u32 filter(uc, int reg, uc_arm64_cp_reg *, void *data): jumps to the callback, or returns 0."""


_X86_64 = HostCode(
    count=bytes.fromhex(
        "89d0"  # mov eax, edx            the block's size in bytes
        "c1e802"  # shr eax, 2            ... in instructions
        "48897108"  # mov [rcx+8], rsi    data.address
        "48894110"  # mov [rcx+16], rax   data.length
        "488b11"  # mov rdx, [rcx]        data.instructions, before this block
        "480101"  # add [rcx], rax
        "483b5118"  # cmp rdx, [rcx+24]   data.limit
        "7301"  # jae 1f
        "c3"  # ret
        "ff6120"  # 1: jmp [rcx+32]       data.stop(uc)
    ),
    filter=bytes.fromhex(
        "8b4208"  # mov eax, [rdx+8]      Op0
        "83e001"  # and eax, 1
        "c1e003"  # shl eax, 3
        "0b420c"  # or eax, [rdx+12]      Op1
        "c1e004"  # shl eax, 4
        "0b02"  # or eax, [rdx]           CRn
        "c1e004"  # shl eax, 4
        "0b4204"  # or eax, [rdx+4]       CRm
        "c1e003"  # shl eax, 3
        "0b4210"  # or eax, [rdx+16]      Op2
        "807c010800"  # cmp byte [rcx+rax+8], 0
        "7503"  # jne 1f
        "31c0"  # xor eax, eax
        "c3"  # ret
        "ff21"  # 1: jmp [rcx]
    ),
)
"""By the System V calling convention: rdi, esi, rdx, rcx."""


def _a64(*words: int) -> bytes:
    return b"".join(word.to_bytes(4, "little") for word in words)


_AARCH64 = HostCode(
    count=_a64(
        0x53027C42,  # lsr w2, w2, #2
        0xF9000461,  # str x1, [x3, #8]
        0xF9000862,  # str x2, [x3, #16]
        0xF9400064,  # ldr x4, [x3]
        0x8B020082,  # add x2, x4, x2
        0xF9000062,  # str x2, [x3]
        0xF9400C65,  # ldr x5, [x3, #24]
        0xEB05009F,  # cmp x4, x5
        0x54000042,  # b.hs 1f
        0xD65F03C0,  # ret
        0xF9401064,  # 1: ldr x4, [x3, #32]
        0xD61F0080,  # br x4
    ),
    filter=_a64(
        0xB9400844,  # ldr w4, [x2, #8]
        0x12000084,  # and w4, w4, #1
        0xB9400C45,  # ldr w5, [x2, #12]
        0x2A040CA4,  # orr w4, w5, w4, lsl #3
        0xB9400045,  # ldr w5, [x2]
        0x2A0410A4,  # orr w4, w5, w4, lsl #4
        0xB9400445,  # ldr w5, [x2, #4]
        0x2A0410A4,  # orr w4, w5, w4, lsl #4
        0xB9401045,  # ldr w5, [x2, #16]
        0x2A040CA4,  # orr w4, w5, w4, lsl #3
        0x8B040064,  # add x4, x3, x4
        0x39402084,  # ldrb w4, [x4, #8]
        0x35000064,  # cbnz w4, 1f
        0x52800000,  # mov w0, #0
        0xD65F03C0,  # ret
        0xF9400064,  # 1: ldr x4, [x3]
        0xD61F0080,  # br x4
    ),
)
"""By the AAPCS64: x0, w1 or x1, x2 or w2, x3."""

ENCODINGS = {"x86_64": _X86_64, "amd64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64}


@dataclass(frozen=True, slots=True)
class Functions:
    """The addresses of both in this process."""

    count: int
    filter: int
    memory: mmap.mmap


@cache
def functions() -> Functions | None:
    """The two functions, or None where this host can't have them."""
    code = ENCODINGS.get(platform.machine().lower())
    if code is None or platform.system() != "Linux":
        return None
    try:
        memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    filter_at = len(code.count) + 15 & ~15
    memory[: len(code.count)] = code.count
    memory[filter_at : filter_at + len(code.filter)] = code.filter
    base = C.addressof(C.c_char.from_buffer(memory))
    _clear_instruction_cache(base)
    return Functions(base, base + filter_at, memory)


def _clear_instruction_cache(base: int) -> None:
    """The page has never been executed; only a host with separate caches (AArch64) has to be told of the stores."""
    clear = getattr(C.CDLL(None), "__clear_cache", None)
    if clear is not None:
        clear(C.c_void_p(base), C.c_void_p(base + mmap.PAGESIZE))


def table_index(encoding: int) -> int:
    """The place of a register in a filter's table: Op0's low bit, Op1, CRn, CRm, Op2."""
    e = Encoding(encoding)
    return (e.Op0 & 1) << 14 | e.Op1 << 11 | e.CRn << 7 | e.CRm << 3 | e.Op2


class Filter:
    """A callback for MSR or MRS that is only called for the registers that have been added."""

    def __init__(self, callback: object) -> None:
        self._callback = callback
        address = C.cast(callback, C.c_void_p).value  # type: ignore[arg-type]
        assert address is not None
        native = functions()
        self._data = (C.c_uint8 * (TABLE_AT + TABLE_SIZE))()
        C.c_uint64.from_buffer(self._data).value = address
        self.function = address if native is None else native.filter
        """What the hook calls, with `data`."""
        self.data = C.addressof(self._data)

    def add(self, encoding: int) -> None:
        """Have the callback called for a register too."""
        self._data[TABLE_AT + table_index(encoding)] = 1
