"""Every syndrome that reaches a trap handler is the Arm ARM's, whatever the engine made of it (DDI 0487 D17.2.37)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from bare import CODE, EL0, EL1, END_ESR, BareEngine

from armvcpu.arch.idregs import model, translated_features
from armvcpu.engine.api import TARGET_AARCH32

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = (0x0200_0000, 1, 0)
ENDED = (END_ESR, 1, 8)  # PC behind the SVC that ends a snippet of one word
ALL_KEYS = 0x30D0_0800 | 1 << 31 | 1 << 30 | 1 << 27 | 1 << 13  # SCTLR_EL1: EnIA, EnIB, EnDA, EnDB


@pytest.fixture(scope="module")
def bare() -> Iterator[BareEngine]:
    machine = BareEngine()
    machine.engine.registers.present(translated_features(model("max")))
    yield machine
    machine.close()


AT_EL0 = {
    "msr daifset, #2": (0xD503_42DF, (0x620C_D3E4, 1, 0)),
    "msr daifclr, #15": (0xD503_4FFF, (0x620E_D3FE, 1, 0)),
    "mrs x3, daif": (0xD53B_4223, (0x6232_D065, 1, 0)),
    "msr daif, x3": (0xD51B_4223, (0x6232_D064, 1, 0)),
    "msr spsel, #1": (0xD500_41BF, UNKNOWN),
    "msr pan, #1": (0xD500_419F, UNKNOWN),
    "msr uao, #1": (0xD500_417F, UNKNOWN),
    "dc zva, x1": (0xD50B_7421, (0x6212_DC28, 1, 0)),
    "dc cvau, x1": (0xD50B_7B21, (0x6212_DC36, 1, 0)),
    "dc civac, x1": (0xD50B_7E21, (0x6212_DC3C, 1, 0)),
    "ic ivau, x1": (0xD50B_7521, (0x6212_DC2A, 1, 0)),
    "dc ivac, x1": (0xD508_7621, UNKNOWN),
    "ic iallu": (0xD508_751F, UNKNOWN),
    "mrs x1, ctr_el0": (0xD53B_0021, (0x6232_C021, 1, 0)),
    "mrs x1, cntvct_el0": (0xD53B_E041, (0x6234_F821, 1, 0)),
    "mrs x1, cntfrq_el0": (0xD53B_E001, (0x6230_F821, 1, 0)),
    "mrs x1, pmccntr_el0": (0xD53B_9D01, (0x6230_E43B, 1, 0)),
    "wfi": (0xD503_207F, (0x07E0_0000, 1, 0)),
    "mrs x1, sctlr_el1": (0xD538_1001, UNKNOWN),
    "mrs x1, cpacr_el1": (0xD538_1041, UNKNOWN),
    "mrs x1, zcr_el1": (0xD538_1201, UNKNOWN),
    "tlbi vmalle1": (0xD508_871F, UNKNOWN),
    "eret": (0xD69F_03E0, UNKNOWN),
    "hvc #1": (0xD400_0022, UNKNOWN),
    "smc #1": (0xD400_0023, UNKNOWN),
    "svc #1": (0xD400_0021, (0x5600_0001, 1, 4)),
}
AT_BOTH = {
    "udf #0": (0x0000_0000, UNKNOWN),
    "unallocated, in the group of FP": (0xFFFF_FFFF, UNKNOWN),
    "unallocated, in the group of branches": (0xD500_0000, UNKNOWN),
    "hlt #1": (0xD440_0020, UNKNOWN),
    "dcps1": (0xD4A0_0001, UNKNOWN),
    "drps": (0xD6BF_03E0, UNKNOWN),
    "brk #1": (0xD420_0020, (0xF200_0001, 1, 0)),
    "mrs x1, hcr_el2": (0xD53C_1101, UNKNOWN),
    "msr cntfrq_el0, x1": (0xD51B_E001, UNKNOWN),
    "mrs x1, icc_sre_el1": (0xD538_CCA1, UNKNOWN),
    "add z0.d, z0.d, z1.d": (0x04E1_0000, UNKNOWN),
    "ptrue p0.b": (0x2518_E3E0, UNKNOWN),
    "rdvl x0, #1": (0x04BF_5020, UNKNOWN),
    "ld1d {z0.d}, p0/z, [x0]": (0xA5E0_A000, UNKNOWN),
    "pacga x1, x2, x3": (0x9AC3_3041, UNKNOWN),
    "pacia x1, x2": (0xDAC1_0041, UNKNOWN),
    "retaa": (0xD65F_0BFF, UNKNOWN),
    "braa x1, x2": (0xD71F_0822, UNKNOWN),
    "ldraa x1, [x2]": (0xF820_0441, UNKNOWN),
}
AT_EL1 = {
    "msr daifset, #2": (0xD503_42DF, ENDED),
    "hvc #1": (0xD400_0022, (0x5A00_0001, 2, 4)),
}


def rows(table: dict[str, tuple[int, tuple[int, int, int]]]) -> list[object]:
    return [pytest.param(*row, id=name) for name, row in table.items()]


@pytest.mark.parametrize(("word", "expected"), rows(AT_EL0 | AT_BOTH))
def test_exception_of_an_instruction_at_el0(bare: BareEngine, word: int, expected: tuple[int, int, int]) -> None:
    """(ESR, target EL, PC) with every EL0 permission of SCTLR_EL1, CNTKCTL_EL1 and PMUSERENR_EL0 withheld."""
    assert bare.run_words(word, pstate=EL0, CPACR_EL1=3 << 20) == expected


@pytest.mark.parametrize(("word", "expected"), rows(AT_EL1 | AT_BOTH))
def test_exception_of_an_instruction_at_el1(bare: BareEngine, word: int, expected: tuple[int, int, int]) -> None:
    """(ESR, target EL, PC) at EL1."""
    assert bare.run_words(word, pstate=EL1, CPACR_EL1=3 << 20) == expected


@pytest.mark.parametrize("pstate", [EL0, EL1])
@pytest.mark.parametrize("word", [0xD503_233F, 0xD503_23BF, 0xD503_20FF], ids=["paciasp", "autiasp", "xpaclri"])
def test_hints_of_pointer_authentication_do_nothing(bare: BareEngine, word: int, pstate: int) -> None:
    """Where ID_AA64ISAR1_EL1 shows none, they are NOPs (C6.2.240, PACIASP)."""
    assert bare.run_words(word, pstate=pstate, SCTLR_EL1=ALL_KEYS) == ENDED


@pytest.mark.parametrize("fpen", [0, 3])
def test_sve_is_undefined_with_fp_on_and_off(bare: BareEngine, fpen: int) -> None:
    """No presented CPU has SVE, so an SVE instruction is UNDEFINED and never EC 0x19 or 0x07."""
    assert bare.run_words(0x04E1_0000, CPACR_EL1=fpen << 20) == UNKNOWN


def test_aarch32_is_told_by_its_target(bare: BareEngine) -> None:
    """An ERET to AArch32 EL0 cannot be prevented; its first undefined instruction is Python's."""
    udf_a32 = 0xE7F0_00F0
    bare.place(0xD69F_03E0, udf_a32, ELR_EL1=CODE + 4, SPSR_EL1=0x1D0)
    bare.engine.run()
    assert bare.traps[-1][1] == TARGET_AARCH32
    assert bare.engine.state.aarch32
