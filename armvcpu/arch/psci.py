"""Numbers of the Power State Coordination Interface 1.1, Arm DEN 0022: functions, states, return codes."""

from __future__ import annotations

from enum import IntEnum

from armvcpu.arch.fields import Field, RegisterView
from armvcpu.arch.rows import Row

PSCI_VERSION_1_1 = 0x1_0001
"""What PSCI_VERSION answers: major version in bits 30:16, minor in 15:0 (5.3.1)."""


class PsciStatus(IntEnum):
    """Return codes, signed: 5.2.2, Table 6."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    INVALID_PARAMETERS = -2
    DENIED = -3
    ALREADY_ON = -4
    ON_PENDING = -5
    INTERNAL_FAILURE = -6
    NOT_PRESENT = -7
    DISABLED = -8
    INVALID_ADDRESS = -9


class AffinityState(IntEnum):
    """What AFFINITY_INFO answers of one CPU: 5.7."""

    ON = 0
    OFF = 1
    ON_PENDING = 2


class PowerState(RegisterView):
    """The power_state argument of CPU_SUSPEND, original format: 5.4.2. Other bits must be zero."""

    PowerLevel = Field(25, 24)
    StateType = Field(16)  # 0: standby or retention, 1: power-down
    StateID = Field(15, 0)
    MBZ_HIGH = Field(31, 26)
    MBZ_LOW = Field(23, 17)


MIGRATE_NOT_REQUIRED = 2
"""MIGRATE_INFO_TYPE: no Trusted OS, or one that needs no migration (5.9)."""

SYSTEM_WARM_RESET = 0
"""SYSTEM_RESET2's one architectural reset_type; those with bit 31 set are vendor-specific."""
VENDOR_RESET = 1 << 31


class PsciFunction(Row):
    """One function: its identifiers by calling convention (None: it has none), and its first version."""

    name: str
    smc32: int
    smc64: int | None
    since: str


def _function(name: str, number: int, *, smc64: bool = False, since: str = "1.0") -> PsciFunction:
    return PsciFunction(name, 0x8400_0000 | number, 0xC400_0000 | number if smc64 else None, since)


PSCI_FUNCTIONS: tuple[PsciFunction, ...] = (
    _function("PSCI_VERSION", 0, since="0.2"),
    _function("CPU_SUSPEND", 1, smc64=True, since="0.2"),
    _function("CPU_OFF", 2, since="0.2"),
    _function("CPU_ON", 3, smc64=True, since="0.2"),
    _function("AFFINITY_INFO", 4, smc64=True, since="0.2"),
    _function("MIGRATE", 5, smc64=True, since="0.2"),
    _function("MIGRATE_INFO_TYPE", 6, since="0.2"),
    _function("MIGRATE_INFO_UP_CPU", 7, smc64=True, since="0.2"),
    _function("SYSTEM_OFF", 8, since="0.2"),
    _function("SYSTEM_RESET", 9, since="0.2"),
    _function("PSCI_FEATURES", 0xA),
    _function("CPU_FREEZE", 0xB),
    _function("CPU_DEFAULT_SUSPEND", 0xC, smc64=True),
    _function("NODE_HW_STATE", 0xD, smc64=True),
    _function("SYSTEM_SUSPEND", 0xE, smc64=True),
    _function("PSCI_SET_SUSPEND_MODE", 0xF),
    _function("PSCI_STAT_RESIDENCY", 0x10, smc64=True),
    _function("PSCI_STAT_COUNT", 0x11, smc64=True),
    _function("SYSTEM_RESET2", 0x12, smc64=True, since="1.1"),
    _function("MEM_PROTECT", 0x13, since="1.1"),
    _function("MEM_PROTECT_CHECK_RANGE", 0x14, smc64=True, since="1.1"),
)
"""Section 5.1, Table 5: every function of PSCI 1.1, also those armvcpu answers NOT_SUPPORTED."""

psci_by_name: dict[str, PsciFunction] = {row.name: row for row in PSCI_FUNCTIONS}
psci_by_id: dict[int, PsciFunction] = {
    number: row for row in PSCI_FUNCTIONS for number in (row.smc32, row.smc64) if number is not None
}
