"""TRNG, workarounds, SoC identification, stolen time and the vendor's identity, as a guest asks for them."""

from __future__ import annotations

import struct

import pytest

from armvcpu.arch.smccc import (
    SMCCC_ARCH_FEATURES,
    SMCCC_ARCH_SOC_ID,
    SMCCC_ARCH_WORKAROUND_1,
    SMCCC_ARCH_WORKAROUND_2,
    SMCCC_ARCH_WORKAROUND_3,
    Owner,
    fast_call,
)
from armvcpu.errors import UsageError
from armvcpu.vcpu.firmware_services import (
    TRNG_FEATURES,
    TRNG_GET_UUID,
    TRNG_RND32,
    TRNG_RND64,
    TRNG_VERSION,
    VENDOR_HYPERVISOR,
    identify_vendor,
    register_soc_id,
    register_trng,
    register_workarounds,
)
from armvcpu.vcpu.smc import PV_TIME_FEATURES, SmcServices
from armvcpu.vcpu.stolen_time import PV_TIME_ST, StolenTime
from armvcpu.vcpu.vm import VirtualMachine

MINUS = [(1 << 64) - n for n in range(5)]
"""Status codes as x0 has them: MINUS[1] is -1."""


@pytest.fixture
def services() -> SmcServices:
    return SmcServices()


def counting(size: int) -> bytes:
    """A source of entropy that a test can tell."""
    return bytes(range(1, size + 1))


# --- TRNG -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function_id", "bits", "answer"),
    [
        (TRNG_RND64, 192, (0, 0x1817_1615_1413_1211, 0x100F_0E0D_0C0B_0A09, 0x0807_0605_0403_0201)),
        (TRNG_RND64, 68, (0, 0, 0x9, 0x0807_0605_0403_0201)),
        (TRNG_RND64, 1, (0, 0, 0, 1)),
        (TRNG_RND32, 96, (0, 0x0C0B_0A09, 0x0807_0605, 0x0403_0201)),
        (TRNG_RND32, 33, (0, 0, 1, 0x0403_0201)),
        (TRNG_RND64, 0, (MINUS[2], 0, 0, 0)),
        (TRNG_RND64, 193, (MINUS[2], 0, 0, 0)),
        (TRNG_RND32, 97, (MINUS[2], 0, 0, 0)),
    ],
)
def test_trng_gives_as_many_bits_as_asked_for(services, function_id, bits, answer):
    """The last in x3, zero above them; none for more than fit (DEN 0098 2.4)."""
    register_trng(services, counting)
    assert services.call(function_id, (bits,)) == answer


def test_trng_tells_what_it_is(services):
    """Version 1.0, its functions and no others, and a UUID in four words (2.1 to 2.3)."""
    register_trng(services, counting)
    features = [services.call(TRNG_FEATURES, (asked,))[0] for asked in (TRNG_RND64, TRNG_RND32, 0x8400_0054)]
    assert (services.call(TRNG_VERSION, ()), features) == ((0x1_0000,), [0, 0, MINUS[1]])
    assert len(set(services.call(TRNG_GET_UUID, ()))) == 4


# --- the processor ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("workaround", "feature"),
    [(SMCCC_ARCH_WORKAROUND_1, 1), (SMCCC_ARCH_WORKAROUND_2, MINUS[2]), (SMCCC_ARCH_WORKAROUND_3, 1)],
)
def test_workarounds_are_there_and_not_needed(services, workaround, feature):
    """The call is made for nothing; SMCCC_ARCH_FEATURES says so beforehand (DEN 0028 7.5 to 7.7)."""
    before = services.call(SMCCC_ARCH_FEATURES, (workaround,))
    register_workarounds(services)
    assert (before, services.call(SMCCC_ARCH_FEATURES, (workaround,))) == ((MINUS[1],), (feature,))
    assert services.call(workaround, ()) == (0,)


def test_soc_is_identified(services):
    """Type 0 the SoC, 1 its revision, no others (7.4)."""
    register_soc_id(services, 0x0436_0A72, 3)
    answers = [services.call(SMCCC_ARCH_SOC_ID, (kind,)) for kind in range(3)]
    assert (answers, services.call(SMCCC_ARCH_FEATURES, (SMCCC_ARCH_SOC_ID,))) == (
        [(0x0436_0A72,), (3,), (MINUS[3],)],
        (0,),
    )
    with pytest.raises(UsageError, match="does not fit 31 bits"):
        register_soc_id(SmcServices(), 1 << 31, 0)


def test_hypervisor_is_identified(services):
    """By the general queries of the Vendor Specific Hypervisor Service (6.2)."""
    identify_vendor(services)
    answer = services.call(fast_call(Owner.VENDOR_HYPERVISOR, 0xFF01), ())
    assert struct.pack("<4I", *answer) == VENDOR_HYPERVISOR.uid.bytes


# --- stolen time ------------------------------------------------------------------------------------------------


class Page:
    """A guest's memory, for one structure."""

    def __init__(self) -> None:
        self.written: dict[int, bytes] = {}

    def write(self, address: int, data: bytes) -> None:
        self.written[address] = data


def test_stolen_time_is_that_without_a_cpu():
    """Between leaving and entering, unless the vCPU waits; revision and attributes are 0 (DEN 0057 3.2.2)."""
    page, now, seen = Page(), [1000], []
    stolen = StolenTime(0x8000_0040, page.write, lambda: now[0])
    for waits in (False, True, False):
        stolen.leave(waits=waits)
        now[0] += 70
        stolen.enter()
        now[0] += 5
        seen.append(struct.unpack("<IIQ", page.written[0x8000_0040]))
    assert seen == [(0, 0, 70), (0, 0, 70), (0, 0, 140)]


def test_stolen_time_is_found(services):
    """By SMCCC_ARCH_FEATURES, then PV_TIME_FEATURES, then PV_TIME_ST (3.1)."""
    asked = [services.call(SMCCC_ARCH_FEATURES, (PV_TIME_FEATURES,))]
    StolenTime(0x8000_0040, Page().write).register(services)
    asked.append(services.call(SMCCC_ARCH_FEATURES, (PV_TIME_FEATURES,)))
    asked += [services.call(PV_TIME_FEATURES, (function,)) for function in (PV_TIME_ST, 0xC500_0022)]
    assert asked == [(MINUS[1],), (0,), (0,), (MINUS[1],)]
    assert services.call(PV_TIME_ST, ()) == (0x8000_0040,)


def test_vm_has_a_structure_for_each_vcpu():
    """In its own memory; without memory there, or unaligned, it is refused."""
    with VirtualMachine(1, 1 << 20) as vm:
        vm.add_memory(0x8000_0000, 0x1000)
        with pytest.raises(UsageError, match="not aligned"):
            vm.show_stolen_time(0x8000_0020)
        vm.show_stolen_time(0x8000_0F80)
        vcpus = [vm.add_vcpu(), vm.add_vcpu()]
        with pytest.raises(UsageError, match="no memory at 0x80001000"):
            vm.add_vcpu()
        assert [vcpu.services.call(PV_TIME_ST, ()) for vcpu in vcpus] == [(0x8000_0F80,), (0x8000_0FC0,)]
        assert vm.vcpus == vcpus
