"""Which CPU has the engine, and for how long.

One engine runs the CPUs in turn. A turn has a state (`Turn`) and at most one end, a deadline of the machine's schedule:

    UNSHARED  no other CPU can run: no end
    SHARED    others can run: it ends after TURN_NS, or WAKE_NS after it has woken one of them
    ASKING    it has interrupted a CPU that could run, and may be spinning for the answer: it ends within WAKE_NS
    ANSWERING the turn after that: full, but it ends ANSWER_NS after the CPU has acknowledged its interrupts
    OVER      and OVER_ASKING: the next CPU is to be loaded

Why so many: a guest's kernel sends an interrupt and spins until the other CPU has done what it asked for. Where the
sender kept the engine for a full turn, each such call would take 4 ms; where the switch came at once, the receiver
would mostly find a lock that the sender still holds, and spin for a full turn itself. The end of a turn by the host's
clock is checked against the time that this process has had (`busy_ns`): where the host was away, nothing has run.
"""

from __future__ import annotations

from enum import Enum

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.deadline import NEVER
from armvcpu.vcpu.life import VCpuState

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.deadline import Schedule
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.clock import Clock
    from armvcpu.machine.running.cpu import Cpu

TURN_NS, WAKE_NS = 4_000_000, 100_000
"""How long a CPU keeps the engine while another could run, and after it has woken or interrupted another one."""
ANSWER_NS = 100_000
"""How long the next CPU keeps it then once it has acknowledged the interrupt, if the one that sent it could go on."""


class Turn(Enum):
    """The state of the present turn."""

    UNSHARED = 0
    SHARED = 1
    ASKING = 2
    ANSWERING = 3
    OVER = 4
    OVER_ASKING = 5


class Turns:
    """The turns of one machine's CPUs, of which `add` tells."""

    def __init__(self, engine: Engine, clock: Clock, schedule: Schedule) -> None:
        self._engine = engine
        self._now, self._busy = clock.ns, clock.busy_ns
        self.cpus: list[Cpu] = []
        self.cpu: Cpu
        """The one that the engine has loaded, or had last."""
        self.began = 0
        """The count of instructions, where they are counted, at which the CPU was loaded."""
        self.is_alone = False
        """Is no other CPU to run than the one that is loaded, unless that is switched off?"""
        self._turn = Turn.UNSHARED
        self._end = schedule.add(self._come_to_end)
        self._watchers: list[Callable[[], None]] = []
        self._due = 0
        """The turn's end by the time that the host has had for it: `_end` is too early where the host was away."""

    def add(self, cpu: Cpu) -> None:
        """One more CPU; the first one is loaded first."""
        if not self.cpus:
            self.cpu = cpu
        self.cpus.append(cpu)

    def choose(self) -> bool:
        """Have the CPU loaded that runs next; False where all wait."""
        current, was_asking = self.cpu, False
        if len(self.cpus) == 1 or (self.is_alone and current.power is not AffinityState.OFF):
            return current.is_awake()
        if self._turn in {Turn.OVER, Turn.OVER_ASKING} or not current.runnable:
            was_asking = self._turn in {Turn.ASKING, Turn.OVER_ASKING}
            following = self._next_awake()
            if following is None:
                self._turn = Turn.ASKING if was_asking else Turn.UNSHARED
                self._end.clear()
                return False
            self.switch_to(following)
            self._turn = Turn.UNSHARED
            self._end.clear()
        self.cpu.is_awake()
        self._engine.yields = is_shared = self._others_can_run()
        if is_shared and self._turn is Turn.UNSHARED:
            self._turn = Turn.ANSWERING if was_asking else Turn.SHARED
            self.end_within(TURN_NS)
        return True

    def _next_awake(self) -> Cpu | None:
        cpus, first = self.cpus, self.cpu.index + 1
        order = (cpus[(first + step) % len(cpus)] for step in range(len(cpus)))
        return next((cpu for cpu in order if cpu.is_awake()), None)

    def switch_to(self, cpu: Cpu) -> None:
        """Load a CPU into the engine in place of the one that is."""
        if cpu is not self.cpu or not cpu.is_bound:
            self.unload()
            self.load(cpu.index)
        elif cpu.has_start:
            cpu.vcpu.unbind()
            cpu.bind()

    def unload(self) -> None:
        """Have no CPU loaded: all registers are in their saved states."""
        if self.cpu.is_bound:
            self.cpu.vcpu.unbind()

    def watch(self, heard: Callable[[], None]) -> None:
        """Call `heard` before each change of the CPU that is loaded."""
        self._watchers.append(heard)

    def ignore(self, heard: Callable[[], None]) -> None:
        """Call it no more."""
        self._watchers = [each for each in self._watchers if each != heard]

    def load(self, index: int) -> None:
        """Load a CPU, where none is."""
        for heard in self._watchers:
            heard()
        self.cpu = self.cpus[index]
        self.cpu.bind()
        self.began = self._engine.instructions

    # --- the end of a turn ------------------------------------------------------------------------------------

    def end_within(self, duration: int) -> None:
        """Have the turn end after so many ns, unless it ends before."""
        end = self._now() + duration
        if end < self._end.moment:
            self._due = self._busy() + duration
            self._end.set(end)

    def attend(self) -> None:
        """The engine has been stopped: is the turn as good as over?"""
        if self._end.moment < NEVER and self._end.moment <= self._now() + WAKE_NS:
            self._come_to_end()

    def _come_to_end(self) -> None:
        missing = self._due - self._busy()
        if WAKE_NS < missing <= TURN_NS:  # a forked process begins anew, with more missing than a turn has
            self._end.set(self._now() + missing)
        else:
            self.end()

    def end(self) -> None:
        """The turn is over: its time is up, or the CPU only waits for another one (WFE, YIELD)."""
        self._turn = Turn.OVER_ASKING if self._turn in {Turn.ASKING, Turn.OVER_ASKING} else Turn.OVER
        self._end.clear()

    def _others_can_run(self) -> bool:
        return any(cpu.runnable for cpu in self.cpus if cpu is not self.cpu)

    # --- what CPUs tell ---------------------------------------------------------------------------------------

    def on_wake(self, cpu: Cpu) -> None:
        """An interrupt ended a CPU's wait: it runs soon, since the one that sent it may be waiting for the answer.

        Not at once: the sender often holds a lock that the other wants first, and would be spun on for a whole turn.
        """
        if cpu is not self.cpu and self.cpu.runnable:
            self._engine.yields = True
            self.end_within(WAKE_NS)

    def on_interrupt(self, cpu: Cpu) -> None:
        """A CPU that waits for its turn has been interrupted: soon it is its turn, where the one that runs did that.

        Both may spin, for the interrupt and for what it answers, and not by WFE; so the answer gets a short turn only,
        but not so short that it is not begun: a busy host may take long for that, and the sender, back too early, would
        send again what is still pending, which then is one interrupt.
        """
        current = self.cpu
        if cpu is not current and current.vcpu.life is VCpuState.RUNNING and cpu.takes_interrupts:
            self.end_within(WAKE_NS)
            self._turn = Turn.ASKING

    def on_no_interrupt(self, cpu: Cpu) -> None:
        """A CPU has acknowledged all interrupts."""
        if self._turn is Turn.ANSWERING and cpu is self.cpu:
            self._turn = Turn.SHARED
            self.end_within(ANSWER_NS)

    # --- snapshot

    def state(self) -> list[int]:
        """Where the present turn stands."""
        return [self._end.moment, self._turn.value]

    def load_state(self, state: list[int]) -> None:
        """Return to a state that `state()` gave, of a machine whose time is its instructions."""
        end, turn = state
        self._turn = Turn(turn)
        self._end.set(end)
        self._due = end  # such a machine's host is never away
