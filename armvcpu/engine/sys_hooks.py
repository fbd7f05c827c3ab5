"""What the hooks on MSR, MRS and SYS instructions have in common: the instruction as Unicorn describes it.

The description lies on the C stack, at one of a few addresses; a window on each is kept, since making one costs more
than all that is read from it.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812

from armvcpu.arch.registers import Encoding

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
