"""PSCI 1.1. DEN 0022."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from armvcpu.arch.psci import AffinityState, PsciStatus, psci_by_id, psci_by_name
from armvcpu.arch.smccc import SMCCC_VERSION
from armvcpu.vcpu.exits import CpuDown, CpuUp, Halt, SystemDown, SystemReset
from armvcpu.vcpu.psci import Psci
from armvcpu.vcpu.smc import SmcServices

RAM = 0x4000_0000
POWER_DOWN = 1 << 16


@dataclass
class FourCpus:
    """Two clusters of two CPUs, of which only the first CPU is on."""

    states: dict[int, AffinityState] = field(
        default_factory=lambda: {
            0x000: AffinityState.ON,
            0x001: AffinityState.OFF,
            0x100: AffinityState.OFF,
            0x101: AffinityState.ON_PENDING,
        }
    )

    def cpu_states(self) -> dict[int, AffinityState]:
        return self.states

    def is_entry_point(self, address: int) -> bool:
        return RAM <= address < 2 * RAM


def call(name: str, *args: int, host: FourCpus | None = None) -> object:
    row = psci_by_name[name]
    return Psci(host or FourCpus()).call(row.smc64 or row.smc32, (*args, *[0] * (6 - len(args))))


def test_version_is_1_1() -> None:
    """PSCI_VERSION: major in the upper half, minor in the lower."""
    assert call("PSCI_VERSION") == 0x1_0001


@pytest.mark.parametrize(
    ("target", "entry_point", "answer"),
    [
        (0x001, RAM, CpuUp(0x001, RAM, 0xC0DE)),
        (0x000, RAM, PsciStatus.ALREADY_ON),
        (0x101, RAM, PsciStatus.ON_PENDING),
        (0x002, RAM, PsciStatus.INVALID_PARAMETERS),
        (0x8000_0001, RAM, PsciStatus.INVALID_PARAMETERS),
        (0x001, 0x1000, PsciStatus.INVALID_ADDRESS),
        (0x001, RAM + 2, PsciStatus.INVALID_ADDRESS),
    ],
)
def test_cpu_on(target: int, entry_point: int, answer: object) -> None:
    """A CPU that is off starts with its context in x0; every mistake has its own code (5.6)."""
    assert call("CPU_ON", target, entry_point, 0xC0DE) == answer


def test_cpu_off() -> None:
    """CPU_OFF takes the caller down (5.5)."""
    assert call("CPU_OFF") == CpuDown()


@pytest.mark.parametrize(
    ("power_state", "entry_point", "answer"),
    [
        (0, 0, Halt()),
        (POWER_DOWN, RAM, Halt(entry_point=RAM, arg=7)),
        (POWER_DOWN | 1 << 24, RAM, Halt(entry_point=RAM, arg=7)),
        (POWER_DOWN, 0, PsciStatus.INVALID_ADDRESS),
        (1 << 26, 0, PsciStatus.INVALID_PARAMETERS),
        (1 << 17, 0, PsciStatus.INVALID_PARAMETERS),
        (1 << 32, 0, PsciStatus.INVALID_PARAMETERS),
    ],
)
def test_cpu_suspend(power_state: int, entry_point: int, answer: object) -> None:
    """Standby goes on after the call, power-down enters anew; reserved bits of power_state are refused (5.4)."""
    assert call("CPU_SUSPEND", power_state, entry_point, 7) == answer


@pytest.mark.parametrize(
    ("target", "level", "answer"),
    [
        (0x000, 0, AffinityState.ON),
        (0x001, 0, AffinityState.OFF),
        (0x101, 0, AffinityState.ON_PENDING),
        (0x000, 1, AffinityState.ON),
        (0x1FF, 1, AffinityState.ON_PENDING),
        (0x100, 2, AffinityState.ON),
        (0x000, 3, AffinityState.ON),
        (0x002, 0, PsciStatus.INVALID_PARAMETERS),
        (0x200, 1, PsciStatus.INVALID_PARAMETERS),
        (0x000, 4, PsciStatus.INVALID_PARAMETERS),
        (1 << 24, 0, PsciStatus.INVALID_PARAMETERS),
    ],
)
def test_affinity_info(target: int, level: int, answer: int) -> None:
    """An affinity instance is on when any CPU in it is (5.7)."""
    assert call("AFFINITY_INFO", target, level) == answer


def test_affinity_instance_is_off_when_all_its_cpus_are() -> None:
    """OFF needs every CPU of the instance off."""
    host = FourCpus({0x100: AffinityState.OFF, 0x101: AffinityState.OFF})
    assert call("AFFINITY_INFO", 0x100, 1, host=host) == AffinityState.OFF


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [
        ("SYSTEM_OFF", (), SystemDown()),
        ("SYSTEM_RESET", (), SystemReset()),
        ("SYSTEM_RESET2", (0, 5), SystemReset(0, 5)),
        ("SYSTEM_RESET2", (0x8000_0001, 5), SystemReset(0x8000_0001, 5)),
        ("SYSTEM_RESET2", (0xFFFF_FFFF_0000_0000, 5), SystemReset(0, 5)),
        ("SYSTEM_RESET2", (1, 5), PsciStatus.INVALID_PARAMETERS),
        ("MIGRATE_INFO_TYPE", (), 2),
        ("MIGRATE", (0,), PsciStatus.NOT_SUPPORTED),
        ("SYSTEM_SUSPEND", (RAM, 0), PsciStatus.DENIED),
        ("MEM_PROTECT", (1,), PsciStatus.NOT_SUPPORTED),
        ("MEM_PROTECT_CHECK_RANGE", (RAM, 1), PsciStatus.NOT_SUPPORTED),
    ],
)
def test_system_functions(name: str, args: tuple[int, ...], answer: object) -> None:
    """Power-off and resets leave as exits; of SYSTEM_RESET2's types the warm and the vendor's exist."""
    assert call(name, *args) == answer


@pytest.mark.parametrize(
    ("entry", "answer"), [(RAM, Halt(RAM, 7)), (RAM + 2, PsciStatus.INVALID_ADDRESS), (0, PsciStatus.INVALID_ADDRESS)]
)
def test_system_suspend_is_the_last_cpus_deepest_wait(entry: int, answer: object) -> None:
    """With all other CPUs off it is a power-down wait, whose end enters at the entry point (5.20)."""
    host = FourCpus({0x000: AffinityState.ON, 0x100: AffinityState.OFF})
    assert call("SYSTEM_SUSPEND", entry, 7, host=host) == answer


class Protected:
    """Memory from 0x1000 to 0x2000 that can be overwritten."""

    is_protected = False

    def can_protect(self, address: int, size: int) -> bool:
        return address >= 0x1000 and address + size <= 0x2000


def test_mem_protect_gives_the_setting_before() -> None:
    """0 or 1, and a range is protected or not (5.21, 5.22)."""
    memory = Protected()
    psci = Psci(FourCpus(), memory=memory)
    number = psci_by_name["MEM_PROTECT"].smc32
    answers = [psci.call(number, (value, 0, 0)) for value in (1, 1, 0, 2)]
    check = psci_by_name["MEM_PROTECT_CHECK_RANGE"].smc64
    assert check is not None
    ranges = [psci.call(check, (base, size, 0)) for base, size in ((0x1000, 0x1000), (0x1800, 0x1000))]
    assert (answers, memory.is_protected) == ([0, 1, 1, PsciStatus.INVALID_PARAMETERS], False)
    assert ranges == [PsciStatus.SUCCESS, PsciStatus.DENIED]


@pytest.mark.parametrize(
    ("version", "has", "lacks"),
    [
        (0x2, "CPU_ON", "PSCI_FEATURES"),
        (0x1_0000, "PSCI_FEATURES", "SYSTEM_RESET2"),
        (0x1_0001, "SYSTEM_RESET2", "MIGRATE"),
    ],
)
def test_version_decides_what_there_is(version: int, has: str, lacks: str) -> None:
    """PSCI_VERSION says it, and functions of later ones are not there (5.1, Table 5)."""
    services = SmcServices()
    Psci(FourCpus(), version).register(services)
    assert services.call(psci_by_name["PSCI_VERSION"].smc32, ()) == (version,)
    assert services.supports(psci_by_name[has].smc32)
    assert not services.supports(psci_by_name[lacks].smc32)


@pytest.mark.parametrize("function_id", [*psci_by_id, SMCCC_VERSION, 0x8400_001F])
def test_features_agree_with_what_is_implemented(function_id: int) -> None:
    """PSCI_FEATURES says NOT_SUPPORTED of exactly what the services do not answer."""
    services = SmcServices()
    Psci(FourCpus()).register(services)
    answer = call("PSCI_FEATURES", function_id)
    assert answer == (0 if services.supports(function_id) else PsciStatus.NOT_SUPPORTED)


def test_smc32_call_sees_32_bit_arguments() -> None:
    """The 32-bit CPU_ON ignores the upper halves of its arguments."""
    services = SmcServices()
    Psci(FourCpus()).register(services)
    high = 0xFFFF_FFFF_0000_0000
    assert services.call(psci_by_name["CPU_ON"].smc32, (high | 1, high | RAM, high | 9)) == CpuUp(1, RAM, 9)


def test_errors_reach_the_caller_as_64_bit_negatives() -> None:
    """W0 and X0 both hold the negative code."""
    services = SmcServices()
    Psci(FourCpus()).register(services)
    assert services.call(psci_by_name["CPU_ON"].smc32, (0, RAM)) == ((1 << 64) - 4,)
