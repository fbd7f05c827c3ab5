"""One CPU of a machine: what it is doing besides running, and its interrupt inputs; its time is in `cpu_time.py`.

One engine runs the CPUs in turn. A CPU that is not loaded keeps the levels of its inputs (`CpuInputs`), which are shown
to the engine when it is loaded again.
"""

from __future__ import annotations

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.pstate import PState
from armvcpu.arch.static import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from armvcpu.machine.board.interrupts import Lines
    from armvcpu.machine.running.cpu_time import CpuTime
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Signal: TypeAlias = tuple[memoryview, Callable[[], None]]
    """Of an interrupt controller with three groups: those that are signalled, and how it drives the lines anew by the
    PE's level and Security state (IHI 0069 4.6.2)."""


Wait = tuple[bool, PState | None, tuple[int, int] | None]
"""Does a CPU wait, in which PSTATE for a character, and where does it start anew after?"""


class Scheduler(Protocol):
    """Who decides which CPU runs, and hears of what may change that."""

    def on_wake(self, cpu: Cpu) -> None:
        """An interrupt, or input, ended its wait."""

    def on_interrupt(self, cpu: Cpu) -> None:
        """An interrupt is signalled while it does not wait."""

    def on_no_interrupt(self, cpu: Cpu) -> None:
        """None is signalled any more."""


class Cpu:
    """Its vCPU, whether it is on, whether it waits for an interrupt."""

    def __init__(
        self, index: int, vcpu: Aarch64VCpu, pcpu: Aarch64PerCpu, time: CpuTime, lines: Lines, scheduler: Scheduler,
        signal: Signal | None = None,
    ) -> None:  # fmt: skip
        self.index, self.vcpu, self.time = index, vcpu, time
        self._pcpu, self._lines, self._scheduler = pcpu, lines, scheduler
        self._inputs, self._signal = lines.inputs[index], signal
        self.power = self._power_at_reset
        self.waiting = self._hides = False
        self._reads_in: PState | None = None
        """Where it waits for a character: its PSTATE."""
        self.pending_start: tuple[int, int] | None = None
        """Entry point and argument of a CPU that is to start anew when it is bound."""
        self._inputs.connect(self._interrupts_changed, self._virtual_interrupts_changed)

    @property
    def _power_at_reset(self) -> AffinityState:
        """The first CPU is on, and the others are where no PSCI of ours could start them."""
        return AffinityState.ON if self.index == 0 or self.vcpu.config.el == 3 else AffinityState.OFF

    @property
    def is_bound(self) -> bool:
        """Is it the one that the engine has loaded?"""
        return self._pcpu.bound is self.vcpu

    @property
    def mpidr(self) -> int:
        """The affinity bits of its MPIDR_EL1."""
        return self.vcpu.config.mpidr_el1

    @property
    def runnable(self) -> bool:
        """Can it execute?"""
        return self.power is not AffinityState.OFF and (not self.waiting or self._wakes)

    def is_awake(self) -> bool:
        """Is it runnable? If so its wait is over."""
        awake = self.runnable
        if awake:
            self.waiting, self._reads_in = False, None
        return awake

    # --- interrupts -------------------------------------------------------------------------------------------

    @property
    def interrupted(self) -> bool:
        """Is an interrupt signalled? It ends WFI whether PSTATE masks it or not (DDI 0487 D1.6.2)."""
        inputs = self._inputs
        return inputs.irq or inputs.fiq or inputs.virq or inputs.vfiq

    @property
    def _wakes(self) -> bool:
        """Does an interrupt end its wait? Where it waits for a character, one that it takes."""
        if self._reads_in is None:
            return self.interrupted
        return self._takes(self._reads_in)

    def _takes(self, pstate: PState) -> bool:
        """Is one signalled that the CPU takes in this state: to a level above it is not masked (D1.3.6)?"""
        inputs, processor = self._inputs, self.vcpu.processor
        if self.vcpu.config.el > 1 and self.vcpu.has_state and processor.interrupt_level > pstate.M >> 2:
            return inputs.irq or inputs.fiq
        return ((inputs.irq or inputs.virq) and not pstate.I) or ((inputs.fiq or inputs.vfiq) and not pstate.F)

    def _virtual_interrupts_changed(self) -> None:
        if self._pcpu.bound is self.vcpu and not self._hides:
            self._pcpu.engine.set_virtual_lines(irq=self._inputs.virq, fiq=self._inputs.vfiq)
        if self.waiting and self._wakes:
            self.waiting, self._reads_in = False, None
            self._scheduler.on_wake(self)

    def _interrupts_changed(self) -> None:
        inputs = self._inputs
        if self._pcpu.bound is self.vcpu and not self._hides:
            self._pcpu.engine.set_lines(irq=inputs.irq, fiq=inputs.fiq)
        if not (inputs.irq or inputs.fiq):
            self._scheduler.on_no_interrupt(self)
        elif not self.waiting:
            self._scheduler.on_interrupt(self)
        elif self._wakes:
            self.waiting, self._reads_in = False, None
            self._scheduler.on_wake(self)

    @property
    def takes_interrupts(self) -> bool:
        """Is one signalled that the CPU, which is on and not loaded, will take once it is?"""
        if self.power is not AffinityState.ON or not self.vcpu.has_state:
            return False
        return self._takes(PState(self.vcpu.state.pstate))

    # --- life -------------------------------------------------------------------------------------------------

    def start(self, entry: int, argument: int) -> None:
        """PSCI CPU_ON: from its reset state at `entry`, with x0 = `argument`."""
        self.power, self.waiting, self._reads_in = AffinityState.ON, False, None
        self.pending_start = (entry, argument)

    def stop(self) -> None:
        """PSCI CPU_OFF."""
        self.power, self.waiting = AffinityState.OFF, False
        self.time.stop()

    def wait(self, entry: int | None = None, argument: int = 0) -> None:
        """WFI or CPU_SUSPEND; with an entry point, waking up enters there as CPU_ON does."""
        self.waiting = not self._wakes
        if entry is not None:
            self.pending_start = (entry, argument)

    def read_console(self, pstate: int) -> None:
        """It is about to wait for a character, not for an interrupt; but it takes those that PSTATE does not mask."""
        self._reads_in = PState(pstate)

    def leave_wait(self) -> Wait:
        """Run whatever it waits for; what `enter_wait` has it wait for again."""
        wait = self.waiting, self._reads_in, self.pending_start
        self.waiting, self._reads_in, self.pending_start = False, None, None
        return wait

    def enter_wait(self, wait: Wait) -> None:
        """Wait as before `leave_wait`, unless what would end it is there."""
        waited, self._reads_in, self.pending_start = wait
        self.waiting = waited and not self._wakes

    @property
    def reads_console(self) -> bool:
        """Does it wait for a character?"""
        return self._reads_in is not None

    def end_read(self) -> bool:
        """A character has come; False where it no longer waits for one."""
        waits, self._reads_in = self._reads_in is not None, None
        if waits:
            self.waiting = False
            self._scheduler.on_wake(self)
        return waits

    def reset(self) -> None:
        """As after power-on."""
        self.power = self._power_at_reset
        self.waiting, self._reads_in = False, None
        self.pending_start = (0, 0)
        self.time.reset()

    @property
    def has_start(self) -> bool:
        """Is it to start anew when it is bound?"""
        return self.pending_start is not None

    def prepare(self) -> None:
        """Have registers, which the first binding gives; while no CPU is bound."""
        if not self.vcpu.has_state:
            self.vcpu.bind(self._pcpu)
            self.vcpu.unbind()

    def bind(self) -> None:
        """Load it into the engine, with its timers and what it is to start with."""
        self.vcpu.bind(self._pcpu)
        self._lines.master = self.index
        if self.pending_start is not None:
            entry, argument = self.pending_start
            self.pending_start = None
            self.vcpu.reset()
            self.vcpu.set_entry(entry)
            self.vcpu.set_gpr(0, argument)
        self.go_on()

    def go_on(self) -> None:
        """It is loaded, and its time or its registers are others: so are the engine's lines and counts."""
        self._connect()
        self.time.update()

    def hide_interrupts(self) -> None:
        """It is loaded: have it take none for now, neither those that come meanwhile."""
        self._hides = True
        engine = self._pcpu.engine
        engine.set_lines(irq=False, fiq=False)
        if self.vcpu.config.el > 1:
            engine.set_virtual_lines(irq=False, fiq=False)

    def show_interrupts(self) -> None:
        """Show the engine the levels of its inputs."""
        self._hides = False
        engine = self._pcpu.engine
        inputs = self._inputs
        engine.set_lines(irq=inputs.irq, fiq=inputs.fiq)
        if self.vcpu.config.el > 1:
            engine.set_virtual_lines(irq=inputs.virq, fiq=inputs.vfiq)

    def _connect(self) -> None:
        engine = self._pcpu.engine
        self.show_interrupts()
        if self._signal is not None:
            engine.watch_el3(*self._signal)
        self.time.bind(engine)
