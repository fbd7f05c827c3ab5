"""A block trace as lines, those of `--trace insn`, found once for each block."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from armvcpu.debug.disasm import disassemble

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.tracing.blocks.reader import Block

    Source = Callable[[int], str]


_INSIDE = re.compile(r"(.*)\+0x([0-9a-f]{1,16})", re.DOTALL)
"""A name and an offset; the name may have anything in it."""


class Lines:
    """What is said of each instruction of a block; `source` gives `main.c:12` for an address, or nothing."""

    def __init__(self, source: Source | None = None) -> None:
        self._source = source
        self._known: dict[int, tuple[Block, list[str]]] = {}

    def of(self, block: Block) -> list[str]:
        """A line for each instruction, without the vCPU before it and without a newline."""
        known = self._known.get(id(block))
        if known is None:
            lines = [self._line(block, number) for number in range(len(block.words))]
            known = self._known[id(block)] = block, lines  # which keeps the block, and so its id
        return known[1]

    def _line(self, block: Block, number: int) -> str:
        pc, word = block.pc + 4 * number, block.words[number]
        if pc & 3:  # a fetch that faults (PC alignment)
            return f"{pc:#018x} {symbol_at(block, number) or '-'} insn unreadable"
        place = self._source(pc) if self._source is not None else ""
        words = disassemble(word, pc) + (f" ({place})" if place else "")
        return f"{pc:#018x} {symbol_at(block, number) or '-'} insn {word:#010x} # {words}"


def symbol_at(block: Block, number: int) -> str:
    """`main+0x14` for one of a block's instructions; empty where no symbol is known."""
    if not block.symbol or not number:
        return block.symbol
    inside = _INSIDE.fullmatch(block.symbol)
    if inside is None:
        return f"{block.symbol}+{4 * number:#x}"
    return f"{inside[1]}+{int(inside[2], 16) + 4 * number:#x}"
