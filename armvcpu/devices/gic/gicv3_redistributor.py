"""The GICv3 Redistributor of one CPU, IHI 0069 12.11: its SGIs and PPIs. Two frames of 64 KiB, without LPIs."""

from __future__ import annotations

from armvcpu.arch.gic_registers import ALL_SGIS, FIRST_SPI, GICR_TYPER, GICR_WAKER, IMPLEMENTER
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Register
from armvcpu.devices.gic import device as fields
from armvcpu.devices.gic.device import GicDevice, InterruptRegisters
from armvcpu.devices.gic.state import InterruptBank

if TYPE_CHECKING:
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.devices.gic.security import Security

SGI_BASE = 0x1_0000
_PRIVATE = FIRST_SPI
_ASLEEP = GICR_WAKER.of(ProcessorSleep=1, ChildrenAsleep=1)


class Redistributor(GicDevice):
    """GICR of the CPU with this index; RD_base, and SGI_base 64 KiB above it.

    GICR_WAKER only decides who takes part in 1 of N routing: while a CPU is marked asleep its interrupts still reach
    it, as software for the `virt` board relies on. The architecture leaves it UNPREDICTABLE.
    """

    size = 0x2_0000

    GICR_CTLR = Register(0x0000, ro=True)
    GICR_IIDR = Register(0x0004, ro=True, reset=IMPLEMENTER)
    GICR_TYPER = Register(0x0008, ro=True, width=8)
    GICR_WAKER = Register(0x0014, reset=_ASLEEP, mask=GICR_WAKER.of(ProcessorSleep=1))
    GICR_PIDR4 = Register(0xFFD0, ro=True, reset=0x44)
    GICR_PIDR0 = Register(0xFFE0, ro=True, reset=0x93)
    GICR_PIDR1 = Register(0xFFE4, ro=True, reset=0xB4)
    GICR_PIDR2 = Register(0xFFE8, ro=True, reset=0x3B)
    GICR_CIDR0 = Register(0xFFF0, ro=True, reset=0x0D)
    GICR_CIDR1 = Register(0xFFF4, ro=True, reset=0xF0)
    GICR_CIDR2 = Register(0xFFF8, ro=True, reset=0x05)
    GICR_CIDR3 = Register(0xFFFC, ro=True, reset=0xB1)

    GICR_IGROUPR = InterruptRegisters(SGI_BASE + 0x080, fields.IGROUPR, _PRIVATE)
    GICR_ISENABLER = InterruptRegisters(SGI_BASE + 0x100, fields.ISENABLER, _PRIVATE)
    GICR_ICENABLER = InterruptRegisters(SGI_BASE + 0x180, fields.ICENABLER, _PRIVATE)
    GICR_ISPENDR = InterruptRegisters(SGI_BASE + 0x200, fields.ISPENDR, _PRIVATE)
    GICR_ICPENDR = InterruptRegisters(SGI_BASE + 0x280, fields.ICPENDR, _PRIVATE)
    GICR_ISACTIVER = InterruptRegisters(SGI_BASE + 0x300, fields.ISACTIVER, _PRIVATE)
    GICR_ICACTIVER = InterruptRegisters(SGI_BASE + 0x380, fields.ICACTIVER, _PRIVATE)
    GICR_IPRIORITYR = InterruptRegisters(SGI_BASE + 0x400, fields.IPRIORITYR, _PRIVATE)
    GICR_ICFGR = InterruptRegisters(SGI_BASE + 0xC00, fields.ICFGR, _PRIVATE)

    def __init__(self, gic: Gicv3, cpu: int, security: Security | None = None) -> None:
        self._gic, self._cpu = gic, cpu
        self._interface = gic.interfaces[cpu]
        super().__init__(security)

    def reset(self) -> None:
        """The CPU is asleep and none of its private interrupts enabled."""
        super().reset()
        self._interface.private.reset()
        self.changed()

    def bank(self, intid: int) -> InterruptBank:
        """Of the CPU's private interrupts."""
        del intid
        return self._interface.private

    def changed(self) -> None:
        """No other CPU is concerned."""
        self._interface.update()

    @property
    def is_awake(self) -> bool:
        """Is the CPU's interface in use, by what software says?"""
        return not self.GICR_WAKER

    def read_GICR_TYPER(self) -> int:
        """Whose Redistributor this is, and whether another one follows."""
        is_last = self._cpu == len(self._gic.interfaces) - 1
        return GICR_TYPER.of(Last=is_last, Processor_Number=self._cpu, Affinity_Value=self._interface.affinity)

    def write_GICR_WAKER(self, value: int) -> None:
        """ChildrenAsleep follows ProcessorSleep at once."""
        self.GICR_WAKER = _ASLEEP if value else 0
        self._gic.participation_changed()

    def state(self) -> dict[str, Any]:
        """The registers, and the private interrupts."""
        return {**super().state(), "private": self._interface.private.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave; the CPU's lines follow."""
        super().load_state(state)
        self._interface.private.load_state(state["private"])
        self._gic.participation_changed()
        self.changed()


def private_interrupts() -> InterruptBank:
    """The SGIs and PPIs of one CPU; SGIs are always edge-triggered (GICR_ICFGR0)."""
    return InterruptBank(range(FIRST_SPI), always_edge=ALL_SGIS)
