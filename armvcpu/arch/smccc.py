"""Numbers of the SMC Calling Convention, Arm DEN 0028: function identifiers, owners, return codes."""

from __future__ import annotations

from enum import IntEnum

from armvcpu.arch.fields import Field, RegisterView


class FunctionId(RegisterView):
    """W0 of an SMC or HVC call: DEN 0028 2.5, Table 2-1. Bits 23:17 are reserved and must be zero."""

    fast = Field(31)
    smc64 = Field(30)
    owner = Field(29, 24)
    reserved = Field(23, 17)
    sve_hint = Field(16)  # the caller has no live SVE state; no part of the identity
    number = Field(15, 0)

    @property
    def identity(self) -> int:
        """The identifier as functions are listed: without the SVE hint."""
        return self.replace(sve_hint=0)


class Owner(IntEnum):
    """Owning entity numbers that have one meaning: DEN 0028 2.5.1 and 6.1, Table 6-1."""

    ARCH = 0
    CPU = 1
    SIP = 2
    OEM = 3
    STANDARD_SECURE = 4
    STANDARD_HYPERVISOR = 5
    VENDOR_HYPERVISOR = 6
    VENDOR_EL3 = 7


def owner_name(owner: int) -> str:
    """The owning entity of a 6-bit owner number, in words."""
    if owner in _OWNER_NAMES:
        return _OWNER_NAMES[owner]
    if owner in {48, 49}:
        return "Trusted Application"
    return "Trusted OS" if owner >= 50 else "reserved owner"


_OWNER_NAMES: dict[int, str] = {
    Owner.ARCH: "Arm Architecture",
    Owner.CPU: "CPU Service",
    Owner.SIP: "SiP Service",
    Owner.OEM: "OEM Service",
    Owner.STANDARD_SECURE: "Standard Secure Service",
    Owner.STANDARD_HYPERVISOR: "Standard Hypervisor Service",
    Owner.VENDOR_HYPERVISOR: "Vendor Specific Hypervisor Service",
    Owner.VENDOR_EL3: "Vendor Specific EL3 Monitor Service",
}


class SmcccStatus(IntEnum):
    """Return codes of the Arm Architecture Calls: DEN 0028 7.1, signed 32-bit values in W0."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    NOT_REQUIRED = -2
    INVALID_PARAMETER = -3


def fast_call(owner: Owner, number: int, *, smc64: bool = False) -> int:
    """The identifier of a fast call."""
    return FunctionId.of(fast=1, smc64=int(smc64), owner=owner, number=number)


SMCCC_VERSION_1_2 = 0x1_0002
"""What SMCCC_VERSION answers: major version in bits 31:16, minor in 15:0."""

SMCCC_VERSION = fast_call(Owner.ARCH, 0)
SMCCC_ARCH_FEATURES = fast_call(Owner.ARCH, 1)
SMCCC_ARCH_SOC_ID = fast_call(Owner.ARCH, 2)
SMCCC_ARCH_WORKAROUND_3 = fast_call(Owner.ARCH, 0x3FFF)
SMCCC_ARCH_WORKAROUND_2 = fast_call(Owner.ARCH, 0x7FFF)
SMCCC_ARCH_WORKAROUND_1 = fast_call(Owner.ARCH, 0x8000)

CALL_COUNT = 0xFF00
"""Number of the general query Call Count, by owner: DEN 0028 6.2."""
CALL_UID = 0xFF01
CALL_REVISION = 0xFF03
