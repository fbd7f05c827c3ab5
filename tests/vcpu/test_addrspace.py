"""The guest-physical address space, its tables read back by a walker that sees only their raw bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from stage2_bench import (
    DEVICE,
    GEOMETRIES,
    GIB1,
    KIB4,
    MIB2,
    POOL_BASE,
    RAM,
    RW,
    RWX,
    UNCACHED,
    Bench,
    R,
    W,
    Walked,
    X,
    walk,
)

from armvcpu.errors import UsageError
from armvcpu.vcpu.addrspace import AddressSpace, MappingFlags, TablePool

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(("levels", "input_bits"), GEOMETRIES)
def test_first_and_last_page_of_the_input_range_translate(levels: int, input_bits: int) -> None:
    """Every start level and concatenation reaches the whole input range (DDI 0487 D8.2)."""
    bench = Bench(levels, input_bits)
    last = (1 << input_bits) - KIB4
    for gpa, hpa in ((0, 0x5000), (last, 0x9000)):
        bench.space.map_linear(gpa, hpa, KIB4, RW)
        found = bench.walk(gpa + 0xABC)
        assert found is not None
        assert found.pa == hpa + 0xABC
    assert bench.walk(last - KIB4) is None


@pytest.mark.parametrize(
    ("gpa", "hpa", "size", "sizes"),
    [
        (GIB1, 2 * GIB1, 2 * GIB1, [GIB1, GIB1]),
        (GIB1, MIB2, 2 * MIB2, [MIB2, MIB2]),
        (GIB1 - MIB2, 3 * GIB1 - MIB2, GIB1 + MIB2, [MIB2, GIB1]),
        (MIB2 - KIB4, 2 * MIB2 - KIB4, MIB2 + 2 * KIB4, [KIB4, MIB2, KIB4]),
        (0, KIB4, 3 * KIB4, [KIB4] * 3),
    ],
)
def test_map_linear_takes_the_largest_leaves(bench: Bench, gpa: int, hpa: int, size: int, sizes: list[int]) -> None:
    """A leaf is as large as the alignment of both addresses and the size allow."""
    bench.space.map_linear(gpa, hpa, size, RWX)
    assert bench.leaf_sizes(gpa, size) == sizes
    assert bench.walk(gpa + size) is None


@pytest.mark.parametrize(
    "flags", [MappingFlags(0), R, W, X, RW, RWX, R | X, RW | DEVICE, RW | UNCACHED, RWX | UNCACHED]
)
def test_flags_reach_the_descriptor_and_come_back(bench: Bench, flags: MappingFlags) -> None:
    """Permissions and memory type are the descriptor's S2AP, XN and MemAttr (DDI 0487 D8.3)."""
    bench.space.map_linear(RAM, 0x8000, KIB4, flags)
    found, told = bench.walk(RAM), bench.space.translate(RAM + 4)
    assert found is not None
    assert found.flags == flags
    assert told == (0x8004, flags, KIB4)


def test_unmapping_a_page_splits_the_block_around_it(bench: Bench) -> None:
    """The rest of a 1 GiB block keeps its translation in smaller leaves."""
    bench.space.map_linear(GIB1, 4 * GIB1, GIB1, RW)
    bench.space.unmap(GIB1 + MIB2 + KIB4, KIB4)
    assert bench.walk(GIB1 + MIB2 + KIB4) is None
    for offset, size in ((0, MIB2), (MIB2, KIB4), (MIB2 + 2 * KIB4, KIB4), (2 * MIB2, MIB2)):
        found = bench.walk(GIB1 + offset)
        assert found is not None
        assert (found.pa, found.size) == (4 * GIB1 + offset, size)


def test_empty_tables_return_to_the_pool(bench: Bench) -> None:
    """Tables that a partial unmap made are freed when their last entry goes."""
    before = bench.pool.free_frames
    bench.space.map_linear(GIB1, 4 * GIB1, GIB1, RW)
    bench.space.unmap(GIB1 + KIB4, GIB1 - 2 * KIB4)
    assert bench.pool.free_frames == before - 3
    bench.space.unmap(GIB1, KIB4)
    assert bench.pool.free_frames == before - 2
    bench.space.clear()
    assert bench.pool.free_frames == before
    assert bench.space.regions() == ()


def test_a_hole_emptied_of_pages_takes_a_block_again(bench: Bench) -> None:
    """After its table is freed, a range is mapped by the largest leaf."""
    bench.space.map_linear(MIB2, KIB4, MIB2, RW)
    bench.space.unmap(MIB2, MIB2)
    bench.space.map_linear(MIB2, MIB2, MIB2, RW)
    assert bench.leaf_sizes(MIB2, MIB2) == [MIB2]


def test_protect_changes_only_its_range(bench: Bench) -> None:
    """New flags apply to the range, and regions are cut to show it."""
    bench.space.map_linear(RAM, 0, 4 * KIB4, RWX)
    bench.space.protect(RAM + KIB4, KIB4, R)
    shown = [(region.gpa - RAM, region.size, region.flags, region.hpa) for region in bench.space.regions()]
    assert shown == [(0, KIB4, RWX, 0), (KIB4, KIB4, R, KIB4), (2 * KIB4, 2 * KIB4, RWX, 2 * KIB4)]
    assert [bench.space.translate(RAM + page * KIB4).flags for page in range(3)] == [RWX, R, RWX]  # type: ignore[union-attr]


def test_protect_to_the_same_flags_splits_nothing(bench: Bench) -> None:
    """A change that changes no entry costs neither tables nor TLBI."""
    bench.space.map_linear(GIB1, 0, GIB1, RW)
    bench.space.protect(GIB1 + KIB4, KIB4, RW)
    assert (bench.leaf_sizes(GIB1, GIB1), bench.changes) == ([GIB1], [])


@pytest.mark.parametrize(("flags", "entry_at_tlbi"), [(R, "new"), (RW | UNCACHED, "invalid"), (RW | DEVICE, "invalid")])
def test_break_before_make_where_the_memory_type_changes(bench: Bench, flags: MappingFlags, entry_at_tlbi: str) -> None:
    """A changed memory type is invalid during the TLBI; changed permissions need not be (DDI 0487 D8)."""
    seen: list[Walked | None] = []
    bench.space.map_linear(RAM, MIB2, MIB2, RW)
    bench.at_change = lambda gpa, size: seen.append(bench.walk(gpa))
    bench.space.protect(RAM, MIB2, flags)
    assert [None if found is None else found.flags for found in seen] == [flags if entry_at_tlbi == "new" else None]


def test_break_before_make_where_a_block_is_split(bench: Bench) -> None:
    """While a block becomes a table the whole block is invalid, once, and reported whole (DDI 0487 D8)."""
    seen: list[tuple[int, int, bool]] = []
    bench.space.map_linear(GIB1, 0, GIB1, RWX)
    bench.at_change = lambda gpa, size: seen.append((gpa, size, bench.walk(2 * GIB1 - 1) is None))
    bench.space.protect(GIB1 + 5 * KIB4, KIB4, R)
    assert seen == [(GIB1, GIB1, True)]


def test_mapping_needs_no_tlbi(bench: Bench) -> None:
    """Invalid entries are never cached, so filling them is not reported."""
    bench.space.map_linear(RAM, 0, MIB2, RW)
    bench.space.map_alloc(2 * RAM, KIB4, RW, populate=False)
    assert bench.space.handle_page_fault(2 * RAM, R)
    assert bench.changes == []


def test_backing_is_released_after_the_tlbi(bench: Bench) -> None:
    """Allocated memory goes back only when no TLB can lead to it."""
    order: list[str] = []
    bench.space.map_alloc(RAM, 2 * KIB4, RW)
    bench.at_change = lambda gpa, size: order.append(f"tlbi {len(bench.backing.out)}")
    bench.space.unmap(RAM, KIB4)
    assert order == ["tlbi 2"]
    assert len(bench.backing.out) == 1


def test_lazy_memory_is_populated_by_faults(bench: Bench) -> None:
    """Each first access gets one fresh page; the rest stays unallocated."""
    bench.space.map_alloc(RAM, GIB1, RW, populate=False)
    assert bench.space.translate(RAM) is None
    assert bench.space.handle_page_fault(RAM + 0x1234, W)
    found = bench.walk(RAM + 0x1234)
    assert found is not None
    assert (found.size, found.flags, len(bench.backing.out)) == (KIB4, RW, 1)
    assert bench.space.handle_page_fault(RAM + 0x1000, R), "another vCPU's fault on the same page"
    assert len(bench.backing.out) == 1


@pytest.mark.parametrize(
    ("gpa", "access"),
    [(RAM - 1, R), (RAM + MIB2, R), (RAM, X), (RAM, RWX)],
    ids=["below", "above", "x", "rwx"],
)
def test_a_fault_no_region_allows_is_the_callers(bench: Bench, gpa: int, access: MappingFlags) -> None:
    """Outside regions and against their flags nothing changes and the answer is False."""
    bench.space.map_alloc(RAM, MIB2, RW, populate=False)
    before = bench.state()
    assert not bench.space.handle_page_fault(gpa, access)
    assert bench.state() == before


def test_execute_is_granted_page_by_page(bench: Bench) -> None:
    """RAM starts execute-never in one leaf; an execute fault opens its page alone."""
    bench.space.map_linear(GIB1, 0, GIB1, RWX, lazy_execute=True)
    assert bench.leaf_sizes(GIB1, GIB1) == [GIB1]
    assert bench.space.handle_page_fault(GIB1 + 0x1234, X)
    pages = [bench.walk(GIB1 + page * KIB4) for page in range(3)]
    assert [page.execute for page in pages if page] == [False, True, False]
    assert bench.changes == [(GIB1, GIB1)]


def test_execute_granule_is_clipped_to_the_region() -> None:
    """A larger granule opens its aligned window, inside the region only."""
    bench = Bench(execute_granule=4 * KIB4)
    bench.space.map_linear(RAM, RAM, 2 * KIB4, RWX, lazy_execute=True)
    bench.space.map_linear(RAM + 2 * KIB4, 0, 2 * KIB4, RWX, lazy_execute=True)
    bench.space.handle_page_fault(RAM, X)
    assert [bench.walk(RAM + page * KIB4).execute for page in range(4)] == [True, True, False, False]  # type: ignore[union-attr]


def test_lazy_page_first_touched_by_a_fetch_is_executable(bench: Bench) -> None:
    """Population and the execute grant take one fault."""
    bench.space.map_alloc(RAM, MIB2, RWX, populate=False, lazy_execute=True)
    assert bench.space.handle_page_fault(RAM, X)
    assert bench.space.translate(RAM).flags == RWX  # type: ignore[union-attr]


def test_protect_takes_execute_grants_back(bench: Bench) -> None:
    """A lazy_execute region asks again after protect."""
    bench.space.map_linear(RAM, 0, MIB2, RWX, lazy_execute=True)
    bench.space.handle_page_fault(RAM, X)
    bench.space.protect(RAM, MIB2, RWX)
    assert bench.space.translate(RAM).flags == RW  # type: ignore[union-attr]


REFUSED: dict[str, tuple[Callable[[AddressSpace], object], str]] = {
    "overlap": (lambda s: s.map_linear(RAM, 0, KIB4, RW), "overlaps the mapping at 0x40000000"),
    "overlap from below": (lambda s: s.map_alloc(RAM - KIB4, 2 * KIB4, RW, populate=False), "overlaps"),
    "misaligned guest address": (lambda s: s.map_linear(0x800, 0, KIB4, RW), "whole 4 KiB pages"),
    "misaligned physical address": (lambda s: s.map_linear(0, 0x800, KIB4, RW), "whole 4 KiB pages"),
    "misaligned size": (lambda s: s.unmap(RAM, 0x800), "whole 4 KiB pages"),
    "nothing": (lambda s: s.protect(RAM, 0, RW), "whole 4 KiB pages"),
    "past the input size": (lambda s: s.map_linear((1 << 39) - KIB4, 0, 2 * KIB4, RW), "39 address bits"),
    "past the output size": (lambda s: s.map_linear(0, 1 << 48, KIB4, RW), "48 address bits"),
    "negative": (lambda s: s.unmap(-KIB4, KIB4), "address bits"),
    "two memory types": (lambda s: s.map_alloc(0, KIB4, RW | DEVICE | UNCACHED, populate=False), "not both"),
    "lazy without execute": (lambda s: s.map_linear(0, 0, KIB4, RW, lazy_execute=True), "lazy_execute"),
    "protect over a hole": (lambda s: s.protect(RAM, GIB1 + KIB4, R), "holes"),
    "protect to two memory types": (lambda s: s.protect(RAM, KIB4, DEVICE | UNCACHED), "not both"),
    "table pool used up by map": (lambda s: s.map_linear(3 * GIB1, KIB4, 8 * MIB2, RW), "enlarge the pool"),
    "table pool used up by allocation": (
        lambda s: s.map_alloc(3 * GIB1 - KIB4, 2 * KIB4, RW),
        "enlarge the pool",
    ),
    "table pool used up by split": (lambda s: s.unmap(RAM + KIB4, MIB2), "enlarge the pool"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_call_is_one_line_and_changes_nothing(case: str) -> None:
    """Tables, regions, pool and backing memory are as before, and nothing was reported."""
    call, message = REFUSED[case]
    bench = Bench(frames=3)
    bench.space.map_linear(RAM, GIB1, GIB1, RW)
    before, seen = bench.state(), [bench.walk(gpa) for gpa in (0, RAM, RAM + KIB4)]
    with pytest.raises(UsageError, match=message) as refused:
        call(bench.space)
    assert "\n" not in str(refused.value)
    assert (bench.state(), bench.changes) == (before, [])
    assert [bench.walk(gpa) for gpa in (0, RAM, RAM + KIB4)] == seen


def test_map_alloc_needs_an_allocator() -> None:
    """Without one the call says what to pass."""
    space = AddressSpace(TablePool(POOL_BASE, memoryview(bytearray(KIB4))))
    with pytest.raises(UsageError, match="allocate="):
        space.map_alloc(0, KIB4, RW)


def test_concatenated_root_is_aligned_and_wastes_no_frame() -> None:
    """VTTBR_EL2 wants the root aligned to its size; the frames skipped for that stay usable."""
    memory = memoryview(bytearray(8 * KIB4))
    pool = TablePool(POOL_BASE + KIB4, memory)
    space = AddressSpace(pool, 3, 41)
    assert (space.root, pool.free_frames) == (POOL_BASE + 4 * KIB4, 4)


@pytest.mark.parametrize(("base", "size"), [(0x800, KIB4), (0, 0x800), (0, 0)])
def test_a_pool_is_whole_pages(base: int, size: int) -> None:
    """Table frames are 4 KiB, aligned."""
    with pytest.raises(UsageError, match="whole writable pages"):
        TablePool(base, memoryview(bytearray(size)))


def test_two_spaces_share_a_pool() -> None:
    """Two guests' tables do not meet."""
    memory = bytearray(16 * KIB4)
    pool = TablePool(POOL_BASE, memoryview(memory))
    first, second = AddressSpace(pool), AddressSpace(pool)
    first.map_linear(RAM, 0x1000, KIB4, RW)
    second.map_linear(RAM, 0x2000, KIB4, RW)
    found = [walk(memory, space.vtcr, space.root, RAM) for space in (first, second)]
    assert [leaf.pa for leaf in found if leaf] == [0x1000, 0x2000]


def test_large_memory_takes_few_tables(bench: Bench) -> None:
    """8 GiB by 2 MiB blocks takes eight tables and the root."""
    bench.space.map_linear(4 * GIB1, 16 * GIB1 + MIB2, 8 * GIB1, RW)
    assert bench.pool.free_frames == 128 - 1 - 8
    found = bench.walk(12 * GIB1 - 1)
    assert found is not None
    assert (found.pa, found.size) == (24 * GIB1 + MIB2 - 1, MIB2)
