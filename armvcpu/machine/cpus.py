"""The CPUs of a machine: what each is doing besides running, its timers, its interrupt lines.

One engine runs them in turn. A CPU that is not bound keeps its timers and its interrupt level here; both are shown to
the engine when it is bound again.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.registers import by_name
from armvcpu.vcpu.timer import GuestTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu

NS_PER_COUNT = 16
"""The engine's system counter runs at 62.5 MHz and is CLOCK_MONOTONIC divided by this (docs/engine.md)."""
VIRTUAL_TIMER_INTID, PHYSICAL_TIMER_INTID = 27, 30


class Cpu:
    """One CPU: its vCPU, whether it is on, whether it waits for an interrupt, its two timers."""

    def __init__(self, index: int, vcpu: Aarch64VCpu, pcpu: Aarch64PerCpu) -> None:
        self.index, self.vcpu, self._pcpu = index, vcpu, pcpu
        self.power = AffinityState.ON if index == 0 else AffinityState.OFF
        self.waiting = False
        self._irq = self._fiq = False
        self._start: tuple[int, int] | None = None
        self.timers = {
            "V": GuestTimer(self._virtual_count, self._shower("V"), _unconnected),
            "P": GuestTimer(_physical_count, self._shower("P"), _unconnected),
        }
        self.on_wake: Callable[[Cpu], None] = _ignore

    @property
    def mpidr(self) -> int:
        """The affinity bits of its MPIDR_EL1."""
        return self.vcpu.config.mpidr_el1

    @property
    def runnable(self) -> bool:
        """Can it execute?"""
        return self.power is not AffinityState.OFF and (not self.waiting or self.interrupted)

    def is_awake(self) -> bool:
        """Is it runnable? If so its wait is over."""
        awake = self.runnable
        if awake:
            self.waiting = False
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

    def _interrupts_changed(self) -> None:
        self.vcpu.set_virtual_interrupts(irq=self._irq, fiq=self._fiq)
        if (self._irq or self._fiq) and self.waiting:
            self.waiting = False
            self.on_wake(self)

    def connect_timers(self, virtual: SignalLine, physical: SignalLine) -> None:
        """Where the timers' interrupts go."""
        self.timers["V"].connect(virtual)
        self.timers["P"].connect(physical)

    # --- life -------------------------------------------------------------------------------------------------

    def start(self, entry: int, argument: int) -> None:
        """PSCI CPU_ON: from its reset state at `entry`, with x0 = `argument`."""
        self.power, self.waiting = AffinityState.ON, False
        self._start = (entry, argument)

    def stop(self) -> None:
        """PSCI CPU_OFF."""
        self.power, self.waiting = AffinityState.OFF, False

    def wait(self, entry: int | None = None, argument: int = 0) -> None:
        """WFI or CPU_SUSPEND; with an entry point, waking up enters there as CPU_ON does."""
        self.waiting = not self.interrupted
        if entry is not None:
            self._start = (entry, argument)

    def reset(self) -> None:
        """As after power-on: the first CPU on, the others off."""
        self.power = AffinityState.ON if self.index == 0 else AffinityState.OFF
        self.waiting = False
        self._start = (0, 0)
        for timer in self.timers.values():
            timer.reset()

    @property
    def has_start(self) -> bool:
        """Is it to start anew when it is bound?"""
        return self._start is not None

    def bind(self) -> None:
        """Load it into the engine, with its timers and what it is to start with."""
        self.vcpu.bind(self._pcpu)
        if self._start is not None:
            entry, argument = self._start
            self._start = None
            self.vcpu.reset()
            self.vcpu.set_entry(entry)
            self.vcpu.set_gpr(0, argument)
        for timer in self.timers.values():
            timer.update()

    # --- timers -----------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """When the next timer's condition is met, ns of CLOCK_MONOTONIC; None where none is armed."""
        moments = []
        if self.timers["V"].is_armed:
            moments.append((self.timers["V"].cval + self._offset) * NS_PER_COUNT)
        if self.timers["P"].is_armed:
            moments.append(self.timers["P"].cval * NS_PER_COUNT)
        return min(moments, default=None)

    _offset = 0
    """CNTVOFF_EL2."""

    def set_offset(self, offset: int) -> None:
        """CNTVOFF_EL2: the virtual count is the physical one less this."""
        self._offset = offset
        self.vcpu.system_registers.cntvoff_el2 = offset

    def _virtual_count(self) -> int:
        return _physical_count() - self._offset

    def _shower(self, timer: str) -> Callable[[int, int], None]:
        ctl, cval = by_name[f"CNT{timer}_CTL_EL0"].encoding, by_name[f"CNT{timer}_CVAL_EL0"].encoding

        def show(control: int, compare: int) -> None:
            if self.is_bound:
                self.vcpu.engine.write_sysreg(ctl, control)
                self.vcpu.engine.write_sysreg(cval, compare)

        return show


def _physical_count() -> int:
    return time.monotonic_ns() // NS_PER_COUNT


def _unconnected(_level: bool) -> None:
    """No interrupt controller."""


def _ignore(_cpu: Cpu) -> None:
    """Nobody schedules."""
