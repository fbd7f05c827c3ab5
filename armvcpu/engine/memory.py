"""The engine's physical memory: host buffers as RAM, callbacks as devices.

Host writes to RAM go straight to the buffer and never invalidate translated code by themselves; whoever writes what
the guest may execute says so (`invalidate_code`), and the translations go before the guest runs on.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from typing import TYPE_CHECKING, Any

from armvcpu.engine.library import MMIO_READ_CALLBACK, MMIO_WRITE_CALLBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import IoRead, IoWrite
    from armvcpu.engine.library import Library


class EngineMemory:
    """What lies where, and the callbacks that must stay alive as long as it does."""

    def __init__(self, lib: Library, handle: int, fail: Callable[[BaseException], None]) -> None:
        self._lib, self._handle, self._fail = lib, handle, fail
        self._regions: dict[int, tuple[Any, ...]] = {}
        self._ram: dict[int, memoryview] = {}
        self.code_is_stale = False

    def map_ram(self, address: int, memory: memoryview) -> None:
        """Map a writable buffer; execution and write permission are stage 2's affair."""
        buffer = (C.c_char * len(memory)).from_buffer(memory)
        everything = self._lib.const.UC_PROT_ALL
        error = self._lib.quick.uc_mem_map_ptr(self._handle, address, len(memory), everything, C.addressof(buffer))
        self._lib.check(error, f"mapping RAM at {address:#x}")
        self._regions[address] = (buffer,)
        self._ram[address] = memory

    def map_io(self, address: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Map a device; an exception in a callback ends the run and is raised there."""

        def on_read(_uc: int, offset: int, width: int, _data: int) -> int:
            try:
                return read(offset, width)
            except BaseException as failure:
                self._fail(failure)
                return 0

        def on_write(_uc: int, offset: int, width: int, value: int, _data: int) -> None:
            try:
                write(offset, width, value)
            except BaseException as failure:
                self._fail(failure)

        callbacks = MMIO_READ_CALLBACK(on_read), MMIO_WRITE_CALLBACK(on_write)
        pointers = [C.cast(callback, C.c_void_p) for callback in callbacks]
        error = self._lib.quick.uc_mmio_map(self._handle, address, size, pointers[0], None, pointers[1], None)
        self._lib.check(error, f"mapping a device at {address:#x}")
        self._regions[address] = callbacks

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes of RAM at a physical address, or None where it is none."""
        for base, memory in self._ram.items():
            if base <= address and address + size <= base + len(memory):
                return bytes(memory[address - base : address - base + size])
        return None

    def unmap(self, address: int, size: int) -> None:
        """Unmap what `map_ram` or `map_io` put there."""
        self._lib.check(self._lib.quick.uc_mem_unmap(self._handle, address, size), f"unmapping {address:#x}")
        self._regions.pop(address, None)
        self._ram.pop(address, None)

    def drain(self) -> None:
        """Outside a run: forget stale translations."""
        if self.code_is_stale:
            self.code_is_stale = False
            self._lib.control(self._handle, self._lib.const.UC_CTL_TB_FLUSH)
