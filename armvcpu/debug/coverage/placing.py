"""Which code of a program a block is: where the program was linked, or where it has moved itself to.

A block is taken for a program's where it has the program's bytes. So a program is found that runs at physical addresses
until it turns its MMU on, that relocates itself, as U-Boot does, or that a kernel loads somewhere; and no process at
the same virtual addresses is taken for it. A kernel changes some of its own instructions as it starts: what differs is
the program's all the same where most of what was executed in that page is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from armvcpu.debug.coverage.blocks import Block
    from armvcpu.debug.coverage.program import Program

PAGE_BITS, REGION_BITS = 12, 21
FEW = 3
"""Instructions: a shorter block may have a program's bytes by chance."""
TELLING, CERTAIN = 6, 12
"""Instructions of a block by which a program's place is looked for, and of one that tells it alone."""
IN_REGION = 8
"""Blocks of 2 MiB of addresses that are looked for."""
SEARCHED = 1 << 27
"""Bytes of a program that are searched through each time, at most: some 0.1 s."""


Placed = list[tuple[int, list["Block"]]]
"""Blocks of a program, each lot with what is added to the addresses that they were linked at."""


class Places:
    """Where one program lies. What has been found is used from then on."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.biases = [0]
        """What is added to linked addresses."""
        self._sought: set[bytes] = set()
        """Code that has been looked for."""

    def place(self, blocks: Iterable[Block]) -> Placed:
        """Those of the blocks that are the program's."""
        placed: Placed = []
        left, budget = list(blocks), SEARCHED
        for bias in self.biases:
            left = self._at(bias, left, placed)
        while True:
            bias, searched = self._search(left, budget)
            if not bias:
                return placed
            budget -= searched
            self.biases.append(bias)
            left = self._at(bias, left, placed)

    def _at(self, bias: int, blocks: list[Block], placed: Placed) -> list[Block]:
        """Add those at one place; the others."""
        others: list[Block] = []
        same: list[Block] = []
        doubtful: defaultdict[tuple[int, int], list[Block]] = defaultdict(list)
        pieces = [(start + bias, start + bias + len(code), code) for start, code in self._program.pieces]
        for block in blocks:
            pc, code = block.pc, block.code
            for start, end, text in pieces:
                if start <= pc < end:
                    if len(code) >= 4 * FEW and text.startswith(code, pc - start):
                        same.append(block)
                    else:
                        doubtful[_page(block)].append(block)
                    break
            else:
                others.append(block)
        placed.append((bias, same))
        if doubtful:
            self._doubt(doubtful, same, bias, placed, others)
        return others

    def _doubt(
        self, doubtful: dict[tuple[int, int], list[Block]], same: list[Block], bias: int, placed: Placed,
        others: list[Block],
    ) -> None:  # fmt: skip
        """Of blocks that are short or differ: those of pages most of whose executed bytes are the program's."""
        sizes: Counter[tuple[int, int]] = Counter()
        for block in same:
            sizes[_page(block)] += len(block.code)
        for page, blocks in doubtful.items():
            ours = sum(len(block.code) for block in blocks if self._is_same(block, bias))
            all_ = sizes[page] + sum(len(block.code) for block in blocks)
            if 2 * (sizes[page] + ours) >= all_:
                placed.append((bias, blocks))
            else:
                others += blocks

    def _is_same(self, block: Block, bias: int) -> bool:
        return self._program.code_at(block.pc - bias, len(block.code)) == block.code

    def _search(self, blocks: list[Block], budget: int) -> tuple[int, int]:
        """Another place that two blocks tell of, or a long one, or 0; and how many bytes have been searched through."""
        votes: Counter[int] = Counter()
        searched = 0
        for block in _telling(blocks):
            if block.code in self._sought:
                continue
            searched += self._program.text_size
            if searched > budget:
                break
            self._sought.add(block.code)
            linked = self._program.find(block.code)
            if linked is None or block.pc - linked in self.biases:
                continue
            bias = block.pc - linked
            votes[bias] += 2 if len(block.code) >= 4 * CERTAIN else 1
            if votes[bias] > 1:
                return bias, searched
        return 0, searched


def _page(block: Block) -> tuple[int, int]:
    return block.pc >> PAGE_BITS, block.physical >> PAGE_BITS


def _telling(blocks: Sequence[Block]) -> list[Block]:
    """Long blocks of each region, the longest of each first, and those of the regions with most of them."""
    regions: defaultdict[int, list[Block]] = defaultdict(list)
    for block in blocks:
        if len(block.code) >= 4 * TELLING:
            regions[block.pc >> REGION_BITS].append(block)
    largest = sorted(regions.values(), key=len, reverse=True)
    ranked = [sorted(each, key=lambda block: -len(block.code))[:IN_REGION] for each in largest]
    return [each[rank] for rank in range(IN_REGION) for each in ranked if rank < len(each)]
