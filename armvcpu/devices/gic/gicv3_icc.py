"""The CPU interface of a GICv3 that the machine has: by system registers, with SGIs and 1 of N routing. IHI 0069 12.2.

What MRS and MSR of its registers do stands in `arch/gic_icc.py`.
"""

from __future__ import annotations

from armvcpu.arch.gic_icc import IccRegisters
from armvcpu.arch.gic_registers import ICC_CTLR, ICC_SGIR, affinity
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.cpu_interface import PhysicalCpuInterface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.gicv3_virtual import VirtualInterface
    from armvcpu.devices.gic.processor import Processor
    from armvcpu.devices.gic.state import InterruptBank

    Rows = Iterator[tuple[int, Callable[[], int] | None, Callable[[int], None] | None]]

CTLR_FIXED = ICC_CTLR.of(PRIbits=4, A3V=1, RSS=1)


class SystemRegisterInterface(PhysicalCpuInterface):
    """One CPU's interface. `mpidr` is its MPIDR_EL1, of which the affinity is looked at.

    A CPU with an EL2 has a `virtual` interface beside it; `processor` then says who accesses which.
    """

    signal_words: memoryview | None = None
    """With two Security states: the group of the interrupt that is signalled, for whoever knows when to `refresh`."""

    def __init__(
        self,
        gic: Gicv3,
        mpidr: int,
        private: InterruptBank,
        shared: InterruptBank,
        irq: SignalLine,
        fiq: SignalLine,
        processor: Processor | None = None,
        virtual: VirtualInterface | None = None,
    ) -> None:
        self._gic, self._processor = gic, processor
        self.affinity, self.virtual = affinity(mpidr), virtual
        super().__init__(private, shared, irq, fiq, gic.spi_changed)

    def registers(self) -> Rows:
        """Its system registers: each one's packed encoding, who answers MRS, who answers MSR."""
        rows = IccRegisters(self, self.send_sgi, CTLR_FIXED).rows()
        return rows if self.virtual is None else self._with_el2(rows, has_el3=False)

    def _with_el2(self, rows: Rows, *, has_el3: bool) -> Rows:
        """The rows of the physical interface, guarded, and those of the virtual one."""
        from armvcpu.devices.gic.gicv3_access import GuardedRegisters
        from armvcpu.devices.gic.gicv3_ich import IchRegisters

        assert self._processor is not None
        assert self.virtual is not None
        yield from GuardedRegisters(self._processor, self.virtual, has_el3=has_el3).rows(rows)
        yield from IchRegisters(self.virtual).rows()

    def deactivate_physical(self, intid: int) -> None:
        """A virtual interrupt has ended, whose list register says that this is the physical one behind it."""
        if intid not in self._reserved:
            self._deactivate(intid)

    def refresh(self) -> None:
        """The PE has gone to EL3 or left it, and what was signalled as IRQ may be FIQ now (4.6.2): of three groups."""

    def reset(self) -> None:
        """The state after a reset of the CPU; the Redistributor keeps its own."""
        super().reset()
        if self.virtual is not None:
            self.virtual.reset()
        self._gic.participation_changed()

    def state(self) -> dict[str, Any]:
        """Everything that a snapshot must keep."""
        state = super().state()
        return state if self.virtual is None else state | {"virtual": self.virtual.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        super().load_state(state)
        if self.virtual is not None:
            self.virtual.load_state(state["virtual"])
        self._gic.participation_changed()

    def enable(self, group: int, enabled: int) -> None:
        """Signal interrupts of a group, or don't; and take part in its 1 of N routing."""
        super().enable(group, enabled)
        self._gic.participation_changed()

    def send_sgi(self, value: int, groups: int) -> None:
        """Make an SGI pending, as ICC_SGI*R_EL1 says by its 64 bits, where its target has it in one of `groups`."""
        sgi = ICC_SGIR(value)
        intid = sgi.INTID
        for target in self._gic.sgi_targets(self, sgi):
            if groups >> (target.private.group1 >> intid & 1) & 1:
                target.private.set_pending(1 << intid)
                target.update()
