"""The GICv3 virtual CPU interface: what a guest sees of interrupts when its machine emulates no GIC.

`Aarch64VCpu.inject_interrupt` puts an INTID into a list register, the guest takes it as a virtual IRQ, acknowledges
and ends it by the ICC_* registers, whose accesses at EL1 are those of ICV_*. Follows IHI 0069: 4.8 "Interrupt
prioritization", chapter 6 "Virtual interrupt handling and prioritization" and the ICV_* pages of chapter 12. All
interrupts are Group 1: Group 0 exists but never has one. There are five priority bits (PRIbits and PREbits).
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import ICC_CTLR, SPURIOUS
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.vcpu.list_registers import FIRST_SPECIAL_INTID, ListRegisters

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_PRIORITY = 0xA0
IDLE_PRIORITY = 0xFF

_INTID_MASK = 0xFF_FFFF
_PRIORITY_MASK = 0xF8
_PRIORITY_SHIFT = 3  # a group priority's number in ICV_AP1R0 is its upper five bits
_MIN_BPR0, _MIN_BPR1, _MAX_BPR = 2, 3, 7
_SRE_RESET = 0x7  # SRE, DFB, DIB: RAO/WI, there is no memory-mapped interface to go back to


_CTLR_RESET = ICC_CTLR.of(PRIbits=4, A3V=1)


class VirtualCpuInterface:
    """The interface of one vCPU.

    `line` is told when the virtual IRQ changes (HCR_EL2.VI), `send_sgi` gets the 64-bit value of a write to
    ICC_SGI1R_EL1. As after a reset of the architecture the guest takes nothing until it sets ICC_PMR_EL1 and
    ICC_IGRPEN1_EL1.
    """

    def __init__(self, line: Callable[[bool], None], send_sgi: Callable[[int], None] = lambda _value: None) -> None:
        self._line = line
        self._send_sgi = send_sgi
        self._level = False
        self._clear()

    def _clear(self) -> None:
        self.interrupts = ListRegisters()
        self.pmr = 0
        self.bpr0, self.bpr1 = _MIN_BPR0, _MIN_BPR1
        self.ctlr = _CTLR_RESET
        self.igrpen1 = 0
        self.ap1r0 = 0

    def reset(self) -> None:
        """Return to the state after a reset; what was injected is forgotten."""
        self._clear()
        self._update()

    # --- the hypervisor's side

    def inject(self, intid: int, priority: int = DEFAULT_PRIORITY) -> None:
        """Make an interrupt pending; one that is pending already stays as it is.

        `intid` is that of an SGI, PPI or SPI (0 to 1019) or an LPI (8192 to 65535), else UsageError.
        """
        self.interrupts.inject(intid, priority & _PRIORITY_MASK)
        self._update()

    @property
    def pending(self) -> bool:
        """Does an interrupt wait that would end a WFI: signalled, whatever PSTATE.I says (DDI 0487 D1.6.2)?"""
        return self._level

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep, as plain ints, lists and dicts."""
        registers = {name: int(getattr(self, name)) for name in _STORED}
        return registers | {"interrupts": self.interrupts.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the line to its level."""
        for name in _STORED:
            setattr(self, name, state[name])
        self.ctlr = ICC_CTLR(state["ctlr"])
        self.interrupts.load_state(state["interrupts"])
        self._level = self._can_signal()
        self._line(self._level)

    # --- the guest's side

    def read(self, encoding: int) -> int | None:
        """MRS of the register with this packed encoding; None where it is not one of these, or write-only."""
        reader = READERS.get(encoding)
        return None if reader is None else reader(self)

    def write(self, encoding: int, value: int) -> bool:
        """MSR, likewise; False where it is not one of these, or read-only."""
        writer = WRITERS.get(encoding)
        if writer is None:
            return False
        writer(self, value)
        self._update()
        return True

    def _acknowledge(self) -> int:
        """ICV_IAR1: the interrupt becomes active, its priority the running one."""
        entry = self.interrupts.highest_pending()
        if entry is None or not self._can_signal():
            return SPURIOUS
        self.interrupts.acknowledge(entry)
        self.ap1r0 |= 1 << (self._group_priority(entry.priority) >> _PRIORITY_SHIFT)
        self._update()
        return entry.intid

    def _end_of_interrupt(self, intid: int) -> None:
        """ICV_EOIR1: drop the running priority and, with EOImode 0, deactivate too."""
        intid &= _INTID_MASK
        if FIRST_SPECIAL_INTID <= intid <= SPURIOUS or not self.ap1r0:
            return
        self.ap1r0 &= self.ap1r0 - 1
        if not self.ctlr.EOImode:
            self.interrupts.deactivate(intid)

    def _deactivate_separately(self, intid: int) -> None:
        """ICV_DIR: of no effect while EOImode is 0."""
        if self.ctlr.EOImode:
            self.interrupts.deactivate(intid & _INTID_MASK)

    def _highest_pending_intid(self) -> int:
        """ICV_HPPIR1: whatever the priority mask says."""
        entry = self.interrupts.highest_pending()
        return entry.intid if entry and self.igrpen1 else SPURIOUS

    def _running_priority(self) -> int:
        """ICV_RPR: the lowest bit of ICV_AP1R0 is the highest active group priority."""
        if not self.ap1r0:
            return IDLE_PRIORITY
        return (self.ap1r0 & -self.ap1r0).bit_length() - 1 << _PRIORITY_SHIFT

    def _read_bpr1(self) -> int:
        """ICV_BPR1; with CBPR it shows ICV_BPR0 plus one."""
        return min(self.bpr0 + 1, _MAX_BPR) if self.ctlr.CBPR else self.bpr1

    def _write_pmr(self, value: int) -> None:
        self.pmr = value & _PRIORITY_MASK

    def _write_bpr0(self, value: int) -> None:
        self.bpr0 = max(value & _MAX_BPR, _MIN_BPR0)

    def _write_bpr1(self, value: int) -> None:
        if not self.ctlr.CBPR:
            self.bpr1 = max(value & _MAX_BPR, _MIN_BPR1)

    def _write_ctlr(self, value: int) -> None:
        written = ICC_CTLR(value)
        self.ctlr = self.ctlr.replace(CBPR=written.CBPR, EOImode=written.EOImode)

    def _write_igrpen1(self, value: int) -> None:
        self.igrpen1 = value & 1

    def _write_ap1r0(self, value: int) -> None:
        self.ap1r0 = value & 0xFFFF_FFFF

    # --- prioritization

    def _group_priority(self, priority: int) -> int:
        """The part of a priority that decides preemption (4.8, "Priority grouping")."""
        return priority & 0xFF << (self.bpr0 + 1 if self.ctlr.CBPR else self.bpr1)

    def _can_signal(self) -> bool:
        """Is the highest pending interrupt enabled, above the mask and above what runs (4.8 "Preemption")?"""
        entry = self.interrupts.highest_pending()
        return (
            entry is not None
            and bool(self.igrpen1)
            and entry.priority < self.pmr
            and self._group_priority(entry.priority) < self._running_priority()
        )

    def _update(self) -> None:
        """Drive the line if its level changed."""
        level = self._can_signal()
        if level != self._level:
            self._level = level
            self._line(level)


_STORED = ("pmr", "bpr0", "bpr1", "ctlr", "igrpen1", "ap1r0")


def _zero(_interface: VirtualCpuInterface) -> int:
    return 0


def _spurious(_interface: VirtualCpuInterface) -> int:
    return SPURIOUS


def _ignored(_interface: VirtualCpuInterface, _value: int) -> None:
    pass


READERS: dict[int, Callable[[VirtualCpuInterface], int]] = {
    by_name[f"ICC_{name}_EL1"].encoding: reader
    for name, reader in {
        "PMR": lambda icv: icv.pmr,
        "IAR0": _spurious,
        "HPPIR0": _spurious,
        "BPR0": lambda icv: icv.bpr0,
        "AP0R0": _zero,
        "AP1R0": lambda icv: icv.ap1r0,
        "RPR": VirtualCpuInterface._running_priority,
        "IAR1": VirtualCpuInterface._acknowledge,
        "HPPIR1": VirtualCpuInterface._highest_pending_intid,
        "BPR1": VirtualCpuInterface._read_bpr1,
        "CTLR": lambda icv: icv.ctlr,
        "SRE": lambda _icv: _SRE_RESET,
        "IGRPEN0": _zero,
        "IGRPEN1": lambda icv: icv.igrpen1,
    }.items()
}
WRITERS: dict[int, Callable[[VirtualCpuInterface, int], None]] = {
    by_name[f"ICC_{name}_EL1"].encoding: writer
    for name, writer in {
        "PMR": VirtualCpuInterface._write_pmr,
        "EOIR0": _ignored,
        "BPR0": VirtualCpuInterface._write_bpr0,
        "AP0R0": _ignored,
        "AP1R0": VirtualCpuInterface._write_ap1r0,
        "DIR": VirtualCpuInterface._deactivate_separately,
        "SGI1R": lambda icv, value: icv._send_sgi(value),
        "ASGI1R": _ignored,  # for the other Security state, and
        "SGI0R": _ignored,  # for Group 0: nobody has such interrupts
        "EOIR1": VirtualCpuInterface._end_of_interrupt,
        "BPR1": VirtualCpuInterface._write_bpr1,
        "CTLR": VirtualCpuInterface._write_ctlr,
        "SRE": _ignored,
        "IGRPEN0": _ignored,
        "IGRPEN1": VirtualCpuInterface._write_igrpen1,
    }.items()
}
