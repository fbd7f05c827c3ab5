"""Interrupts of a vCPU without a machine: level lines, priorities, timers, and what other threads want of it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from vcpu_bench import RAM, Bench

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.registers import by_name
from armvcpu.engine.fake import StopRequested
from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.alarms import Alarms
from armvcpu.vcpu.exits import ExternalInterrupt, FailEntry, Nothing
from armvcpu.vcpu.hal import BareHal
from armvcpu.vcpu.mailbox import Mailbox
from armvcpu.vcpu.timer import NS_PER_COUNT
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

if TYPE_CHECKING:
    from collections.abc import Callable

FAR = (1 << 64) - 1
"""A compare value that no count reaches."""


class TimerHal(BareHal):
    """A host that writes down the moments which it is to wake the vCPU at."""

    def __init__(self) -> None:
        self.moments: list[int | None] = []
        self.ring: Callable[[], None] = lambda: None

    def set_timer(self, moment: int | None, ring: Callable[[], None]) -> None:
        self.moments.append(moment)
        self.ring = ring


class Guest:
    """A vCPU whose guest lets interrupts in, and what it sees of them."""

    def __init__(self, **setup: bool) -> None:
        self.hal = TimerHal()
        self.bench = Bench(hal=self.hal, **setup)
        self.vcpu = self.bench.vcpu
        self.write("ICC_PMR_EL1", 0xFF)
        self.write("ICC_IGRPEN1_EL1", 1)

    def read(self, name: str) -> int:
        return self.vcpu.sysregs.readers[by_name[name].encoding]()

    def write(self, name: str, value: int) -> None:
        self.vcpu.sysregs.writers[by_name[name].encoding](value)

    @property
    def signalled(self) -> bool:
        """HCR_EL2.VI."""
        return bool(HCR_EL2(self.vcpu.system_registers.hcr_el2).VI)

    def end(self, intid: int) -> None:
        self.write("ICC_EOIR1_EL1", intid)


# --- level lines ------------------------------------------------------------------------------------------------


def test_level_that_stays_high_is_pending_again_at_the_end_of_interrupt():
    """IHI 0069 4.1: active and pending, until the line falls."""
    guest = Guest()
    guest.vcpu.set_interrupt_line(40, True)
    seen = []
    for level in (True, False):
        seen += [guest.signalled, guest.read("ICC_IAR1_EL1"), guest.signalled]
        guest.vcpu.set_interrupt_line(40, level)
        guest.end(40)
    assert (seen, guest.signalled) == ([True, 40, False] * 2, False)


def test_level_that_falls_takes_back_what_was_not_acknowledged():
    """And nothing else that is pending."""
    guest = Guest()
    guest.vcpu.set_interrupt_line(40, True)
    guest.vcpu.inject_interrupt(41)
    guest.vcpu.set_interrupt_line(40, False)
    assert (guest.read("ICC_IAR1_EL1"), guest.read("ICC_IAR1_EL1")) == (41, 1023)


def test_level_is_pending_again_at_the_deactivation_only():
    """With EOImode 1 that is a write of ICC_DIR_EL1 (IHI 0069 4.8.3)."""
    guest = Guest()
    guest.write("ICC_CTLR_EL1", 2)
    guest.vcpu.set_interrupt_line(40, True)
    guest.read("ICC_IAR1_EL1")
    guest.end(40)
    dropped = guest.signalled
    guest.write("ICC_DIR_EL1", 40)
    assert (dropped, guest.signalled) == (False, True)


def test_edge_is_pending_once():
    """`inject_interrupt` has no level."""
    guest = Guest()
    guest.vcpu.inject_interrupt(40)
    guest.read("ICC_IAR1_EL1")
    guest.end(40)
    assert not guest.signalled


def test_more_urgent_interrupt_comes_first():
    """The lower priority value (IHI 0069 4.8), and it preempts."""
    guest = Guest()
    guest.vcpu.inject_interrupt(40)
    guest.vcpu.inject_interrupt(41, priority=0x20)
    first = guest.read("ICC_IAR1_EL1")
    guest.vcpu.inject_interrupt(42, priority=0x10)
    assert (first, guest.read("ICC_IAR1_EL1"), guest.read("ICC_IAR1_EL1")) == (41, 42, 1023)


@pytest.mark.parametrize(("vector", "priority"), [(1020, None), (-1, None), (0x1_0000, None), (40, 256), (40, -1)])
def test_interrupt_that_cannot_be_is_refused(vector, priority):
    """UsageError, where it is asked for; nothing is pending."""
    guest = Guest()
    for refused in (guest.vcpu.inject_interrupt, lambda *args: guest.vcpu.set_interrupt_line(args[0], True, args[1])):
        with pytest.raises(UsageError):
            refused(vector, priority)
    assert not guest.signalled


def test_lines_need_an_interface():
    """With interrupts passed through they are the host's."""
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    vcpu.setup(Aarch64VCpuSetupConfig(passthrough_interrupt=True))
    for refused in (lambda: vcpu.set_interrupt_line(40, True), lambda: vcpu.wait_for_interrupt(0)):
        with pytest.raises(StateError, match="passed through"):
            refused()


# --- timers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("letter", "intid"), [("V", 27), ("P", 30)])
def test_timer_interrupts_its_vcpu(letter, intid):
    """A level, that falls when the guest sets the timer anew (DDI 0487 D11.2.4)."""
    guest = Guest()
    guest.write(f"CNT{letter}_CVAL_EL0", 0)
    guest.write(f"CNT{letter}_CTL_EL0", 1)
    seen = [guest.signalled, guest.read("ICC_IAR1_EL1")]
    guest.end(intid)
    seen += [guest.signalled, guest.read("ICC_IAR1_EL1")]
    guest.write(f"CNT{letter}_CVAL_EL0", FAR)
    guest.end(intid)
    assert (seen, guest.signalled) == ([True, intid, True, intid], False)


def test_physical_timer_passed_through_interrupts_the_host():
    """An ExternalInterrupt with its INTID, once; the guest gets none of itself."""
    guest = Guest(passthrough_timer=True)
    guest.write("CNTP_CVAL_EL0", 0)
    guest.write("CNTP_CTL_EL0", 1)
    exits = [guest.bench.play(StopRequested()) for _ in range(2)]
    assert (exits, guest.signalled) == ([ExternalInterrupt(30), ExternalInterrupt(0)], False)


def test_host_is_asked_for_the_next_moment_only():
    """The earlier of the two timers; nothing for one that is disabled or has fired."""
    guest = Guest()
    guest.write("CNTV_CVAL_EL0", FAR - 10)
    guest.write("CNTV_CTL_EL0", 1)
    guest.write("CNTP_CVAL_EL0", FAR - 20)
    guest.write("CNTP_CTL_EL0", 1)
    guest.write("CNTP_CTL_EL0", 0)
    guest.write("CNTV_CVAL_EL0", 0)
    assert guest.hal.moments == [moment * NS_PER_COUNT for moment in (FAR - 10, FAR - 20, FAR - 10)] + [None]


def test_rung_timer_is_a_physical_interrupt_and_pending():
    """What the host's alarm does from its own thread is done by the thread that has the vCPU, before it runs on."""
    guest = Guest()
    guest.write("CNTV_TVAL_EL0", 1_000_000)
    guest.write("CNTV_CTL_EL0", 1)
    moment = guest.hal.moments[-1]
    assert moment is not None
    while time.monotonic_ns() < moment:
        pass
    thread = threading.Thread(target=guest.hal.ring)
    thread.start()
    thread.join()
    before = guest.signalled
    reason = guest.bench.play(StopRequested())
    assert (before, reason, guest.read("ICC_IAR1_EL1")) == (False, ExternalInterrupt(27), 27)


def test_reset_disables_the_timers():
    """And their interrupts are gone."""
    guest = Guest()
    guest.write("CNTV_CVAL_EL0", 0)
    guest.write("CNTV_CTL_EL0", 1)
    guest.vcpu.reset()
    guest.write("ICC_PMR_EL1", 0xFF)
    guest.write("ICC_IGRPEN1_EL1", 1)
    assert (guest.signalled, guest.read("CNTV_CTL_EL0")) == (False, 0)


# --- waiting, and other threads ---------------------------------------------------------------------------------


def test_wait_ends_with_an_interrupt_from_another_thread():
    """True; False where none comes in time, and at once where one is pending already."""
    guest = Guest()
    waited = [guest.vcpu.wait_for_interrupt(0.001)]
    thread = threading.Thread(target=guest.vcpu.inject_interrupt, args=(40,))
    thread.start()
    waited += [guest.vcpu.wait_for_interrupt(10), guest.vcpu.wait_for_interrupt(0)]
    thread.join()
    assert (waited, guest.read("ICC_IAR1_EL1")) == ([False, True, True], 40)


def test_injection_from_another_thread_waits_for_the_one_that_has_the_vcpu():
    """It touches the engine only there; an unbound vCPU belongs to nobody."""
    guest, seen = Guest(), []

    def inject(intid: int) -> None:
        thread = threading.Thread(target=guest.vcpu.inject_interrupt, args=(intid,))
        thread.start()
        thread.join()
        seen.append(guest.vcpu.interrupts.interrupts.highest_pending())

    inject(40)
    guest.vcpu.unbind()
    inject(41)
    assert (seen[0], [guest.read("ICC_IAR1_EL1"), seen[1].intid]) == (None, [40, 40])
    guest.end(40)
    assert guest.read("ICC_IAR1_EL1") == 41


def test_work_is_kicked_where_another_thread_has_the_vcpu():
    """Once for each piece; what is done at once needs no kick."""
    kicks, done = [], []
    mailbox = Mailbox(lambda: kicks.append(1))
    mailbox.post(lambda: done.append("unowned"))
    mailbox.claim()
    mailbox.post(lambda: done.append("mine"))
    thread = threading.Thread(target=mailbox.post, args=(lambda: done.append("another's"),))
    thread.start()
    thread.join()
    before = list(done)
    mailbox.collect()
    assert (before, done[2:], kicks) == (["unowned", "mine"], ["another's"], [1])


def test_alarm_rings_once_at_the_moment_set_last():
    """In another thread; one that is taken back never rings."""
    alarms, rung, event = Alarms(), [], threading.Event()

    def ring() -> None:
        rung.append((time.monotonic_ns() >= moment, threading.current_thread() is threading.main_thread()))
        event.set()

    def never() -> None:
        rung.append("never")

    now = time.monotonic_ns()
    moment = now + 20_000_000
    alarms.set(now + 10_000_000, never)
    alarms.set(now + 3_600_000_000_000, ring)
    alarms.set(moment, ring)
    alarms.set(None, never)
    assert event.wait(10)
    assert rung == [(True, False)]


# --- entry ------------------------------------------------------------------------------------------------------


def bound() -> Bench:
    """A vCPU that nobody gave an entry."""
    bench = Bench()
    bench.vcpu.unbind()
    bench.vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig())
    bench.vcpu.setup(Aarch64VCpuSetupConfig())
    bench.vcpu.bind(bench.pcpu)
    return bench


def test_entry_without_an_entry_point_fails():
    """Nothing is run, and the vCPU can be entered once it has one."""
    bench = bound()
    failed, limits = bench.play(), list(bench.engine.limits)
    bench.vcpu.set_entry(RAM)
    assert (failed, limits, bench.play()) == (FailEntry("no entry point: call set_entry"), [], Nothing())


def test_entry_without_tables_fails():
    """Stage 2 on, and no root."""
    bench = Bench()
    bench.vcpu.use_stage2(True)
    assert bench.play() == FailEntry("stage 2 is on without tables: call set_ept_root")
