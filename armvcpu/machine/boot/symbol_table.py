"""What a symbol table says, whatever file it is read from: an ELF file's, System.map, what nm prints."""

from __future__ import annotations

from typing import NamedTuple

HIGHEST = 1 << 64
"""Behind the last address."""
RANK_OF_DATA, RANK_OF_CODE = 1, 2
"""Of two symbols at one address, code is the better one to show; a name without a type is 0."""
LOCAL, WEAK, GLOBAL = range(3)


class Symbol(NamedTuple):
    """Sorted by where it starts; of several at one address, the best to show is the last."""

    start: int
    rank: tuple[int, int]  # type, binding
    end: int  # of one without a size, a label: as far as its section reaches, until `_end_labels`
    name: str
    is_label: bool


class Segment(NamedTuple):
    """A part of an image that is loaded at another address than it was linked at, it may be."""

    vaddr: int
    paddr: int
    size: int


class Table(NamedTuple):
    """What is wanted of a file: the symbols at addresses, the value of every name, the PT_LOAD segments."""

    symbols: list[Symbol]
    values: dict[str, int]
    segments: list[Segment]

    def moved(self, offset: int) -> Table:
        """The same, so many bytes on; 64 bits."""
        last = HIGHEST - 1
        return Table(
            [
                each._replace(start=each.start + offset & last, end=min(each.end + offset, HIGHEST))
                for each in self.symbols
            ],
            {name: value + offset & last for name, value in self.values.items()},
            [Segment(vaddr + offset & last, paddr + offset & last, size) for vaddr, paddr, size in self.segments],
        )
