"""A GICv3 CPU interface as system registers, IHI 0069 12.2: what MRS and MSR of ICC_*_EL1 do.

The accesses of a guest whose interrupts its hypervisor has are those of ICV_*_EL1, of the same encodings and by the
same rules. System register access is always on (ICC_SRE_EL1.SRE is RAO/WI), and of each active priorities array only
the first register exists. ICC_CTLR_EL1.PMHE, a hint for 1 of N routing, is RAZ/WI.
"""

from __future__ import annotations

from armvcpu.arch.gic_cpu_interface import BOTH_GROUPS, GROUP0, MAX_BPR
from armvcpu.arch.gic_registers import ICC_CTLR, SPURIOUS
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.arch.gic_cpu_interface import CpuInterface

REGISTERS = (
    "PMR", "IAR0", "EOIR0", "HPPIR0", "BPR0", "AP0R0", "AP1R0", "DIR", "RPR", "SGI1R", "ASGI1R", "SGI0R", "IAR1",
    "EOIR1", "HPPIR1", "BPR1", "CTLR", "SRE", "IGRPEN0", "IGRPEN1",
)  # fmt: skip
"""ICC_<name>_EL1, in the order of their encodings."""
ENCODINGS = {by_name[f"ICC_{name}_EL1"].encoding: name for name in REGISTERS}
PMR, SRE_EL2 = by_name["ICC_PMR_EL1"].encoding, by_name["ICC_SRE_EL2"].encoding
SRE = 0x7
"""SRE, DFB, DIB: RAO/WI, there is no memory-mapped interface to go back to."""
_INTID_MASK = 0xFF_FFFF


class IccRegisters:
    """The registers of one interface: read_NAME for those that can be read, write_NAME for those that can be written.

    `send_sgi` gets the 64 bits of a write to ICC_SGI1R_EL1, ICC_ASGI1R_EL1 or ICC_SGI0R_EL1, and the bitmap of the
    groups one of which an SGI must be in to be sent. `fixed` are the fields of ICC_CTLR_EL1 that are read-only.
    """

    def __init__(self, interface: CpuInterface, send_sgi: Callable[[int, int], None], fixed: ICC_CTLR) -> None:
        self._interface, self._send_sgi, self._fixed = interface, send_sgi, fixed

    def rows(self) -> Iterator[tuple[int, Callable[[], int] | None, Callable[[int], None] | None]]:
        """Each register's packed encoding, with who answers MRS and who MSR; None where it is UNDEFINED."""
        for encoding, name in ENCODINGS.items():
            yield encoding, getattr(self, f"read_{name}", None), getattr(self, f"write_{name}", None)

    # --- acknowledge and end, by group

    def read_IAR0(self) -> int:
        """Acknowledge an interrupt of Group 0."""
        interface = self._interface
        return interface.acknowledge() if interface.signalled and not interface.hppi_group else SPURIOUS

    def read_IAR1(self) -> int:
        """Acknowledge an interrupt of Group 1."""
        interface = self._interface
        return interface.acknowledge() if interface.signalled and interface.hppi_group else SPURIOUS

    def read_HPPIR0(self) -> int:
        """The highest priority pending interrupt if it is of Group 0, whatever the priority mask says."""
        return SPURIOUS if self._interface.hppi_group else self._interface.hppi

    def read_HPPIR1(self) -> int:
        """The same for Group 1."""
        return self._interface.hppi if self._interface.hppi_group else SPURIOUS

    def read_RPR(self) -> int:
        """The running priority."""
        return self._interface.running_priority

    def write_EOIR0(self, value: int) -> None:
        """End an interrupt of Group 0."""
        self._interface.end_of_interrupt(value & _INTID_MASK, 0)

    def write_EOIR1(self, value: int) -> None:
        """End an interrupt of Group 1."""
        self._interface.end_of_interrupt(value & _INTID_MASK, 1)

    def write_DIR(self, value: int) -> None:
        """Deactivate an interrupt, with EOImode 1."""
        self._interface.deactivate(value & _INTID_MASK)

    # --- control

    def read_PMR(self) -> int:
        """The priority mask."""
        return self._interface.pmr

    def write_PMR(self, value: int) -> None:
        """Set the priority mask."""
        self._interface.set_pmr(value)

    def read_BPR0(self) -> int:
        """The binary point of Group 0."""
        return self._interface.bpr0

    def write_BPR0(self, value: int) -> None:
        """Set the binary point of Group 0."""
        self._interface.set_bpr(0, value)

    def read_BPR1(self) -> int:
        """The binary point of Group 1; with CBPR it shows ICC_BPR0_EL1 plus one (12.2, ICC_CTLR_EL1.CBPR)."""
        interface = self._interface
        return min(interface.bpr0 + 1, MAX_BPR) if interface.cbpr else interface.bpr1

    def write_BPR1(self, value: int) -> None:
        """Set the binary point of Group 1; ignored with CBPR."""
        if not self._interface.cbpr:
            self._interface.set_bpr(1, value)

    def read_AP0R0(self) -> int:
        """The active priorities of Group 0."""
        return self._interface.apr0

    def write_AP0R0(self, value: int) -> None:
        """Set the active priorities of Group 0."""
        self._interface.set_apr(0, value)

    def read_AP1R0(self) -> int:
        """The active priorities of Group 1."""
        return self._interface.apr1

    def write_AP1R0(self, value: int) -> None:
        """Set the active priorities of Group 1."""
        self._interface.set_apr(1, value)

    def read_CTLR(self) -> int:
        """Modes, and what is implemented."""
        return int(self._fixed.replace(CBPR=self._interface.cbpr, EOImode=self._interface.eoi_mode))

    def write_CTLR(self, value: int) -> None:
        """Set the modes."""
        written = ICC_CTLR(value)
        self._interface.set_modes(written.CBPR, written.EOImode)

    def read_SRE(self) -> int:
        """System registers are what there is."""
        return SRE

    def write_SRE(self, value: int) -> None:
        """Ignored."""

    def read_IGRPEN0(self) -> int:
        """Is Group 0 enabled?"""
        return self._interface.enabled_groups & 1

    def write_IGRPEN0(self, value: int) -> None:
        """Enable Group 0."""
        self._interface.enable(0, value)

    def read_IGRPEN1(self) -> int:
        """Is Group 1 enabled?"""
        return self._interface.enabled_groups >> 1

    def write_IGRPEN1(self, value: int) -> None:
        """Enable Group 1."""
        self._interface.enable(1, value)

    # --- SGIs
    # With GICD_CTLR.DS = 1 ICC_SGI1R_EL1 reaches targets whatever the group that they give the SGI, ICC_SGI0R_EL1 those
    # that have it in Group 0, and so does ICC_ASGI1R_EL1, because there is no other Security state.

    def write_SGI1R(self, value: int) -> None:
        """Send an SGI."""
        self._send_sgi(value, BOTH_GROUPS)

    def write_ASGI1R(self, value: int) -> None:
        """Send one that its targets have in Group 0."""
        self._send_sgi(value, GROUP0)

    def write_SGI0R(self, value: int) -> None:
        """Send one that its targets have in Group 0."""
        self._send_sgi(value, GROUP0)
