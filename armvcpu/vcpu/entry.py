"""Exception entry: what AArch64.TakeException does to PSTATE and PC, as a pure rule.

DDI 0487 J1.1.2, AArch64.TakeException, with the parts of it that depend on features: PAN (SCTLR_ELx.SPAN), UAO,
SSBS (SCTLR_ELx.DSSBS). Written for any target EL. The CPU model says which features there are.
"""

from __future__ import annotations

from dataclasses import dataclass

from armvcpu.arch.vectors import VECTOR_SIZE, VectorKind, vector_offset

_NZCV = 0xF000_0000
_DIT, _UAO, _PAN, _SSBS = 1 << 24, 1 << 23, 1 << 22, 1 << 12
_DAIF = 0x3C0
_SCTLR_SPAN, _SCTLR_DSSBS = 1 << 23, 1 << 44
_VBAR = 0xFFFF_FFFF_FFFF_F800
"""Bits 10:0 of VBAR_ELx are RES0 (D17.2.150)."""


@dataclass(frozen=True, slots=True)
class EntryFeatures:
    """The optional features that change an exception entry."""

    pan: bool = False
    ssbs: bool = False
    dit: bool = False


# Which vector, by PSTATE.M[4:0] before the exception and the target EL.
_OFFSETS: dict[tuple[int, int], int] = {
    (target, mode): int(
        vector_offset(
            VectorKind.SYNCHRONOUS, source_el=mode >> 2 & 3, target_el=target, spx=bool(mode & 1), aarch32=mode > 15
        )
    )
    for target in (1, 2, 3)
    for mode in range(32)
    if (mode >> 2 & 3) <= target
}


def entry_pstate(pstate: int, target_el: int, sctlr: int, features: EntryFeatures) -> int:
    """PSTATE after the entry: ELx with SP_ELx, all exceptions masked, SS, IL, UAO and BTYPE clear."""
    new = pstate & _NZCV | _DAIF | target_el << 2 | 1
    if features.pan:
        new |= pstate & _PAN
        if target_el == 1 and not sctlr & _SCTLR_SPAN:
            new |= _PAN
    if features.dit:
        new |= pstate & _DIT
    if features.ssbs and sctlr & _SCTLR_DSSBS:
        new |= _SSBS
    return new


def vector_address(vbar: int, pstate: int, target_el: int, kind: VectorKind = VectorKind.SYNCHRONOUS) -> int:
    """Where the exception goes; `pstate` is the one before it."""
    return (vbar & _VBAR) + _OFFSETS[target_el, pstate & 0x1F] + kind


def hits_own_vector(elr: int, vector: int) -> bool:
    """Did the exception hit the very vector that it goes to (the code of one vector is 128 bytes)?"""
    return vector <= elr < vector + VECTOR_SIZE
