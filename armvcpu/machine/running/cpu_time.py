"""What a CPU has to do with time: its timers, its Performance Monitors, and when the next of them is due.

The timers are here, whether the CPU is loaded or not; of the engine's own only the counts are used, by the host's
clock. What happens when one is due: the run loop calls `Schedule.run_due`, that calls `update`, the timer drives its
line into the interrupt controller, and the controller the CPU's input, which is the engine's.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.registers import by_encoding, by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.deadline import NEVER
from armvcpu.vcpu.pmu import Pmu
from armvcpu.vcpu.timer import NS_PER_COUNT
from armvcpu.vcpu.timers import GuestTimers

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.deadline import Schedule
    from armvcpu.devices.device import SignalLine
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.clock import Clock
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_CNTVCT, _CNTPCT = by_name["CNTVCT_EL0"].encoding, by_name["CNTPCT_EL0"].encoding
_CNTVOFF, _PMUSERENR = by_name["CNTVOFF_EL2"].encoding, by_name["PMUSERENR_EL0"].encoding
_U64 = 0xFFFF_FFFF_FFFF_FFFF
PMU_INTID = 23


class CpuTime:
    """The timers and Performance Monitors of one CPU; `line` gives the interrupt line of a PPI's INTID.

    Of a guest that starts at EL1, CNTVOFF_EL2 is ours and moves the engine's virtual count to zero at power-on. At a
    higher level it is the guest's own (`el` of the vCPU's configuration); the shim then takes off what the count was at
    power-on.
    """

    def __init__(
        self, vcpu: Aarch64VCpu, clock: Clock, schedule: Schedule, line: Callable[[int], SignalLine]
    ) -> None:  # fmt: skip
        self._vcpu, self._clock, self._schedule, self._now = vcpu, clock, schedule, clock.ns
        self._origin = clock.began // NS_PER_COUNT
        """When the count was zero. It begins at power-on, as on QEMU's board, whatever that of the host's clock is."""
        self._deadline = schedule.add(self.update)
        self._owns_offset = vcpu.config.el == 1
        self._timers = GuestTimers(self.count, line, vcpu.config.el, has_vhe=vcpu.model.has_vhe)
        self.timers = self._timers.by_name
        self.pmu = Pmu(
            vcpu.model.PMCR_EL0, clock.ns, lambda: vcpu.state.pstate >> 2 & 3, self._show_user_access, line(PMU_INTID),
            self._set_deadline,
        )  # fmt: skip
        vcpu.sysregs.add_pmu(self.pmu.registers(), self.pmu.words)
        for encoding, read, write in self._timers.registers():
            vcpu.sysregs.add(encoding, read, partial(self._on_write, write))
        if not self._owns_offset:
            vcpu.sysregs.follow(_CNTVOFF, partial(self._on_write, self._timers.virtual.move))
        if clock.repeats:
            self._answer_counts()
        else:
            self._show_counts()

    @property
    def deadline(self) -> int:
        """When the next timer's condition is met or a counter overflows, ns of the machine's clock, or NEVER."""
        return self._deadline.moment

    def _on_write(self, write: Callable[[int], bool], value: int) -> None:
        """The guest writes CTL, CVAL or TVAL of a timer, or its CNTVOFF_EL2."""
        if write(value):
            self._set_deadline()

    def _answer_counts(self) -> None:
        """Answer for the counts by the machine's clock, not the host's."""
        counts = {encoding: read for encoding, read, _ in self._timers.registers() if by_encoding[encoding].is_window}
        counts |= {_CNTVCT: self._virtual_count, _CNTPCT: self.count}
        for encoding, read in counts.items():
            self._vcpu.answer_sysreg(encoding, partial(self._read_noted, read), None)
            self._vcpu.sysregs.looks[encoding] = read

    def _show_counts(self) -> None:
        """The engine's counts are the host's; one of them, or both, are moved to zero at power-on."""
        sysregs = self._vcpu.sysregs
        if self._owns_offset:
            sysregs.read_as(_CNTPCT, _CNTVCT)
        else:
            sysregs.count_from_origin(_CNTVCT, _CNTPCT)
            sysregs.looks[_CNTVCT] = self._virtual_count
        sysregs.looks[_CNTPCT] = self.count

    def _read_noted(self, read: Callable[[], int]) -> int:
        """The clock hears of each read: where the guest only waits for time to pass, some does."""
        if self._clock.note_read(self._vcpu.state.pc):
            self._schedule.on_change()
        return read()

    def update(self) -> None:
        """A moment has come, or the CPU has been loaded: look at the counts."""
        self._timers.update()
        self.pmu.update()
        self._set_deadline()

    def _set_deadline(self) -> None:
        due = self._timers.due()
        moment = NEVER if due is None else min((due + self._origin) * NS_PER_COUNT, NEVER)
        overflow = self.pmu.deadline
        if overflow is not None and overflow < moment:
            moment = overflow
        if moment != self._deadline.moment:
            self._deadline.set(moment)

    def _show_user_access(self, value: int) -> None:
        """The engine checks accesses from EL0 by its own PMUSERENR_EL0, before anybody is asked for a register."""
        self._vcpu.system_registers.write(_PMUSERENR, value)

    def load_timers(self, count: int, timers: dict[str, tuple[int, int, bool]]) -> None:
        """Return to a state of the timers while not bound: the count goes on from what it was."""
        self._origin += self.count() - count
        if not self._owns_offset and self._vcpu.has_state:
            self._timers.virtual.offset = self._vcpu.system_registers.read(_CNTVOFF)
        for name, (ctl, cval, level) in timers.items():
            self.timers[name].load(ctl, cval, level)
        self._set_deadline()

    def stand(self, duration: int) -> None:
        """The count has stood for so many ns; whoever has the CPU loaded tells the engine."""
        self._origin += duration // NS_PER_COUNT
        self._set_deadline()

    def count(self) -> int:
        """CNTPCT_EL0; CNTVCT_EL0 too, where no hypervisor of the guest's is there to tell them apart."""
        return self._now() // NS_PER_COUNT - self._origin

    def _virtual_count(self) -> int:
        """CNTVCT_EL0 as the software that runs sees it: EL2 has no offset where it is the host (D17.11.27)."""
        is_moved = not self._owns_offset and not self._vcpu.processor.is_host
        return self.count() - (self._timers.virtual.offset if is_moved else 0)

    def reset(self) -> None:
        """As after power-on."""
        self._timers.reset()
        self.pmu.reset()
        self._set_deadline()

    def stop(self) -> None:
        """The CPU is switched off: nothing is to come from its timers."""
        self._deadline.clear()

    def bind(self, engine: Engine) -> None:
        """The CPU has been loaded: so is CNTVOFF_EL2."""
        if not self._owns_offset:
            engine.set_count_origin(self._origin & _U64)
            self._timers.virtual.offset = engine.registers.read(_CNTVOFF)
        elif engine.registers.read(_CNTVOFF) != self._origin & _U64:
            engine.registers.write(_CNTVOFF, self._origin & _U64)
