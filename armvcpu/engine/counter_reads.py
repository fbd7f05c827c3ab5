"""MRS of the Generic Timer's counts, for a machine whose time is not the host's.

The engine answers CNTVCT_EL0, CNTPCT_EL0 and the TVAL registers from the host's clock. They are caught as instructions,
before the engine's own check of access, so that check is made here (DDI 0487 D11.2, CNTKCTL_EL1, CNTHCTL_EL2).
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from armvcpu.arch.registers import by_name
from armvcpu.engine.sys_hooks import DONE, LEFT_TO_THE_ENGINE, RegisterHook

if TYPE_CHECKING:
    from armvcpu.engine.block_counter import BlockCounter
    from armvcpu.engine.library import Library
    from armvcpu.engine.registers import Registers

CountReader = Callable[[str, int], int]
"""Called as reader("CNTVCT_EL0" or another of `COUNTS`, PC); gives what MRS reads, 64 bits."""

_CNTKCTL_EL1, _CNTHCTL_EL2 = by_name["CNTKCTL_EL1"].encoding, by_name["CNTHCTL_EL2"].encoding
COUNTS = {"CNTVCT_EL0": (1 << 1, 0), "CNTPCT_EL0": (1 << 0, 1 << 0),
          "CNTV_TVAL_EL0": (1 << 8, 0), "CNTP_TVAL_EL0": (1 << 9, 1 << 1)}  # fmt: skip
"""The bit of CNTKCTL_EL1 that EL0 needs (EL0VCTEN, EL0PCTEN, EL0VTEN, EL0PTEN), and that of CNTHCTL_EL2 (EL1PCTEN,
EL1PCEN)."""


class CounterReads:
    """Has `reader` answer for the counts of one engine."""

    def __init__(
        self,
        lib: Library,
        handle: int,
        registers: Registers,
        reader: CountReader,
        counter: BlockCounter,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._registers, self._reader = registers, reader
        self._write, self._handle = lib.quick.uc_reg_write, handle
        self._value = C.c_uint64()
        self._value_at = C.addressof(self._value)
        self._hook = RegisterHook(lib, handle, registers, counter, fail, lib.reg.UC_ARM64_INS_MRS)
        for name in COUNTS:
            self._hook.add_row(by_name[name].encoding, partial(self._read, name))

    def _read(self, name: str, reg: int, _value: int) -> int:
        if not self._may_read(name):
            return LEFT_TO_THE_ENGINE
        self._value.value = self._reader(name, self._hook.pc())
        self._write(self._handle, reg, self._value_at)
        return DONE

    def _may_read(self, name: str) -> bool:
        at_el0, at_el1 = COUNTS[name]
        read = self._registers.read_sysreg
        if at_el1 and not read(_CNTHCTL_EL2) & at_el1:
            return False
        return self._hook.el() > 0 or bool(read(_CNTKCTL_EL1) & at_el0)
