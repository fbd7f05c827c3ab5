"""Address ranges: allocated, given back in pieces, joined again; against a model that has a set of pages."""

from __future__ import annotations

import random

import pytest

from armvcpu.errors import InternalError, UsageError
from armvcpu.vcpu.stage2.frames import Frames

PAGE, BASE = 0x1000, 0x100_0000_0000


def test_frames_are_given_out_once_and_again_after_release():
    """First fit; what was given back in pieces is one range again."""
    frames = Frames("test", BASE, 8 * PAGE)
    first, second = frames.allocate(3 * PAGE), frames.allocate(5 * PAGE)
    with pytest.raises(UsageError, match="test: no 0x1000 bytes in a row left of 0x8000"):
        frames.allocate(PAGE)
    for page in (1, 0, 2):
        frames.release(first + page * PAGE, PAGE)
    assert (first, second, frames.allocate(3 * PAGE)) == (BASE, BASE + 3 * PAGE, BASE)


@pytest.mark.parametrize("block", [1 << 21, 1 << 30])
def test_range_that_holds_a_block_is_aligned_to_it(block):
    """So that stage 2 can map it by blocks; the gap is still to be had."""
    frames = Frames("test", BASE, 4 * block)
    frames.allocate(PAGE)
    assert (frames.allocate(block), frames.allocate(PAGE)) == (BASE + block, BASE + PAGE)


@pytest.mark.parametrize(("start", "size"), [(0, 1), (2, 1), (3, 2), (2, 3)])
def test_release_of_what_is_free_is_a_bug(start, size):
    """Never quietly."""
    frames = Frames("test", BASE, 8 * PAGE)
    frames.allocate(4 * PAGE)
    frames.release(BASE, 3 * PAGE)
    with pytest.raises(InternalError, match="is free already"):
        frames.release(BASE + start * PAGE, size * PAGE)


@pytest.mark.parametrize("seed", range(5))
def test_frames_are_as_a_set_of_pages_has_them(seed):
    """No page twice, none lost, whatever comes in whatever order."""
    rng, pages = random.Random(seed), 64
    frames, held = Frames("test", BASE, pages * PAGE), list[int]()
    for _ in range(400):
        if held and rng.random() < 0.5:
            frames.release(held.pop(rng.randrange(len(held))), PAGE)
            continue
        count = rng.randrange(1, 9)
        try:
            start = frames.allocate(count * PAGE)
        except UsageError:
            free = sorted(set(range(BASE, BASE + pages * PAGE, PAGE)) - set(held))
            runs = [all(page + n * PAGE in free for n in range(count)) for page in free]
            assert not any(runs)
            continue
        held += range(start, start + count * PAGE, PAGE)
        assert len(set(held)) == len(held)
    assert frames.free == (pages - len(held)) * PAGE
