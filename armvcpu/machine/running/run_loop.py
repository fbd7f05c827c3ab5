"""The run loop: run a CPU, act on why it stopped, sleep where all wait.

There is one next deadline, the earliest of the time-out, the timers and the end of the turn. By the host's clock one
thread sleeps until then and stops the engine; by the instruction clock the engine stops itself at a count. Idle CPUs
cost nothing: the loop itself sleeps, or lets time jump.
"""

from __future__ import annotations

import threading
import time
from collections import deque

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import GuestCrash, Unmodelled
from armvcpu.machine.console.port import nothing
from armvcpu.machine.running.actions import Actions
from armvcpu.machine.running.clock import NO_DEADLINE
from armvcpu.machine.running.outcome import Ending, Outcome
from armvcpu.machine.running.turns import Turns
from armvcpu.machine.running.wake import Waker
from armvcpu.vcpu.exits import Exit, ExternalInterrupt, Nothing

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.running.cpus import Cpu

NEVER = 1e9
"""Seconds: a longer time-out is none."""
KEPT_EXITS = 16


class RunLoop:
    """The loop of one machine."""

    def __init__(self, machine: Machine) -> None:
        self._machine, self._engine, self._clock = machine, machine.engine, machine.clock
        self.turns = Turns(machine, self._rearm)
        self._actions = Actions(machine, self.turns, self._service)
        self.last_exits: deque[tuple[int, Exit]] = deque(maxlen=KEPT_EXITS)
        self._knows_count = True
        self.signal, self.quit_reason = 0, ""
        self.outcome: Outcome | None = None
        """How a handler wants the run to end."""
        self.last_outcome: Outcome | None = None
        self.can_go_on = True
        """Has there been no run yet, or has the last one ended by the host: time-out, limit, signal or quit?"""
        self._attention = threading.Event()
        self._waker: Waker | None = None
        self._schedule, self._inputs = machine.schedule, machine.inputs
        self._sources = machine.peripherals.sources
        self._timeout_ns = NO_DEADLINE
        self._schedule.watch(self._rearm)
        for cpu in machine.cpus:
            cpu.on_deadline = self._rearm

    @property
    def cpu(self) -> Cpu:
        """The one that the engine has loaded, or had last."""
        return self.turns.cpu

    @property
    def is_running(self) -> bool:
        """Is `run` at work?"""
        return self._waker is not None

    @property
    def instructions(self) -> int | None:
        """How many were executed since power-on; None where a run was not counted."""
        return self._engine.instructions if self._knows_count else None

    def restart_count(self, instructions: int | None) -> None:
        """Go on counting from here."""
        self._knows_count = instructions is not None
        self._engine.instructions = instructions or 0

    def attend(self) -> None:
        """From any thread: something wants the loop's attention."""
        self._attention.set()
        self._engine.request_stop()

    def run(self, timeout: float | None, max_instructions: int) -> Outcome:
        """See `Machine.run`."""
        machine = self._machine
        if max_instructions:
            self._engine.count_instructions()
        elif not self._clock.repeats:
            self._knows_count = False
        self.outcome = None
        with Waker(self.attend, self._sources) as waker:
            self._waker = waker
            for source in self._sources:
                source.watch(waker.listen)
            no_timeout = timeout is None or timeout > NEVER
            self._timeout_ns = NO_DEADLINE if no_timeout else time.monotonic_ns() + int((timeout or 0) * 1e9)
            machine.console.on_input = self.attend
            try:
                self._inputs.admit()
                machine.console_input.feed()
                self._rearm()
                self.can_go_on = False
                self.last_outcome = self._loop(max_instructions)
                if self.last_outcome.ending is Ending.STOPPED:
                    self.can_go_on = True
            except (GuestCrash, Unmodelled) as stop:
                self.last_outcome = Outcome.of(Ending.CRASHED, str(stop))
            finally:
                self._waker = None
                for source in self._sources:
                    source.watch(nothing)
                machine.console.on_input = nothing
                machine.console.flush()
        return self.last_outcome

    def act_on(self, reason: Exit) -> Outcome | None:
        """Deal with an exit of a step that has been made outside of `run`; an Outcome ends the guest."""
        return self.outcome if isinstance(reason, Nothing) else self._actions.deal(reason)

    # --- the loop ---------------------------------------------------------------------------------------------

    def _loop(self, max_instructions: int) -> Outcome:
        end, left = self._engine.instructions + max_instructions, 0
        turns = self.turns
        while True:
            if not turns.choose():
                outcome = self._idle()
                if outcome is not None:
                    return outcome
                continue
            if max_instructions:
                left = end - self._engine.instructions
                if left <= 0:
                    self.can_go_on = True
                    return Outcome.of(Ending.LIMIT, f"instruction limit: {max_instructions} executed")
            vcpu = turns.cpu.vcpu
            reason = vcpu.run(left)
            if vcpu.yielded:
                turns.end()
            if not isinstance(reason, ExternalInterrupt | Nothing):
                self.last_exits.append((vcpu.state.pc, reason))
            outcome = self.outcome or self._actions.deal(reason)
            if outcome is not None:
                return outcome

    def _idle(self) -> Outcome | None:
        """All CPUs wait: sleep until the next deadline, input or signal."""
        if not self._can_wake():
            last = "only" if len(self._machine.cpus) == 1 else "last"
            what = "waits for an interrupt (WFI)" if self.cpu.waiting else f"switched its {last} CPU off (PSCI CPU_OFF)"
            return Outcome.of(Ending.CRASHED, f"the guest {what}, and nothing on this machine can wake it")
        self._machine.console.flush()
        if self._sources:
            self._serve_sources()
        self._clock.wait(
            self._next_deadline(), self._attention, self._timeout_ns, in_host_time=self._inputs.comes_in_host_time
        )
        return self._service()

    def _can_wake(self) -> bool:
        if self._inputs.deadline < NO_DEADLINE or any(cpu.reads_console for cpu in self._machine.cpus):
            return True
        waiting = [cpu for cpu in self._machine.cpus if cpu.waiting]
        if waiting and (self._schedule.next() < NO_DEADLINE or any(cpu.deadline < NO_DEADLINE for cpu in waiting)):
            return True
        return bool(waiting) and self._machine.input_can_interrupt()

    # --- time -------------------------------------------------------------------------------------------------

    def note_count_read(self, pc: int) -> None:
        """The guest is about to read a count of the Generic Timer, by the instruction clock."""
        if self._clock.note_read(pc):
            self._rearm()

    def _next_deadline(self) -> int:
        """When something happens in the guest's world, ns of the machine's clock."""
        deadline = min(self._schedule.next(), self._inputs.deadline)
        for cpu in self._machine.cpus:
            if cpu.deadline < deadline:
                deadline = cpu.deadline
        return deadline

    def _rearm(self) -> None:
        """Have the engine stopped at the next deadline: by the thread that sleeps, or at its count of instructions."""
        if self._waker is None:
            return
        deadline = self._clock.set_deadline(min(self._next_deadline(), self.turns.deadline))
        if self._timeout_ns < deadline:
            deadline = self._timeout_ns
        self._waker.set_deadline(None if deadline >= NO_DEADLINE else deadline)

    def _service(self) -> Outcome | None:
        """After a stop or a sleep: time, input, and whoever wants the run to end."""
        self._attention.clear()
        now = self._clock.ns()
        for cpu in self._machine.cpus:
            if cpu.deadline <= now:
                cpu.update_timers()
        self.turns.look(self._clock.ns())
        self._schedule.run_due(self._clock.ns())
        self._inputs.admit()
        self._machine.console_input.feed()
        if self._sources:
            self._serve_sources()
        outcome = self._wanted_end()
        if outcome is not None:
            self.can_go_on = True
            return outcome
        self._rearm()
        return None

    def _wanted_end(self) -> Outcome | None:
        if self.signal:
            signal, self.signal = self.signal, 0
            return Outcome.of(Ending.LIMIT, f"ended by signal {signal}", 128 + signal)
        if self._inputs.end is not None:
            return self._inputs.end
        if self.quit_reason:
            reason, self.quit_reason = self.quit_reason, ""
            return Outcome.of(Ending.POWERED_OFF, reason)
        if self._timeout_ns < NO_DEADLINE and time.monotonic_ns() >= self._timeout_ns:
            return Outcome.of(Ending.LIMIT, "time-out")
        return None

    def _serve_sources(self) -> None:
        """Move frames, where there are any, and listen again."""
        waker = self._waker
        if waker is not None and (waker.has_input or any(source.wants_write for source in self._sources)):
            for source in self._sources:
                source.poll()
            waker.listen()
