"""Which CPU has the engine, and for how long.

One engine runs the CPUs in turn; each keeps it until it waits, or its turn is over while others could run, which is
soon after it has woken one, and at once where it only spins at WFE or YIELD.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.running.clock import NO_DEADLINE
from armvcpu.vcpu.life import VCpuState

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.machine import Machine
    from armvcpu.machine.running.cpus import Cpu

TURN_NS, WAKE_NS = 4_000_000, 100_000
"""How long a CPU keeps the engine while another could run, and after it has woken or interrupted another one."""
ANSWER_NS = 100_000
"""How long the next CPU keeps it then once it has acknowledged the interrupt, if the one that sent it could go on."""


class Turns:
    """The turns of one machine's CPUs; `rearm` is called when the next moment to look has become earlier."""

    def __init__(self, machine: Machine, rearm: Callable[[], None]) -> None:
        self._engine, self._rearm = machine.engine, rearm
        self._now, self._busy = machine.clock.ns, machine.clock.busy_ns
        self._cpus = machine.cpus
        self.cpu: Cpu = machine.cpus[0]
        """The one that the engine has loaded."""
        self._ends = NO_DEADLINE
        self._due = 0
        """The turn's end by the time that the host has had for it: `_ends` is too early where the host was away."""
        self._is_over = self._is_asked = self._answers = False
        for cpu in machine.cpus:
            cpu.on_wake = self._on_wake
            if len(machine.cpus) > 1:
                cpu.on_interrupt, cpu.on_no_interrupt = self._on_interrupt, self._on_no_interrupt

    def choose(self) -> bool:
        """Have the CPU loaded that runs next; False where all wait."""
        cpus, current = self._cpus, self.cpu
        if len(cpus) == 1:
            return current.is_awake()
        if not current.runnable or self._is_over:
            self._is_over = False
            order = (cpus[(current.index + step) % len(cpus)] for step in range(1, len(cpus) + 1))
            following = next((cpu for cpu in order if cpu.is_awake()), None)
            if following is None:
                return False
            self.switch_to(following)
            self._ends = NO_DEADLINE
        self.cpu.is_awake()
        self._engine.yields = self._others_can_run()
        if self._ends >= NO_DEADLINE and self._engine.yields:
            self._answers, self._is_asked = self._is_asked, False
            self.end_within(TURN_NS)
        return True

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

    def load(self, index: int) -> None:
        """Load a CPU, where none is."""
        self.cpu = self._cpus[index]
        self.cpu.bind()

    def end_within(self, duration: int) -> None:
        """Have the turn end after so many ns, unless it ends before."""
        end = self._now() + duration
        if end < self._ends:
            self._ends, self._due = end, self._busy() + duration
            self._rearm()

    @property
    def deadline(self) -> int:
        """When `look` is to be called, ns of the machine's clock."""
        return self._ends

    def look(self, now: int) -> None:
        """Is the turn over, or as good as over, where the engine has been stopped already?"""
        if self._ends <= now + WAKE_NS:
            missing = self._due - self._busy()
            if WAKE_NS < missing <= TURN_NS:  # more is no turn's: the process has forked
                self._ends = now + missing
            else:
                self.end()

    def state(self) -> list[int]:
        """Where the present turn stands."""
        return [self._ends, int(self._is_over), int(self._is_asked), int(self._answers)]

    def load_state(self, state: list[int]) -> None:
        """Return to a state that `state()` gave."""
        self._ends, is_over, is_asked, answers = state
        self._is_over, self._is_asked, self._answers = bool(is_over), bool(is_asked), bool(answers)
        self._due = self._ends  # where runs repeat the host is never away

    def end(self) -> None:
        """The turn is over: its time is up, or the CPU only waits for another one (WFE, YIELD)."""
        self._ends = NO_DEADLINE
        self._is_over = True

    def _others_can_run(self) -> bool:
        return any(cpu.runnable for cpu in self._cpus if cpu is not self.cpu)

    def _on_wake(self, cpu: Cpu) -> None:
        """An interrupt ended a CPU's wait: it runs soon, since the one that sent it may be waiting for the answer.

        Not at once: the sender often holds a lock that the other wants first, and would be spun on for a whole turn.
        """
        if cpu is not self.cpu and self.cpu.runnable:
            self._engine.yields = True
            self.end_within(WAKE_NS)

    def _on_interrupt(self, cpu: Cpu) -> None:
        """A CPU that waits for its turn has been interrupted: soon it is its turn, where the one that runs did that.

        Both may spin, for the interrupt and for what it answers, and not by WFE; so the answer gets a short turn only,
        but not so short that it is not begun: a busy host may take long for that, and the sender, back too early, would
        send again what is still pending, which then is one interrupt.
        """
        current = self.cpu
        if cpu is not current and current.vcpu.life is VCpuState.RUNNING and cpu.takes_interrupts:
            self.end_within(WAKE_NS)
            self._is_asked = True

    def _on_no_interrupt(self, cpu: Cpu) -> None:
        """A CPU has acknowledged all interrupts."""
        if self._answers and cpu is self.cpu:
            self._answers = False
            self.end_within(ANSWER_NS)
