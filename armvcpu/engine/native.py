"""Callbacks as native code, for hooks that a guest makes far more often than Python could answer.

*count* hears of every block and adds its instructions to a counter; at a limit it asks the engine to stop. *filter*
hears of every MSR or MRS and passes those on to Python whose register is in a table. *answer* and *same_page* are what
a site (sites.py) does nearly always, and *translated* hears of every translation (instruction_cache.py). Each is a few
dozen instructions of the host's (native_code.py), some nanoseconds where a call of Python costs a quarter to half a
microsecond. On a host that has neither encoding, or that forbids executable memory, Python does the same, slowly.
`tests/engine/test_native.py` runs both encodings.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import mmap
import os
import sys
from dataclasses import dataclass
from functools import cache

from armvcpu.arch.registers import Encoding
from armvcpu.engine.native_code import ENCODINGS

TABLE_AT, TABLE_SIZE = 8, 1 << 15
"""A filter's data: the address of the callback, and a byte for each register by `table_index`."""


@dataclass(frozen=True, slots=True)
class Functions:
    """Their addresses in this process."""

    memory: mmap.mmap
    count: int
    filter: int
    answer: int
    same_page: int
    translated: int
    nothing: int


@cache
def functions() -> Functions | None:
    """The functions, or None where this host can't have them."""
    code = ENCODINGS.get(os.uname().machine.lower())
    if code is None or sys.platform != "linux":
        return None
    try:
        memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:
        return None
    base = C.addressof(C.c_char.from_buffer(memory))
    addresses, at = [], 0
    for function in (code.count, code.filter, code.answer, code.same_page, code.translated, code.nothing):
        memory[at : at + len(function)] = function
        addresses.append(base + at)
        at += len(function) + 15 & ~15
    if not _clear_instruction_cache(base):
        return None
    return Functions(memory, *addresses)


def _clear_instruction_cache(base: int) -> bool:
    """Have the stores be code; False where nobody can. An x86 host needs nobody: its caches are coherent."""
    if os.uname().machine.lower() not in {"aarch64", "arm64"}:
        return True
    try:
        clear = C.CDLL("libgcc_s.so.1")["__clear_cache"]
    except (OSError, AttributeError):
        return False
    clear(C.c_void_p(base), C.c_void_p(base + mmap.PAGESIZE))
    return True


class SiteData(C.Structure):
    """Of *answer*: the instruction that it answers, read(uc, level_id, &level), value, write(uc, reg, &value)."""

    _fields_ = (("key", C.c_uint64 * 2), ("op2", C.c_uint32), ("level_id", C.c_uint32), ("level", C.c_uint64),
                ("read", C.c_void_p), ("value", C.c_uint64), ("write", C.c_void_p))  # fmt: skip


class PageData(C.Structure):
    """Of *same_page*: the instruction, where the address of a page stands that needs no more, the callback."""

    _fields_ = (("key", C.c_uint64 * 2), ("op2", C.c_uint32), ("unused", C.c_uint32), ("page", C.c_void_p),
                ("callback", C.c_void_p))  # fmt: skip


class TranslationData(C.Structure):
    """Of *translated*: how many there were, the address of a page that is gone as a whole."""

    _fields_ = (("count", C.c_uint64), ("gone", C.c_uint64))


def table_index(encoding: int) -> int:
    """The place of a register in a filter's table: Op0's low bit, Op1, CRn, CRm, Op2."""
    e = Encoding(encoding)
    return (e.Op0 & 1) << 14 | e.Op1 << 11 | e.CRn << 7 | e.CRm << 3 | e.Op2


class Filter:
    """A callback for MSR or MRS: called for the registers that have been added, and without native code for all."""

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

    def choose(self, encoding: int, wanted: bool) -> None:
        """Have the callback called for a register too, or no longer."""
        self._data[TABLE_AT + table_index(encoding)] = wanted
