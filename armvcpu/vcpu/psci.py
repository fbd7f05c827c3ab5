"""PSCI, 0.2 to 1.1, as a pure state machine over what the machine tells of its CPUs: Arm DEN 0022.

Each function answers a return code or an exit, on which whoever runs the vCPU acts. The table `_FUNCTIONS` says
what is implemented; PSCI_FEATURES and the registration with `SmcServices` read it too.
"""

from __future__ import annotations

from armvcpu.arch.psci import (
    MIGRATE_NOT_REQUIRED,
    PSCI_VERSION_1_1,
    SYSTEM_WARM_RESET,
    VENDOR_RESET,
    AffinityState,
    PowerState,
    PsciFunction,
    PsciStatus,
    psci_by_id,
)
from armvcpu.arch.smccc import SMCCC_VERSION, Owner
from armvcpu.arch.static import TYPE_CHECKING, Protocol
from armvcpu.vcpu.exits import CpuDown, CpuUp, Exit, Halt, SystemDown, SystemReset
from armvcpu.vcpu.smc import OwnerInfo, SmcServices, Uid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STANDARD_SERVICE = OwnerInfo(Uid(bytes.fromhex("1f5c2a0e 6d1b 4b83 9a57 2c7e40d1b6f3")), major=1, minor=0)
"""What the general queries of the Standard Secure Service owner answer (DEN 0028 6.2)."""

_AFFINITY_BITS = 0xFF_00FF_FFFF
"""MPIDR_EL1's Aff3, Aff2, Aff1 and Aff0; in target_cpu all other bits must be zero (DEN 0022 5.6)."""

_LEVEL_MASKS = (_AFFINITY_BITS, 0xFF_00FF_FF00, 0xFF_00FF_0000, 0xFF_0000_0000)
"""The affinity bits that name an instance of affinity level 0, 1, 2 and 3."""


class PsciHost(Protocol):
    """What PSCI asks of the machine."""

    def cpu_states(self) -> Mapping[int, AffinityState]:
        """The state of every CPU, by the affinity bits of its MPIDR_EL1."""
        ...

    def is_entry_point(self, address: int) -> bool:
        """Is there memory of the caller's to execute from at this guest-physical address?"""
        ...


class ProtectedMemory(Protocol):
    """What MEM_PROTECT asks of a machine that can overwrite its memory before a reset (5.21)."""

    is_protected: bool
    """Is it to be overwritten?"""

    def can_protect(self, address: int, size: int) -> bool:
        """Is all of this range memory that would be?"""
        ...


class Psci:
    """The functions of one machine, as PSCI of `version` has them; MEM_PROTECT's with `memory` only.

    `claim` is asked before CPU_ON of a CPU that is off becomes an exit: False where another thread has been earlier.
    """

    def __init__(
        self,
        host: PsciHost,
        version: int = PSCI_VERSION_1_1,
        memory: ProtectedMemory | None = None,
        claim: Callable[[int], bool] = lambda _cpu: True,
    ) -> None:
        self._host, self._version, self._memory, self._claim = host, version, memory, claim

    def register(self, services: SmcServices) -> None:
        """Have `services` answer every implemented function."""
        for function_id, row in psci_by_id.items():
            if self._has(row):
                services.register(function_id, self.call)
        services.identify_owner(Owner.STANDARD_SECURE, STANDARD_SERVICE)

    def call(self, function_id: int, args: tuple[int, ...]) -> int | Exit:
        """The result of one function, or an exit. `args` are x1 to x6, cut to 32 bits for an SMC32 call."""
        row = psci_by_id.get(function_id)
        return _FUNCTIONS[row.name](self, args) if row and self._has(row) else PsciStatus.NOT_SUPPORTED

    def _has(self, row: PsciFunction) -> bool:
        """Is it implemented, by this version of PSCI, on this machine?"""
        if row.name not in _FUNCTIONS or _VERSIONS[row.since] > self._version:
            return False
        return self._memory is not None or not row.name.startswith("MEM_PROTECT")

    def _features(self, args: tuple[int, ...]) -> int:
        """PSCI_FEATURES. No flags: CPU_SUSPEND has the original format and no OS-initiated mode."""
        row = psci_by_id.get(args[0])
        known = args[0] == SMCCC_VERSION or (row is not None and self._has(row))
        return PsciStatus.SUCCESS if known else PsciStatus.NOT_SUPPORTED

    def _cpu_on(self, args: tuple[int, ...]) -> int | Exit:
        """CPU_ON, 5.6."""
        target, entry_point, context_id = args[:3]
        match self._host.cpu_states().get(target):
            case None:
                return PsciStatus.INVALID_PARAMETERS
            case _ if not self._is_entry_point(entry_point):
                return PsciStatus.INVALID_ADDRESS
            case AffinityState.ON:
                return PsciStatus.ALREADY_ON
            case AffinityState.ON_PENDING:
                return PsciStatus.ON_PENDING
            case AffinityState.OFF:
                return CpuUp(target, entry_point, context_id) if self._claim(target) else PsciStatus.ON_PENDING

    def _cpu_suspend(self, args: tuple[int, ...]) -> int | Exit:
        """CPU_SUSPEND, 5.4: a power-down state is entered as a wait whose end is an entry."""
        power_state, entry_point, context_id = PowerState(args[0]), *args[1:3]
        if power_state >> 32 or power_state.MBZ_HIGH or power_state.MBZ_LOW:
            return PsciStatus.INVALID_PARAMETERS
        if not power_state.StateType:
            return Halt()
        if not self._is_entry_point(entry_point):
            return PsciStatus.INVALID_ADDRESS
        return Halt(entry_point, context_id)

    def _system_suspend(self, args: tuple[int, ...]) -> int | Exit:
        """SYSTEM_SUSPEND, 5.20: the deepest power-down state of the last CPU that is on."""
        entry_point, context_id = args[:2]
        if sum(state is not AffinityState.OFF for state in self._host.cpu_states().values()) > 1:
            return PsciStatus.DENIED
        if not self._is_entry_point(entry_point):
            return PsciStatus.INVALID_ADDRESS
        return Halt(entry_point, context_id)

    def _mem_protect(self, args: tuple[int, ...]) -> int:
        """MEM_PROTECT, 5.21: the setting before, 0 or 1."""
        assert self._memory is not None
        if args[0] > 1:
            return PsciStatus.INVALID_PARAMETERS
        before, self._memory.is_protected = self._memory.is_protected, bool(args[0])
        return int(before)

    def _mem_protect_check_range(self, args: tuple[int, ...]) -> int:
        """MEM_PROTECT_CHECK_RANGE, 5.22."""
        assert self._memory is not None
        base, length = args[:2]
        return PsciStatus.SUCCESS if self._memory.can_protect(base, length) else PsciStatus.DENIED

    def _affinity_info(self, args: tuple[int, ...]) -> int:
        """AFFINITY_INFO, 5.7: an instance is on when any CPU in it is."""
        target, level = args[:2]
        if level >= len(_LEVEL_MASKS) or target & ~_AFFINITY_BITS:
            return PsciStatus.INVALID_PARAMETERS
        mask = _LEVEL_MASKS[level]
        states = {state for cpu, state in self._host.cpu_states().items() if cpu & mask == target & mask}
        for state in (AffinityState.ON, AffinityState.ON_PENDING, AffinityState.OFF):
            if state in states:
                return state
        return PsciStatus.INVALID_PARAMETERS

    def _system_reset2(self, args: tuple[int, ...]) -> int | Exit:
        """SYSTEM_RESET2: reset_type has 32 bits in both calling conventions."""
        reset_type = args[0] & 0xFFFF_FFFF
        if reset_type != SYSTEM_WARM_RESET and not reset_type & VENDOR_RESET:
            return PsciStatus.INVALID_PARAMETERS
        return SystemReset(reset_type, args[1])

    def _is_entry_point(self, address: int) -> bool:
        return address % 4 == 0 and self._host.is_entry_point(address)


_VERSIONS = {"0.2": 0x0_0002, "1.0": 0x1_0000, "1.1": PSCI_VERSION_1_1}
"""The versions that functions came with, as PSCI_VERSION answers them."""

# MIGRATE and MIGRATE_INFO_UP_CPU are not here: they exist only with a Trusted OS (5.8, 5.10)
_FUNCTIONS: dict[str, Callable[[Psci, tuple[int, ...]], int | Exit]] = {
    "PSCI_VERSION": lambda psci, _args: psci._version,
    "CPU_SUSPEND": Psci._cpu_suspend,
    "CPU_OFF": lambda _psci, _args: CpuDown(),
    "CPU_ON": Psci._cpu_on,
    "AFFINITY_INFO": Psci._affinity_info,
    "MIGRATE_INFO_TYPE": lambda _psci, _args: MIGRATE_NOT_REQUIRED,
    "SYSTEM_OFF": lambda _psci, _args: SystemDown(),
    "SYSTEM_RESET": lambda _psci, _args: SystemReset(),
    "PSCI_FEATURES": Psci._features,
    "SYSTEM_SUSPEND": Psci._system_suspend,
    "SYSTEM_RESET2": Psci._system_reset2,
    "MEM_PROTECT": Psci._mem_protect,
    "MEM_PROTECT_CHECK_RANGE": Psci._mem_protect_check_range,
}
