"""The CPUs of a machine: what each is doing besides running, and its interrupt lines; its time is in `cpu_time.py`.

One engine runs them in turn. A CPU that is not bound keeps its interrupt level here, which is shown to the engine when
it is bound again.
"""

from __future__ import annotations

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.pstate import PState
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.running.cpu_time import CpuTime

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.running.clock import Clock
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class Cpu(CpuTime):
    """One CPU: its vCPU, whether it is on, whether it waits for an interrupt."""

    def __init__(self, index: int, vcpu: Aarch64VCpu, pcpu: Aarch64PerCpu, clock: Clock) -> None:
        super().__init__(vcpu, pcpu, clock)
        self.index = index
        self.power = AffinityState.ON if index == 0 else AffinityState.OFF
        self.waiting = False
        self._reads_in: PState | None = None
        """Where it waits for a character: its PSTATE."""
        self._irq = self._fiq = False
        self.pending_start: tuple[int, int] | None = None
        """Entry point and argument of a CPU that is to start anew when it is bound."""
        self.on_wake: Callable[[Cpu], None] = _ignore
        self.on_interrupt: Callable[[Cpu], None] = _ignore
        """Called when an interrupt is signalled while it does not wait."""
        self.on_no_interrupt: Callable[[Cpu], None] = _ignore
        """Called when none is signalled any more."""

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

    def set_irq(self, level: bool) -> None:
        """The interrupt controller's IRQ output for this CPU."""
        self._irq = level
        self._interrupts_changed()

    def set_fiq(self, level: bool) -> None:
        """Its FIQ output."""
        self._fiq = level
        self._interrupts_changed()

    @property
    def interrupted(self) -> bool:
        """Is an interrupt signalled? It ends WFI whether PSTATE masks it or not (DDI 0487 D1.6.2)."""
        return self._irq or self._fiq or (self.vcpu.interrupts is not None and self.vcpu.interrupts.pending)

    @property
    def _wakes(self) -> bool:
        """Does an interrupt end its wait? Where it waits for a character, one that it takes."""
        if self._reads_in is None:
            return self.interrupted
        return bool((self._irq and not self._reads_in.I) or (self._fiq and not self._reads_in.F))

    def _interrupts_changed(self) -> None:
        if self.is_bound:
            self.vcpu.engine.set_lines(irq=self._irq, fiq=self._fiq)
        if not (self._irq or self._fiq):
            self.on_no_interrupt(self)
        elif not self.waiting:
            self.on_interrupt(self)
        elif self._wakes:
            self.waiting, self._reads_in = False, None
            self.on_wake(self)

    @property
    def takes_interrupts(self) -> bool:
        """Is one signalled that the CPU, which is on and not loaded, will take once it is?"""
        if self.power is not AffinityState.ON or not hasattr(self.vcpu, "state"):
            return False
        pstate = PState(self.vcpu.state.pstate)
        return bool((self._irq and not pstate.I) or (self._fiq and not pstate.F))

    # --- life -------------------------------------------------------------------------------------------------

    def start(self, entry: int, argument: int) -> None:
        """PSCI CPU_ON: from its reset state at `entry`, with x0 = `argument`."""
        self.power, self.waiting, self._reads_in = AffinityState.ON, False, None
        self.pending_start = (entry, argument)

    def stop(self) -> None:
        """PSCI CPU_OFF."""
        self.power, self.waiting = AffinityState.OFF, False

    def wait(self, entry: int | None = None, argument: int = 0) -> None:
        """WFI or CPU_SUSPEND; with an entry point, waking up enters there as CPU_ON does."""
        self.waiting = not self._wakes
        if entry is not None:
            self.pending_start = (entry, argument)

    def read_console(self, pstate: int) -> None:
        """It is about to wait for a character, not for an interrupt; but it takes those that PSTATE does not mask."""
        self._reads_in = PState(pstate)

    @property
    def reads_console(self) -> bool:
        """Does it wait for a character?"""
        return self._reads_in is not None

    def end_read(self) -> bool:
        """A character has come; False where it no longer waits for one."""
        waits, self._reads_in = self._reads_in is not None, None
        if waits:
            self.waiting = False
            self.on_wake(self)
        return waits

    def reset(self) -> None:
        """As after power-on: the first CPU on, the others off."""
        self.power = AffinityState.ON if self.index == 0 else AffinityState.OFF
        self.waiting, self._reads_in = False, None
        self.pending_start = (0, 0)
        self._reset_time()

    @property
    def has_start(self) -> bool:
        """Is it to start anew when it is bound?"""
        return self.pending_start is not None

    def prepare(self) -> None:
        """Have registers, which the first binding gives; while no CPU is bound."""
        if not hasattr(self.vcpu, "state"):
            self.vcpu.bind(self._pcpu)
            self.vcpu.unbind()

    def bind(self) -> None:
        """Load it into the engine, with its timers and what it is to start with."""
        self.vcpu.bind(self._pcpu)
        self.vcpu.engine.set_lines(irq=self._irq, fiq=self._fiq)
        self._bind_time()
        if self.pending_start is not None:
            entry, argument = self.pending_start
            self.pending_start = None
            self.vcpu.reset()
            self.vcpu.set_entry(entry)
            self.vcpu.set_gpr(0, argument)
        self.update_timers()


def _ignore(_cpu: Cpu) -> None:
    """Nobody schedules."""
