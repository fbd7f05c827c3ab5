"""The timers of a vCPU whose host has none for it: registers, interrupts, and the moment of the next one.

The registers are rows of the vCPU's own table, so the timers move with the vCPU from one physical CPU to another, and
are there while it is bound to none. DDI 0487 D11.2; the counts are the engine's own, by the host's CLOCK_MONOTONIC.
"""

from __future__ import annotations

from functools import partial
from time import monotonic_ns

from armvcpu.arch.registers import by_encoding, by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.timer import NS_PER_COUNT
from armvcpu.vcpu.timers import PHYSICAL, GuestTimers

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.vcpu.context_frame import GuestSystemRegisters
    from armvcpu.vcpu.hal import Hal
    from armvcpu.vcpu.mailbox import Mailbox
    from armvcpu.vcpu.sysreg import SysRegTable

    SetLine = Callable[[int, bool], None]


_CNTVOFF = by_name["CNTVOFF_EL2"].encoding


def host_count() -> int:
    """CNTPCT_EL0, as the engine has it."""
    return monotonic_ns() // NS_PER_COUNT


class VCpuTimers:
    """Those of one vCPU.

    `set_line` drives the level of an INTID into it. With `passthrough` the physical timer's interrupt is the host's, an
    `ExternalInterrupt`, as that of a CPU's own timer is. The virtual count is `offset` (CNTVOFF_EL2) less than `count`:
    the hypervisor's, or from `el` 2 on the guest's own, which has the timers of the levels up to `el` then.
    """

    def __init__(
        self, hal: Hal, mailbox: Mailbox, set_line: SetLine, *, passthrough: bool, offset: int = 0,
        count: Callable[[], int] = host_count, el: int = 1, has_vhe: bool = False,
    ) -> None:  # fmt: skip
        self._hal, self._mailbox, self._set_line = hal, mailbox, set_line
        self._passthrough, self._offset, self._owns_offset = passthrough, offset, el == 1
        self._armed: int | None = None  # ns
        self._fired: int | None = None
        self._timers = GuestTimers(count, lambda intid: partial(self._drive, intid), el, has_vhe=has_vhe)
        self._timers.virtual.move(offset)

    def add_to(self, table: SysRegTable, registers: GuestSystemRegisters) -> None:
        """Answer for CNTV_*, CNTP_* and those of higher levels; of the counts themselves the engine's are right."""
        for encoding, read, write in self._timers.registers():
            table.add(encoding, read, self._then_arm(write))
            if not by_encoding[encoding].is_window:
                table.kept[encoding] = read, self._then_arm(write)
        if not self._owns_offset:
            move = self._then_arm(self._timers.virtual.move)
            table.follow(_CNTVOFF, move)
            table.kept[_CNTVOFF] = partial(registers.read, _CNTVOFF), partial(self._move, registers)

    def take_fired(self) -> int | None:
        """The INTID of the timer whose time has come since the last look, if any."""
        fired, self._fired = self._fired, None
        return fired

    def reset(self) -> None:
        """As after reset: all disabled, and CNTVOFF_EL2 is the hypervisor's."""
        self._timers.reset()
        self._timers.virtual.move(self._offset)
        self._arm()

    def look(self) -> None:
        """Time has passed."""
        self._timers.update()
        self._armed = None
        self._arm()

    def ring(self) -> None:
        """From any thread: the moment that was asked for has come."""
        self._mailbox.post(self.look)

    def _then_arm(self, write: Callable[[int], bool]) -> Callable[[int], None]:
        def written(value: int) -> None:
            if write(value):
                self._arm()

        return written

    def _move(self, registers: GuestSystemRegisters, offset: int) -> None:
        """CNTVOFF_EL2 is what was saved."""
        registers.write(_CNTVOFF, offset)
        if self._timers.virtual.move(offset):
            self._arm()

    def _arm(self) -> None:
        """Be called at the next moment at which something changes."""
        due = self._timers.due()
        moment = None if due is None else due * NS_PER_COUNT
        if moment != self._armed:
            self._armed = moment
            self._hal.set_timer(moment, self.ring)

    def _drive(self, intid: int, level: bool) -> None:
        if level:
            self._fired = intid
        if intid != PHYSICAL.intid or not self._passthrough:
            self._set_line(intid, level)
