"""What the address space tests stand on: a table walker of their own that sees raw bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armvcpu.vcpu.addrspace import AddressSpace, MappingFlags, TablePool

if TYPE_CHECKING:
    from collections.abc import Callable

KIB4, MIB2, GIB1 = 1 << 12, 1 << 21, 1 << 30
POOL_BASE = 0xFF_0000_0000
RAM = 0x4000_0000
R, W, X = MappingFlags.READ, MappingFlags.WRITE, MappingFlags.EXECUTE
DEVICE, UNCACHED = MappingFlags.DEVICE, MappingFlags.UNCACHED
RW, RWX = R | W, R | W | X
GEOMETRIES = [(3, 32), (3, 39), (3, 42), (4, 40), (4, 48)]


@dataclass(frozen=True)
class Walked:
    """What a stage 2 walk ends in."""

    pa: int
    size: int
    read: bool
    write: bool
    execute: bool
    memattr: int

    @property
    def flags(self) -> MappingFlags:
        kind = {0b1111: MappingFlags(0), 0b0001: DEVICE, 0b0101: UNCACHED}[self.memattr]
        return kind | (R if self.read else kind) | (W if self.write else kind) | (X if self.execute else kind)


def walk(memory: bytearray, vtcr: int, vttbr: int, ipa: int) -> Walked | None:
    """AArch64.S2Walk of DDI 0487, 4 KiB granule, over the bytes of the pool; None for a translation fault."""
    ia_size = 64 - (vtcr & 0x3F)
    start = level = 2 - (vtcr >> 6 & 3)
    assert vtcr >> 14 & 3 == 0
    root_bits = ia_size - (39 - 9 * start) + 3
    assert vttbr % (1 << max(root_bits, 12)) == 0, "VTTBR_EL2.BADDR is not aligned to the root"
    table = vttbr
    while True:
        low = 39 - 9 * level
        top = ia_size if level == start else low + 9
        index = (ipa & (1 << top) - 1) >> low
        (descriptor,) = struct.unpack_from("<Q", memory, table - POOL_BASE + index * 8)
        if not descriptor & 1 or (descriptor & 3 == 1 and level in (0, 3)):
            return None
        if descriptor & 3 == 3 and level < 3:
            table = descriptor & 0xFFFF_FFFF_F000
            level += 1
            continue
        base = descriptor & 0xFFFF_FFFF_F000
        assert base % (1 << low) == 0, "a block's output address has low bits set"
        assert descriptor >> 10 & 1, "Access flag fault"
        assert descriptor >> 53 & 1 == 0
        return Walked(
            base | ipa & (1 << low) - 1,
            1 << low,
            bool(descriptor >> 6 & 1),
            bool(descriptor >> 7 & 1),
            not descriptor >> 54 & 1,
            descriptor >> 2 & 0xF,
        )


class Backing:
    """A frame allocator that knows what is out, and refuses a page returned twice."""

    def __init__(self) -> None:
        self.next, self.out = 0x10_0000_0000, set[int]()

    def allocate(self, size: int) -> int:
        hpa, self.next = self.next, self.next + size
        self.out |= set(range(hpa, hpa + size, KIB4))
        return hpa

    def release(self, hpa: int, size: int) -> None:
        pages = set(range(hpa, hpa + size, KIB4))
        assert pages <= self.out
        self.out -= pages


class Bench:
    """An address space, its raw table bytes, its backing memory, and what it reported."""

    def __init__(self, levels: int = 3, input_bits: int = 39, frames: int = 128, **options: int) -> None:
        self.memory = bytearray(frames * KIB4)
        self.pool = TablePool(POOL_BASE, memoryview(self.memory))
        self.backing = Backing()
        self.changes: list[tuple[int, int]] = []
        self.at_change: Callable[[int, int], object] = lambda gpa, size: None
        self.space = AddressSpace(
            self.pool,
            levels,
            input_bits,
            allocate=self.backing.allocate,
            release=self.backing.release,
            on_change=self.on_change,
            **options,
        )

    def on_change(self, gpa: int, size: int) -> None:
        self.changes.append((gpa, size))
        self.at_change(gpa, size)

    def walk(self, gpa: int) -> Walked | None:
        return walk(self.memory, self.space.vtcr, self.space.root, gpa)

    def leaf_sizes(self, gpa: int, size: int) -> list[int]:
        """The sizes of the leaves over a mapped range, by the walker."""
        sizes, end = [], gpa + size
        while gpa < end:
            found = self.walk(gpa)
            assert found is not None
            sizes.append(found.size)
            gpa += found.size
        return sizes

    def state(self) -> tuple[object, ...]:
        return self.space.regions(), self.pool.free_frames, frozenset(self.backing.out)
