"""GICv2 with the Security Extensions: what Secure and Non-secure software see and may do. IHI 0048 3.5, 4.3, 4.4."""

from __future__ import annotations

import pytest
from gic_guest import (
    ABPR,
    AEOIR,
    AHPPIR,
    AIAR,
    BPR,
    CTLR,
    DIR,
    EOIR,
    HPPIR,
    IAR,
    ICACTIVER,
    ICENABLER,
    ICFGR,
    ICPENDR,
    IGROUPR,
    IPRIORITYR,
    ISACTIVER,
    ISENABLER,
    ISPENDR,
    ITARGETSR,
    PMR,
    RPR,
    V2,
)

SPURIOUS, OTHER_GROUP, IDLE = 1023, 1022, 0xFF
TYPER, IIDR, NSACR, SGIR, CPENDSGIR, SPENDSGIR, PIDR2 = 0x4, 0x8, 0xE00, 0xF00, 0xF10, 0xF20, 0xFE8
APR0, NSAPR0 = 0xD0, 0xE0
ENABLE_BOTH, ACK_CTL, FIQ_EN, CBPR, EOI_MODE_S, EOI_MODE_NS = 3, 4, 8, 16, 1 << 9, 1 << 10
NS_ENABLE, NS_EOI_MODE = 1, 1 << 9
SECURE_SPI, NONSECURE_SPI = 40, 41
NSATT = 1 << 15
SECURE_PRIORITY, NONSECURE_PRIORITY = 0x50, 0xA0


class Secure(V2):
    """SPI 40 is Secure, 41 is not, SGI 3 is Secure and SGI 9 is not, PPI 27 is Secure and 30 is not."""

    def __init__(self, cpus: int = 1, ctlr: int = ENABLE_BOTH) -> None:
        super().__init__(cpus, el=3)
        for cpu in range(cpus):
            self.on(cpu)
            self.set(CTLR, ctlr)
            for intid in (3, 27):
                self.configure(intid, priority=SECURE_PRIORITY)
            for intid in (9, 30):
                self.configure(intid, group=1, priority=NONSECURE_PRIORITY)
        self.on(0)
        self.configure(SECURE_SPI, priority=SECURE_PRIORITY)
        self.configure(NONSECURE_SPI, group=1, priority=NONSECURE_PRIORITY)

    def ns(self) -> Secure:
        """The accesses from now on are Non-secure ones."""
        self.secure = False
        return self

    def s(self) -> Secure:
        """They are Secure ones."""
        self.secure = True
        return self

    def pend(self, intid: int) -> None:
        self.gic.set_spi(intid - 32, True)

    def byte(self, register: int) -> int:
        """The byte with the bits of both SPIs: Secure 1, Non-secure 2."""
        return self.gicd.read(register + 5, 1)

    def set_byte(self, register: int, value: int) -> None:
        self.gicd.write(register + 5, 1, value)


@pytest.fixture
def gic() -> Secure:
    return Secure()


# --- GICD


def test_what_the_distributor_says(gic: Secure) -> None:
    """GICD_TYPER.SecurityExtn, in both states; identification is the same (4.3.2)."""
    assert [gic.s().gicd.read(TYPER, 4), gic.ns().gicd.read(TYPER, 4)] == [0x403, 0x403]
    for offset in (IIDR, PIDR2, 0xFFC):
        assert gic.ns().gicd.read(offset, 4) == gic.s().gicd.read(offset, 4) != 0
    assert not V2().gicd.read(TYPER, 4) & 0x400


@pytest.mark.parametrize(("secure", "seen"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_the_enable_is_banked(gic: Secure, secure: int, seen: int) -> None:
    """The Non-secure GICD_CTLR is an alias of EnableGrp1, and leaves EnableGrp0 (4.3.1)."""
    gic.gicd.write(CTLR, 4, secure)
    assert gic.ns().gicd.read(CTLR, 4) == seen
    gic.gicd.write(CTLR, 4, 0xFFFF_FFFF)
    assert gic.s().gicd.read(CTLR, 4) == secure | 2
    gic.ns().gicd.write(CTLR, 4, 2)
    assert gic.s().gicd.read(CTLR, 4) == secure & 1


def test_groups_are_secure_softwares(gic: Secure) -> None:
    """GICD_IGROUPR and GICD_NSACR are RAZ/WI to Non-secure accesses (4.3.4, 4.3.18)."""
    gic.gicd.write(NSACR + 8, 4, 0x1234)
    gic.ns()
    assert (gic.byte(IGROUPR), gic.gicd.read(NSACR + 8, 4)) == (0, 0)
    gic.set_byte(IGROUPR, 0xFF)
    gic.gicd.write(NSACR + 8, 4, 0)
    gic.s()
    assert (gic.byte(IGROUPR), gic.gicd.read(NSACR + 8, 4)) == (2, 0x1234)


@pytest.mark.parametrize(("put", "clear"), [(ISENABLER, ICENABLER), (ISPENDR, ICPENDR), (ISACTIVER, ICACTIVER)])
def test_bits_of_secure_interrupts(gic: Secure, put: int, clear: int) -> None:
    """RAZ/WI to Non-secure accesses: neither set nor cleared, and not shown."""
    gic.set_byte(clear, 3)
    gic.ns().set_byte(put, 3)
    assert (gic.byte(put) & 3, gic.s().byte(put) & 3) == (2, 2)
    gic.set_byte(put, 3)
    assert (gic.ns().byte(put) & 3, gic.byte(clear) & 3) == (2, 2)
    gic.set_byte(clear, 3)
    assert gic.s().byte(put) & 3 == 1


def test_private_interrupts_are_filtered_for_each_cpu() -> None:
    """A CPU's own groups say what its Non-secure accesses see."""
    gic = Secure(2)
    gic.on(1).configure(27, group=1)
    assert [gic.on(cpu).ns().gicd.read(ISENABLER, 4) for cpu in (0, 1)] == [
        1 << 30 | 1 << 9,
        1 << 30 | 1 << 27 | 1 << 9,
    ]


def test_priorities(gic: Secure) -> None:
    """Non-secure software has the lower half of them, shown as all (3.5.4); those of Secure interrupts are RAZ/WI."""
    gic.ns().gicd.write(IPRIORITYR + SECURE_SPI, 4, 0x6060_6060)
    assert gic.gicd.read(IPRIORITYR + SECURE_SPI, 2) == 0x6000
    assert gic.s().gicd.read(IPRIORITYR + SECURE_SPI, 2) == 0xB000 | SECURE_PRIORITY


def test_triggers(gic: Secure) -> None:
    """The fields of Secure interrupts in GICD_ICFGR stay."""
    gic.gicd.write(ICFGR + 10, 1, 0b0010)
    gic.ns().gicd.write(ICFGR + 10, 1, 0b1000)
    assert (gic.gicd.read(ICFGR + 10, 1), gic.s().gicd.read(ICFGR + 10, 1)) == (0b1000, 0b1010)


def test_targets() -> None:
    """Those of Secure interrupts are RAZ/WI, by byte and by word; also of private ones."""
    gic = Secure(2)
    gic.ns().gicd.write(ITARGETSR + SECURE_SPI, 4, 0x0101_0101)
    assert (gic.gicd.read(ITARGETSR + SECURE_SPI, 4), gic.gicd.read(ITARGETSR + SECURE_SPI, 1)) == (0x0100, 0)
    assert gic.s().gicd.read(ITARGETSR + SECURE_SPI, 4) == 0x0303_0103
    gic.ns().gicd.write(ITARGETSR + SECURE_SPI, 1, 0)
    gic.gicd.write(ITARGETSR + NONSECURE_SPI, 1, 2)
    assert gic.s().gicd.read(ITARGETSR + SECURE_SPI, 2) == 0x0203
    assert (gic.ns().gicd.read(ITARGETSR + 24, 4), gic.gicd.read(ITARGETSR + 28, 4)) == (0, 0x0001_0000)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_how_far_nsacr_opens_an_spi(level: int) -> None:
    """1: set-pending. 2: clear-pending, and reads of what is active. 3: targets. Never enables (4.3.18)."""
    gic = Secure(2)
    gic.gicd.write(NSACR + 8, 4, level << 16)
    gic.set_byte(ISACTIVER, 1)
    gic.ns().set_byte(ISPENDR, 1)
    assert gic.s().byte(ISPENDR) == (level >= 1)
    gic.set_byte(ISPENDR, 1)
    gic.ns().set_byte(ICPENDR, 1)
    gic.set_byte(ICACTIVER, 1)
    gic.set_byte(ICENABLER, 1)
    gic.gicd.write(ITARGETSR + SECURE_SPI, 1, 2)
    seen = [gic.byte(ISACTIVER), gic.byte(ICACTIVER), gic.gicd.read(ITARGETSR + SECURE_SPI, 1)]
    assert seen == [level >= 2, level >= 2, 2 if level == 3 else 0]
    gic.s()
    assert (gic.byte(ISPENDR), gic.byte(ISACTIVER), gic.byte(ISENABLER) & 1) == (level < 2, 1, 1)


def test_nsacr_of_private_interrupts() -> None:
    """GICD_NSACR0 is Banked and GICD_NSACR1, that of PPIs, is RAZ/WI; any width reaches it."""
    gic = Secure(2)
    gic.on(1).gicd.write(NSACR, 4, 0xFFFF_FFFF)
    gic.gicd.write(NSACR + 1, 1, 0x24)
    gic.gicd.write(NSACR + 4, 4, 0xFFFF_FFFF)
    assert (gic.gicd.read(NSACR, 4), gic.gicd.read(NSACR + 4, 4)) == (0xFFFF_24FF, 0)
    assert gic.on(0).gicd.read(NSACR, 4) == 0


# --- SGIs


@pytest.mark.parametrize(
    ("secure", "sgi", "nsatt", "arrives"),
    [
        *((True, 3, 0, True), (True, 3, 1, False), (True, 9, 0, False), (True, 9, 1, True)),
        *((False, 3, 0, False), (False, 3, 1, False), (False, 9, 0, True), (False, 9, 1, True)),
    ],
)
def test_sgis_go_to_their_group(secure: bool, sgi: int, nsatt: int, arrives: bool) -> None:
    """Secure software says by NSATT which group it means, Non-secure software reaches Group 1 (4.3.15)."""
    gic = Secure(2)
    gic.secure = secure
    gic.gicd.write(SGIR, 4, 2 << 16 | nsatt * NSATT | sgi)
    assert gic.on(1).s().gicd.read(ISPENDR, 4) == arrives << sgi


def test_the_group_is_that_of_each_target() -> None:
    """One CPU has the SGI in Group 1, the other in Group 0."""
    gic = Secure(3)
    gic.on(2).configure(3, group=1)
    gic.on(0).gicd.write(SGIR, 4, 1 << 24 | NSATT | 3)
    assert [gic.on(cpu).gicd.read(ISPENDR, 4) for cpu in (1, 2)] == [0, 1 << 3]


def test_nsacr_lets_non_secure_software_send_a_secure_sgi() -> None:
    """That of the target counts, not the sender's."""
    gic = Secure(3)
    gic.on(2).gicd.write(NSACR, 4, 1 << 6)
    gic.on(0).ns().gicd.write(SGIR, 4, 6 << 16 | 3)
    assert [gic.on(cpu).s().gicd.read(ISPENDR, 4) for cpu in (1, 2)] == [0, 1 << 3]


def test_pending_sgis_of_group_0_are_hidden() -> None:
    """GICD_SPENDSGIR and GICD_CPENDSGIR: Non-secure accesses neither see nor set nor clear them (4.3.16, 4.3.17)."""
    gic = Secure()
    gic.gicd.write(SPENDSGIR, 4, 1 << 24)
    gic.gicd.write(SPENDSGIR + 8, 4, 1 << 8)
    gic.ns()
    assert (gic.gicd.read(SPENDSGIR, 4), gic.gicd.read(CPENDSGIR + 8, 4)) == (0, 1 << 8)
    gic.gicd.write(SPENDSGIR, 4, 2 << 24)
    gic.gicd.write(CPENDSGIR, 4, 0xFFFF_FFFF)
    gic.gicd.write(CPENDSGIR + 8, 4, 0xFFFF_FFFF)
    assert (gic.s().gicd.read(SPENDSGIR, 4), gic.gicd.read(SPENDSGIR + 8, 4)) == (1 << 24, 0)


# --- GICC: control


def test_registers_have_the_names_of_both_states(gic: Secure) -> None:
    """In traces and reports, whoever accesses."""
    assert [gic.s().gicc.name_of(IAR), gic.ns().gicc.name_of(AIAR)] == [".GICC_IAR", ".GICC_AIAR"]


def test_control_is_banked(gic: Secure) -> None:
    """The Non-secure GICC_CTLR has Group 1's bits of the Secure one, in other places (4.4.1)."""
    gic.set(CTLR, 0xFFFF_FFFF)
    assert (gic.get(CTLR), gic.ns().get(CTLR)) == (0x7FF, 0x261)
    gic.set(CTLR, 0)
    assert (gic.get(CTLR), gic.s().get(CTLR)) == (0, 0x27D)
    gic.ns().set(CTLR, NS_ENABLE)
    assert gic.s().get(CTLR) == 0x27F
    gic.ns().set(CTLR, NS_EOI_MODE)
    assert gic.s().get(CTLR) == 0x67D


@pytest.mark.parametrize(("pmr", "seen", "after"), [(0x78, 0, 0x78), (0x80, 0, 0xA0), (0xF8, 0xF0, 0xA0)])
def test_priority_mask(gic: Secure, pmr: int, seen: int, after: int) -> None:
    """Non-secure software has the lower half, and none while the mask is in the upper one (4.4.2)."""
    gic.set(PMR, pmr)
    assert gic.ns().get(PMR) == seen
    gic.set(PMR, 0x40)
    assert gic.s().get(PMR) == after


def test_binary_points(gic: Secure) -> None:
    """The Non-secure GICC_BPR is the Secure GICC_ABPR (4.4.3, 4.4.8)."""
    gic.set(BPR, 4)
    gic.set(ABPR, 6)
    assert (gic.ns().get(BPR), gic.get(ABPR)) == (6, 0)
    gic.set(BPR, 0)
    gic.set(ABPR, 7)
    assert (gic.get(BPR), gic.s().get(ABPR), gic.get(BPR)) == (3, 3, 4)


@pytest.mark.parametrize(("bpr", "seen"), [(2, 3), (5, 6), (7, 7)])
def test_common_binary_point(bpr: int, seen: int) -> None:
    """With CBPR the Non-secure GICC_BPR shows the Secure one plus one, and is read-only (4.4.1)."""
    gic = Secure(ctlr=ENABLE_BOTH | CBPR)
    gic.set(BPR, bpr)
    gic.ns().set(BPR, 4)
    assert (gic.get(BPR), gic.s().get(BPR), gic.get(ABPR)) == (seen, bpr, 3)


@pytest.mark.parametrize("offset", [ABPR, AIAR, AEOIR, AHPPIR, NSAPR0])
def test_aliases_are_secure(gic: Secure, offset: int) -> None:
    """RAZ/WI to Non-secure accesses: nothing is acknowledged."""
    gic.pend(NONSECURE_SPI)
    gic.ns().set(offset, 0xFFFF_FFFF)
    assert (gic.get(offset), gic.irq[0], gic.s().get(ABPR)) == (0, True, 3)


# --- GICC: acknowledge and end


@pytest.mark.parametrize(
    ("ack_ctl", "intid", "secure_iar", "nonsecure_iar", "alias"),
    [
        (0, SECURE_SPI, SECURE_SPI, SPURIOUS, SPURIOUS),
        (0, NONSECURE_SPI, OTHER_GROUP, NONSECURE_SPI, NONSECURE_SPI),
        (ACK_CTL, NONSECURE_SPI, NONSECURE_SPI, NONSECURE_SPI, NONSECURE_SPI),
    ],
)
def test_who_acknowledges_what(ack_ctl: int, intid: int, secure_iar: int, nonsecure_iar: int, alias: int) -> None:
    """GICC_IAR of both states, GICC_AIAR, and what is pending by GICC_HPPIR and GICC_AHPPIR (4.4.4, 4.4.7)."""
    for offset, pending, secure, value in (
        (IAR, HPPIR, True, secure_iar),
        (IAR, HPPIR, False, nonsecure_iar),
        (AIAR, AHPPIR, True, alias),
    ):
        gic = Secure(ctlr=ENABLE_BOTH | ack_ctl)
        gic.pend(intid)
        gic.secure = secure
        assert (gic.get(pending), gic.get(offset)) == (value, value)
        assert gic.s().byte(ISACTIVER) == (0 if value >= OTHER_GROUP else 1 << intid - SECURE_SPI)


def test_running_priority(gic: Secure) -> None:
    """A Secure one reads as 0 to Non-secure software, none as idle (4.4.6)."""
    seen = [gic.ns().get(RPR)]
    gic.s().pend(NONSECURE_SPI)
    gic.ns().get(IAR)
    seen += [gic.get(RPR), gic.s().get(RPR)]
    gic.pend(SECURE_SPI)
    gic.get(IAR)
    seen += [gic.ns().get(RPR), gic.s().get(RPR)]
    assert seen == [IDLE, 0x40, NONSECURE_PRIORITY, 0, SECURE_PRIORITY]


def test_active_priorities(gic: Secure) -> None:
    """The Non-secure GICC_APR0 is the upper half of GICC_NSAPR0 (4.4.17, 4.4.18)."""
    gic.set(NSAPR0, 0x0014_0003)
    assert gic.ns().get(APR0) == 0x14
    gic.set(APR0, 0xFFFF_0080)
    assert (gic.s().get(NSAPR0), gic.get(APR0)) == (0x0080_0003, 0)


def test_non_secure_software_ends_its_own_only(gic: Secure) -> None:
    """A Non-secure GICC_EOIR of a Secure interrupt, or while a Secure priority runs, is ignored (4.4.5)."""
    gic.pend(NONSECURE_SPI)
    gic.ns().get(IAR)
    gic.set(EOIR, SECURE_SPI)
    assert gic.get(RPR) == 0x40
    gic.s().pend(SECURE_SPI)
    gic.get(IAR)
    gic.ns().set(EOIR, NONSECURE_SPI)
    assert (gic.s().get(RPR), gic.byte(ISACTIVER)) == (SECURE_PRIORITY, 3)
    gic.set(EOIR, SECURE_SPI)
    gic.ns().set(EOIR, NONSECURE_SPI)
    assert (gic.get(RPR), gic.s().byte(ISACTIVER)) == (IDLE, 0)


def test_secure_software_ends_both(gic: Secure) -> None:
    """GICC_AEOIR, or GICC_EOIR, ends one of Group 1."""
    for offset in (AEOIR, EOIR):
        gic.pend(NONSECURE_SPI)
        gic.get(AIAR)
        gic.gic.set_spi(NONSECURE_SPI - 32, False)
        gic.set(offset, NONSECURE_SPI)
        assert (gic.get(RPR), gic.byte(ISACTIVER)) == (IDLE, 0)


@pytest.mark.parametrize("mode", [0, EOI_MODE_S, EOI_MODE_NS, EOI_MODE_S | EOI_MODE_NS])
def test_each_state_has_its_eoi_mode(mode: int) -> None:
    """EOImodeS for Secure accesses, EOImodeNS for others; GICC_DIR follows (4.4.1, 4.4.15)."""
    gic = Secure(ctlr=ENABLE_BOTH | ACK_CTL | mode)
    for secure, split in ((True, mode & EOI_MODE_S), (False, mode & EOI_MODE_NS)):
        gic.secure = secure
        gic.pend(NONSECURE_SPI)
        gic.set(EOIR, gic.get(IAR))
        gic.gic.set_spi(NONSECURE_SPI - 32, False)
        assert (gic.get(RPR), gic.byte(ISACTIVER)) == (IDLE, 2 if split else 0)
        gic.s().set_byte(ISACTIVER, 2)
        gic.secure = secure
        gic.set(DIR, NONSECURE_SPI)
        assert gic.byte(ISACTIVER) == (0 if split else 2)
        gic.s().set_byte(ICACTIVER, 2)


def test_non_secure_dir_of_a_secure_interrupt_is_ignored() -> None:
    """It does not deactivate, and a Secure one does (4.4.15)."""
    gic = Secure(ctlr=ENABLE_BOTH | EOI_MODE_S | EOI_MODE_NS)
    gic.set_byte(ISACTIVER, 3)
    gic.ns().set(DIR, SECURE_SPI)
    gic.set(DIR, NONSECURE_SPI)
    assert gic.s().byte(ISACTIVER) == 1
    gic.set(DIR, SECURE_SPI)
    assert gic.byte(ISACTIVER) == 0


@pytest.mark.parametrize(
    ("fiq_en", "intid", "irq", "fiq"),
    [(0, SECURE_SPI, 1, 0), (FIQ_EN, SECURE_SPI, 0, 1), (FIQ_EN, NONSECURE_SPI, 1, 0)],
)
def test_group_0_as_fiq(fiq_en: int, intid: int, irq: int, fiq: int) -> None:
    """GICC_CTLR.FIQEn, which Non-secure software can't change."""
    gic = Secure(ctlr=ENABLE_BOTH | fiq_en)
    gic.ns().set(CTLR, NS_ENABLE)
    gic.pend(intid)
    assert (gic.irq[0], gic.fiq[0]) == (irq, fiq)


def test_a_secure_interrupt_preempts_a_non_secure_one() -> None:
    """Whose priority can't be as urgent, whatever Non-secure software has given it."""
    gic = Secure(ctlr=ENABLE_BOTH | FIQ_EN)
    gic.ns().gicd.write(IPRIORITYR + NONSECURE_SPI, 1, 0)
    gic.pend(NONSECURE_SPI)
    assert gic.get(IAR) == NONSECURE_SPI
    gic.pend(SECURE_SPI)
    assert (gic.fiq[0], gic.get(IAR), gic.s().get(IAR)) == (True, SPURIOUS, SECURE_SPI)


# --- the whole


def busy() -> Secure:
    gic = Secure(2, ctlr=ENABLE_BOTH | FIQ_EN | EOI_MODE_NS)
    gic.gicd.write(NSACR + 8, 4, 0xE4)
    gic.on(1).gicd.write(NSACR, 4, 0x40)
    gic.pend(NONSECURE_SPI)
    gic.on(0).ns().get(IAR)
    gic.pend(SECURE_SPI)
    return gic.s()


def test_a_snapshot_brings_everything_back() -> None:
    """Groups, GICD_NSACR of all CPUs, both EOI modes."""
    gic, other = busy(), V2(2, ready=False, el=3)
    other.gic.load_state(gic.gic.state())
    assert other.gic.state() == gic.gic.state()
    assert (other.fiq[0], other.irq[0], other.gicd.read(NSACR + 8, 4)) == (True, False, 0xE4)
    assert (other.on(1).gicd.read(NSACR, 4), other.get(CTLR)) == (0x40, gic.on(1).get(CTLR))


def test_reset_is_that_of_a_new_gic() -> None:
    """All interrupts are Secure, and nothing is open."""
    gic = busy()
    for intid in (SECURE_SPI, NONSECURE_SPI):
        gic.gic.set_spi(intid - 32, False)
    gic.gic.reset()
    assert gic.gic.state() == V2(2, ready=False, el=3).gic.state()
    assert (gic.fiq[0], gic.byte(IGROUPR), gic.gicd.read(NSACR + 8, 4)) == (False, 0, 0)


@pytest.mark.parametrize("secure", [True, False])
def test_without_security_extensions_all_accesses_are_alike(secure: bool) -> None:
    """CPUs without EL3: the state of an access is not looked at, and GICD_NSACR is not there."""
    gic = V2(el=2)
    gic.secure = secure
    gic.gicd.write(NSACR + 8, 4, 0xFF)
    gic.gicd.write(IGROUPR + 4, 4, 0x2)
    gic.set(CTLR, 0xFFFF_FFFF)
    assert (gic.gicd.read(NSACR + 8, 4), gic.gicd.read(IGROUPR + 4, 4), gic.get(CTLR)) == (0, 2, 0x3FF)
