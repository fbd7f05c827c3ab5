"""Classes of A64 instruction words that an exception rule depends on.

The engine and the exception layer ask what the word at PC is; nothing here decodes further than that. Classes follow
DDI 0487 C4.1, "A64 instruction set encoding": `op0`, bits 28:25, chooses the group.
"""

from __future__ import annotations

from armvcpu.arch.fields import Field, RegisterView
from armvcpu.arch.sysreg import SysRegIss, op

UDF = 0x0000_0000
"""`udf #0`, which is UNDEFINED for ever (C6.2, UDF)."""

YIELD, WFE = 0xD503_203F, 0xD503_205F
"""Hints that stand in loops which wait for another CPU (C6.2)."""

IC_IALLUIS, IC_IALLU, IC_IVAU = op(1, 0, 7, 1, 0), op(1, 0, 7, 5, 0), op(1, 3, 7, 5, 1)
DC_CVAU = op(1, 3, 7, 11, 1)
"""Cache maintenance to the Point of Unification, as packed encodings (C5.3)."""

_HINT_PAUTH = frozenset((0b0000_111, *range(0b0001_000, 0b0001_111, 2), *range(0b0011_000, 0b0100_000)))
"""CRm:op2 of XPACLRI, PACIA1716 to AUTIB1716, and PACIAZ to AUTIBSP (C6.2, HINT)."""


class MsrImmediate(RegisterView):
    """MSR (immediate), C5.1.3 "op0 == 0b00, accesses to PSTATE": which field, and `CRm` is the immediate."""

    op1 = Field(18, 16)
    CRm = Field(11, 8)
    op2 = Field(7, 5)

    @property
    def iss(self) -> int:
        """ISS of EC 0x18 where the access is trapped (D17.2.37): a write from XZR."""
        return SysRegIss.of(Op0=0, Op1=self.op1, CRn=4, CRm=self.CRm, Op2=self.op2, Rt=31, Direction=0)


DAIFSet, DAIFClr = (0b011, 0b110), (0b011, 0b111)
"""(op1, op2) of the two fields that EL0 may write where SCTLR_EL1.UMA allows it."""


def msr_immediate(word: int) -> MsrImmediate | None:
    """The MSR (immediate) in `word`, or None where it is another instruction."""
    return MsrImmediate(word) if word & 0xFFF8_F01F == 0xD500_401F else None


def is_fp_simd(word: int) -> bool:
    """Does CPACR_EL1.FPEN govern the instruction (D17.2, CPACR_EL1)?

    Scalar floating point and Advanced SIMD have op0 = x111, their loads and stores op0 = x1x0 with V, bit 26, set;
    bits 27:26 alone tell both. FPCR and FPSR count too, by MRS or MSR. Of the unallocated words of these groups only
    those with op0 = x111 and bits 31:28 = 11x1 are told apart (C4.1.96): all ones, which is erased flash, is one.
    """
    if word & 0x0C00_0000 == 0x0C00_0000:
        return word & 0xDE00_0000 != 0xDE00_0000
    return word & 0xFFDF_FFC0 == 0xD51B_4400


def has_writeback(word: int) -> bool:
    """Is it a load or store of one general register, pre- or post-indexed (C4.1.94), which also writes its base?

    ESR_ELx.ISS cannot describe it: ISV is 0 (D17.2.37, "ISS encoding for an exception from a Data Abort").
    """
    return word & 0x3F20_0400 == 0x3800_0400


def is_sve(word: int) -> bool:
    """Is it in the group of the Scalable Vector Extension, op0 = 0010?"""
    return word & 0x1E00_0000 == 0x0400_0000


def is_pauth(word: int) -> bool:
    """Is it an instruction of FEAT_PAuth, in the space of hints or not?"""
    return (
        (word & 0xFFFF_F01F == 0xD503_201F and word >> 5 & 0x7F in _HINT_PAUTH)
        or (word & 0xFFFF_0000 == 0xDAC1_0000 and word >> 10 & 0x3F <= 0b010001)  # PACIA to XPACD
        or word & 0xFFE0_FC00 == 0x9AC0_3000  # PACGA
        or word & 0xFE00_F800 == 0xD600_0800  # BRAA, BLRAA, RETAA, ERETAA and their B forms
        or word & 0xFF20_0400 == 0xF820_0400  # LDRAA, LDRAB
    )
