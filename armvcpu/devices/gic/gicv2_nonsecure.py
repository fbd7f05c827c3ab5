"""What Non-secure accesses see of the Distributor of a GICv2 with Security Extensions. IHI 0048 4.3 and 3.8.

Of interrupts in Group 0 it sees and changes nothing, or what GICD_NSACR lets it; those of Group 1 have the less urgent
half of the priorities, which it sees as all of them. Everything else is what Secure accesses see, so this is a filter
before their device.
"""

from __future__ import annotations

from armvcpu.arch.gic_registers import GICD_CTLR
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.device import Device, Register

if TYPE_CHECKING:
    from armvcpu.devices.gic.gicv2_secure import SecureDistributor

_NEVER = 4
_IDENTIFICATION = 0xFD0
_EVERY_LOW_BIT, _EVERY_HIGH_BIT = 0x7F7F_7F7F, 0x8080_8080


class Area(Row):
    """The bytes of registers with a field of `bits` bits for each interrupt, from INTID 0 on.

    `read` and `write` are the least NS_access with which those of Group 0 may be read and written. `keeps` says that a
    write gives the fields new values; else its ones set or clear.
    """

    offsets: range
    bits: int
    keeps: bool = False
    read: int = _NEVER
    write: int = _NEVER


PRIORITIES = Area(range(0x400, 0x800), 8, keeps=True)  # GICD_IPRIORITYR
AREAS = (
    Area(range(0x100, 0x180), 1),  # GICD_ISENABLER
    Area(range(0x180, 0x200), 1),  # GICD_ICENABLER
    Area(range(0x200, 0x280), 1, read=1, write=1),  # GICD_ISPENDR
    Area(range(0x280, 0x300), 1, read=2, write=2),  # GICD_ICPENDR
    Area(range(0x300, 0x380), 1, read=2),  # GICD_ISACTIVER
    Area(range(0x380, 0x400), 1, read=2),  # GICD_ICACTIVER
    PRIORITIES,
    Area(range(0x800, 0xC00), 8, keeps=True, read=3, write=3),  # GICD_ITARGETSR
    Area(range(0xC00, 0xD00), 2, keeps=True),  # GICD_ICFGR
    Area(range(0xF10, 0xF20), 8),  # GICD_CPENDSGIR
    Area(range(0xF20, 0xF30), 8),  # GICD_SPENDSGIR
)


class NonsecureDistributor(Device):
    """GICD before `secure`, the device that has the interrupts."""

    size = 0x1_0000

    GICD_CTLR = Register(0x000, mask=1)
    GICD_TYPER = Register(0x004, ro=True)
    GICD_IIDR = Register(0x008, ro=True)
    GICD_SGIR = Register(0xF00, wo=True)

    def __init__(self, secure: SecureDistributor) -> None:
        self._secure = secure
        super().__init__()

    def read_GICD_CTLR(self) -> int:
        """Is Group 1 forwarded? An alias of EnableGrp1 (4.3.1)."""
        return GICD_CTLR(self._secure.GICD_CTLR).EnableGrp1

    def write_GICD_CTLR(self, value: int) -> None:
        """Forward it, or don't."""
        self._secure.write_GICD_CTLR(GICD_CTLR(self._secure.GICD_CTLR).replace(EnableGrp1=value))

    def read_GICD_TYPER(self) -> int:
        """As a Secure access has it."""
        return self._secure.read_GICD_TYPER()

    def read_GICD_IIDR(self) -> int:
        """As a Secure access has it."""
        return self._secure.GICD_IIDR

    def write_GICD_SGIR(self, value: int) -> None:
        """Send an SGI; NSATT is not looked at."""
        self._secure.send_nonsecure_sgi(value)

    def unclaimed_read(self, offset: int, width: int) -> int:
        """Fields of interrupts, those that are shown; and what identifies the GIC."""
        if offset >= _IDENTIFICATION:
            return self._secure.read(offset, width)
        if width > 4:
            return self.read(offset, 4) | self.read(offset + 4, 4) << 32
        area = _area(offset, width)
        if area is None:
            return 0
        value = self._secure.read(offset, width)
        if area is PRIORITIES:
            value = (value & _EVERY_LOW_BIT) << 1
        return value & self._shown(area, offset, width, area.read)

    def unclaimed_write(self, offset: int, width: int, value: int) -> None:
        """Change the fields of interrupts that may be changed."""
        if width > 4:
            self.write(offset, 4, value & 0xFFFF_FFFF)
            self.write(offset + 4, 4, value >> 32)
            return
        area = _area(offset, width)
        if area is None:
            return
        shown = self._shown(area, offset, width, area.write)
        if area is PRIORITIES:
            value = value >> 1 & _EVERY_LOW_BIT | _EVERY_HIGH_BIT
        value &= shown
        if area.keeps:
            value |= self._secure.read(offset, width) & ~shown
        self._secure.write(offset, width, value)

    def _shown(self, area: Area, offset: int, width: int, level: int) -> int:
        """A mask of the fields, within `width` bytes, of interrupts of Group 1 and those with that NS_access."""
        first, count = (offset - area.offsets.start) * 8 // area.bits, 8 * width // area.bits
        group1, access = self._secure.bank(first).group1, self._secure.access(first)
        field = (1 << area.bits) - 1
        return sum(
            field << area.bits * n
            for n in range(count)
            if group1 >> first + n & 1 or access.allows(first + n, level)
        )  # fmt: skip


def _area(offset: int, width: int) -> Area | None:
    """Which one an aligned access is to."""
    return next((area for area in AREAS if offset in area.offsets and not offset % width), None)
