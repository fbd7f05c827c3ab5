"""Exception entry against AArch64.TakeException, DDI 0487 J1.1.2."""

from __future__ import annotations

import pytest

from armvcpu.arch.pstate import EL0t, EL1h, EL1t, EL2h, EL2t, EL3h, EL3t, PState
from armvcpu.arch.vectors import VectorKind
from armvcpu.vcpu.entry import EntryFeatures, entry_pstate, hits_own_vector, vector_address

VBAR = 0xFFFF_0000_0000_0800
SPAN, DSSBS = 1 << 23, 1 << 44
ALL = EntryFeatures(pan=True, ssbs=True, dit=True)
HANDLER = {1: 0x3C5, 2: 0x3C9, 3: 0x3CD}
"""PSTATE in the handler by its level: DAIF set, SP_ELx; everything else clear."""
AARCH32_USER = 0x10

VECTORS = [
    (EL0t, 1, 0x400), (EL1t, 1, 0x000), (EL1h, 1, 0x200), (AARCH32_USER, 1, 0x600),
    (EL0t, 2, 0x400), (EL1t, 2, 0x400), (EL1h, 2, 0x400), (EL2t, 2, 0x000), (EL2h, 2, 0x200),
    (EL0t, 3, 0x400), (EL1h, 3, 0x400), (EL2h, 3, 0x400), (EL3t, 3, 0x000), (EL3h, 3, 0x200),
]  # fmt: skip


@pytest.mark.parametrize("flags", [0, 0x3C0, 0xF000_0000], ids=["unmasked", "masked", "NZCV"])
@pytest.mark.parametrize(("mode", "target", "offset"), VECTORS)
def test_vector_is_chosen_by_where_the_exception_came_from(mode, target, offset, flags):
    """Lower level or current, SP_EL0 or SP_ELx, AArch64 or AArch32: D1.3.1, "Vector tables"."""
    assert vector_address(VBAR, flags | mode, target) == VBAR + offset


@pytest.mark.parametrize(("kind", "offset"), [("IRQ", 0x280), ("FIQ", 0x300), ("SERROR", 0x380)])
def test_each_kind_of_exception_has_its_own_vector(kind, offset):
    """80 bytes further in hexadecimal for each kind."""
    assert vector_address(VBAR, EL1h, 1, VectorKind[kind]) == VBAR + offset


def test_low_bits_of_vbar_have_no_effect():
    """Bits 10:0 of VBAR_ELx are RES0: the address is VBAR_ELx<63:11>:offset (D17.2.150)."""
    assert vector_address(VBAR | 0x7FF, EL0t, 1) == VBAR + 0x400


@pytest.mark.parametrize("target", [1, 2, 3])
def test_handler_runs_masked_on_its_own_stack_pointer(target):
    """Whatever was masked and selected before, DAIF is 1111 and SP_ELx of the target is in use."""
    assert entry_pstate(EL0t, target, SPAN, ALL) == HANDLER[target]


@pytest.mark.parametrize("flag", ["N", "Z", "C", "V"])
def test_condition_flags_are_kept(flag):
    """PSTATE.{N,Z,C,V} are not among what TakeException changes."""
    before = PState.of(**{flag: 1}, M=EL1h)
    assert entry_pstate(before, 1, SPAN, ALL) == HANDLER[1] | before & 0xF000_0000


@pytest.mark.parametrize("field", ["SS", "IL", "UAO", "BTYPE", "nRW"])
def test_state_of_the_interrupted_code_is_cleared(field):
    """PSTATE.SS, IL, UAO, BTYPE and nRW become zero."""
    assert entry_pstate(PState.of(**{field: 1}), 1, SPAN, ALL) == HANDLER[1]


@pytest.mark.parametrize(
    ("pan", "before", "target", "sctlr", "after"),
    [
        (True, 0, 1, 0, 1),  # SPAN clear: set on entry to EL1
        (True, 1, 1, 0, 1),
        (True, 0, 1, SPAN, 0),  # SPAN set: left as it is
        (True, 1, 1, SPAN, 1),
        (True, 0, 2, 0, 0),  # to EL2 without E2H and TGE, and to EL3: never set
        (True, 1, 2, 0, 1),
        (True, 0, 3, 0, 0),
        (False, 0, 1, 0, 0),  # without FEAT_PAN
        (False, 1, 1, 0, 0),
    ],
)
def test_pan_by_span(pan, before, target, sctlr, after):
    """SCTLR_EL1.SPAN = 0 sets PSTATE.PAN (D17.2.118)."""
    got = entry_pstate(PState.of(PAN=before, M=EL1h), target, sctlr, EntryFeatures(pan=pan))
    assert got == HANDLER[target] | PState.of(PAN=after)


@pytest.mark.parametrize(("ssbs", "sctlr", "after"), [(True, DSSBS, 1), (True, 0, 0), (False, DSSBS, 0)])
@pytest.mark.parametrize("before", [0, 1])
def test_ssbs_becomes_dssbs(ssbs, sctlr, after, before):
    """SCTLR_ELx.DSSBS is PSTATE.SSBS on entry, whatever it was (D17.2.118)."""
    got = entry_pstate(PState.of(SSBS=before, M=EL1h), 1, sctlr, EntryFeatures(ssbs=ssbs))
    assert got == HANDLER[1] | PState.of(SSBS=after)


@pytest.mark.parametrize("dit", [True, False])
def test_dit_is_kept_where_it_exists(dit):
    """PSTATE.DIT is the interrupted code's (C5.2.4)."""
    got = entry_pstate(PState.of(DIT=1, M=EL1h), 1, SPAN, EntryFeatures(dit=dit))
    assert got == HANDLER[1] | PState.of(DIT=int(dit))


@pytest.mark.parametrize(("elr", "hits"), [(0x9FC, False), (0xA00, True), (0xA7C, True), (0xA80, False)])
def test_a_vector_is_128_bytes(elr, hits):
    """An exception from inside the vector that it goes to is the start of an endless loop."""
    assert hits_own_vector(elr, 0xA00) is hits
