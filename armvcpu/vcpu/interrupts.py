"""A vCPU's virtual interrupts: the interface that the guest sees, its level lines and timers, and HCR_EL2.VI and VF.

What it does to the interface happens on the thread that has the vCPU (`mailbox.py`), whoever asks.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.gic_icc import PMR
from armvcpu.arch.gic_registers import DEFAULT_PRIORITY
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError, kind_in, number_in, seconds_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine
    from armvcpu.vcpu.icv import VirtualCpuInterface
    from armvcpu.vcpu.lines import InterruptLines
    from armvcpu.vcpu.mailbox import Mailbox
    from armvcpu.vcpu.sysreg import SysRegTable
    from armvcpu.vcpu.vcpu import Aarch64VCpu
    from armvcpu.vcpu.vcpu_timers import VCpuTimers

_HCR = by_name["HCR_EL2"].encoding
_HCR_VI, _HCR_VF = HCR_EL2.VI.mask, HCR_EL2.VF.mask
_ENDS = tuple(by_name[name].encoding for name in ("ICC_EOIR1_EL1", "ICC_DIR_EL1"))
_INTID_MASK = 0xFF_FFFF


class VCpuInterrupts:
    """Those of one vCPU; `show` is called when HCR_EL2.VI or VF is to change."""

    def __init__(self, mailbox: Mailbox, show: Callable[[], None]) -> None:
        self._mailbox, self._show = mailbox, show
        self.interface: VirtualCpuInterface | None = None
        """None where interrupts are passed through: they are the host's."""
        self._lines: InterruptLines | None = None
        self._timers: VCpuTimers | None = None
        self._wanted = self._shown = 0

    # --- set-up -----------------------------------------------------------------------------------------------

    def intercept(self, table: SysRegTable, send_sgi: Callable[[int], None]) -> None:
        """Have a virtual CPU interface, answering for ICC_* in `table`."""
        from armvcpu.vcpu.icv import VirtualCpuInterface  # a machine's vCPUs have the board's interrupt controller
        from armvcpu.vcpu.lines import InterruptLines

        self.interface = interface = VirtualCpuInterface(lambda level: self.drive(irq=level), send_sgi)
        self._lines = InterruptLines(interface)
        for encoding, read, write in interface.registers():
            if encoding in _ENDS and write is not None:
                write = partial(self._end, write)  # noqa: PLW2901  the lines hear of it too
            table.add(encoding, read, write)
        table.share(PMR, interface.mask_words)

    def add_timers(self, vcpu: Aarch64VCpu, *, passthrough: bool, offset: int) -> None:
        """Have timers that interrupt this interface, answering for CNTV_*, CNTP_* and so on in the vCPU's table."""
        from armvcpu.vcpu.vcpu_timers import VCpuTimers  # as above

        self._timers = VCpuTimers(
            vcpu.hal, self._mailbox, lambda intid, level: self._set_line(intid, level, None),
            passthrough=passthrough, offset=offset, el=vcpu.config.el, has_vhe=vcpu.model.has_vhe,
        )  # fmt: skip
        self._timers.add_to(vcpu.sysregs, vcpu.system_registers)

    # --- from any thread --------------------------------------------------------------------------------------

    def inject(self, intid: int, priority: int | None) -> None:
        """Make an interrupt pending. UsageError for an INTID or a priority that there is not."""
        assert self.interface is not None
        self._mailbox.post(partial(self.interface.inject, _checked(intid), _priority(priority)))

    def set_line(self, intid: int, level: bool, priority: int | None) -> None:
        """Drive a level. Errors as `inject`, and for a level that is none."""
        kind_in("the level of an interrupt", level, bool)
        self._mailbox.post(partial(self._set_line, _checked(intid), level, _priority(priority)))

    def wait(self, timeout: float | None) -> bool:
        """Sleep until an interrupt would end a WFI. UsageError for a `timeout` that is no time."""
        if timeout is not None:
            seconds_in("timeout", timeout)
        assert self.interface is not None
        interface = self.interface
        return self._mailbox.wait(lambda: interface.pending, timeout)

    # --- on the vCPU's thread ---------------------------------------------------------------------------------

    def _set_line(self, intid: int, level: bool, priority: int | None) -> None:
        if self._lines is not None:
            self._lines.set(intid, level, _priority(priority))

    def _end(self, write: Callable[[int], None], value: int) -> None:
        """MSR of ICC_EOIR1_EL1 or ICC_DIR_EL1, which `write` does."""
        assert self._lines is not None
        write(value)
        self._lines.ended(value & _INTID_MASK)

    def take_fired(self) -> int | None:
        """The INTID of the timer that has fired since the last look."""
        return None if self._timers is None else self._timers.take_fired()

    def reset(self) -> None:
        """As after reset: the timers are disabled, and what was injected is forgotten; lines that are high stay so."""
        if self._timers is not None:
            self._timers.reset()
        if self.interface is not None:
            self.interface.reset()
        if self._lines is not None:
            self._lines.reset()

    # --- HCR_EL2 ----------------------------------------------------------------------------------------------

    def drive(self, *, irq: bool, fiq: bool = False) -> None:
        """The level of HCR_EL2.VI and VF."""
        self._wanted = (_HCR_VI if irq else 0) | (_HCR_VF if fiq else 0)
        self._show()

    @property
    def are_stale(self) -> bool:
        """Has the level changed since HCR_EL2 was written?"""
        return self._wanted != self._shown

    def forget_shown(self) -> None:
        """The registers are others now: write HCR_EL2 at the next `bind`."""
        self._shown = -1

    def show(self, engine: Engine) -> None:
        """Write HCR_EL2 where it differs; that of a guest with EL2 is its own, and its lines are the CPU's."""
        if engine.highest > 1:
            engine.set_lines(irq=bool(self._wanted & _HCR_VI), fiq=bool(self._wanted & _HCR_VF))
            self._shown = self._wanted
            return
        registers = engine.registers
        hcr = registers.read(_HCR)
        if hcr & (_HCR_VI | _HCR_VF) != self._wanted:
            registers.write(_HCR, hcr & ~(_HCR_VI | _HCR_VF) | self._wanted)
        self._shown = self._wanted


def _checked(intid: int) -> int:
    """UsageError for an INTID that no SGI, PPI, SPI or LPI has: refused here, where the caller hears of it."""
    number_in("an INTID", intid, 64, signed=True)
    if not (0 <= intid < 1020 or 8192 <= intid <= 0xFFFF):
        raise UsageError(f"interrupt {intid} cannot be injected; give 0 to 1019, or an LPI from 8192 to 65535")
    return intid


def _priority(priority: int | None) -> int:
    """UsageError for more than eight bits."""
    if priority is None:
        return DEFAULT_PRIORITY
    return number_in("a priority", priority, 8)
