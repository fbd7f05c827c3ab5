"""The program that has called a Linux kernel: its registers, which the kernel has put on its stack.

At the end of a kernel's chain of frame records is one of two zeroes, inside the registers of EL0 that its entry code
has stored (`struct pt_regs` of arch/arm64/include/asm/ptrace.h: X0 to X30, SP, PC, PSTATE, and some more, which differ
from release to release, up to that record). Whatever is found there is looked at before it is believed: any kernel may
end its chains so.
"""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_REGISTERS = 8 * 34
_BEHIND = (304, 296)
"""From the registers to the record, in bytes: Linux 5.10 up, and 6.13 up."""
_MODE, _NZCV_DAIF = 0x1F, 0xF000_03C0
_USER = 1 << 55
"""Where addresses of programs end: bit 55 chooses the table (DDI 0487 D8.2)."""


class UserRegisters(NamedTuple):
    """Of EL0 where it has called."""

    pc: int
    x29: int
    x30: int


def user_registers(record: int, read: Callable[[int, int], bytes | None]) -> UserRegisters | None:
    """Those before the last record of a kernel's chain, at a virtual address; None where it is not such a one."""
    for behind in _BEHIND:
        data = read(record - behind, _REGISTERS) if record > behind else None
        if data is None:
            return None
        words = unpack("<34Q", data)
        pc, pstate = words[32], words[33]
        is_el0 = pstate & _MODE == 0 and pstate >> 32 == 0
        if is_el0 and 0 < pc < _USER and pc % 4 == 0:
            return UserRegisters(pc, words[29], words[30])
    return None
