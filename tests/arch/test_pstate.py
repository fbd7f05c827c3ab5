"""PSTATE and the vector table. DDI 0487 D1.3.1, D1.4, SPSR_EL1."""

from __future__ import annotations

import pytest

from armvcpu.arch.pstate import DAIF, EL0t, EL1h, EL1t, EL2h, EL3h, PState, describe_pstate, el, uses_spx
from armvcpu.arch.vectors import VectorKind, vector_offset


@pytest.mark.parametrize(
    ("mode", "level", "spx"), [(EL0t, 0, 0), (EL1t, 1, 0), (EL1h, 1, 1), (EL2h, 2, 1), (EL3h, 3, 1)]
)
def test_mode_gives_exception_level_and_stack_pointer(mode: int, level: int, spx: int) -> None:
    """M[3:2] is the Exception level and M[0] selects SP_ELx."""
    assert (el(DAIF | mode), uses_spx(DAIF | mode)) == (level, bool(spx))


def test_reset_state_is_masked_el1h() -> None:
    """0x3C5 is EL1h with D, A, I and F set."""
    assert PState.of(M=EL1h, D=1, A=1, I=1, F=1) == 0x3C5


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0x3C5, "EL1h nzcv DAIF"),
        (0xA040_0245, "EL1h NzCv DaiF PAN"),
        (0x0020_0010, "AArch32 nzcv daif SS"),
        (0x0010_0002, "illegal mode 0b0010 nzcv daif IL"),
    ],
)
def test_pstate_in_words(value: int, words: str) -> None:
    """Capitals are ones; the rarer bits are named only where set."""
    assert describe_pstate(value) == words


@pytest.mark.parametrize(
    ("kind", "source", "spx", "aarch32", "offset"),
    [
        (VectorKind.SYNCHRONOUS, 1, False, False, 0x000),
        (VectorKind.IRQ, 1, True, False, 0x280),
        (VectorKind.FIQ, 0, False, False, 0x500),
        (VectorKind.SYNCHRONOUS, 0, True, False, 0x400),
        (VectorKind.SERROR, 0, False, True, 0x780),
    ],
)
def test_vector_offset(kind: VectorKind, source: int, spx: bool, aarch32: bool, offset: int) -> None:
    """The vector depends on where the exception came from and on what it is."""
    assert vector_offset(kind, source_el=source, target_el=1, spx=spx, aarch32=aarch32) == offset
