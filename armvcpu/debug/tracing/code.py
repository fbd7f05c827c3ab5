"""Instructions and accesses of memory: what the engine tells, not the vCPU."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from armvcpu.debug.disasm import disassemble

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.tracing.event import Event
    from armvcpu.debug.tracing.guest import TracedGuest

    Where = Callable[[], tuple[int, int]]
    """The vCPU that runs, and its Exception level."""

disassemble_once = lru_cache(maxsize=1 << 16)(disassemble)


class Instructions:
    """Each, before it runs."""

    def __init__(self, guest: TracedGuest, emit: Callable[[Event], None], where: Where) -> None:
        self._guest, self._emit, self._where = guest, emit, where

    def heard(self, pc: int) -> None:
        """The instruction at `pc` is about to run."""
        vcpu, el = self._where()
        word = self._guest.read_code(pc)
        what, words = ("unreadable", "") if word is None else (f"{word:#010x}", disassemble_once(word, pc))
        self._emit(self._guest.event(vcpu, el, pc, "insn", what, {}, words))


class Accesses:
    """Of memory, at virtual addresses."""

    def __init__(self, guest: TracedGuest, emit: Callable[[Event], None], where: Where) -> None:
        self._guest, self._emit, self._where = guest, emit, where

    def heard(self, pc: int, is_read: bool, address: int, width: int, value: int | None) -> None:
        """One of `width` bytes; `value` None where it is not known."""
        vcpu, el = self._where()
        keys: dict[str, str | int] = {"address": f"{address:#x}", "width": width}
        if value is not None:
            keys["value"] = f"{value:#x}"
        if symbol := self._guest.places.name(address):
            keys["symbol"] = symbol
        self._emit(self._guest.event(vcpu, el, pc, "mem", "read" if is_read else "write", keys))
