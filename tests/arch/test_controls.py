"""Control registers as fields. DDI 0487 D17.2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armvcpu.arch import controls

if TYPE_CHECKING:
    from armvcpu.arch.fields import RegisterView

VIEWS = [view for view in vars(controls).values() if isinstance(view, type) and view.__module__ == controls.__name__]


@pytest.mark.parametrize("view", VIEWS)
def test_fields_do_not_overlap(view: type[RegisterView]) -> None:
    """No bit belongs to two fields."""
    seen = 0
    for row in view.FIELDS.values():
        assert not seen & row.mask, row.name
        seen |= row.mask


@pytest.mark.parametrize(
    ("view", "fields", "value"),
    [
        (controls.HCR_EL2, {"VM": 1, "IMO": 1, "TID3": 1, "TSC": 1, "RW": 1}, 0x800C_0011),
        (controls.HCR_EL2, {"VI": 1, "TWI": 1, "TWE": 1, "E2H": 1}, 0x4_0000_6080),
        (controls.SCR_EL3, {"NS": 1, "RES1": 3, "HCE": 1, "RW": 1}, 0x531),
        (controls.CPACR_EL1, {"FPEN": 3}, 0x30_0000),
        (controls.CPTR_EL2, {"RES1_7_0": 0xFF, "RES1_9": 1, "RES1_13_12": 3}, 0x32FF),
        (controls.MDCR_EL2, {"TDE": 1, "TPM": 1, "TPMCR": 1}, 0x160),
        (controls.SCTLR_EL1, {"M": 1, "C": 1, "I": 1}, 0x1005),
        (controls.TCR_EL1, {"T0SZ": 16, "T1SZ": 16, "TG1": 2, "IPS": 5}, 0x5_8010_0010),
        (controls.MDSCR_EL1, {"SS": 1, "KDE": 1, "MDE": 1}, 0xA001),
        (controls.CNTHCTL_EL2, {"EL1PCTEN": 1, "EL1PCEN": 1}, 3),
    ],
)
def test_bits_stand_where_the_manual_has_them(view: type[RegisterView], fields: dict[str, int], value: int) -> None:
    """Well-known register values come out of their field names."""
    assert view.of(**fields) == value
