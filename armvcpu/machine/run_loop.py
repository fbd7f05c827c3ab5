"""The run loop: which CPU runs, for how long, and the one `match` over why it stopped.

One engine runs the CPUs in turn; each keeps the engine until it waits, or its turn is over while others could run,
which is soon after it has woken one. There is one next deadline, the earliest of the time-out, the timers and the end
of the turn, and one thread that sleeps until then. Idle CPUs cost nothing: the loop itself sleeps.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, assert_never

from armvcpu.arch.instructions import WFE, YIELD
from armvcpu.arch.psci import PsciStatus
from armvcpu.errors import GuestCrash, Unmodelled
from armvcpu.machine.cpus import NO_DEADLINE
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.machine.wake import Waker
from armvcpu.vcpu.exception import read_result
from armvcpu.vcpu.exits import (
    AccessFlags,
    CpuDown,
    CpuUp,
    Exit,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
    SystemReset,
)

if TYPE_CHECKING:
    from armvcpu.machine.cpus import Cpu
    from armvcpu.machine.machine import Machine

FIRST_SLICE, LAST_SLICE = 20_000, 2_000_000
"""Instructions between two looks at the world in the counting mode: more while they take less than SLICE_TIME."""
SLICE_TIME = 0.01
TURN_NS, WAKE_NS, LOOK_NS = 2_000_000, 100_000, 200_000
"""How long a CPU keeps the engine while another could run, after it has woken another one, and until the first look at
whether it only spins; each later look comes after four times as long."""
SPINNING = frozenset((YIELD, WFE))
MOST_SPIN_SITES, SPINS_TO_HOOK = 8, 24
SPIN_WINDOW = 32
"""Bytes on either side of PC in which one of them tells a spin loop."""
NEVER = 1e9
"""Seconds: a longer time-out is none."""
KEPT_EXITS = 16


class RunLoop:
    """The loop of one machine; what it keeps between two runs is which CPU the engine has, and the counts."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.cpu: Cpu = machine.cpus[0]
        """The one that the engine has loaded."""
        self.last_exits: deque[tuple[int, Exit]] = deque(maxlen=KEPT_EXITS)
        self.instructions: int | None = 0
        self.signal, self.quit_reason = 0, ""
        self.outcome: Outcome | None = None
        self.can_go_on = True
        """Has the last run ended for a reason of the host's, and not the guest's?"""
        self._attention = threading.Event()
        self._waker: Waker | None = None
        self._rtc = machine.board.rtc
        self._sources = machine.peripherals.sources
        self._timeout_ns = NO_DEADLINE
        self._turn_ends = self._next_look = NO_DEADLINE
        self._turn_began = 0
        self._spin_sites: set[int] = set()
        self._spins_seen: Counter[int] = Counter()
        self._yield_turn = False
        machine.engine.on_timer_write(self._on_timer_write)
        self._rtc.on_deadline = self._rearm
        for cpu in machine.cpus:
            cpu.on_wake = self._on_wake

    @property
    def is_running(self) -> bool:
        """Is `run` at work?"""
        return self._waker is not None

    def attend(self) -> None:
        """From any thread: something wants the loop's attention."""
        self._attention.set()
        self._machine.engine.request_stop()

    def run(self, timeout: float | None, max_instructions: int) -> Outcome:
        """See `Machine.run`."""
        machine = self._machine
        counting = bool(max_instructions) or machine.config.clock == "instructions"
        machine.engine.set_counting(counting)
        if not counting:
            self.instructions = None
        for cpu in machine.cpus:
            cpu.vcpu.exit_filter = self._deal_in_trap if counting else None
        self.outcome = None
        with Waker(self.attend, self._sources) as waker:
            self._waker = waker
            for source in self._sources:
                source.on_interest = waker.listen
            no_timeout = timeout is None or timeout > NEVER
            self._timeout_ns = NO_DEADLINE if no_timeout else time.monotonic_ns() + int((timeout or 0) * 1e9)
            machine.console.on_input = self.attend
            try:
                machine.feed_input()
                self._rearm()
                self.can_go_on = False
                return self._loop(max_instructions, counting)
            except (GuestCrash, Unmodelled) as stop:
                return Outcome.of(Ending.CRASHED, str(stop))
            finally:
                self._waker = None
                for source in self._sources:
                    source.on_interest = _nothing
                machine.console.on_input = _nothing
                machine.console.flush()

    # --- the loop ---------------------------------------------------------------------------------------------

    def _loop(self, max_instructions: int, counting: bool) -> Outcome:
        left, size, piece = max_instructions, FIRST_SLICE, 0
        while True:
            if not self._choose():
                outcome = self._idle()
                if outcome is not None:
                    return outcome
                continue
            if counting:
                piece, start = min(left, size) if max_instructions else size, time.monotonic()
            reason = self.cpu.vcpu.run(piece)
            if counting:
                left -= self._count(reason, piece)
                if max_instructions and left <= 0:
                    self.can_go_on = True
                    return Outcome.of(Ending.LIMIT, f"instruction limit: {max_instructions} executed")
                slow = time.monotonic() - start > SLICE_TIME
                size = max(size // 2, FIRST_SLICE) if slow else min(size * 2, LAST_SLICE)
            outcome = self.outcome or self._deal(reason)
            if outcome is not None:
                return outcome

    def _count(self, reason: Exit, piece: int) -> int:
        """Instructions of a slice that ended with `reason`; one where Unicorn does not tell, so that a limit comes."""
        if isinstance(reason, ExternalInterrupt):  # before the slice began
            return 0
        if isinstance(reason, Nothing):
            if self.instructions is not None:
                self.instructions += piece
            return piece
        self.instructions = None
        return 1

    # --- taking turns -----------------------------------------------------------------------------------------

    def _choose(self) -> bool:
        """Have the CPU loaded that runs next; False where all wait."""
        cpus, current = self._machine.cpus, self.cpu
        if len(cpus) == 1:
            return current.is_awake()
        if not current.runnable or self._yield_turn:
            self._yield_turn = False
            order = (cpus[(current.index + step) % len(cpus)] for step in range(1, len(cpus) + 1))
            following = next((cpu for cpu in order if cpu.is_awake()), None)
            if following is None:
                return False
            self.switch_to(following)
            self._turn_ends = self._next_look = NO_DEADLINE
        self.cpu.is_awake()
        if self._turn_ends >= NO_DEADLINE and any(cpu.runnable for cpu in cpus if cpu is not self.cpu):
            self._turn_began = time.monotonic_ns()
            self._next_look = self._turn_began + LOOK_NS
            self._end_turn_within(TURN_NS)
        return True

    def switch_to(self, cpu: Cpu) -> None:
        """Load a CPU into the engine in place of the one that is."""
        if cpu is not self.cpu or not cpu.is_bound:
            if self.cpu.is_bound:
                self.cpu.vcpu.unbind()
            self.cpu = cpu
            cpu.bind()
        elif cpu.has_start:
            cpu.vcpu.unbind()
            cpu.bind()

    def _on_wake(self, cpu: Cpu) -> None:
        """An interrupt ended a CPU's wait: it runs soon, since the one that sent it may be waiting for the answer.

        Not at once: the sender often holds a lock that the other wants first, and would be spun on for a whole turn.
        """
        if cpu is not self.cpu and self.cpu.runnable:
            self._end_turn_within(WAKE_NS)

    def _end_turn_within(self, duration: int) -> None:
        end = time.monotonic_ns() + duration
        if end < self._turn_ends:
            self._turn_ends = end
            self._rearm()

    def _spins(self, now: int) -> bool:
        """Does the CPU wait for another one, which can't run meanwhile?

        The engine reports neither WFE nor YIELD, so they are looked for around PC. One that is found again
        and again ends turns by itself from then on.
        """
        self._next_look = now + 3 * (now - self._turn_began)
        start = self.cpu.vcpu.state.pc - SPIN_WINDOW
        code = self._machine.engine.read_virtual(start, 2 * SPIN_WINDOW)
        if code is None or self._machine.engine.counting:
            return False
        found = [start + 4 * at for at, word in enumerate(memoryview(code).cast("I")) if word in SPINNING]
        for address in found:
            self._spins_seen[address] += 1
            if self._spins_seen[address] == SPINS_TO_HOOK and len(self._spin_sites) < MOST_SPIN_SITES:
                self._spin_sites.add(address)
                self._machine.engine.on_code(address, address, self._on_spin)
        return bool(found)

    def _on_spin(self, _pc: int) -> None:
        """In the guest, at a WFE or YIELD that has been seen to spin: another CPU's turn, where one can run."""
        engine = self._machine.engine
        if not engine.counting and any(cpu.runnable for cpu in self._machine.cpus if cpu is not self.cpu):
            self._turn_ends = self._next_look = NO_DEADLINE
            self._yield_turn = True
            engine.leave()

    def _idle(self) -> Outcome | None:
        """All CPUs wait: sleep until the next deadline, input or signal."""
        if not self._can_wake():
            last = "only" if len(self._machine.cpus) == 1 else "last"
            what = "waits for an interrupt (WFI)" if self.cpu.waiting else f"switched its {last} CPU off (PSCI CPU_OFF)"
            return Outcome.of(Ending.CRASHED, f"the guest {what}, and nothing on this machine can wake it")
        self._machine.console.flush()
        if self._sources:
            self._serve_sources()
        deadline = self._next_deadline()
        left = None if deadline >= NO_DEADLINE else max(0.0, (deadline - time.monotonic_ns()) / 1e9)
        self._attention.wait(left)
        return self._service()

    def _can_wake(self) -> bool:
        waiting = [cpu for cpu in self._machine.cpus if cpu.waiting]
        if waiting and (self._alarm() < NO_DEADLINE or any(cpu.deadline < NO_DEADLINE for cpu in waiting)):
            return True
        return bool(waiting) and self._machine.input_can_interrupt()

    # --- time -------------------------------------------------------------------------------------------------

    def _on_timer_write(self, timer: str, part: str, value: int) -> None:
        self.cpu.write_timer(timer, part, value)
        self._rearm()

    def _next_deadline(self) -> int:
        deadline = min(self._timeout_ns, self._alarm())
        for cpu in self._machine.cpus:
            if cpu.deadline < deadline:
                deadline = cpu.deadline
        return deadline

    def _alarm(self) -> int:
        """The real-time clock's alarm, ns of CLOCK_MONOTONIC."""
        moment = self._rtc.next_deadline()
        return NO_DEADLINE if moment is None else time.monotonic_ns() + int((moment - self._rtc.clock()) * 1e9)

    def _rearm(self) -> None:
        """Tell the thread that sleeps when to stop the engine."""
        if self._waker is not None:
            deadline = min(self._next_deadline(), self._turn_ends, self._next_look)
            self._waker.set_deadline(None if deadline >= NO_DEADLINE else deadline)

    def _service(self) -> Outcome | None:
        """After a stop or a sleep: time, input, and whoever wants the run to end."""
        self._attention.clear()
        now = time.monotonic_ns()
        for cpu in self._machine.cpus:
            if cpu.deadline <= now:
                cpu.update_timers()
        if self._turn_ends <= now or (self._next_look <= now and self._spins(now)):
            self._turn_ends = self._next_look = NO_DEADLINE
            self._yield_turn = True
        self._rtc.tick()
        self._machine.feed_input()
        if self._sources:
            self._serve_sources()
        outcome = self._wanted_end(now)
        if outcome is not None:
            self.can_go_on = True
            return outcome
        self._rearm()
        return None

    def _wanted_end(self, now: int) -> Outcome | None:
        if self.signal:
            signal, self.signal = self.signal, 0
            return Outcome.of(Ending.LIMIT, f"ended by signal {signal}", 128 + signal)
        if self.quit_reason:
            reason, self.quit_reason = self.quit_reason, ""
            return Outcome.of(Ending.POWERED_OFF, reason)
        if now >= self._timeout_ns:
            return Outcome.of(Ending.LIMIT, "time-out")
        return None

    def _serve_sources(self) -> None:
        """Move frames, where there are any, and listen again."""
        waker = self._waker
        if waker is not None and (waker.has_input or any(source.wants_write for source in self._sources)):
            for source in self._sources:
                source.poll()
            waker.listen()

    # --- exits ------------------------------------------------------------------------------------------------

    def _deal_in_trap(self, reason: Exit) -> bool:
        """Counting mode: an exit is dealt with inside the trap where it can be, so that the count stays exact."""
        if isinstance(reason, SystemReset | Halt | CpuDown):
            return False
        if isinstance(reason, NestedPageFault) and self._machine.config.exact_mmio:
            return False
        self.outcome = self._deal(reason)
        return self.outcome is None

    def _deal(self, reason: Exit) -> Outcome | None:  # noqa: C901, PLR0912  the one match over exits
        """Act on an exit; an Outcome ends the run."""
        vcpu = self.cpu.vcpu
        if not isinstance(reason, ExternalInterrupt | Nothing):
            self.last_exits.append((vcpu.state.pc, reason))
        match reason:
            case ExternalInterrupt() | Nothing():
                return self._service()
            case MmioRead() | MmioWrite():
                self._deal_with_access(reason)
            case NestedPageFault(address, access):
                self._deal_with_fault(address, access)
            case Hypercall():
                vcpu.set_return_value(PsciStatus.NOT_SUPPORTED)
            case SysRegRead() | SysRegWrite():
                vcpu.inject_undefined()
            case Halt(entry_point, argument):
                self.cpu.wait(entry_point, argument)
            case CpuUp(target, entry_point, argument):
                self._start_cpu(target, entry_point, argument)
            case CpuDown():
                self.cpu.stop()
            case SystemDown():
                return Outcome.of(Ending.POWERED_OFF, "the guest powered off")
            case SystemReset():
                if not self._machine.config.reboot:
                    return Outcome.of(Ending.POWERED_OFF, "the guest asked for a reset (--no-reboot)")
                self._machine.reset()
            case SendIPI():
                self._machine.send_sgi(self.cpu, reason)
            case FailEntry(code):
                return Outcome.of(Ending.CRASHED, f"the guest could not be entered: {code}")
            case _:
                assert_never(reason)
        return None

    def _deal_with_access(self, reason: MmioRead | MmioWrite) -> None:
        """A device that is served from here, or nothing at all: an external abort."""
        vcpu, window = self.cpu.vcpu, self._machine.bus.find(reason.addr)
        if window is None:
            vcpu.inject_external_abort()
        elif isinstance(reason, MmioRead):
            vcpu.set_gpr(reason.reg, read_result(reason, window.read(reason.addr - window.base, reason.width)))
        else:
            window.write(reason.addr - window.base, reason.width, reason.data)

    def _deal_with_fault(self, address: int, access: AccessFlags) -> None:
        """A stage-2 abort without a register to serve: the device is shown for one instruction."""
        machine = self._machine
        window = machine.bus.find(address)
        flash = None if window is None else machine.board.flash_at(window.base)
        if flash is not None and access is not AccessFlags.WRITE and flash.show_array():
            return  # the guest tries again, and reads memory
        if window is None or access is AccessFlags.EXECUTE or not (flash or machine.config.exact_mmio):
            self.cpu.vcpu.inject_external_abort()
            return
        if flash is not None:
            flash.hide_array()
        machine.bus.show(window)
        try:
            self.cpu.vcpu.step()
        finally:
            machine.bus.hide(window)

    def _start_cpu(self, target: int, entry_point: int, argument: int) -> None:
        """PSCI CPU_ON, which PSCI itself has checked: the new CPU gets its turn soon."""
        cpu = next(cpu for cpu in self._machine.cpus if cpu.mpidr == target)
        self._machine.board.gic.interface(cpu.index).reset()
        cpu.start(entry_point, argument)
        self._end_turn_within(TURN_NS)


def _nothing() -> None:
    """Nobody waits for input or output."""
