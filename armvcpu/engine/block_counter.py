"""How many instructions the guest has executed, exactly, while the engine runs promptly.

Unicorn reports each block that begins to execute, with its size. A block runs to its end unless an instruction of it
traps, and the trap tells which. So the sum of the sizes, less what a trap cut off, is exact whenever Python looks: an
instruction that traps counts as one, one that could not be fetched as none. A stop at a count is taken before the first
block that begins with the count reached, always the same one: the native function that counts (native.py) asks for
it, and the engine looks for requests after the report and before the block.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from typing import TYPE_CHECKING

from armvcpu.arch.esr import ExceptionClass as EC  # noqa: N817
from armvcpu.engine.library import CODE_CALLBACK
from armvcpu.engine.native import functions

if TYPE_CHECKING:
    from armvcpu.engine.library import Library

NO_LIMIT = (1 << 64) - 1
LONGEST_BLOCK = 512
"""Instructions: TCG_MAX_INSNS of the translator."""
_INSTRUCTIONS, _ADDRESS, _LENGTH, _LIMIT, _STOP = range(5)
_WHOLE_BLOCK = 1 << 62
_EXECUTED = [1] * 64
"""By exception class: instructions from the one at the preferred return address on that count as executed."""
for _class in (EC.SVC64, EC.HVC64, EC.BREAKPOINT_LOWER, EC.BREAKPOINT_CURRENT):
    _EXECUTED[_class] = 0
for _class in (EC.IABT_LOWER, EC.IABT_CURRENT, EC.PC_ALIGNMENT, EC.SOFTSTEP_LOWER, EC.SOFTSTEP_CURRENT):
    _EXECUTED[_class] = _WHOLE_BLOCK


class BlockCounter:
    """The counter of one engine; it costs nothing until `start`."""

    def __init__(self, lib: Library, handle: int) -> None:
        self._lib, self._handle = lib, handle
        self._data = (C.c_uint64 * 5)()
        self._words = memoryview(self._data).cast("B").cast("Q")
        self._stop_at = self._bound = NO_LIMIT
        self._stops_now = False
        self._set_limit()
        self._words[_STOP] = C.cast(lib.quick.uc_emu_stop, C.c_void_p).value or 0
        self._callback = CODE_CALLBACK(self._count)
        self.active = False
        """Does it count?"""

    def start(self) -> None:
        """Count from now on. The caller has the present translations, which don't report, forgotten."""
        native = functions()
        self._lib.add_hook(
            self._handle, self._lib.const.UC_HOOK_BLOCK, self._callback if native is None else native.count,
            data=C.addressof(self._data),
        )  # fmt: skip
        self.active = True

    @property
    def instructions(self) -> int:
        """In a trap and outside a run: how many were executed. In another callback: without the present block."""
        return self._words[_INSTRUCTIONS] - self._words[_LENGTH]

    def set(self, instructions: int) -> None:
        """Outside a run: go on counting from here."""
        self._words[_INSTRUCTIONS], self._words[_LENGTH] = instructions, 0

    def stop_at(self, instructions: int) -> None:
        """Have the run end at the first block after this count; NO_LIMIT for none."""
        self._stop_at = min(instructions, NO_LIMIT)
        self._set_limit()

    def bound(self, instructions: int) -> None:
        """Have the run end there too, whatever `stop_at` says; 0: the run minds no count at all."""
        self._bound = instructions
        self._set_limit()

    def mute(self) -> int:
        """Mind no count and no request for a stop, until `bound`; gives what that said last."""
        bound, self._bound, self._stops_now = self._bound, 0, False
        self._set_limit()
        return bound

    def stop_now(self) -> None:
        """From any thread: have the run end before the next block.

        A stop that the engine is asked for directly may come before the next block is reported or after, and where a
        block is its own successor nobody could tell which.
        """
        self._stops_now = True
        self._words[_LIMIT] = 0

    def _set_limit(self) -> None:
        self._words[_LIMIT] = 0 if self._stops_now else self._end

    @property
    def _end(self) -> int:
        return min(self._stop_at, self._bound) if self._bound else NO_LIMIT

    @property
    def is_at_stop(self) -> bool:
        """Has the count of `stop_at` been reached?"""
        return self._words[_INSTRUCTIONS] >= self._stop_at

    @property
    def is_at_limit(self) -> bool:
        """Has a count been reached that the run ends at?"""
        return self._words[_INSTRUCTIONS] >= self._end

    @property
    def is_in_block(self) -> bool:
        """In a callback: is it that of a device or an instruction, after which the block goes on, and not a trap's?"""
        return self._words[_LENGTH] > 0

    def trapped(self, pc: int, syndrome: int) -> None:
        """A trap, with its preferred return address and ESR: the rest of the block was not executed."""
        words = self._words
        length = words[_LENGTH]
        if length:
            executed = (pc - words[_ADDRESS] >> 2) + _EXECUTED[syndrome >> 26]
            if 0 <= executed < length:
                words[_INSTRUCTIONS] -= length - executed
            words[_LENGTH] = 0

    def reached(self, pc: int) -> None:
        """In a callback of an instruction: what stands before it in its block has been executed."""
        words = self._words
        done = pc - words[_ADDRESS] >> 2
        if 0 < done < words[_LENGTH]:
            words[_ADDRESS] = pc
            words[_LENGTH] -= done

    def finish(self, pc: int) -> None:
        """A run has ended between two blocks: before the one that was reported last, where that is the one at PC."""
        words = self._words
        if words[_LENGTH] and words[_ADDRESS] == pc:
            words[_INSTRUCTIONS] -= words[_LENGTH]
        words[_LENGTH] = 0
        if self._stops_now:
            self._stops_now = False
            self._set_limit()

    def _count(self, _uc: int, address: int, size: int, _data: int) -> None:
        """What the native function does, for hosts that can't have it."""
        words = self._words
        words[_ADDRESS], words[_LENGTH] = address, size >> 2
        before = words[_INSTRUCTIONS]
        words[_INSTRUCTIONS] = before + (size >> 2)
        if before >= words[_LIMIT]:
            self._lib.quick.uc_emu_stop(self._handle)
