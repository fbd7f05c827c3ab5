"""What a Non-secure access sees of the registers with a field for each interrupt. IHI 0069 12.9, IHI 0048 4.3."""

from __future__ import annotations

import pytest
from gic_guest import ICACTIVER, ICENABLER, ICFGR, ICPENDR, IGROUPR, IPRIORITYR, ISACTIVER, ISENABLER, ISPENDR

from armvcpu.devices.gic import device as fields
from armvcpu.devices.gic.device import GicDevice, InterruptRegisters
from armvcpu.devices.gic.security import Security, nonsecure_priority, physical_priority
from armvcpu.devices.gic.state import InterruptBank

SECURE, NONSECURE = 40, 41


class OpenBank(InterruptBank):
    """Interrupts of which GICD_NSACR opens all as far as `nsacr`."""

    nsacr = 0

    def opened_to_nonsecure(self, access: int) -> int:
        return self.valid if self.nsacr >= access else 0


class Registers(GicDevice):
    """Those of SPIs, of which one is Secure and one is not."""

    IGROUPR = InterruptRegisters(IGROUPR, fields.IGROUPR)
    ISENABLER = InterruptRegisters(ISENABLER, fields.ISENABLER)
    ICENABLER = InterruptRegisters(ICENABLER, fields.ICENABLER)
    ISPENDR = InterruptRegisters(ISPENDR, fields.ISPENDR)
    ICPENDR = InterruptRegisters(ICPENDR, fields.ICPENDR)
    ISACTIVER = InterruptRegisters(ISACTIVER, fields.ISACTIVER)
    ICACTIVER = InterruptRegisters(ICACTIVER, fields.ICACTIVER)
    IPRIORITYR = InterruptRegisters(IPRIORITYR, fields.IPRIORITYR)
    ICFGR = InterruptRegisters(ICFGR, fields.ICFGR)

    def __init__(self) -> None:
        self.is_secure = False
        self.spis = OpenBank(range(32, 64))
        self.spis.group1 = 1 << NONSECURE
        super().__init__(Security(lambda: self.is_secure))

    def bank(self, intid: int) -> InterruptBank:
        return self.spis

    def changed(self) -> None:
        pass

    def byte(self, register: int) -> int:
        """The byte with the bits of both, of one-bit fields."""
        return self.read(register + SECURE // 8, 1)

    def set(self, register: int, value: int) -> None:
        self.write(register + SECURE // 8, 1, value)


@pytest.fixture
def device() -> Registers:
    return Registers()


@pytest.mark.parametrize("is_secure", [True, False])
def test_groups_are_hidden(device: Registers, is_secure: bool) -> None:
    """GICD_IGROUPR is RAZ/WI to Non-secure accesses."""
    device.is_secure = is_secure
    assert device.byte(IGROUPR) == (0b10 if is_secure else 0)
    device.set(IGROUPR, 0b11)
    assert device.spis.group1 >> SECURE == (0b11 if is_secure else 0b10)


@pytest.mark.parametrize(("put", "clear"), [(ISENABLER, ICENABLER), (ISPENDR, ICPENDR), (ISACTIVER, ICACTIVER)])
def test_bits_of_secure_interrupts_are_raz_wi(device: Registers, put: int, clear: int) -> None:
    """Set and clear reach the Non-secure one only, and reads show only it."""
    device.set(put, 0b11)
    device.is_secure = True
    assert device.byte(put) == 0b10
    device.set(put, 0b01)
    device.is_secure = False
    assert (device.byte(put), device.byte(clear)) == (0b10, 0b10)
    device.set(clear, 0b11)
    device.is_secure = True
    assert device.byte(put) == 0b01


@pytest.mark.parametrize(
    ("register", "nsacr", "opens"),
    [(ISPENDR, 1, True), (ICPENDR, 1, False), (ICPENDR, 2, True), (ISACTIVER, 1, False), (ISACTIVER, 2, True),
     (ISENABLER, 3, False)],
)  # fmt: skip
def test_nsacr_opens_reads_of_secure_interrupts(device: Registers, register: int, nsacr: int, opens: bool) -> None:
    """1 opens set-pending, 2 clear-pending and reads of what is active, none of them the enables."""
    device.spis.nsacr = nsacr
    device.spis.latched = device.spis.active = device.spis.enabled = 1 << SECURE
    assert device.byte(register) == opens


def test_nsacr_opens_writes_of_pending_bits_only(device: Registers) -> None:
    """With 2 Non-secure software makes a Secure interrupt pending and takes it back, and can't make it active."""
    device.spis.nsacr = 2
    device.set(ISPENDR, 1)
    assert device.spis.latched == 1 << SECURE
    device.set(ICPENDR, 1)
    device.set(ISACTIVER, 1)
    assert (device.spis.latched, device.spis.active) == (0, 0)


def test_priorities_are_shifted(device: Registers) -> None:
    """Non-secure software gives 0x80 to 0xFF and sees them as 0x00 to 0xFE; a Secure one's is RAZ/WI."""
    device.spis.set_priority(SECURE, 0x50)
    device.write(IPRIORITYR + SECURE, 4, 0x6060_6060)
    assert list(device.spis.priorities[SECURE : SECURE + 2]) == [0x50, 0xB0]
    assert device.read(IPRIORITYR + SECURE, 4) == 0x6000
    device.write(IPRIORITYR + NONSECURE, 1, 0xFF)
    assert (device.spis.priorities[NONSECURE], device.read(IPRIORITYR + NONSECURE, 1)) == (0xF8, 0xF0)
    device.is_secure = True
    assert device.read(IPRIORITYR + SECURE, 2) == 0xF850


def test_triggers_of_others_stay(device: Registers) -> None:
    """A write of GICD_ICFGR changes the Non-secure interrupt's trigger, and no Secure one's."""
    device.spis.edge = 1 << SECURE
    device.write(ICFGR + SECURE // 4, 1, 0b1000)
    assert device.spis.edge == 0b11 << SECURE
    assert device.read(ICFGR + SECURE // 4, 1) == 0b1000


def test_one_state_hides_nothing(device: Registers) -> None:
    """GICD_CTLR.DS = 1: a Non-secure access is like a Secure one."""
    assert device.security is not None
    device.security.is_disabled = True
    device.set(ISENABLER, 0b11)
    assert (device.byte(ISENABLER), device.byte(IGROUPR)) == (0b11, 0b10)


@pytest.mark.parametrize(("physical", "seen"), [(0x00, 0), (0x78, 0), (0x80, 0), (0xC0, 0x80), (0xF8, 0xF0)])
def test_priority_views(physical: int, seen: int) -> None:
    """4.8.6, the Non-secure view of a priority; what is seen of the lower half means the same again."""
    assert nonsecure_priority(physical) == seen
    if physical >= 0x80:
        assert physical_priority(seen) == physical
