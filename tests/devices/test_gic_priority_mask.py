"""Which values of the priority mask an engine may write by itself: those that change nothing that is signalled."""

from __future__ import annotations

import random

import pytest
from gic_guest import V3

from armvcpu.vcpu.icv import VirtualCpuInterface


def interface(chance: random.Random):
    """One of either kind, in a random state: interrupts of several priorities, some of them running."""
    if chance.randrange(2):
        guest = V3()
        one = guest.gic.interface(0)
        for intid in (40, 41, 42):
            guest.configure(intid, priority=chance.randrange(0, 256, 8))
            if chance.randrange(2):
                guest.gic.pend(intid)
    else:
        one = VirtualCpuInterface(lambda _level: None)
        one.enable(1, 1)
        for intid in (40, 41, 42):
            if chance.randrange(2):
                one.inject(intid, chance.randrange(0, 256, 8))
    one.set_bpr(1, chance.randrange(8))
    for _ in range(chance.randrange(3)):
        one.set_pmr(chance.randrange(256))
        if one.signalled:
            one.acknowledge()
    one.set_pmr(chance.randrange(256))
    return one


@pytest.mark.parametrize("seed", range(150))
def test_the_engine_may_write_just_what_nothing_follows_from(seed):
    """For each value: what is signalled changes if and only if it is outside of what the words say (IHI 0069 4.8.6)."""
    one = interface(random.Random(seed))
    before, (_value, lowest, highest, mask) = one.pmr, one.mask_words
    signalled = one.signalled
    for value in range(256):
        one.set_pmr(value)
        assert (one.signalled == signalled) is (lowest <= value & mask <= highest)
        assert one.pmr == value & mask
        one.set_pmr(before)
