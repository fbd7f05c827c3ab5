"""The CPUs of a machine: what each is doing besides running, its timers, its interrupt lines.

One engine runs them in turn. A CPU that is not bound keeps its timers and its interrupt level here; both are shown to
the engine when it is bound again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.pstate import PState
from armvcpu.arch.registers import by_name
from armvcpu.machine.clock import NO_DEADLINE, NS_PER_COUNT
from armvcpu.vcpu.pmu import Pmu
from armvcpu.vcpu.timer import GuestTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine
    from armvcpu.machine.clock import Clock
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_CNTVOFF = by_name["CNTVOFF_EL2"].encoding
_U64 = 0xFFFF_FFFF_FFFF_FFFF
_PMUSERENR = by_name["PMUSERENR_EL0"].encoding
VIRTUAL_TIMER_INTID, PHYSICAL_TIMER_INTID, PMU_INTID = 27, 30, 23


class Cpu:
    """One CPU: its vCPU, whether it is on, whether it waits for an interrupt, its two timers."""

    def __init__(self, index: int, vcpu: Aarch64VCpu, pcpu: Aarch64PerCpu, clock: Clock) -> None:
        self.index, self.vcpu, self._pcpu, self._now = index, vcpu, pcpu, clock.ns
        self.power = AffinityState.ON if index == 0 else AffinityState.OFF
        self.waiting = False
        self._reads_in: PState | None = None
        """Where it waits for a character: its PSTATE."""
        self._irq = self._fiq = False
        self.pending_start: tuple[int, int] | None = None
        """Entry point and argument of a CPU that is to start anew when it is bound."""
        self.timers = {
            "V": GuestTimer(self.virtual_count, self._shower("V"), _unconnected),
            "P": GuestTimer(self.physical_count, self._shower("P"), _unconnected),
        }
        self._shown: dict[str, tuple[int, int]] = {}
        """CTL and CVAL as they stand in its saved registers."""
        self.deadline = NO_DEADLINE
        """When the next timer's condition is met or a counter overflows, ns of the machine's clock."""
        self.on_deadline: Callable[[], object] = _nothing
        """Called when the deadline has changed other than by a write to a timer."""
        self.pmu = Pmu(vcpu.model.PMCR_EL0, clock.ns, lambda: vcpu.state.pstate >> 2 & 3, self._show_user_access)
        self.pmu.on_change = self._pmu_changed
        vcpu.sysregs.add_pmu(self.pmu)
        self.on_wake: Callable[[Cpu], None] = _ignore
        self.on_interrupt: Callable[[Cpu], None] = _ignore
        """Called when an interrupt is signalled while it does not wait."""

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

    @property
    def is_bound(self) -> bool:
        """Is it the one that the engine has loaded?"""
        return self._pcpu.bound is self.vcpu

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
        self.vcpu.set_virtual_interrupts(irq=self._irq, fiq=self._fiq)
        if not (self._irq or self._fiq):
            return
        if not self.waiting:
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

    def connect_timers(self, virtual: SignalLine, physical: SignalLine, overflow: SignalLine) -> None:
        """Where the interrupts of the timers and of the Performance Monitors go."""
        self.timers["V"].connect(virtual)
        self.timers["P"].connect(physical)
        self.pmu.line = overflow

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
        for timer in self.timers.values():
            timer.reset()
        self.pmu.reset()
        self._set_deadline()

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
        if self.vcpu.engine.read_sysreg(_CNTVOFF) != self._offset & _U64:
            self.vcpu.engine.write_sysreg(_CNTVOFF, self._offset & _U64)
        if self.pending_start is not None:
            entry, argument = self.pending_start
            self.pending_start = None
            self.vcpu.reset()
            self._shown.clear()
            self.vcpu.set_entry(entry)
            self.vcpu.set_gpr(0, argument)
        self.update_timers()

    # --- timers -----------------------------------------------------------------------------------------------

    def write_timer(self, timer: str, part: str, value: int) -> None:
        """The guest wrote CTL, CVAL or TVAL of timer "V" or "P"."""
        self.timers[timer].write(part, value)
        self._set_deadline()

    def update_timers(self) -> None:
        """Time has passed: look at the count."""
        self.deadline = NO_DEADLINE  # the one that is over is none for whom an interrupt makes look at them
        for timer in self.timers.values():
            timer.update()
        self.pmu.update()
        self._set_deadline()

    def _set_deadline(self) -> None:
        virtual, physical = self.timers["V"], self.timers["P"]
        deadline = NO_DEADLINE
        if virtual.is_armed:
            deadline = (virtual.cval + self._offset) * NS_PER_COUNT
        if physical.is_armed and physical.cval * NS_PER_COUNT < deadline:
            deadline = physical.cval * NS_PER_COUNT
        overflow = self.pmu.deadline
        if overflow is not None and overflow < deadline:
            deadline = overflow
        self.deadline = deadline

    def _pmu_changed(self) -> None:
        before = self.deadline
        self._set_deadline()
        if self.deadline != before:
            self.on_deadline()

    def _show_user_access(self, value: int) -> None:
        """The engine checks accesses from EL0 by its own PMUSERENR_EL0, before EL2's trap."""
        self.vcpu.engine.write_sysreg(_PMUSERENR, value)

    _offset = 0
    """CNTVOFF_EL2: the virtual count is the physical one less this."""

    def load_timers(self, virtual_count: int, timers: dict[str, tuple[int, int, bool]]) -> None:
        """Return to a state of the timers while not bound: the virtual count goes on from what it was."""
        self._offset = self.physical_count() - virtual_count
        self._shown.clear()
        for name, (ctl, cval, level) in timers.items():
            self.timers[name].load(ctl, cval, level)
        self._set_deadline()

    def virtual_count(self) -> int:
        """CNTVCT_EL0."""
        return self.physical_count() - self._offset

    def physical_count(self) -> int:
        """CNTPCT_EL0."""
        return self._now() // NS_PER_COUNT

    def read_count(self, name: str) -> int:
        """What MRS of CNTVCT_EL0, CNTPCT_EL0 or a timer's TVAL reads (DDI 0487 D11.2.4)."""
        timer = name[3]
        count = self.virtual_count() if timer == "V" else self.physical_count()
        if "TVAL" in name:
            return (self.timers[timer].cval - count) & 0xFFFF_FFFF
        return count & _U64

    def _shower(self, timer: str) -> Callable[[int, int], None]:
        ctl, cval = by_name[f"CNT{timer}_CTL_EL0"].encoding, by_name[f"CNT{timer}_CVAL_EL0"].encoding

        def show(control: int, compare: int) -> None:
            if self.is_bound:
                shown = self._shown.get(timer)
                if shown is None or shown[0] != control:
                    self.vcpu.engine.write_sysreg(ctl, control)
                if shown is None or shown[1] != compare:
                    self.vcpu.engine.write_sysreg(cval, compare)
                self._shown[timer] = control, compare

        return show


def _unconnected(_level: bool) -> None:
    """No interrupt controller."""


def _nothing() -> None:
    """Nobody sleeps."""


def _ignore(_cpu: Cpu) -> None:
    """Nobody schedules."""
