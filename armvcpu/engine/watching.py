"""Hearing of single instructions and accesses: hooks for tracers and for handlers at a symbol.

A guest pays for them only where they are: an address has its hook translated into the code, others do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.engine.library import CODE_CALLBACK, MEM_CALLBACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.core import EngineCore
    from armvcpu.engine.library import Library


class Watching:
    """The code and memory hooks of one engine."""

    def __init__(self, engine: EngineCore, lib: Library, handle: int, fail: Callable[[BaseException], None]) -> None:
        self._engine, self._lib, self._handle, self._fail = engine, lib, handle, fail
        self._callbacks: list[object] = []

    def on_code(self, begin: int, end: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with the PC before each instruction from `begin` to `end`; the state is up to date there."""
        engine = self._engine

        def hook(_uc: int, pc: int, _size: int, _data: int) -> None:
            if engine.changing_mode:
                return
            engine.store_at(pc)
            try:
                handler(pc)
                if engine.state.dirty_to >= 0:
                    engine.registers.write_back(engine.state)
            except BaseException as failure:  # it must not pass through C; `run` raises it again
                self._fail(failure)

        callback = CODE_CALLBACK(hook)
        self._add(self._lib.const.UC_HOOK_CODE, callback, begin, end)

    def on_memory(self, handler: Callable[[bool, int, int, int | None], None]) -> None:
        """Call `handler` on each access: is a read, virtual address, width, the value of a write."""
        write_kind = self._lib.const.UC_MEM_WRITE

        def hook(_uc: int, kind: int, address: int, width: int, value: int, _data: int) -> None:
            try:
                if kind == write_kind:
                    handler(False, address, width, value & (1 << 8 * width) - 1)
                else:
                    handler(True, address, width, None)
            except BaseException as failure:  # it must not pass through C; `run` raises it again
                self._fail(failure)

        kinds = self._lib.const.UC_HOOK_MEM_READ | self._lib.const.UC_HOOK_MEM_WRITE
        self._add(kinds, MEM_CALLBACK(hook), 1, 0)

    def _add(self, kind: int, callback: object, begin: int, end: int) -> None:
        self._callbacks.append(callback)
        self._lib.add_hook(self._handle, kind, callback, begin, end)
        self._engine.invalidate_code()  # blocks that are translated already don't have the call
