"""Syndromes: fields and words. DDI 0487 D17.2.37."""

from __future__ import annotations

import pytest

from armvcpu.arch.esr import ESR, DataAbortIss, ExceptionClass, SysRegIss
from armvcpu.arch.esr_words import FAULT_STATUS, describe_esr
from armvcpu.arch.registers import by_name, iss_from_encoding


def test_svc_splits_into_its_fields() -> None:
    """`svc #0x1234` reports EC 0x15, a 32-bit instruction, and its immediate."""
    esr = ESR(0x5600_1234)
    assert esr.EC is ExceptionClass.SVC64
    assert (esr.IL, esr.ISS) == (1, 0x1234)


@pytest.mark.parametrize("value", range(64))
def test_every_exception_class_can_be_viewed(value: int) -> None:
    """A reserved EC is a member too, equal to its number and the same object each time."""
    ec = ESR(value << 26).EC
    assert int(ec) == value
    assert ec is ESR(value << 26).EC


def test_exception_class_has_six_bits() -> None:
    """A number that EC cannot hold is an error."""
    with pytest.raises(ValueError, match="64"):
        ExceptionClass(64)


def test_data_abort_iss_of_a_sign_extending_load() -> None:
    """`ldrsh w3, [x1]`: ISV, 2 bytes, sign extension, register 3 of 32 bits, translation fault level 2."""
    iss = DataAbortIss(0x0163_0006)
    assert (iss.ISV, iss.SAS, iss.SSE, iss.SRT, iss.SF, iss.WnR, iss.DFSC) == (1, 1, 1, 3, 0, 0, 6)


def test_sysreg_iss_names_register_and_direction() -> None:
    """The ISS of `mrs x5, ICC_IAR1_EL1` gives the packed key, the register and the direction."""
    key = by_name["ICC_IAR1_EL1"].encoding
    assert SysRegIss(iss_from_encoding(key) | 5 << 5 | 1).access == (key, 5, True)


@pytest.mark.parametrize(
    ("esr", "words"),
    [
        (0x9600_0046, "data abort from the current EL, translation fault, level 2, on a write, FAR 0x80"),
        (0x9600_0410, "data abort from the current EL, synchronous external abort, on a read, FAR not valid"),
        (
            0x93C0_8007,
            "data abort from a lower EL, translation fault, level 3, on a read of 64 bits, x0, FAR 0x80",
        ),
        (0x8600_000F, "instruction abort from the current EL, permission fault, level 3, FAR 0x80"),
        (0x8A00_0000, "PC alignment fault, FAR 0x80"),
        (0x5A00_0003, "HVC #0x3"),
        (0x0600_0001, "trapped WFE"),
        (0x6230_03E0, "trapped write of MIDR_EL1 from xzr"),
        (0xF200_0001, "BRK #0x1"),
        (0x0000_0000, "undefined instruction or unknown reason"),
        (0x0800_0000, "exception of reserved class 0x02, ISS 0x0"),
    ],
)
def test_syndrome_in_words(esr: int, words: str) -> None:
    """A syndrome reads as one line, with FAR where the exception sets it."""
    assert describe_esr(esr, far=0x80) == words


def test_every_named_class_has_words() -> None:
    """No exception class with a name is called reserved."""
    assert [ec.name for ec in ExceptionClass if "reserved" in describe_esr(ec << 26)] == []


@pytest.mark.parametrize(("code", "words"), [(0x00, "address size"), (0x0D, "permission"), (0x21, "alignment")])
def test_fault_status_words(code: int, words: str) -> None:
    """DFSC and IFSC codes carry the manual's names."""
    assert words in FAULT_STATUS[code]
