"""The run loop: run a CPU, act on why it stopped, sleep where all wait.

There is one next moment, the earliest of the schedule's deadlines (timers, devices, the end of a turn, input that is
replayed) and the time-out. By the host's clock one thread sleeps until then and stops the engine; by the instruction
clock the engine stops itself at a count. Idle CPUs cost nothing: the loop itself sleeps, or lets time jump.

Whoever else wants the loop is an attendant. It calls for attention (from another thread), or has the engine leave the
guest (in a trap), and is asked then, with all others and in one order: `attend`.

By the instruction clock a stop changes nothing of the run that is none of its moments: where no deadline has come and
nothing has been typed, the turn of a CPU goes on as if there had been none. Nor do pauses (`pauses.py`).
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial

from armvcpu.arch.static import TYPE_CHECKING, Protocol
from armvcpu.devices.deadline import NEVER
from armvcpu.errors import GuestCrash, StateError, Unmodelled, name_handler
from armvcpu.machine.outcome import TIME_OUT, Ending, Outcome
from armvcpu.machine.running.late import LateWaker
from armvcpu.machine.running.wake import Waker
from armvcpu.vcpu.exits import Exit, ExternalInterrupt, NestedPageFault, Nothing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.deadline import Schedule
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.clock import Clock
    from armvcpu.machine.running.actions import Actions
    from armvcpu.machine.running.attention import Attention
    from armvcpu.machine.running.count import Count
    from armvcpu.machine.running.end_request import EndRequest
    from armvcpu.machine.running.outside import Outside
    from armvcpu.machine.running.pauses import Pauses
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.vcpu import Aarch64VCpu

LONGEST_TIMEOUT = 1e9
"""Seconds: a longer time-out is none."""
KEPT_EXITS = 16


class Attendant(Protocol):
    """Something that is to be done between two runs of the engine, when it has been called for."""

    def attend(self) -> Exit | None:
        """Do it, if there is something to do; the exit that the guest has made by it, if any."""


class RunLoop:
    """The loop of one machine; `attendants` are those that look at the guest: watches, its own debug registers."""

    def __init__(
        self, turns: Turns, clock: Clock, schedule: Schedule, attention: Attention, end: EndRequest, count: Count,
        outside: Outside, actions: Actions, attendants: Sequence[Attendant], engine: Engine, pauses: Pauses,
    ) -> None:  # fmt: skip
        self._turns, self._clock, self._schedule, self._attention = turns, clock, schedule, attention
        self._end, self._count, self._outside, self._actions = end, count, outside, actions
        self._watching, self._engine, self._pauses = tuple(attendants), engine, pauses
        self._attendants: tuple[Attendant, ...] = (*attendants, turns, outside)
        self.last_exits: deque[tuple[int, Exit]] = deque(maxlen=KEPT_EXITS)
        self.is_running = False
        """Is `run` or `step` at work?"""
        self.ran_ns = 0
        """How long runs have taken, ns of the host's clock."""
        self._waker: LateWaker | None = None
        self._timeout_ns = NEVER
        schedule.watch(self._rearm)

    def forbid_running(self, what: str) -> None:
        """StateError while the guest runs, before anything is touched."""
        if self.is_running:
            raise StateError(f"{what} while the guest runs, in a handler say: end the run first")

    def run(self, timeout: float | None, max_instructions: int) -> Outcome:
        """See `Machine.run`."""
        start = time.monotonic_ns()
        try:
            return self._run(timeout, max_instructions)
        except BaseException as failure:
            name_handler(failure)
            raise
        finally:
            self.ran_ns += time.monotonic_ns() - start

    def _run(self, timeout: float | None, max_instructions: int) -> Outcome:
        self.forbid_running("a run can't begin")
        end = self._end
        self._count.begin(is_wanted=bool(max_instructions) or self._clock.repeats)
        end.begin()
        no_timeout = timeout is None or timeout > LONGEST_TIMEOUT
        self._timeout_ns = NEVER if no_timeout else time.monotonic_ns() + int((timeout or 0) * 1e9)
        outside = self._outside
        make = partial(Waker, self._attention.call, outside.sources, self._timeout_ns, end.time_has_come)
        with LateWaker(make, self._engine, self._timeout_ns, at_once=outside.may_keep_waiting) as waker:
            self._waker, self.is_running = waker, True
            try:
                self._pauses.leave()
                self._outside.open(waker, may_bring=not self._clock.repeats)
                self._rearm()
                end.can_go_on = False
                outcome = self._loop(max_instructions)
                limit = f"instruction limit: {max_instructions} executed"
                return end.note(Outcome.of(Ending.LIMIT, limit) if outcome is None else outcome)
            except (GuestCrash, Unmodelled) as stop:
                return end.note(Outcome.of(Ending.CRASHED, str(stop)))
            finally:
                self._waker, self.is_running = None, False
                self._outside.close()
                self._pauses.stay()

    def step(self, *, takes_interrupts: bool = True) -> Outcome | None:
        """Run one instruction of the CPU that is loaded, and act on its exit; an Outcome where that ends the guest.

        What is due comes first. A CPU that waits executes nothing: time passes to the next moment that could wake it.
        Where not `takes_interrupts` they wait for the next run; in a run that repeats they come when they come.
        """
        self.forbid_running("a step can't be made")
        self._end.begin()
        self._timeout_ns, self.is_running = NEVER, True
        try:
            self._pauses.leave()
            self._rearm()
            return self._step(takes_interrupts=takes_interrupts)
        except BaseException as failure:
            name_handler(failure)
            raise
        finally:
            self.is_running = False
            self._pauses.stay()

    def _step(self, *, takes_interrupts: bool) -> Outcome | None:
        if self._clock.repeats:
            return self._loop(1)
        cpu, moment = self._turns.cpu, self._schedule.next()
        if not cpu.is_awake() and moment < NEVER:
            self._clock.wait(moment, self._attention.event, NEVER, in_host_time=False)
        self._schedule.run_due(self._clock.ns())
        if not cpu.is_awake():
            return self._end.wanted
        if not takes_interrupts:  # nor one that the instruction brings about
            cpu.hide_interrupts()
        try:
            reason: Exit | None = cpu.vcpu.step()
        finally:
            if not takes_interrupts and cpu.is_bound:
                cpu.show_interrupts()
        if isinstance(reason, Nothing):
            made = (attendant.attend() for attendant in self._watching)
            reason = next((each for each in made if each is not None), None)
        return self._end.wanted or (None if reason is None else self._act(reason))

    # --- the loop ---------------------------------------------------------------------------------------------

    def _loop(self, max_instructions: int) -> Outcome | None:
        """To the end of the run; None where the limit is that."""
        end, left = self._count.executed + max_instructions, 0
        turns = self._turns
        while True:
            if not turns.choose():
                outcome = self._idle()
                if outcome is not None:
                    return outcome
                continue
            if max_instructions:
                left = end - self._count.executed
                if left <= 0:
                    self._end.can_go_on = True
                    return None
            vcpu = turns.cpu.vcpu
            reason = vcpu.run(left)
            if self._was_pause(vcpu):
                continue
            if not isinstance(reason, ExternalInterrupt | Nothing):
                self.last_exits.append((vcpu.state.pc, reason))
            if max_instructions and self._clock.repeats and type(reason) is Nothing and self._count.executed >= end:
                outcome = self._end.wanted or self._ask(self._watching)  # nobody else: the limit is no event
            else:
                outcome = self._end.wanted or self._act(reason)
            if outcome is not None:
                return outcome

    def _was_pause(self, vcpu: Aarch64VCpu) -> bool:
        """Has a vCPU run to a pause, which is no end of a run? One that yields has ended its turn."""
        if vcpu.yielded:
            self._turns.end()
        elif vcpu.paused:
            self._pauses.run_due()
        return vcpu.paused

    def _was_alarm(self) -> bool:
        """Was a stop the waker's first look? Then by the instruction clock nothing has happened outside the guest."""
        return (
            self._waker is not None
            and self._waker.has_come()
            and self._clock.repeats
            and not self._attention.event.is_set()
        )

    def _act(self, reason: Exit) -> Outcome | None:
        """On an exit, or on a stop without one; an Outcome ends the run."""
        if isinstance(reason, ExternalInterrupt) and self._was_alarm():
            return self._ask(self._watching)  # the guest may have wanted the same stop
        if isinstance(reason, ExternalInterrupt) and self._is_no_moment():
            return self._look_outside()
        if isinstance(reason, ExternalInterrupt | Nothing):
            return self._attend()
        outcome = self._actions.deal(reason)
        if outcome is None and isinstance(reason, NestedPageFault):
            return self._attend()  # a step of a device's instruction takes a stop that was meant for the run
        return outcome

    @property
    def _is_inside(self) -> bool:
        """Has a run that repeats been left inside of a block? Without that nobody would have acted there."""
        return self._clock.repeats and self._engine.rest > 0

    def _is_no_moment(self) -> bool:
        """Was a stop nothing of the run's own, which repeats: neither a deadline nor input?"""
        return (
            self._clock.repeats
            and not self._is_inside
            and self._schedule.moment > self._clock.ns()
            and not self._outside.brings_input
        )  # fmt: skip

    def _look_outside(self) -> Outcome | None:
        """After such a stop: whoever has called for attention, but for the turns."""
        self._attention.event.clear()
        return self._ask((*self._watching, self._outside)) or self._end.take() or self._time_out()

    def _attend(self) -> Outcome | None:
        """After a stop or a sleep: what is due, and whoever has called for attention; an Outcome ends the run."""
        if self._is_inside:
            return self._ask(self._watching) or self._ended_by_host()
        if self._clock.repeats and (outcome := self._ended_by_host()) is not None:
            return outcome  # nobody looks at a guest that has been stopped for that alone
        self._attention.event.clear()
        self._schedule.run_due(self._clock.ns())
        for attend in self._attention.others:
            attend()
        return self._ask(self._attendants) or self._ended_by_host()

    def _ended_by_host(self) -> Outcome | None:
        return self._end.take() or self._time_out()

    def _ask(self, attendants: Sequence[Attendant]) -> Outcome | None:
        """Each in turn; an Outcome ends the run."""
        for attendant in attendants:
            made = attendant.attend()
            if made is not None and (outcome := self._actions.deal(made)) is not None:
                return outcome
        return None

    def _idle(self) -> Outcome | None:
        """All CPUs wait: sleep until the next deadline, input or signal."""
        if not self._can_wake():
            last = "only" if len(self._turns.cpus) == 1 else "last"
            is_waiting = self._turns.cpu.waiting
            what = "waits for an interrupt (WFI)" if is_waiting else f"switched its {last} CPU off (PSCI CPU_OFF)"
            return Outcome.of(Ending.CRASHED, f"the guest {what}, and nothing on this machine can wake it")
        if self._waker is not None:
            self._waker.begin()
        self._outside.become_idle()
        self._attention.is_asleep = True
        try:
            self._clock.wait(
                self._schedule.next(), self._attention.event, self._timeout_ns,
                in_host_time=self._outside.comes_in_host_time,
            )  # fmt: skip
        finally:
            self._attention.is_asleep = False
        return self._attend()

    def _can_wake(self) -> bool:
        """Does a CPU wait for a moment, a character, or what a device may bring? Or has a recording more to come?"""
        outside = self._outside
        return outside.is_replayed or any(
            cpu.reads_console or self._schedule.moment < NEVER or outside.can_interrupt
            for cpu in self._turns.cpus
            if cpu.waiting
        )

    # --- time -------------------------------------------------------------------------------------------------

    def _rearm(self) -> None:
        """Have the engine stopped at the next moment: by the thread that sleeps, or at its count of instructions."""
        deadline = self._clock.set_deadline(self._schedule.moment)
        if self._waker is not None:
            self._waker.set_deadline(None if deadline >= NEVER else deadline)

    def _time_out(self) -> Outcome | None:
        if self._timeout_ns < NEVER and time.monotonic_ns() >= self._timeout_ns:
            self._end.can_go_on = True
            return Outcome.of(Ending.LIMIT, TIME_OUT)
        return None
