"""Trapped instructions that are answered at their place, in nanoseconds where a trap costs three microseconds.

Some instructions that EL2 has to hear of come in tens of thousands, and from few places: a kernel that patches itself
reads CTR_EL0 and executes DC CVAU and IC IVAU at each of its call sites. Where one of them traps, its address becomes
a *site*: a hook that is bounded to that address, so that nothing else pays for it, answers in place of the
instruction, in native code (native.py) but for an IC IVAU that has something to do. A hook comes before the engine's
own check of access, so a site answers at EL1 only, where it was found: in the lower half of the address space PSTATE is
looked at; the upper half (TTBR1_EL1) is the kernel's in every system that has EL0 at all. docs/engine.md, "Sites".
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from typing import TYPE_CHECKING, Any

from armvcpu.arch.instructions import IC_IVAU
from armvcpu.engine.library import SITE_CALLBACK
from armvcpu.engine.native import PageData, SiteData, functions
from armvcpu.engine.sys_hooks import DONE, LEFT_TO_THE_ENGINE, CpRegViews, key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.instruction_cache import InstructionCache
    from armvcpu.engine.library import Library
    from armvcpu.engine.native import Functions
    from armvcpu.engine.registers import Registers

    Answer = Callable[[int, int, int], int]

MOST_SITES = 64
"""Instructions that are hooked at most: a translator asks each hook for each system instruction."""
_UPPER_HALF = 1 << 63
_EL1 = 1 << 2


class Sites:
    """The sites of one engine, by address and what is executed there."""

    def __init__(
        self,
        lib: Library,
        handle: int,
        registers: Registers,
        cache: InstructionCache,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._lib, self._handle, self._registers, self._cache, self._fail = lib, handle, registers, cache, fail
        self._hooks: dict[tuple[int, int], int] = {}
        self._kept: list[object] = []
        self._views = CpRegViews()
        self._pstate = lib.reg.UC_ARM64_REG_PSTATE

    def add(self, pc: int, encoding: int, value: int | None) -> None:
        """In a trap at a virtual address: answer MRS of `encoding` there with `value`, or IC IVAU, or DC CVAU."""
        if (pc, encoding) in self._hooks or len(self._hooks) >= MOST_SITES:
            return
        reg, native = self._lib.reg, functions()
        kind = reg.UC_ARM64_INS_SYS if value is None else reg.UC_ARM64_INS_MRS
        callback: Any
        if native is not None and encoding != IC_IVAU:
            callback, data = native.answer, C.addressof(self._site_data(native, pc, encoding, value))
        elif native is not None and self._is_el1_code(pc):
            callback, data = native.same_page, C.addressof(self._page_data(pc, encoding))
        else:
            callback, data = self._in_python(pc, encoding, value), None
        self._kept.append(callback)
        hook = self._lib.add_hook(
            self._handle, self._lib.const.UC_HOOK_INSN, callback, pc, pc, instruction=kind, data=data
        )
        self._hooks[pc, encoding] = hook
        self._cache.remove(pc, 4)  # the present translation has no hook

    def clear(self) -> None:
        """No sites any more. The caller has all translations forgotten."""
        for hook in self._hooks.values():
            self._lib.check(self._lib.quick.uc_hook_del(self._handle, hook), "uc_hook_del")
        self._hooks.clear()

    # --- in native code

    def _site_data(self, native: Functions, pc: int, encoding: int, value: int | None) -> SiteData:
        data = SiteData(level_id=self._pstate, level=_EL1, read=native.nothing, value=value or 0, write=native.nothing)
        first, second, data.op2 = key_of(encoding)
        data.key[:] = first, second
        if not self._is_el1_code(pc):
            data.read = C.cast(self._lib.quick.uc_reg_read, C.c_void_p)
        if value is not None:
            data.write = C.cast(self._lib.quick.uc_reg_write, C.c_void_p)
        self._kept.append(data)
        return data

    def _page_data(self, pc: int, encoding: int) -> PageData:
        callback = self._in_python(pc, encoding, None)
        data = PageData(page=self._cache.gone_at, callback=C.cast(callback, C.c_void_p))
        first, second, data.op2 = key_of(encoding)
        data.key[:] = first, second
        self._kept += [callback, data]
        return data

    # --- in Python

    def _in_python(self, pc: int, encoding: int, value: int | None) -> Any:
        if value is not None:
            return SITE_CALLBACK(self._constant(encoding, value, pc))
        act = self._cache.invalidate if encoding == IC_IVAU else _ignore
        return SITE_CALLBACK(self._instruction(encoding, act, pc))

    def _constant(self, encoding: int, value: int, pc: int) -> Answer:
        first, second, third = key_of(encoding)
        views, write, handle, is_el1_code = (
            self._views.at,
            self._lib.quick.uc_reg_write,
            self._handle,
            self._is_el1_code(pc),
        )
        cell = C.c_uint64(value)
        self._kept.append(cell)
        cell_at = C.addressof(cell)

        def answer(_uc: int, reg: int, cp_reg: int) -> int:
            words = views(cp_reg)
            if (
                words[0] != first
                or words[1] != second
                or words[2] & 0xFFFF_FFFF != third
                or not (is_el1_code or self._el1)
            ):
                return LEFT_TO_THE_ENGINE
            write(handle, reg, cell_at)
            return DONE

        return answer

    def _instruction(self, encoding: int, act: Callable[[int], None], pc: int) -> Answer:
        first, second, third = key_of(encoding)
        views, is_el1_code = self._views.at, self._is_el1_code(pc)

        def answer(_uc: int, _reg: int, cp_reg: int) -> int:
            words = views(cp_reg)
            if (
                words[0] != first
                or words[1] != second
                or words[2] & 0xFFFF_FFFF != third
                or not (is_el1_code or self._el1)
            ):
                return LEFT_TO_THE_ENGINE
            try:
                act(words[3])
            except BaseException as failure:  # it must not pass through C; `run` raises it again
                self._fail(failure)
            return DONE

        return answer

    @staticmethod
    def _is_el1_code(pc: int) -> bool:
        """Is what executes at `pc` surely at EL1, so that PSTATE need not be asked?"""
        return bool(pc & _UPPER_HALF)

    @property
    def _el1(self) -> bool:
        return self._registers.read(self._pstate) & 0xC == 4


def _ignore(_value: int) -> None:
    """Nothing to clean: CTR_EL0.IDC."""
