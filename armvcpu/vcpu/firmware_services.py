"""Firmware services beside PSCI, each registered by whoever wants its guests to have it.

Arm DEN 0028 (SMCCC) 7: what the Arm Architecture Calls answer of the processor. DEN 0098: TRNG. DEN 0057: stolen time,
which is `stolen_time.py`. All are pure: randomness comes in as a function.
"""

from __future__ import annotations

from armvcpu.arch.smccc import (
    SMCCC_ARCH_SOC_ID,
    SMCCC_ARCH_WORKAROUND_1,
    SMCCC_ARCH_WORKAROUND_2,
    SMCCC_ARCH_WORKAROUND_3,
    FunctionId,
    Owner,
    SmcccStatus,
    fast_call,
)
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError
from armvcpu.vcpu.smc import OwnerInfo, Uid

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.vcpu.smc import SmcServices

VENDOR_HYPERVISOR = OwnerInfo(Uid(bytes.fromhex("8d2f64b0 91c3 4e57 a6d8 03b75c19e24f")), major=1, minor=0)
"""What the general queries of the Vendor Specific Hypervisor Service owner answer: this hypervisor is armvcpu."""

_NOT_AFFECTED = 1
"""SMCCC_ARCH_FEATURES of a workaround: the call is there, and this processor needs none (7.5 to 7.7)."""


def register_workarounds(services: SmcServices) -> None:
    """SMCCC_ARCH_WORKAROUND_1 to 3: nothing to do, for the emulated processor does not speculate."""
    for function_id, feature in (
        (SMCCC_ARCH_WORKAROUND_1, _NOT_AFFECTED),
        (SMCCC_ARCH_WORKAROUND_2, SmcccStatus.NOT_REQUIRED),
        (SMCCC_ARCH_WORKAROUND_3, _NOT_AFFECTED),
    ):
        services.register(function_id, lambda _id, _args: SmcccStatus.SUCCESS, feature=feature)


def register_soc_id(services: SmcServices, version: int, revision: int) -> None:
    """SMCCC_ARCH_SOC_ID (7.4): the SoC's JEP-106 identification and its revision, 31 bits each."""
    for name, value in (("version", version), ("revision", revision)):
        if not 0 <= value < 1 << 31:
            raise UsageError(f"SoC {name} {value:#x} does not fit 31 bits")
    answers = {0: version, 1: revision}
    services.register(SMCCC_ARCH_SOC_ID, lambda _id, args: answers.get(args[0], SmcccStatus.INVALID_PARAMETER))


def identify_vendor(services: SmcServices) -> None:
    """Call UID, Call Count and Revision of the hypervisor's own services (6.2)."""
    services.identify_owner(Owner.VENDOR_HYPERVISOR, VENDOR_HYPERVISOR)


# --- TRNG, DEN 0098 ---------------------------------------------------------------------------------------------

TRNG_VERSION, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND32 = (
    fast_call(Owner.STANDARD_SECURE, number) for number in range(0x50, 0x54)
)
TRNG_RND64 = fast_call(Owner.STANDARD_SECURE, 0x53, smc64=True)
_TRNG_1_0 = 0x1_0000
_TRNG_INVALID_PARAMETERS = -2
_TRNG_UID = Uid(bytes.fromhex("5be1c07a 2d94 4f36 b8e5 71a0d3fc9642"))
_TRNG = (TRNG_VERSION, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND32, TRNG_RND64)


def register_trng(services: SmcServices, random: Callable[[int], bytes]) -> None:
    """The five functions; `random(n)` gives n bytes of full entropy."""

    def features(_id: int, args: tuple[int, ...]) -> int:
        return SmcccStatus.SUCCESS if args[0] in _TRNG else SmcccStatus.NOT_SUPPORTED

    def uuid(_id: int, _args: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int.from_bytes(_TRNG_UID.bytes[i : i + 4], "little") for i in range(0, 16, 4))

    def rnd(function_id: int, args: tuple[int, ...]) -> tuple[int, ...]:
        """2.4: x1 to x3, the last bits in x3, and zero above those that were asked for."""
        width, bits = 64 if FunctionId(function_id).smc64 else 32, args[0]
        if not 0 < bits <= 3 * width:
            return _TRNG_INVALID_PARAMETERS, 0, 0, 0
        value = int.from_bytes(random(-(-bits // 8)), "little") & (1 << bits) - 1
        mask = (1 << width) - 1
        return SmcccStatus.SUCCESS, value >> 2 * width & mask, value >> width & mask, value & mask

    services.register(TRNG_VERSION, lambda _id, _args: _TRNG_1_0)
    services.register(TRNG_FEATURES, features)
    services.register(TRNG_GET_UUID, uuid)
    services.register(TRNG_RND32, rnd)
    services.register(TRNG_RND64, rnd)
