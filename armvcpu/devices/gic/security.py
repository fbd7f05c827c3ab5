"""What a Non-secure access sees of a GIC with two Security states: IHI 0069 4.6 and 12.9, IHI 0048 3.5.

An interrupt is Non-secure when it is in (Non-secure) Group 1, else it is Secure. A Non-secure access

    IGROUPR, IGRPMODR, NSACR        reads zero and writes nothing, of any interrupt
    ISENABLER, ICFGR, ...           does so for the fields of Secure interrupts
    ISPENDR, ICPENDR, ISACTIVER     too, unless GICD_NSACR opens the interrupt that far
    IPRIORITYR                      has the lower half of the priorities: 0x80 to 0xFF, shown as 0x00 to 0xFE
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.device import Fields
    from armvcpu.devices.gic.state import InterruptBank

NONSECURE_BIT = 0x80
"""Set in every priority that a Non-secure access can give."""


class Security:
    """The two Security states of one GIC. `access_is_secure` says of the access under way whose it is."""

    def __init__(self, access_is_secure: Callable[[], bool]) -> None:
        self.access_is_secure = access_is_secure
        self.is_disabled = False
        """GICD_CTLR.DS: all accesses are like Secure ones."""

    def restricts(self) -> bool:
        """Is the access under way Non-secure, where that makes a difference?"""
        return not self.is_disabled and not self.access_is_secure()


def nonsecure_priority(priority: int) -> int:
    """A priority of 8 bits as Non-secure software sees it; a Secure one (bit 7 clear) is as urgent as can be."""
    return priority << 1 & 0xFF if priority & NONSECURE_BIT else 0


def physical_priority(priority: int) -> int:
    """The priority that Non-secure software means."""
    return NONSECURE_BIT | priority >> 1 & 0x7F


def nonsecure_read(fields: Fields, bank: InterruptBank, first: int, count: int) -> int:
    """The fields of `count` interrupts from INTID `first` on, the first one lowest."""
    if fields.opened is None:
        return 0
    value = fields.read(bank, first, count) & _seen(fields, bank, first, count, fields.opened[0])
    return (value & _lanes(0x7F, count)) << 1 if fields.is_priority else value


def nonsecure_write(fields: Fields, bank: InterruptBank, first: int, count: int, value: int) -> None:
    """Set those of them that are open to a Non-secure write."""
    if fields.opened is None:
        return
    seen = _seen(fields, bank, first, count, fields.opened[1])
    if fields.is_priority:
        value = value >> 1 & _lanes(0x7F, count) | _lanes(NONSECURE_BIT, count)
    # One bit is written one to change something. Of wider fields the others are written as they are.
    keeps = fields.bits > 1 and not fields.is_command
    kept = fields.read(bank, first, count) & ~seen if keeps else 0
    fields.write(bank, first, count, value & seen | kept)


def _lanes(byte: int, count: int) -> int:
    return int.from_bytes(bytes([byte]) * count, "little")


def _seen(fields: Fields, bank: InterruptBank, first: int, count: int, opened: int) -> int:
    """Every bit of the fields that a Non-secure access reaches, where GICD_NSACR opens from the value `opened` on."""
    interrupts = (bank.group1 | bank.opened_to_nonsecure(opened)) >> first
    if fields.bits == 1:
        return interrupts & (1 << count) - 1
    field = (1 << fields.bits) - 1
    return sum(field << fields.bits * n for n in range(count) if interrupts >> n & 1)
