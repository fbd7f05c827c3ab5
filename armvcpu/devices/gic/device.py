"""The registers that have one field per interrupt: the same set in GICv2's GICD, GICv3's GICD and each GICR.

IHI 0069 12.9 and 12.11, IHI 0048 4.3. A row says where such an array stands and which `Fields` it shows; an access of
any width then reaches exactly the interrupts whose fields it covers, so that a byte written to GICD_ICENABLER clears
eight enables and no more.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Device, Register

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.security import Security
    from armvcpu.devices.gic.state import InterruptBank

MAX_INTIDS = 1024
NEVER = 4
"""More than any value of GICD_NSACR."""


class Fields(Row):
    """A field of `bits` bits for each interrupt.

    `read(bank, first, count)` gives the fields of `count` interrupts from INTID `first` on, the first one lowest;
    `write(bank, first, count, value)` sets them.

    `opened` has the values of GICD_NSACR from which on a Non-secure read, and a write, reaches the field of a Secure
    interrupt; None where it reaches none at all. A one that is written to an `is_command` field does something, a zero
    nothing, as with every field of one bit.
    """

    bits: int
    read: Callable[[InterruptBank, int, int], int]
    write: Callable[[InterruptBank, int, int, int], None]
    opened: tuple[int, int] | None = (NEVER, NEVER)
    is_priority: bool = False
    is_command: bool = False


class InterruptRegisters(Register[list[int]]):
    """An array of 32-bit registers with the fields of `intids` interrupts, from INTID 0 on."""

    def __init__(self, offset: int, fields: Fields, intids: int = MAX_INTIDS) -> None:
        super().__init__(offset, count=intids * fields.bits // 32)
        self.fields = fields

    def reset_value(self) -> list[int]:
        """Nothing is stored here: the state is that of the interrupts."""
        return []


class GicDevice(Device):
    """A device with `InterruptRegisters`; subclasses say whose interrupts they show."""

    def __init__(self, security: Security | None = None) -> None:
        """`security` is that of a GIC with two Security states."""
        self.security = security
        super().__init__()

    def bank(self, intid: int) -> InterruptBank:
        """The bank that holds an interrupt, for who is accessing now."""
        raise NotImplementedError

    def changed(self) -> None:
        """Interrupts were written."""
        raise NotImplementedError

    def _bind_reader(self, register: Register[Any], index: int, shift: int, width: int) -> Callable[[], int]:
        if not isinstance(register, InterruptRegisters):
            return super()._bind_reader(register, index, shift, width)
        fields, security = register.fields, self.security
        read, (first, count) = fields.read, _covered(register, index, shift, width)
        if security is None:
            return lambda: read(self.bank(first), first, count)
        from armvcpu.devices.gic.security import nonsecure_read  # most machines have one Security state

        def reader() -> int:
            return (nonsecure_read if security.restricts() else _as_it_is)(fields, self.bank(first), first, count)

        return reader

    def _bind_writer(self, register: Register[Any], index: int, shift: int, width: int) -> Callable[[int], None]:
        if not isinstance(register, InterruptRegisters):
            return super()._bind_writer(register, index, shift, width)
        fields, security = register.fields, self.security
        write, (first, count) = fields.write, _covered(register, index, shift, width)
        if security is None:

            def writer(value: int) -> None:
                write(self.bank(first), first, count, value)
                self.changed()

            return writer
        from armvcpu.devices.gic.security import nonsecure_write  # as above

        def writer_of_two_states(value: int) -> None:
            if security.restricts():
                nonsecure_write(fields, self.bank(first), first, count, value)
            else:
                write(self.bank(first), first, count, value)
            self.changed()

        return writer_of_two_states


def _as_it_is(fields: Fields, bank: InterruptBank, first: int, count: int) -> int:
    return fields.read(bank, first, count)


def _covered(register: InterruptRegisters, index: int, shift: int, width: int) -> tuple[int, int]:
    """The first interrupt, and how many, whose fields lie in `width` bytes at bit `shift` of one element."""
    bits = register.fields.bits
    return (32 * index + shift) // bits, 8 * width // bits


def bitmap_fields(
    attribute: str,
    put: Callable[[InterruptBank, int, int], None],
    opened: tuple[int, int] | None = (NEVER, NEVER),
) -> Fields:
    """One bit per interrupt: reads show a bitmap of the bank; `put(bank, interrupts covered, those written one)`."""

    def read(bank: InterruptBank, first: int, count: int) -> int:
        return int(getattr(bank, attribute)) >> first & (1 << count) - 1

    def write(bank: InterruptBank, first: int, count: int, value: int) -> None:
        covered = (1 << count) - 1 << first & bank.valid
        put(bank, covered, value << first & covered)
        bank.settle()

    return Fields(1, read, write, opened)


def _set_group(bank: InterruptBank, covered: int, ones: int) -> None:
    bank.group1 = bank.group1 & ~covered | ones


def _enable(bank: InterruptBank, _covered: int, ones: int) -> None:
    bank.enabled |= ones


def _disable(bank: InterruptBank, _covered: int, ones: int) -> None:
    bank.enabled &= ~ones | bank.always_enabled


def _set_pending(bank: InterruptBank, _covered: int, ones: int) -> None:
    bank.set_pending(ones)


def _clear_pending(bank: InterruptBank, _covered: int, ones: int) -> None:
    bank.clear_pending(ones)


def _activate(bank: InterruptBank, _covered: int, ones: int) -> None:
    bank.active |= ones


def _deactivate(bank: InterruptBank, _covered: int, ones: int) -> None:
    bank.active &= ~ones


def _read_priorities(bank: InterruptBank, first: int, count: int) -> int:
    return int.from_bytes(bank.priorities[first : first + count], "little")


def _write_priorities(bank: InterruptBank, first: int, count: int, value: int) -> None:
    for intid, priority in enumerate(value.to_bytes(count, "little"), first):
        bank.set_priority(intid, priority)


def _read_configuration(bank: InterruptBank, first: int, count: int) -> int:
    """Int_config: 0b10 is edge-triggered, 0b00 level-sensitive."""
    return sum(2 << 2 * n for n in range(count) if bank.edge >> first + n & 1)


def _write_configuration(bank: InterruptBank, first: int, count: int, value: int) -> None:
    covered = (1 << count) - 1 << first & bank.valid & ~bank.always_edge
    edge = sum(1 << n for n in range(count) if value >> 2 * n & 2)
    bank.edge = bank.edge & ~covered | edge << first & covered
    bank.settle()


IGROUPR = bitmap_fields("group1", _set_group, None)
ISENABLER = bitmap_fields("enabled", _enable)
ICENABLER = bitmap_fields("enabled", _disable)
ISPENDR = bitmap_fields("pending", _set_pending, (1, 1))
ICPENDR = bitmap_fields("pending", _clear_pending, (2, 2))
ISACTIVER = bitmap_fields("active", _activate, (2, NEVER))
ICACTIVER = bitmap_fields("active", _deactivate, (2, NEVER))
IPRIORITYR = Fields(8, _read_priorities, _write_priorities, is_priority=True)
ICFGR = Fields(2, _read_configuration, _write_configuration)
