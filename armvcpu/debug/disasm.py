"""A64 instructions as assembly text, by Capstone, in the syntax assemblers read back.

Capstone is imported with the first instruction that is shown: it takes longer to load than a guest to start.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from armvcpu.arch.registers import by_encoding, op

_GENERIC_NAME = re.compile(r"\bs([0-3])_([0-7])_c(1[0-5]|\d)_c(1[0-5]|\d)_([0-7])\b")


def disassemble(code: int | bytes, address: int) -> str:
    """The instruction at `address` (which relative branches need), as `ldr x0, [x1, #8]`.

    `code` is the 32-bit word, or its four bytes as they lie in memory (A64 is little-endian at any SCTLR_ELx.EE).
    A word that is no instruction is `.inst 0x00c0ffee`.
    """
    word = code.to_bytes(4, "little") if isinstance(code, int) else code[:4]
    for _, _, mnemonic, operands in _capstone().disasm_lite(word, address):
        return f"{mnemonic} {_GENERIC_NAME.sub(_known_name, operands)}".rstrip()
    return f".inst {int.from_bytes(word, 'little'):#010x}"


@cache
def _capstone() -> Any:
    import capstone  # see the top of the file

    new: Any = capstone.Cs  # not typed
    return new(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)


def _known_name(generic: re.Match[str]) -> str:
    """The name of a system register that the rows know and Capstone does not."""
    row = by_encoding.get(op(*map(int, generic.groups())))
    return row.name.lower() if row else generic.group()
