"""The GICv3 CPU interface as system registers, IHI 0069 12.2: what MRS and MSR of ICC_*_EL1 do.

There is one Security state (GICD_CTLR.DS is 1), system register access is always on (ICC_SRE_EL1.SRE is RAO/WI), and
five bits of priority and of preemption are implemented, so only the first register of each active priorities array
exists. ICC_CTLR_EL1.PMHE, a hint for 1 of N routing, is RAZ/WI.
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import ICC_CTLR, ICC_SGIR, SPURIOUS, affinity
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.gic.cpu_interface import MAX_BPR, CpuInterface

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.device import SignalLine
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.state import InterruptBank

_CTLR_FIXED = ICC_CTLR.of(PRIbits=4, A3V=1, RSS=1)
_SRE = 0x7  # SRE, DFB, DIB: RAO/WI, there is no memory-mapped interface to go back to
_INTID_MASK = 0xFF_FFFF


class SystemRegisterInterface(CpuInterface):
    """One CPU's ICC_* registers. `mpidr` is its MPIDR_EL1, of which the affinity is looked at."""

    def __init__(
        self, gic: Gicv3, mpidr: int, private: InterruptBank, shared: InterruptBank, irq: SignalLine, fiq: SignalLine
    ) -> None:
        self._gic = gic
        self.affinity = affinity(mpidr)
        super().__init__(private, shared, irq, fiq, gic.spi_changed)

    def reset(self) -> None:
        """The state after a reset of the CPU; the Redistributor keeps its own."""
        super().reset()
        self._gic.participation_changed()

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
        return True

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave, and drive the outputs to their levels."""
        super().load_state(state)
        self._gic.participation_changed()

    # --- acknowledge and end, by group

    def _read_IAR0(self) -> int:
        return self.acknowledge() if self.signalled and not self.hppi_group else SPURIOUS

    def _read_IAR1(self) -> int:
        return self.acknowledge() if self.signalled and self.hppi_group else SPURIOUS

    def _read_HPPIR0(self) -> int:
        return SPURIOUS if self.hppi_group else self.hppi

    def _read_HPPIR1(self) -> int:
        return self.hppi if self.hppi_group else SPURIOUS

    def _write_EOIR0(self, value: int) -> None:
        self.end_of_interrupt(value & _INTID_MASK, 0)

    def _write_EOIR1(self, value: int) -> None:
        self.end_of_interrupt(value & _INTID_MASK, 1)

    def _write_DIR(self, value: int) -> None:
        self.deactivate(value & _INTID_MASK)

    # --- control

    def _read_BPR1(self) -> int:
        """With CBPR it shows ICC_BPR0_EL1 plus one (12.2, ICC_CTLR_EL1.CBPR)."""
        return min(self.bpr0 + 1, MAX_BPR) if self.cbpr else self.bpr1

    def _write_BPR1(self, value: int) -> None:
        if not self.cbpr:
            self.set_bpr(1, value)

    def _read_CTLR(self) -> int:
        return int(_CTLR_FIXED.replace(CBPR=self.cbpr, EOImode=self.eoi_mode))

    def _write_CTLR(self, value: int) -> None:
        written = ICC_CTLR(value)
        self.cbpr, self.eoi_mode = written.CBPR, written.EOImode
        self.settle()
        self.update()

    def _enable(self, group: int, value: int) -> None:
        """ICC_IGRPEN<group>_EL1."""
        self.enabled_groups = self.enabled_groups & ~(1 << group) | (value & 1) << group
        self.update()
        self._gic.participation_changed()

    def _send_sgi(self, value: int, groups: int) -> None:
        """Make an SGI pending where it is configured as one of `groups`.

        With GICD_CTLR.DS = 1 ICC_SGI1R_EL1 reaches targets whatever the group that
        they give the SGI, ICC_SGI0R_EL1 those that have it in Group 0, and so does ICC_ASGI1R_EL1, because there is
        no other Security state.
        """
        sgi = ICC_SGIR(value)
        intid = sgi.INTID
        for target in self._gic.sgi_targets(self, sgi):
            if groups >> (target.private.group1 >> intid & 1) & 1:
                target.private.set_pending(1 << intid)
                target.update()


def _ignored(_interface: SystemRegisterInterface, _value: int) -> None:
    pass


Icc = SystemRegisterInterface

READERS: dict[int, Callable[[SystemRegisterInterface], int]] = {
    by_name[f"ICC_{name}_EL1"].encoding: reader
    for name, reader in {
        "PMR": lambda icc: icc.pmr,
        "IAR0": Icc._read_IAR0,
        "HPPIR0": Icc._read_HPPIR0,
        "BPR0": lambda icc: icc.bpr0,
        "AP0R0": lambda icc: icc.apr0,
        "AP1R0": lambda icc: icc.apr1,
        "RPR": lambda icc: icc.running_priority,
        "IAR1": Icc._read_IAR1,
        "HPPIR1": Icc._read_HPPIR1,
        "BPR1": Icc._read_BPR1,
        "CTLR": Icc._read_CTLR,
        "SRE": lambda _icc: _SRE,
        "IGRPEN0": lambda icc: icc.enabled_groups & 1,
        "IGRPEN1": lambda icc: icc.enabled_groups >> 1,
    }.items()
}
WRITERS: dict[int, Callable[[SystemRegisterInterface, int], None]] = {
    by_name[f"ICC_{name}_EL1"].encoding: writer
    for name, writer in {
        "PMR": Icc.set_pmr,
        "EOIR0": Icc._write_EOIR0,
        "BPR0": lambda icc, value: icc.set_bpr(0, value),
        "AP0R0": lambda icc, value: icc.set_apr(0, value),
        "AP1R0": lambda icc, value: icc.set_apr(1, value),
        "DIR": Icc._write_DIR,
        "SGI1R": lambda icc, value: icc._send_sgi(value, 0b11),
        "ASGI1R": lambda icc, value: icc._send_sgi(value, 0b01),
        "SGI0R": lambda icc, value: icc._send_sgi(value, 0b01),
        "EOIR1": Icc._write_EOIR1,
        "BPR1": Icc._write_BPR1,
        "CTLR": Icc._write_CTLR,
        "SRE": _ignored,
        "IGRPEN0": lambda icc, value: icc._enable(0, value),
        "IGRPEN1": lambda icc, value: icc._enable(1, value),
    }.items()
}
