"""System register rows and their encodings. DDI 0487 C5.1.2, D17; IHI 0069 12.2."""

from __future__ import annotations

import pytest

from armvcpu.arch.registers import (
    RO,
    RW,
    SYSREG_ISS_MASK,
    SYSREGS,
    TRAPPED,
    WO,
    access_from_instruction,
    by_encoding,
    by_name,
    encoding_from_iss,
    encoding_of,
    generic_name,
    instruction_from_access,
    is_id_space,
    is_implementation_defined,
    iss_from_encoding,
    op,
    register_name,
)
from armvcpu.arch.sysreg import generic_encoding, lowest_el


def test_rows_are_unique() -> None:
    """No two rows share a name or an encoding."""
    assert len(SYSREGS) == len(by_name) == len(by_encoding)


@pytest.mark.parametrize("row", SYSREGS, ids=lambda row: row.name)
def test_encodings_survive_each_layout(row) -> None:
    """The packed key, the instruction word and the ISS carry the same register."""
    word = instruction_from_access(row.encoding, 7, is_read=False)
    assert access_from_instruction(word) == (row.encoding, 7, False)
    iss = iss_from_encoding(row.encoding)
    assert (encoding_from_iss(iss | 0x3E1), iss & ~SYSREG_ISS_MASK) == (row.encoding, 0)


@pytest.mark.parametrize(
    ("word", "name", "rt", "is_read"),
    [
        (0xD538_0000, "MIDR_EL1", 0, True),
        (0xD518_C01F, "VBAR_EL1", 31, False),
        (0xD53B_E041, "CNTVCT_EL0", 1, True),
        (0xD538_CC02, "ICC_IAR1_EL1", 2, True),
        (0xD518_CBA3, "ICC_SGI1R_EL1", 3, False),
        (0xD510_1084, "OSLAR_EL1", 4, False),
        (0xD53B_EFE5, "PMCCFILTR_EL0", 5, True),
        (0xD51C_1106, "HCR_EL2", 6, False),
        (0xD51E_1107, "SCR_EL3", 7, False),
    ],
)
def test_instruction_word_names_its_register(word: int, name: str, rt: int, is_read: bool) -> None:
    """MSR and MRS words, as an assembler makes them, name the register of the row."""
    assert access_from_instruction(word) == (by_name[name].encoding, rt, is_read)


@pytest.mark.parametrize("word", [0xD503_201F, 0xD503_419F, 0xD65F_03C0, 0xD503_3FDF])
def test_other_words_are_no_register_access(word: int) -> None:
    """NOP, MSR (immediate), RET and ISB access no system register."""
    assert access_from_instruction(word) is None


def test_unknown_register_has_a_generic_name() -> None:
    """What no row knows prints as an assembler accepts it."""
    assert register_name(op(3, 0, 15, 2, 1)) == "S3_0_C15_C2_1"
    assert register_name(op(3, 0, 12, 0, 0)) == "VBAR_EL1"


@pytest.mark.parametrize("row", SYSREGS, ids=lambda row: row.name)
def test_name_leads_to_its_encoding_in_any_case(row) -> None:
    """As debuggers and users write it, and by the generic name (C5.1.2)."""
    generic = generic_name(row.encoding)
    names = (row.name, row.name.lower(), row.name.upper(), generic, generic.lower())
    assert [encoding_of(name) for name in names] == [row.encoding] * 5


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("S3_1_C15_C2_1", op(3, 1, 15, 2, 1)),
        ("s3_1_c15_c2_1", op(3, 1, 15, 2, 1)),
        ("S2_0_C0_C0_0", op(2, 0, 0, 0, 0)),
        ("S3_7_C15_C15_7", 0xFFFF),
    ],
)
def test_generic_name_leads_to_its_encoding(name: str, encoding: int) -> None:
    """`S<op0>_<op1>_C<n>_C<m>_<op2>`, whether a row knows it or not (C5.1.2)."""
    assert (encoding_of(name), generic_encoding(name.upper())) == (encoding, encoding)


@pytest.mark.parametrize(
    "name",
    [
        *("", "VBAR", "VBAR_EL9", "VBAR_EL1 ", "S", "S_____", "S3_1_C15_C2", "S3_1_C15_C2_1_0", "T3_1_C15_C2_1"),
        *("S3_1_15_C2_1", "S3_1_C15_2_1", "S1_1_C15_C2_1", "S4_1_C15_C2_1", "S3_8_C15_C2_1", "S3_1_C16_C2_1"),
        *("S3_1_C15_C16_1", "S3_1_C15_C2_8", "S3_-1_C15_C2_1", "S3_+1_C15_C2_1", "S3_1_C1.5_C2_1", "S3_1_C_C2_1"),
        *("S3_1_C\u0661_C2_1", "S3_1_C\u00b2_C2_1", "S 3_1_C15_C2_1", "S0x3_1_C15_C2_1"),
    ],
)
def test_nonsense_is_no_register(name: str) -> None:
    """Op0 of a register is 2 or 3, and numbers are decimal (C5.1.2)."""
    assert (encoding_of(name), generic_encoding(name)) == (None, None)


@pytest.mark.parametrize("name", ["S3_1_C015_C2_1", "S03_1_C15_C2_1"])
def test_leading_zeros_change_nothing(name: str) -> None:
    """Assemblers take them."""
    assert generic_encoding(name) == op(3, 1, 15, 2, 1)


@pytest.mark.parametrize(
    ("name", "access", "el"),
    [
        ("ICC_EOIR1_EL1", WO, 1),
        ("ICC_HPPIR1_EL1", RO, 1),
        ("CNTV_CTL_EL0", RW, 0),
        ("VTTBR_EL2", RW, 2),
        ("SCR_EL3", RW, 3),
        ("DBGBVR5_EL1", RW, 1),
        ("MDCCSR_EL0", RO, 0),
    ],
)
def test_access_rights_and_lowest_level(name: str, access: object, el: int) -> None:
    """A row tells who may read or write the register."""
    assert (by_name[name].access, lowest_el(by_name[name].encoding)) == (access, el)


def test_gic_cpu_interface_is_emulated() -> None:
    """Every ICC and ICH register is served in Python, whichever Exception level it belongs to."""
    gic = [row for row in SYSREGS if row.name.startswith(("ICC_", "ICH_"))]
    assert len(gic) > 50
    assert {row.home for row in gic} == {TRAPPED}


def test_spaces_without_rows() -> None:
    """The ID space and the IMPLEMENTATION DEFINED space are told by encoding alone."""
    assert is_id_space(op(3, 0, 0, 7, 7))
    assert not is_id_space(by_name["MIDR_EL1"].encoding)
    assert is_implementation_defined(op(3, 6, 15, 8, 0))
    assert not is_implementation_defined(by_name["CNTV_CTL_EL0"].encoding)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("SCTLR_EL1", {1, 2, 3}), ("SP_EL0", {1, 2, 3}), ("SP_EL1", {1, 2, 3}), ("MDSCR_EL1", {1, 2, 3}),
        ("HCR_EL2", {2, 3}), ("SP_EL2", {2, 3}), ("CNTHP_CTL_EL2", {2, 3}), ("CNTHV_CTL_EL2", {2, 3}),
        ("SCTLR_EL12", {2, 3}), ("SCR_EL3", {3}), ("CNTPS_CTL_EL1", {3}),
        ("RVBAR_EL1", {1}), ("RVBAR_EL2", {2}), ("RVBAR_EL3", {3}),
    ],
)  # fmt: skip
def test_levels_bring_registers(name: str, there: set[int]) -> None:
    """By the guest's highest level: most by op1, a stack pointer one level below the one that names it."""
    assert {el for el in (1, 2, 3) if by_name[name].is_there(el, vhe=True)} == there


def test_vhe_brings_registers() -> None:
    """Those of the second range, the EL2 virtual timer and the names of EL1's registers (D17.2, D17.11)."""
    of_vhe = {row.name for row in SYSREGS if row.is_there(3, vhe=True) and not row.is_there(3, vhe=False)}
    assert of_vhe == {
        "TTBR1_EL2", "CONTEXTIDR_EL2", "CNTHV_TVAL_EL2", "CNTHV_CTL_EL2", "CNTHV_CVAL_EL2",
        *(row.name for row in SYSREGS if row.is_alias),
    }  # fmt: skip
