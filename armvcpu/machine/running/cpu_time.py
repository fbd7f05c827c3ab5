"""What a CPU has to do with time: its two timers, its Performance Monitors, and when the next of them is due.

The timers are here, whether the CPU is bound or not; of the engine's own only the counts are used, by the host's clock.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.running.clock import NO_DEADLINE, NS_PER_COUNT
from armvcpu.vcpu.pmu import Pmu
from armvcpu.vcpu.timer import GuestTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine
    from armvcpu.machine.running.clock import Clock
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_CNTVOFF, _PMUSERENR = by_name["CNTVOFF_EL2"].encoding, by_name["PMUSERENR_EL0"].encoding
_U64 = 0xFFFF_FFFF_FFFF_FFFF
COUNTS = ("CNTVCT_EL0", "CNTPCT_EL0", "CNTV_TVAL_EL0", "CNTP_TVAL_EL0")
VIRTUAL_TIMER_INTID, PHYSICAL_TIMER_INTID, PMU_INTID = 27, 30, 23


class CpuTime:
    """That side of one CPU."""

    _offset = 0
    """CNTVOFF_EL2: the virtual count is the physical one less this."""

    def __init__(self, vcpu: Aarch64VCpu, pcpu: Aarch64PerCpu, clock: Clock) -> None:
        self.vcpu, self._pcpu, self._now = vcpu, pcpu, clock.ns
        self.timers = {
            "V": GuestTimer(self.virtual_count, _unconnected),
            "P": GuestTimer(self.physical_count, _unconnected),
        }
        self.deadline = NO_DEADLINE
        """When the next timer's condition is met or a counter overflows, ns of the machine's clock."""
        self.on_deadline: Callable[[], object] = _nothing
        """Called when the deadline has changed other than by a write to a timer."""
        self.pmu = Pmu(vcpu.model.PMCR_EL0, clock.ns, lambda: vcpu.state.pstate >> 2 & 3, self._show_user_access)
        self.pmu.on_change = self._pmu_changed
        vcpu.sysregs.add_pmu(self.pmu)
        for timer in self.timers:
            for part in ("CTL", "CVAL", "TVAL"):
                read, write = partial(self.timers[timer].read, part), partial(self._on_write, timer, part)
                vcpu.sysregs.add(by_name[f"CNT{timer}_{part}_EL0"].encoding, read, write)

    @property
    def is_bound(self) -> bool:
        """Is it the one that the engine has loaded?"""
        return self._pcpu.bound is self.vcpu

    def connect_timers(self, virtual: SignalLine, physical: SignalLine, overflow: SignalLine) -> None:
        """Where the interrupts of the timers and of the Performance Monitors go."""
        self.timers["V"].connect(virtual)
        self.timers["P"].connect(physical)
        self.pmu.line = overflow

    def _on_write(self, timer: str, part: str, value: int) -> None:
        """The guest writes CTL, CVAL or TVAL of timer "V" or "P"."""
        self.timers[timer].write(part, value)
        self._set_deadline()
        self.on_deadline()

    def answer_counts(self, note: Callable[[int], None]) -> None:
        """Answer for the counts by the machine's clock, not the host's; `note` hears of each read's PC first."""
        for name in COUNTS:
            encoding = by_name[name].encoding
            self.vcpu.answer_sysreg(encoding, partial(self._read_noted, name, note), None)
            self.vcpu.sysregs.looks[encoding] = partial(self.read_count, name)

    def _read_noted(self, name: str, note: Callable[[int], None]) -> int:
        note(self.vcpu.state.pc)
        return self.read_count(name)

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
        """The engine checks accesses from EL0 by its own PMUSERENR_EL0, before anybody is asked for a register."""
        self.vcpu.system_registers.write(_PMUSERENR, value)

    def load_timers(self, virtual_count: int, timers: dict[str, tuple[int, int, bool]]) -> None:
        """Return to a state of the timers while not bound: the virtual count goes on from what it was."""
        self._offset = self.physical_count() - virtual_count
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
        if "TVAL" in name:
            return self.timers[name[3]].read("TVAL")
        return (self.virtual_count() if name == "CNTVCT_EL0" else self.physical_count()) & _U64

    def _reset_time(self) -> None:
        for timer in self.timers.values():
            timer.reset()
        self.pmu.reset()
        self._set_deadline()

    def _bind_time(self) -> None:
        """The CPU has been loaded: so is CNTVOFF_EL2."""
        if self.vcpu.engine.registers.read(_CNTVOFF) != self._offset & _U64:
            self.vcpu.engine.registers.write(_CNTVOFF, self._offset & _U64)


def _unconnected(_level: bool) -> None:
    """No interrupt controller."""


def _nothing() -> None:
    """Nobody sleeps."""
