"""The life of interrupts, without registers or CPUs. IHI 0069 4.1."""

from __future__ import annotations

import pytest

from armvcpu.arch.gic_cpu_interface import INTID_AT, NOTHING, PRIORITY_AT
from armvcpu.devices.gic.state import InterruptBank

INACTIVE, PENDING, ACTIVE, BOTH = (False, False), (True, False), (False, True), (True, True)
"""The four states of an interrupt (4.1): is it pending, and is it active?"""
N = 40
LEVEL, EDGE = False, True


def rank(priority: int, intid: int, group: int = 0) -> int:
    return priority << PRIORITY_AT | intid << INTID_AT | group


@pytest.fixture
def bank() -> InterruptBank:
    bank = InterruptBank(range(32, 64))
    bank.enabled = bank.valid
    return bank


def state_of(bank: InterruptBank, intid: int) -> tuple[bool, bool]:
    return bool(bank.pending >> intid & 1), bool(bank.active >> intid & 1)


def act(bank: InterruptBank, event: str) -> tuple[bool, bool]:
    events = {
        "high": lambda: bank.set_level(N, True),
        "low": lambda: bank.set_level(N, False),
        "ack": lambda: bank.acknowledge(N),
        "eoi": lambda: bank.deactivate(N),
        "set": lambda: bank.set_pending(1 << N),
        "clear": lambda: bank.clear_pending(1 << N),
    }
    events[event]()
    return state_of(bank, N)


@pytest.mark.parametrize(
    ("edge", "events", "states"),
    [
        (LEVEL, "high low", (PENDING, INACTIVE)),
        (EDGE, "high low", (PENDING, PENDING)),
        (LEVEL, "high ack low eoi", (PENDING, BOTH, ACTIVE, INACTIVE)),
        (EDGE, "high ack low eoi", (PENDING, ACTIVE, ACTIVE, INACTIVE)),
        (LEVEL, "high ack eoi ack", (PENDING, BOTH, PENDING, BOTH)),
        (EDGE, "high ack eoi high", (PENDING, ACTIVE, INACTIVE, INACTIVE)),
        (EDGE, "high ack low high eoi", (PENDING, ACTIVE, ACTIVE, BOTH, PENDING)),
        (EDGE, "high low high ack eoi", (PENDING, PENDING, PENDING, ACTIVE, INACTIVE)),
        (LEVEL, "set high low ack eoi", (PENDING, PENDING, PENDING, ACTIVE, INACTIVE)),
        (LEVEL, "high clear low", (PENDING, PENDING, INACTIVE)),
        (EDGE, "high clear high", (PENDING, INACTIVE, INACTIVE)),
        (LEVEL, "set clear", (PENDING, INACTIVE)),
        (EDGE, "set ack set eoi", (PENDING, ACTIVE, BOTH, PENDING)),
        (LEVEL, "set ack high clear low eoi", (PENDING, ACTIVE, BOTH, BOTH, ACTIVE, INACTIVE)),
        (LEVEL, "eoi", (INACTIVE,)),
    ],
)
def test_transitions(bank: InterruptBank, edge: bool, events: str, states: tuple[tuple[bool, bool], ...]) -> None:
    """What each event makes of level-sensitive and edge-triggered interrupts (4.1)."""
    bank.edge = edge << N
    assert tuple(act(bank, event) for event in events.split()) == states


def test_only_what_is_pending_enabled_and_not_active_is_ready(bank: InterruptBank) -> None:
    """An active interrupt is not signalled again, nor is one that is disabled (4.1)."""
    bank.set_pending(0b111 << N)
    bank.enabled &= ~(1 << N)
    bank.acknowledge(N + 1)
    bank.set_pending(1 << N + 1)
    assert bank.ready == 1 << N + 2


def test_a_bank_ignores_interrupts_of_others(bank: InterruptBank) -> None:
    """INTIDs outside the bank can neither be pending nor get a priority."""
    bank.set_pending(1 << 31 | 1 << 64)
    bank.set_level(31, True)
    bank.set_priority(64, 8)
    assert (bank.pending, bank.line) == (0, 0)


@pytest.mark.parametrize(
    ("priorities", "highest"),
    [
        ({}, NOTHING),
        ({33: 0x80}, rank(0x80, 33, group=1)),
        ({33: 0x80, 34: 0x78}, rank(0x78, 34)),
        ({34: 0x80, 33: 0x80, 35: 0x80}, rank(0x80, 33, group=1)),
        ({34: 0x07, 33: 0x08}, rank(0, 34)),  # the lower three bits do not exist
        ({63: 0, 32: 0xF8}, rank(0, 63, group=1)),
    ],
)
def test_the_most_urgent_goes_first(bank: InterruptBank, priorities: dict[int, int], highest: int) -> None:
    """The smallest priority, then the lowest INTID, whatever its group (4.8): here those with odd numbers are of 1."""
    bank.group1 = 0xAAAA_AAAA << 32
    for intid in bank.intids:
        bank.set_priority(intid, priorities.get(intid, 0x10))
    assert bank.highest(sum(1 << intid for intid in priorities)) == highest


def test_reset_keeps_the_lines_and_nothing_else(bank: InterruptBank) -> None:
    """The lines belong to the devices that drive them."""
    bank.set_level(N, True)
    bank.set_pending(1 << 50)
    bank.acknowledge(50)
    bank.set_priority(50, 0x20)
    bank.reset()
    fresh = InterruptBank(range(32, 64))
    fresh.line = 1 << N
    assert bank.state() == fresh.state()


def test_a_snapshot_brings_priorities_back(bank: InterruptBank) -> None:
    """The order of priorities is part of what `load_state` restores."""
    bank.set_priority(40, 0x20)
    bank.set_priority(41, 0x10)
    bank.set_pending(0b11 << 40)
    other = InterruptBank(range(32, 64))
    other.load_state(bank.state())
    assert other.ready == bank.ready == 0b11 << 40
    assert other.highest(other.ready) == rank(0x10, 41)


@pytest.mark.parametrize("edge", [LEVEL, EDGE])
def test_assertions_that_are_lost(bank: InterruptBank, edge: bool) -> None:
    """Each until the line falls, however often it is driven meanwhile; other lines are as ever."""
    bank.edge = 1 << N if edge else 0
    bank.lose(N, 2)
    bank.set_level(N + 1, True)
    for _ in range(2):
        for event in ("high", "high", "low"):
            assert act(bank, event) == INACTIVE
    assert state_of(bank, N + 1) == PENDING
    assert act(bank, "high") == PENDING


def test_the_assertion_that_is_there_is_not_lost(bank: InterruptBank) -> None:
    """The next one is; taken back, it arrives when the line is driven again."""
    act(bank, "high")
    bank.lose(N, 1)
    assert act(bank, "high") == PENDING
    act(bank, "low")
    assert act(bank, "high") == INACTIVE
    bank.lose(N, 0)
    assert act(bank, "high") == PENDING
