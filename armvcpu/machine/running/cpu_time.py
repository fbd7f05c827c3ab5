"""What a CPU has to do with time: its two timers, its Performance Monitors, and when the next of them is due.

The timers are here, whether the CPU is loaded or not; of the engine's own only the counts are used, by the host's
clock. What happens when one is due: the run loop calls `Schedule.run_due`, that calls `update`, the timer drives its
line into the interrupt controller, and the controller the CPU's input, which is the engine's.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.deadline import NEVER
from armvcpu.vcpu.pmu import Pmu
from armvcpu.vcpu.timer import NS_PER_COUNT, GuestTimer

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.deadline import Schedule
    from armvcpu.devices.device import SignalLine
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.clock import Clock
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_CNTVOFF, _PMUSERENR = by_name["CNTVOFF_EL2"].encoding, by_name["PMUSERENR_EL0"].encoding
_U64 = 0xFFFF_FFFF_FFFF_FFFF
COUNTS = ("CNTVCT_EL0", "CNTPCT_EL0", "CNTV_TVAL_EL0", "CNTP_TVAL_EL0")
PMU_INTID = 23


class CpuTime:
    """The timers and Performance Monitors of one CPU; `lines` are their interrupts: virtual, physical, overflow."""

    def __init__(
        self, vcpu: Aarch64VCpu, clock: Clock, schedule: Schedule, lines: tuple[SignalLine, SignalLine, SignalLine]
    ) -> None:
        self._vcpu, self._clock, self._schedule, self._now = vcpu, clock, schedule, clock.ns
        virtual, physical, overflow = lines
        self._origin = clock.began // NS_PER_COUNT
        """When the count was zero. It begins at power-on, as on QEMU's board, whatever that of the host's clock is."""
        self._deadline = schedule.add(self.update)
        self.virtual, self.physical = GuestTimer(self.virtual_count, virtual), GuestTimer(self.virtual_count, physical)
        self.timers = {"V": self.virtual, "P": self.physical}
        self.pmu = Pmu(
            vcpu.model.PMCR_EL0, clock.ns, lambda: vcpu.state.pstate >> 2 & 3, self._show_user_access, overflow,
            self._set_deadline,
        )  # fmt: skip
        vcpu.sysregs.add_pmu(self.pmu.registers())
        for letter, timer in self.timers.items():
            for encoding, read, write in timer.registers(letter):
                vcpu.sysregs.add(encoding, read, partial(self._on_write, write))
        if clock.repeats:
            self._answer_counts()
        else:
            self._have_one_count()

    @property
    def deadline(self) -> int:
        """When the next timer's condition is met or a counter overflows, ns of the machine's clock, or NEVER."""
        return self._deadline.moment

    def _on_write(self, write: Callable[[int], None], value: int) -> None:
        """The guest writes CTL, CVAL or TVAL of a timer."""
        write(value)
        self._set_deadline()

    def _answer_counts(self) -> None:
        """Answer for the counts by the machine's clock, not the host's."""
        for name in COUNTS:
            encoding = by_name[name].encoding
            self._vcpu.answer_sysreg(encoding, partial(self._read_noted, name), None)
            self._vcpu.sysregs.looks[encoding] = partial(self.read_count, name)

    def _have_one_count(self) -> None:
        """The engine's physical count is the host's, and nothing moves it; its virtual one is moved by CNTVOFF_EL2."""
        physical = by_name["CNTPCT_EL0"].encoding
        self._vcpu.sysregs.read_as(physical, by_name["CNTVCT_EL0"].encoding)
        self._vcpu.sysregs.looks[physical] = self.virtual_count

    def _read_noted(self, name: str) -> int:
        """The clock hears of each read: where the guest only waits for time to pass, some does."""
        if self._clock.note_read(self._vcpu.state.pc):
            self._schedule.on_change()
        return self.read_count(name)

    def update(self) -> None:
        """A moment has come, or the CPU has been loaded: look at the counts."""
        self.virtual.update()
        self.physical.update()
        self.pmu.update()
        self._set_deadline()

    def _set_deadline(self) -> None:
        virtual, physical = self.virtual, self.physical
        moment = NEVER
        if virtual.is_armed:
            moment = (virtual.cval + self._origin) * NS_PER_COUNT
        if physical.is_armed and (due := (physical.cval + self._origin) * NS_PER_COUNT) < moment:
            moment = due
        overflow = self.pmu.deadline
        if overflow is not None and overflow < moment:
            moment = overflow
        if moment != self._deadline.moment:
            self._deadline.set(moment)

    def _show_user_access(self, value: int) -> None:
        """The engine checks accesses from EL0 by its own PMUSERENR_EL0, before anybody is asked for a register."""
        self._vcpu.system_registers.write(_PMUSERENR, value)

    def load_timers(self, virtual_count: int, timers: dict[str, tuple[int, int, bool]]) -> None:
        """Return to a state of the timers while not bound: the count goes on from what it was."""
        self._origin += self.virtual_count() - virtual_count
        for name, (ctl, cval, level) in timers.items():
            self.timers[name].load(ctl, cval, level)
        self._set_deadline()

    def virtual_count(self) -> int:
        """CNTVCT_EL0 and CNTPCT_EL0: no hypervisor of the guest's is there to tell them apart."""
        return self._now() // NS_PER_COUNT - self._origin

    def read_count(self, name: str) -> int:
        """What MRS of CNTVCT_EL0, CNTPCT_EL0 or a timer's TVAL reads (DDI 0487 D11.2.4)."""
        if "TVAL" in name:
            return self.timers[name[3]].read("TVAL")
        return self.virtual_count() & _U64

    def reset(self) -> None:
        """As after power-on."""
        for timer in self.timers.values():
            timer.reset()
        self.pmu.reset()
        self._set_deadline()

    def stop(self) -> None:
        """The CPU is switched off: nothing is to come from its timers."""
        self._deadline.clear()

    def bind(self, engine: Engine) -> None:
        """The CPU has been loaded: so is CNTVOFF_EL2."""
        if engine.registers.read(_CNTVOFF) != self._origin & _U64:
            engine.registers.write(_CNTVOFF, self._origin & _U64)
