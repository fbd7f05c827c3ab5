"""The address space against a model that knows no tables: random operations on a dict of pages."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest
from stage2_bench import DEVICE, GEOMETRIES, GIB1, KIB4, MIB2, RW, RWX, UNCACHED, Bench, R, W, Walked, X

from armvcpu.errors import UsageError
from armvcpu.vcpu.addrspace import MappingFlags


@dataclass
class Page:
    """The model of one mapped page: where it is (None: not populated), what is allowed, what is visible."""

    hpa: int | None
    flags: MappingFlags
    visible: MappingFlags
    lazy: bool


class Model:
    """Random operations on an address space and on a dict of pages; a TLB that only `on_change` empties."""

    BASE, PAGES = GIB1 - 4 * MIB2, 8 * MIB2 // KIB4
    FLAGS = (R, RW, RWX, R | X, RW | DEVICE, RW | UNCACHED, RWX | UNCACHED, MappingFlags(0))

    def __init__(self, levels: int, input_bits: int, seed: int) -> None:
        self.random = Random(seed)
        self.bench = Bench(levels, input_bits)
        self.bench.at_change = self.tlbi
        self.pages: dict[int, Page] = {}
        self.tlb: dict[int, Walked] = {}

    def tlbi(self, gpa: int, size: int) -> None:
        self.tlb = {page: leaf for page, leaf in self.tlb.items() if not gpa <= page < gpa + size}

    def range(self) -> range:
        """Some pages, often whole blocks."""
        step = self.random.choice((1, 1, MIB2 // KIB4))
        first = self.random.randrange(0, self.PAGES, step)
        count = min(step * self.random.choice((1, 1, 2, 3)), self.PAGES - first)
        return range(self.BASE + first * KIB4, self.BASE + (first + count) * KIB4, KIB4)

    def map(self, lazily: bool) -> None:
        """map_linear, or map_alloc without population; refused exactly where pages overlap."""
        where, flags = self.range(), self.random.choice(self.FLAGS)
        lazy = X in flags and self.random.random() < 0.5
        hpa = where.start * 2 + self.random.choice((0, MIB2, KIB4))
        size, space = len(where) * KIB4, self.bench.space
        try:
            if lazily:
                space.map_alloc(where.start, size, flags, populate=False, lazy_execute=lazy)
            else:
                space.map_linear(where.start, hpa, size, flags, lazy_execute=lazy)
        except UsageError:
            assert any(page in self.pages for page in where)
            return
        visible = flags & ~X if lazy else flags
        for page in where:
            assert page not in self.pages
            self.pages[page] = Page(None if lazily else hpa + page - where.start, flags, visible, lazy)

    def unmap(self) -> None:
        where = self.range()
        self.bench.space.unmap(where.start, len(where) * KIB4)
        for page in where:
            self.pages.pop(page, None)

    def protect(self) -> None:
        where, flags = self.range(), self.random.choice(self.FLAGS)
        try:
            self.bench.space.protect(where.start, len(where) * KIB4, flags)
        except UsageError:
            assert any(page not in self.pages for page in where)
            return
        for entry in map(self.pages.__getitem__, where):
            entry.flags, entry.visible = flags, flags & ~X if entry.lazy else flags

    def fault(self) -> None:
        page, access = self.random.choice(self.range()), self.random.choice((R, W, X))
        entry = self.pages.get(page)
        allowed = entry is not None and access in entry.flags
        assert self.bench.space.handle_page_fault(page + 0x123, access) is allowed
        if entry is None or not allowed:
            return
        if entry.hpa is None:
            entry.hpa = self.bench.backing.next - KIB4
        if access not in entry.visible:
            entry.visible = entry.flags

    def check(self, page: int) -> None:
        """The walker, translate, the model and the TLB agree on a page."""
        entry, found, told = self.pages.get(page), self.bench.walk(page), self.bench.space.translate(page)
        if entry is None or entry.hpa is None:
            assert (found, told) == (None, None)
        else:
            assert found is not None
            assert (found.pa, found.flags) == (entry.hpa, entry.visible)
            assert told == (found.pa, found.flags, found.size)
            cached = self.tlb.setdefault(page, found)
            assert (cached.pa, cached.flags) == (found.pa, found.flags), "stale TLB entry"
        assert page not in self.tlb or found is not None, "stale TLB entry"

    def check_all(self) -> None:
        for page in range(self.BASE, self.BASE + self.PAGES * KIB4, KIB4):
            self.check(page)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("levels", "input_bits"), GEOMETRIES)
def test_random_operations_agree_with_a_dict_of_pages(levels: int, input_bits: int, seed: int) -> None:
    """Whatever the order of operations, the tables say what the model says, and all is given back."""
    model = Model(levels, input_bits, seed)
    free = model.bench.pool.free_frames
    steps = (
        lambda: model.map(False),
        lambda: model.map(True),
        model.unmap,
        model.protect,
        model.fault,
        model.fault,
    )
    for number in range(150):
        model.random.choice(steps)()
        for page in (*list(model.tlb)[:16], *list(model.range())[:16]):
            model.check(page)
        if number % 50 == 49:
            model.check_all()
    model.bench.space.clear()
    assert (model.bench.pool.free_frames, model.bench.backing.out, model.tlb) == (free, set(), {})
