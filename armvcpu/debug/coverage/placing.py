"""Which code of a program a block is: where the program was linked, or where it has moved itself to.

A block is taken for a program's where it has the program's bytes. So a program is found that runs at physical addresses
until it turns its MMU on, that relocates itself, as U-Boot does, or that a kernel loads somewhere; and no process at
the same virtual addresses is taken for it. A kernel changes some of its own instructions as it starts: what differs is
the program's all the same where most of what was executed in that page is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

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
SEARCHED = 1 << 29
"""Bytes of a program that are searched through each time, at most: some 0.5 s."""


class Placed(NamedTuple):
    """A block of a program, at the address that it was linked at."""

    linked: int
    block: Block


class Places:
    """Where one program lies. What has been found is used from then on."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.biases = [0]
        """What is added to linked addresses."""
        self._sought: set[bytes] = set()
        """Code that has been looked for."""

    def place(self, blocks: Iterable[Block]) -> list[Placed]:
        """Those of the blocks that are the program's."""
        placed, left, budget = list[Placed](), list(blocks), SEARCHED
        for bias in self.biases:
            left = self._at(bias, left, placed)
        while True:
            found, searched = self._search(left, budget)
            budget -= searched
            for bias in found:
                self.biases.append(bias)
                left = self._at(bias, left, placed)
            if not found:
                return placed

    def _at(self, bias: int, blocks: list[Block], placed: list[Placed]) -> list[Block]:
        """Add those at one place; the others."""
        others: list[Block] = []
        low, high = self._program.base + bias, self._program.end + bias
        pages: defaultdict[tuple[int, int], list[tuple[Block, bool]]] = defaultdict(list)
        for block in blocks:
            code = self._program.code_at(block.pc - bias, len(block.code)) if low <= block.pc < high else None
            if code is None:
                others.append(block)
            else:
                pages[block.pc >> PAGE_BITS, block.physical >> PAGE_BITS].append((block, code == block.code))
        for there in pages.values():
            same = sum(len(block.code) for block, is_same in there if is_same)
            is_ours = 2 * same >= sum(len(block.code) for block, _ in there)
            for block, is_same in there:
                if is_ours or (is_same and len(block.code) >= 4 * FEW):
                    placed.append(Placed(block.pc - bias, block))
                else:
                    others.append(block)
        return others

    def _search(self, blocks: list[Block], budget: int) -> tuple[list[int], int]:
        """Other places that several blocks tell of, or a long one; and how many bytes have been searched through."""
        votes: Counter[int] = Counter()
        searched = 0
        for block in _telling(blocks):
            if block.code in self._sought:
                continue
            if searched + self._program.text_size > budget:
                break
            searched += self._program.text_size
            self._sought.add(block.code)
            linked = self._program.find(block.code)
            if linked is not None and block.pc - linked not in self.biases:
                votes[block.pc - linked] += 2 if len(block.code) >= 4 * CERTAIN else 1
        return [bias for bias, count in votes.most_common() if count > 1], searched


def _telling(blocks: Sequence[Block]) -> list[Block]:
    """Long blocks of each region, the first of each region first."""
    regions: defaultdict[int, list[Block]] = defaultdict(list)
    for block in blocks:
        if len(block.code) >= 4 * TELLING:
            regions[block.pc >> REGION_BITS].append(block)
    ranked = [sorted(each, key=lambda block: -len(block.code))[:IN_REGION] for each in regions.values()]
    return [each[rank] for rank in range(IN_REGION) for each in ranked if rank < len(each)]
