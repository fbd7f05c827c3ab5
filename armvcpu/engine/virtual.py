"""Guest memory by virtual address, as the guest's own translation tables show it right now."""

from __future__ import annotations

import ctypes as C  # noqa: N812
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.engine.library import Library
    from armvcpu.engine.memory import EngineMemory

PAGE = 4096


class VirtualMemory:
    """Reads through stage 1 and stage 2; nothing faults, an address that is not mapped gives None."""

    def __init__(self, lib: Library, handle: int, memory: EngineMemory) -> None:
        self._translate, self._handle, self._memory = lib.quick.uc_vmem_translate, handle, memory
        self._translate.argtypes = (C.c_void_p, C.c_uint64, C.c_int, C.c_void_p)
        self._found = C.c_uint64()
        self._found_at = C.addressof(self._found)
        self._fetch = lib.quick.uc_vmem_read
        self._fetch.argtypes = (C.c_void_p, C.c_uint64, C.c_int, C.c_void_p, C.c_size_t)
        self._word = C.c_uint32()
        self._word_at = C.addressof(self._word)
        self._accesses = (lib.const.UC_PROT_READ, lib.const.UC_PROT_EXEC)

    def translate(self, address: int) -> int | None:
        """The physical address behind a virtual one that can be read or executed, or None."""
        for access in self._accesses:
            if not self._translate(self._handle, address, access, self._found_at):
                return self._found.value
        return None

    def is_executable(self, address: int) -> bool:
        """Can the guest execute at a virtual address, at the level it runs at?"""
        return not self._translate(self._handle, address, self._accesses[1], self._found_at)

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes, or None where part of them is no memory."""
        pieces = []
        while size > 0:
            piece = min(size, PAGE - address % PAGE)
            physical = self.translate(address)
            data = None if physical is None else self._memory.read(physical, piece)
            if data is None:
                return None
            pieces.append(data)
            address, size = address + piece, size - piece
        return b"".join(pieces)

    def fetch_word(self, address: int) -> int | None:
        """The instruction word at a virtual address; of memory that can't be executed (yet), too."""
        if address & 3:
            return None
        if not self._fetch(self._handle, address, self._accesses[1], self._word_at, 4):
            return self._word.value
        data = self.read(address, 4)
        return None if data is None else int.from_bytes(data, "little")
