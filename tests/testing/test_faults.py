"""Faults that are injected: memory that fails, interrupts that come or don't, without a guest of any size."""

from __future__ import annotations

import pytest
import raw_guest as raw

from armvcpu.errors import UsageError
from armvcpu.machine.outcome import Ending

DATA, RESULTS = 0x4100_0000, 0x4110_0000
GICD, GICR_SGI = 0x0800_0000, 0x080B_0000
TIMER, SPI = 27, 40
SPURIOUS = 1023
ROUNDS = 5


def set_up_gic():
    """GICv3 (IHI 0069): Group 1 on, all PPIs and SPI 8 (INTID 40) in Group 1 and enabled, to CPU 0."""
    words = []
    for address, value in (
        (GICD, 0x12), (GICR_SGI + 0x80, 0xFFFF_FFFF), (GICR_SGI + 0x100, 0xFFFF_0000),
        (GICD + 0x84, 0xFFFF_FFFF), (GICD + 0x104, 1 << SPI - 32),
    ):  # fmt: skip
        words += [*raw.mov(3, address), *raw.mov(1, value), raw.store(1, 3, 4)]
    words += [*raw.mov(1, 0xFF), raw.msr("ICC_PMR_EL1", 1), *raw.mov(1, 1), raw.msr("ICC_IGRPEN1_EL1", 1), raw.ISB]
    return words


def acknowledge_timer():
    """ROUNDS times: the virtual timer fires, and what ICC_IAR1_EL1 reads goes to RESULTS; then the timer is off."""
    once = raw.flat(
        raw.mov(1, 100), raw.msr("CNTV_TVAL_EL0", 1), raw.mov(1, 1), raw.msr("CNTV_CTL_EL0", 1),
        raw.mov(8, 5000), 0xF100_0508, 0x54FF_FFE1,  # SUBS X8, X8, #1; B.NE
        raw.mrs(5, "ICC_IAR1_EL1"), 0xF800_8545,  # STR X5, [X10], #8
        raw.mov(1, 0), raw.msr("CNTV_CTL_EL0", 1), raw.msr("ICC_EOIR1_EL1", 5),
    )  # fmt: skip
    return raw.flat(raw.mov(10, RESULTS), once * ROUNDS, raw.psci(raw.SYSTEM_OFF))


def results(target):
    assert target.finish(timeout=10).ok
    return [target.at(RESULTS + 8 * index).u64 for index in range(ROUNDS)]


# --- interrupts -----------------------------------------------------------------------------------------------


def test_interrupts_that_are_lost(boot):
    """The first two of the timer's; what follows arrives."""
    target = boot(set_up_gic(), acknowledge_timer(), clock="instructions")
    target.lose_interrupt(TIMER, count=2)
    assert results(target) == [SPURIOUS, SPURIOUS, TIMER, TIMER, TIMER]


def test_none_is_lost_that_nobody_asked_for(boot):
    """And none any more once the fault is healed, by hand or by a return to a snapshot."""
    target = boot(set_up_gic(), acknowledge_timer(), clock="instructions")
    snapshot = target.snapshot()
    target.lose_interrupt(TIMER)()
    assert results(target) == ROUNDS * [TIMER]
    target.restore(snapshot)
    target.lose_interrupt(TIMER, count=9)
    target.restore(snapshot)
    assert results(target) == ROUNDS * [TIMER]


def test_who_waits_for_a_lost_interrupt_waits_for_ever(boot):
    """And the machine says so."""
    wait = raw.flat(raw.mov(1, 100), raw.msr("CNTV_TVAL_EL0", 1), raw.mov(1, 1), raw.msr("CNTV_CTL_EL0", 1), raw.WFI)
    assert boot(set_up_gic(), wait, raw.psci(raw.SYSTEM_OFF)).finish(timeout=5).ok
    target = boot(set_up_gic(), wait, raw.psci(raw.SYSTEM_OFF))
    target.lose_interrupt(TIMER)
    outcome = target.finish(timeout=5)
    assert outcome.ending is Ending.CRASHED
    assert "nothing on this machine can wake it" in outcome.reason


@pytest.mark.parametrize("intid", [TIMER, SPI])
@pytest.mark.parametrize("gic", [2, 3])
def test_a_spurious_interrupt_is_pending_once(boot, gic, intid):
    """It ends a WFI, is acknowledged, and gone."""
    target = boot(raw.WFI, raw.psci(raw.SYSTEM_OFF), gic=gic)
    target.raise_interrupt(intid)
    bank = target.board.gic.line_of(0, intid)
    assert bank.pending == 1 << intid
    bank.acknowledge(intid)
    bank.deactivate(intid)
    assert bank.pending == 0


def test_a_spurious_interrupt_reaches_the_guest(boot):
    """By the CPU interface, between two that are real."""
    target = boot(set_up_gic(), raw.mrs(5, "ICC_IAR1_EL1"), raw.mrs(6, "ICC_IAR1_EL1"), raw.psci(raw.SYSTEM_OFF))
    target.run_until(address=raw.BASE + 4 * len(set_up_gic()), timeout=5)
    target.raise_interrupt(SPI)
    assert target.finish(timeout=5).ok
    assert (target.register("x5"), target.register("x6")) == (SPI, SPURIOUS)


def test_there_must_be_such_a_line(boot):
    """SGIs have none; a PPI has one on each CPU that is there."""
    target = boot(raw.NOP)
    for intid, cpu in ((3, 0), (TIMER, 1), (1100, 0)):
        with pytest.raises(UsageError):
            target.lose_interrupt(intid, cpu=cpu)
        with pytest.raises(UsageError):
            target.raise_interrupt(intid, cpu=cpu)
    with pytest.raises(UsageError, match="1 or more"):
        target.lose_interrupt(TIMER, count=0)


# --- memory ---------------------------------------------------------------------------------------------------


def test_poison_is_healed(boot):
    """While it lasts each access is a synchronous external abort (DFSC 0x10); after, memory holds what it held."""
    target = boot(raw.mov(3, DATA), raw.mov(9, raw.BASE + 0x800), raw.msr("VBAR_EL1", 9), raw.ISB, raw.load(1, 3))
    target.at(DATA).u64 = 0x1234
    target.at(raw.BASE + 0xA00).u32 = raw.ERET
    heal = target.poison(DATA + 16)
    target.run_until(address=raw.BASE + 0xA00, count=3, timeout=5)
    assert {(taken.esr & 0x3F, taken.far) for taken in target.recorder.exceptions} == {(0x10, DATA)}
    heal()
    heal()
    target.run_until(address=raw.BASE + 44, timeout=5)
    assert target.register("x1") == 0x1234


def test_poison_under_a_watch_is_poison(boot):
    """Until it is healed; the watch hears what is done then."""
    target = boot(raw.mov(3, DATA), raw.mov(9, raw.BASE + 0x800), raw.msr("VBAR_EL1", 9), raw.ISB, raw.load(1, 3))
    target.at(raw.BASE + 0xA00).u32 = raw.ERET
    with target.watch(DATA, 8) as watch:
        heal = target.poison(DATA)
        target.run_until(address=raw.BASE + 0xA00, timeout=5)
        assert watch.accesses == []
        heal()
        target.run_until(address=raw.BASE + 44, timeout=5)
    assert len(watch.reads) == 1


def test_no_disk_no_failure(boot):
    """One clear line."""
    with pytest.raises(UsageError, match="there is no disk 0: this machine has 0"):
        boot(raw.NOP).fail_disk()
