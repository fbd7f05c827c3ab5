"""The SMC Calling Convention. DEN 0028."""

from __future__ import annotations

from uuid import UUID

import pytest

from armvcpu.arch.smccc import (
    SMCCC_ARCH_FEATURES,
    SMCCC_ARCH_WORKAROUND_1,
    SMCCC_VERSION,
    FunctionId,
    Owner,
    fast_call,
    owner_name,
)
from armvcpu.errors import UsageError
from armvcpu.vcpu.exits import SystemDown
from armvcpu.vcpu.smc import OwnerInfo, SmcServices, describe_call, smc_call
from armvcpu.vcpu.smc_filter import CallAction

NOT_SUPPORTED = (0xFFFF_FFFF_FFFF_FFFF,)
SIP32 = fast_call(Owner.SIP, 1)
SIP64 = fast_call(Owner.SIP, 1, smc64=True)


@pytest.fixture
def services() -> SmcServices:
    return SmcServices()


def test_function_id_fields() -> None:
    """Bit 31 is fast, 30 the 64-bit convention, 29:24 the owner (Table 2-1)."""
    function = FunctionId(0xC600_0002)
    assert (function.fast, function.smc64, function.owner, function.number) == (1, 1, 6, 2)


def test_version_is_1_2(services: SmcServices) -> None:
    """SMCCC_VERSION answers major 1, minor 2."""
    assert services.call(SMCCC_VERSION, ()) == (0x1_0002,)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [(SMCCC_VERSION, (0,)), (SMCCC_ARCH_FEATURES, (0,)), (SMCCC_ARCH_WORKAROUND_1, NOT_SUPPORTED)],
)
def test_arch_features_answers_from_the_registered(services: SmcServices, asked: int, answer: object) -> None:
    """SMCCC_ARCH_FEATURES knows what is registered."""
    assert services.call(SMCCC_ARCH_FEATURES, (asked,)) == answer


def test_arch_features_asks_only_about_architecture_calls(services: SmcServices) -> None:
    """A function of another owner is not supported, though it exists."""
    services.register(SIP32, lambda _id, _args: 0)
    assert services.call(SMCCC_ARCH_FEATURES, (SIP32,)) == NOT_SUPPORTED


@pytest.mark.parametrize("function_id", [SIP32, SIP32 & ~(1 << 31), SMCCC_VERSION | 1 << 17, SMCCC_VERSION | 1 << 23])
def test_unclaimed_yielding_and_malformed_calls_are_not_supported(services: SmcServices, function_id: int) -> None:
    """The Unknown Function Identifier is -1, sign-extended (section 5.1)."""
    assert services.call(function_id, (1, 2, 3)) == NOT_SUPPORTED


def test_sve_hint_is_no_part_of_the_identity(services: SmcServices) -> None:
    """Bit 16 only tells about live SVE state."""
    assert services.call(SMCCC_VERSION | 1 << 16, ()) == (0x1_0002,)


def test_upper_half_of_x0_is_ignored(services: SmcServices) -> None:
    """The function identifier is W0."""
    assert services.call(0xFFFF_FFFF_0000_0000 | SMCCC_VERSION, ()) == (0x1_0002,)


@pytest.mark.parametrize(("function_id", "seen"), [(SIP32, 0x5555_5555), (SIP64, 0x1_5555_5555)])
def test_smc32_passes_w_registers(services: SmcServices, function_id: int, seen: int) -> None:
    """A 32-bit call sees and returns 32 bits; missing arguments are zero."""
    services.register(function_id, lambda _id, args: args)
    assert services.call(function_id, (0x1_5555_5555,)) == (seen, 0, 0, 0, 0, 0)
    services.unregister(function_id)
    services.register(function_id, lambda _id, _args: 0x1_5555_5555)
    assert services.call(function_id, ()) == (seen,)


def test_exit_is_handed_on(services: SmcServices) -> None:
    """A handler may answer with an exit."""
    services.register(SIP32, lambda _id, _args: SystemDown())
    assert services.call(SIP32, ()) == SystemDown()


@pytest.mark.parametrize("answer", [None, "x", 1.5, [1, 2], ("a",), (1, None), b"q", SystemDown])
def test_service_that_gives_no_answer_is_named(services: SmcServices, answer: object) -> None:
    """Neither a number, nor numbers, nor an exit: UsageError, which says what to return."""
    services.register(SIP32, lambda _id, _args: answer)
    with pytest.raises(UsageError, match=r"0x82000001, .* gave .*: return a number, a tuple"):
        services.call(SIP32, ())


def test_narrowest_registration_wins(services: SmcServices) -> None:
    """A single function goes before a range, a range before its owner."""
    services.register_owner(Owner.SIP, lambda _id, _args: 3)
    services.register_range(range(SIP32, SIP32 + 2), lambda _id, _args: 2)
    services.register(SIP32, lambda _id, _args: 1)
    assert [services.call(SIP32 + n, ()) for n in range(3)] == [(1,), (2,), (3,)]


def test_registration_is_checked(services: SmcServices) -> None:
    """A second claim, a malformed identifier and a withdrawal of nothing are the caller's mistakes."""
    with pytest.raises(UsageError, match="already"):
        services.register(SMCCC_VERSION, lambda _id, _args: 0)
    with pytest.raises(UsageError, match="23:17"):
        services.register(SIP32 | 1 << 20, lambda _id, _args: 0)
    with pytest.raises(UsageError, match="not registered"):
        services.unregister(SIP32)


def test_general_queries_identify_an_owner(services: SmcServices) -> None:
    """Call Count, UID (little-endian words of the UUID's bytes) and Revision (section 6.2)."""
    services.register(SIP32, lambda _id, _args: 0)
    services.identify_owner(Owner.SIP, OwnerInfo(UUID(bytes=bytes(range(16))), major=2, minor=1))
    answers = [services.call(fast_call(Owner.SIP, number), ()) for number in (0xFF00, 0xFF01, 0xFF03)]
    assert answers == [(1,), (0x0302_0100, 0x0706_0504, 0x0B0A_0908, 0x0F0E_0D0C), (2, 1)]


def test_host_call_returns_four_registers(services: SmcServices) -> None:
    """Registers that carry no result keep their values."""
    services.register(SIP64, lambda _id, _args: (7, 8))
    assert smc_call(services, SIP64, 1, 2, 3) == (7, 8, 2, 3)


@pytest.mark.parametrize(
    ("function_id", "reason"),
    [
        (0x8400_0008, "SYSTEM_OFF, it would power the machine off"),
        (0xC400_0001, "CPU_SUSPEND, it would suspend"),
        (0x8400_0002, "CPU_OFF"),
        (0x0000_0001, "yielding"),
        (0x8440_0000, "23:17"),
        (1 << 32, "32 bits"),
    ],
)
def test_unsafe_host_call_is_refused_with_a_reason(services: SmcServices, function_id: int, reason: str) -> None:
    """What would take control from the caller is not even tried."""
    with pytest.raises(UsageError, match=f"refused: .*{reason}"):
        smc_call(services, function_id)


def test_host_call_that_ends_in_an_exit_is_refused(services: SmcServices) -> None:
    """No host caller can act on an exit."""
    services.register(SIP32, lambda _id, _args: SystemDown())
    with pytest.raises(UsageError, match="SystemDown"):
        smc_call(services, SIP32)


def test_calls_and_owners_in_words() -> None:
    """A trace names PSCI functions, and the owner of what it does not know."""
    assert describe_call(0xC400_0003) == "CPU_ON"
    assert describe_call(0x8600_0001) == "SMC32 fast call 0x86000001, Vendor Specific Hypervisor Service"
    assert [owner_name(n) for n in (8, 48, 63)] == ["reserved owner", "Trusted Application", "Trusted OS"]


def test_yielding_call_may_have_a_service(services: SmcServices) -> None:
    """Bit 31 clear: by its own number only, an owner's are its fast calls (Table 2-1)."""
    services.register_owner(Owner.SIP, lambda _id, _args: 3)
    services.register(0x4200_0001, lambda _id, args: args[0] + 1)
    assert services.call(0x4200_0001, (1 << 40,)) == ((1 << 40) + 1,)
    assert services.call(0x4200_0002, ()) == NOT_SUPPORTED


def test_service_sees_and_answers_seventeen_registers(services: SmcServices) -> None:
    """x1 to x17 of an SMC64 call, W1 to W7 of an SMC32 call (2.6); x0 to x17 come back."""
    for function_id in (SIP32, SIP64):
        services.register(function_id, lambda _id, args: (len(args), *args))
    args = tuple(range(1 << 32, (1 << 32) + 17))
    assert services.call(SIP64, args) == (17, *args)
    assert services.call(SIP32, args) == (7, *range(7))


FIRST = 0xC600_0000


@pytest.mark.parametrize("action", list(CallAction))
def test_filter_decides_for_a_range(services: SmcServices, action: CallAction) -> None:
    """Claimed or not; an identifier beyond it is as without one."""
    services.register(FIRST, lambda _id, _args: 0)
    services.register(FIRST + 4, lambda _id, _args: 0)
    before = [services.action(FIRST + n) for n in range(6)]
    services.filter(range(FIRST, FIRST + 4), action)
    unclaimed = None if action is CallAction.ANSWER else action
    assert before == [CallAction.ANSWER, None, None, None, CallAction.ANSWER, None]
    assert [services.action(FIRST + n) for n in range(6)] == [
        action, unclaimed, unclaimed, unclaimed, CallAction.ANSWER, None
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [range(5, 5), range(0, 8, 2), range(-1, 3), range((1 << 32) + 1), range(FIRST + 3, FIRST + 9), range(1 << 32)],
    ids=str,
)
def test_filter_that_cannot_be_is_refused(services: SmcServices, wrong: range) -> None:
    """Empty, with steps, beyond 32 bits, or over another; nothing has changed."""
    services.filter(range(FIRST, FIRST + 4), CallAction.EXIT)
    with pytest.raises(UsageError):
        services.filter(wrong, CallAction.REFUSE)
    assert [services.action(number) for number in (5, FIRST + 3, FIRST + 4)] == [None, CallAction.EXIT, None]


@pytest.mark.parametrize(("version", "answer"), [(0x1_0000, NOT_SUPPORTED), (0x1_0001, (0x1_0001,))])
def test_version_can_be_chosen(version: int, answer: object) -> None:
    """SMCCC 1.0 had neither SMCCC_VERSION nor SMCCC_ARCH_FEATURES (DEN 0028 7.2)."""
    assert SmcServices(version).call(SMCCC_VERSION, ()) == answer
