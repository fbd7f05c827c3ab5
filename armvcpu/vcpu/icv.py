"""The GICv3 virtual CPU interface: what a guest sees of interrupts when its machine emulates no GIC.

`Aarch64VCpu.inject_interrupt` puts an INTID into a list register, the guest takes it as a virtual IRQ, acknowledges
and ends it by the ICC_* registers, whose accesses at EL1 are those of ICV_*. Follows IHI 0069 chapter 6 "Virtual
interrupt handling and prioritization"; by which rules one is signalled stands in `arch/gic_cpu_interface.py`. All
interrupts are Group 1: Group 0 exists but never has one, so that it can't be enabled and has no active priorities.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import (
    BOTH_GROUPS,
    GROUP1,
    INTID_AT,
    NOTHING,
    PRIORITY_AT,
    PRIORITY_MASK,
    CpuInterface,
)
from armvcpu.arch.gic_icc import IccRegisters
from armvcpu.arch.gic_registers import DEFAULT_PRIORITY, ICC_CTLR, SPURIOUS
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.vcpu.list_registers import FIRST_SPECIAL_INTID, ListRegisters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CTLR_FIXED = ICC_CTLR.of(PRIbits=4, A3V=1)


class VirtualCpuInterface(CpuInterface):
    """The interface of one vCPU.

    `line` is told when the virtual IRQ changes (HCR_EL2.VI), `send_sgi` gets the 64-bit value of a write to
    ICC_SGI1R_EL1. As after a reset of the architecture the guest takes nothing until it sets ICC_PMR_EL1 and
    ICC_IGRPEN1_EL1.
    """

    def __init__(self, line: Callable[[bool], None], send_sgi: Callable[[int], None] = lambda _value: None) -> None:
        self._send = send_sgi
        self.interrupts = ListRegisters()
        super().__init__(line, _no_fiq, reserved=range(FIRST_SPECIAL_INTID, SPURIOUS + 1), groups=GROUP1)

    def reset(self) -> None:
        """Return to the state after a reset; what was injected is forgotten."""
        self.interrupts = ListRegisters()
        super().reset()

    def registers(self) -> Iterator[tuple[int, Callable[[], int] | None, Callable[[int], None] | None]]:
        """Its system registers: each one's packed encoding, who answers MRS, who answers MSR."""
        return IccRegisters(self, self._send_sgi, _CTLR_FIXED).rows()

    # --- the hypervisor's side

    def inject(self, intid: int, priority: int = DEFAULT_PRIORITY) -> None:
        """Make an interrupt pending; one that is pending already stays as it is.

        `intid` is that of an SGI, PPI or SPI (0 to 1019) or an LPI (8192 to 65535), else UsageError.
        """
        self.interrupts.inject(intid, priority & PRIORITY_MASK)
        self.update()

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep, as plain ints, lists and dicts."""
        return super().state() | {"interrupts": self.interrupts.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the line to its level, whatever it was."""
        self.interrupts.load_state(state["interrupts"])
        before = self._irq_level
        super().load_state(state)
        if self._irq_level == before:  # else it has been driven
            self._irq(before)

    # --- the interrupts

    def _highest(self, groups: int) -> int:
        entry = self.interrupts.highest_pending()
        if entry is None or not groups & GROUP1:
            return NOTHING
        return entry.priority << PRIORITY_AT | entry.intid << INTID_AT | 1

    def _activate(self, intid: int) -> None:
        self.interrupts.acknowledge(intid)
        self.update()

    def _deactivate(self, intid: int) -> None:
        self.interrupts.deactivate(intid)
        self.update()

    def _send_sgi(self, value: int, groups: int) -> None:
        if groups == BOTH_GROUPS:  # else for Group 0: nobody has such interrupts
            self._send(value)


def _no_fiq(_level: bool) -> None:
    """Group 0, which would be signalled so, has no interrupts."""
