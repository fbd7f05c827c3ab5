"""IC IVAU and IC IALLU: translated code as the instruction cache of the guest.

Unicorn notices a store to code only through the very mapping that it was executed by, so a guest that writes code
through another one relies on IC, as on hardware. A kernel that patches itself executes IC once for each place, tens of
thousands of times in a row, nearly all of them for pages that hold no translation any more. So a page that was dropped
as a whole needs no second call as long as nothing has been translated since, which Unicorn reports.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from typing import TYPE_CHECKING

from armvcpu.engine.library import EDGE_CALLBACK, FAULT_CALLBACK
from armvcpu.engine.native import TranslationData, functions
from armvcpu.engine.virtual import PAGE

if TYPE_CHECKING:
    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers
    from armvcpu.engine.virtual import VirtualMemory

LINE = 512
"""Bytes that one IC IVAU invalidates: what CTR_EL0.IminLine tells the guest."""
NOT_PHYSICAL = 1 << 44
"""Virtual addresses from here on are no physical ones of the engine's CPU.

After each translation Unicorn walks its whole TLB, to have stores to that page noticed from now on: a tenth of a Linux
boot. It does not where a memory hook covers the code's *virtual* address, though the price of such a hook, that stores
stay slow, is paid by *physical* address. A hook above all physical addresses has only the gain. Nothing is missed: a
store through the mapping that the code is executed by is always noticed, and any other needs IC IVAU.
"""
PSTATE_EL2H_MASKED = 0x3C9
NO_PAGE = 1


class InstructionCache:
    """What one engine has translated, and how it is forgotten."""

    def __init__(self, lib: Library, handle: int, registers: Registers, virtual: VirtualMemory) -> None:
        self._lib, self._handle, self._registers, self._virtual = lib, handle, registers, virtual
        self._touched: dict[int, bool] = {}
        """Pages with an invalidation since the last translation; True: all of the page is gone."""
        self._callback = EDGE_CALLBACK(self._on_translation)
        self._hook = self._known_translations = 0
        self._translations = TranslationData(0, NO_PAGE)
        self.gone_at = C.addressof(self._translations) + TranslationData.gone.offset
        """Where the address of a page stands that is gone as a whole; `NO_PAGE` where there is none."""
        self._never = FAULT_CALLBACK(_unexpected)
        lib.add_hook(handle, lib.const.UC_HOOK_MEM_FETCH_UNMAPPED, self._never, NOT_PHYSICAL, (1 << 64) - 1)

    def invalidate_all(self) -> None:
        """IC IALLU. In a trap, which is between two blocks; the block that runs would be freed under its feet."""
        self._lib.control(self._handle, self._lib.const.UC_CTL_TB_FLUSH)

    def invalidate(self, address: int) -> None:
        """IC IVAU of a virtual address: the line at once, the whole page where it is not the first in it."""
        if self._translations.count != self._known_translations:
            self._known_translations = self._translations.count
            self._touched.clear()
        page = address & -PAGE
        gone = self._touched.get(page)
        if gone:
            self._translations.gone = page
            return
        if gone is None:
            self._invalidate(address & -LINE, LINE)
        else:
            self._invalidate(page, PAGE)
        if not self._hook:
            self._hook = self._hear_of_translations()
        self._touched[page] = gone is not None
        if gone is not None:
            self._translations.gone = page

    def forget(self) -> None:
        """Something may have been translated."""
        self._touched.clear()
        self._translations.gone = NO_PAGE

    def _hear_of_translations(self) -> int:
        native = functions()
        callback = self._callback if native is None else native.translated
        kind, data = self._lib.const.UC_HOOK_EDGE_GENERATED, C.addressof(self._translations)
        return self._lib.add_hook(self._handle, kind, callback, data=data)

    def _on_translation(self, _uc: int, _block: int, _previous: int, _data: int) -> None:
        """As `translated` of native.py does."""
        self._translations.count += 1
        self._translations.gone = NO_PAGE

    def _invalidate(self, address: int, size: int) -> None:
        """Unicorn forgets the code of a *virtual* page that can be executed, but a guest may name the page by another.

        At EL2, whose own MMU is off, virtual addresses are physical ones: so look from there.
        """
        if self._virtual.is_executable(address):
            self.remove(address, size)
        elif (physical := self._virtual.translate(address)) is not None:
            pstate_id = self._lib.reg.UC_ARM64_REG_PSTATE
            pstate = self._registers.read(pstate_id)
            self._registers.write_pstate(PSTATE_EL2H_MASKED)
            self.remove(physical, size)
            self._registers.write_pstate(pstate)

    def remove(self, address: int, size: int) -> None:
        """Forget the code of a range within one executable page."""
        remove = self._lib.const.UC_CTL_TB_REMOVE_CACHE
        self._lib.control(self._handle, remove, C.c_uint64(address), C.c_uint64(address + size))


def _unexpected(_uc: int, _kind: int, _address: int, _width: int, _value: int, _data: int) -> bool:
    """No region at a physical address that does not exist: as without a hook."""
    return False
