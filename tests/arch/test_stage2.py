"""Stage 2 facts, descriptor bits, VTCR_EL2 and geometry, against values worked out from Arm DDI 0487 D8."""

from __future__ import annotations

import pytest

from armvcpu.arch.stage2 import (
    S2AP,
    SH,
    VTCR_EL2,
    XN,
    MemAttr,
    Stage2Descriptor,
    Stage2Geometry,
    is_table,
    leaf_type,
)
from armvcpu.errors import UsageError


@pytest.mark.parametrize(
    ("field", "value", "bits"),
    [
        ("VALID", 1, 1 << 0),
        ("TABLE", 1, 1 << 1),
        ("MemAttr", MemAttr.NORMAL_WB, 0b1111 << 2),
        ("MemAttr", MemAttr.DEVICE_nGnRE, 0b0001 << 2),
        ("MemAttr", MemAttr.DEVICE_nGnRnE, 0),
        ("MemAttr", MemAttr.NORMAL_NC, 0b0101 << 2),
        ("S2AP", S2AP.RO, 1 << 6),
        ("S2AP", S2AP.WO, 1 << 7),
        ("S2AP", S2AP.RW, 3 << 6),
        ("SH", SH.INNER, 3 << 8),
        ("AF", 1, 1 << 10),
        ("OA", 0xF_FFFF_FFFF, 0xFFFF_FFFF_F000),
        ("XN", XN.EXECUTE_NEVER, 1 << 54),
        ("XN", XN.EL0_ONLY, 1 << 53),
    ],
)
def test_descriptor_field_positions(field: str, value: int, bits: int) -> None:
    """Every field stands at its bits (D8.3, stage 2 Block and Page descriptors)."""
    assert Stage2Descriptor.of(**{field: value}) == bits


@pytest.mark.parametrize(("level", "bits"), [(1, 0b01), (2, 0b01), (3, 0b11)])
def test_leaf_type_is_block_above_page(level: int, bits: int) -> None:
    """A leaf is a block (0b01) at levels 1 and 2, a page (0b11) at level 3 (D8.3)."""
    assert leaf_type(level) == bits


@pytest.mark.parametrize(
    ("bits", "level", "table"), [(3, 0, True), (3, 2, True), (3, 3, False), (1, 1, False), (0, 1, False)]
)
def test_table_descriptor_is_told_by_level(bits: int, level: int, table: bool) -> None:
    """0b11 is a table only above level 3 (D8.3)."""
    assert is_table(bits, level) is table


@pytest.mark.parametrize(
    ("levels", "input_bits", "pa_bits", "value"),
    [
        # RES1 | PS << 16 | SH0 0b11 << 12 | ORGN0 1 << 10 | IRGN0 1 << 8 | SL0 << 6 | T0SZ
        (3, 39, 40, 0x8002_3559),
        (3, 40, 40, 0x8002_3558),
        (3, 32, 32, 0x8000_3560),
        (4, 40, 44, 0x8004_3598),
        (4, 48, 48, 0x8005_3590),
    ],
)
def test_vtcr_el2_value(levels: int, input_bits: int, pa_bits: int, value: int) -> None:
    """T0SZ, SL0, Write-Back Inner Shareable walks, TG0 4 KiB and PS (VTCR_EL2)."""
    assert Stage2Geometry(levels, input_bits).vtcr_el2(pa_bits) == value


def test_vtcr_el2_reads_back_by_field() -> None:
    """The value decodes to the fields it was made of."""
    vtcr = Stage2Geometry(4, 44).vtcr_el2(48)
    assert (vtcr.T0SZ, vtcr.SL0, vtcr.TG0, vtcr.PS, vtcr.SH0) == (20, 2, 0, 5, SH.INNER)
    assert isinstance(vtcr, VTCR_EL2)


@pytest.mark.parametrize(
    ("levels", "input_bits", "tables"),
    [(3, 31, 1), (3, 39, 1), (3, 40, 2), (3, 42, 8), (3, 43, 16), (4, 40, 1), (4, 48, 1)],
)
def test_root_tables_are_concatenated_past_39_bits(levels: int, input_bits: int, tables: int) -> None:
    """Up to 16 level 1 tables stand side by side instead of a level 0 (D8.2)."""
    assert Stage2Geometry(levels, input_bits).root_tables == tables


@pytest.mark.parametrize(
    ("geometry", "indexes"),
    [
        (Stage2Geometry(3, 40), {1: 0x3FF, 2: 0x155, 3: 0x0AA}),
        (Stage2Geometry(4, 48), {0: 0x001, 1: 0x1FF, 2: 0x155, 3: 0x0AA}),
    ],
)
def test_index_takes_nine_bits_a_level_and_the_rest_at_the_root(
    geometry: Stage2Geometry, indexes: dict[int, int]
) -> None:
    """Bits 47:39, 38:30, 29:21, 20:12 index levels 0 to 3, a concatenated root takes more (D8.2)."""
    ipa = 0x3FF << 30 | 0x155 << 21 | 0x0AA << 12 | 0xFFF
    assert {level: geometry.index(ipa, level) for level in indexes} == indexes


def test_parts_cut_a_range_at_entry_borders() -> None:
    """A range comes back entry by entry with ragged ends."""
    parts = list(Stage2Geometry(3, 39).parts(2, 0x4030_0000, 0x4070_1000))
    assert parts == [
        (1, 0x4030_0000, 0x4040_0000),
        (2, 0x4040_0000, 0x4060_0000),
        (3, 0x4060_0000, 0x4070_1000),
    ]


@pytest.mark.parametrize(
    ("levels", "input_bits", "message"),
    [
        (2, 39, "3 or 4 levels"),
        (3, 30, "31 to 43"),
        (3, 44, "31 to 43"),
        (4, 39, "40 to 48"),
        (4, 49, "40 to 48"),
    ],
)
def test_impossible_geometry_is_refused(levels: int, input_bits: int, message: str) -> None:
    """The start level bounds the input size (D8.2)."""
    with pytest.raises(UsageError, match=message):
        Stage2Geometry(levels, input_bits)


@pytest.mark.parametrize(
    ("levels", "input_bits", "pa_bits", "message"),
    [(3, 39, 39, "VTCR_EL2.PS"), (3, 40, 36, "exceed"), (4, 40, 42, "more than 42")],
)
def test_vtcr_el2_the_cpu_cannot_have_is_refused(levels: int, input_bits: int, pa_bits: int, message: str) -> None:
    """PS has six values, the input may not exceed it, a level 0 start needs more than 42 bits (VTCR_EL2)."""
    with pytest.raises(UsageError, match=message):
        Stage2Geometry(levels, input_bits).vtcr_el2(pa_bits)
