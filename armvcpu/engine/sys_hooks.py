"""What the hooks on MSR, MRS and SYS instructions have in common: the instruction as Unicorn describes it.

The description lies on the C stack, at one of a few addresses; a window on each is kept, since making one costs more
than all that is read from it.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from collections.abc import Callable
from typing import TYPE_CHECKING

from armvcpu.arch.registers import Encoding
from armvcpu.engine.library import MSR_CALLBACK
from armvcpu.engine.native import Filter

if TYPE_CHECKING:
    from armvcpu.engine.block_counter import BlockCounter
    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers

DONE, LEFT_TO_THE_ENGINE = 1, 0
"""What a hook answers."""
RegisterRow = Callable[[int, int], int]
"""Called as row(Unicorn's number of Xt, its value); DONE, or LEFT_TO_THE_ENGINE."""
_WORDS = C.c_uint64 * 4


class CpRegViews(dict[int, memoryview]):
    """Windows on `uc_arm64_cp_reg` by address: CRn and CRm, Op0 and Op1, Op2 and padding, Xt; 64 bits each."""

    def __init__(self) -> None:
        super().__init__()
        self.at = self.__getitem__
        """The four words at an address, as they are now."""

    def __missing__(self, address: int) -> memoryview:
        view = self[address] = memoryview(_WORDS.from_address(address)).cast("B").cast("Q")
        return view


def key_of(encoding: int) -> tuple[int, int, int]:
    """The first three words of a window for a packed encoding; of the third the low half counts."""
    e = Encoding(encoding)
    return e.CRn | e.CRm << 32, e.Op0 | e.Op1 << 32, e.Op2


class RegisterHook:
    """Hears MSR or MRS (`instruction`, Unicorn's number) of the registers that have rows, at any level.

    It comes before the engine's own check of access. The others cost next to nothing (native.py).
    """

    def __init__(
        self,
        lib: Library,
        handle: int,
        registers: Registers,
        counter: BlockCounter,
        fail: Callable[[BaseException], None],
        instruction: int,
    ) -> None:
        self._registers, self._counter, self._fail = registers, counter, fail
        self._pstate, self._pc_id = lib.reg.UC_ARM64_REG_PSTATE, lib.reg.UC_ARM64_REG_PC
        self._views = CpRegViews()
        self._rows: dict[tuple[int, int, int], RegisterRow] = {}
        self._filter = Filter(MSR_CALLBACK(self._on_instruction))
        lib.add_hook(
            handle, lib.const.UC_HOOK_INSN, self._filter.function, instruction=instruction, data=self._filter.data
        )

    def add_row(self, encoding: int, row: RegisterRow, *, wanted: bool = True) -> None:
        """Have `row` called for a register, at once or when it is wanted."""
        self._rows[key_of(encoding)] = row
        self.want(encoding, wanted)

    def want(self, encoding: int, wanted: bool) -> None:
        """Is the row of a register to be called? Without native code it is anyway."""
        self._filter.choose(encoding, wanted)

    def el(self) -> int:
        """The level of the instruction."""
        return self._registers.read(self._pstate) >> 2 & 3

    def pc(self) -> int:
        """Its address."""
        return self._registers.read(self._pc_id)

    def _on_instruction(self, _uc: int, reg: int, cp_reg: int, _data: int) -> int:
        words = self._views.at(cp_reg)
        row = self._rows.get((words[0], words[1], words[2] & 0xFFFF_FFFF))
        if row is None:
            return LEFT_TO_THE_ENGINE
        try:
            if self._counter.active:
                self._counter.reached(self.pc())
            return row(reg, words[3])
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._fail(failure)
            return DONE
