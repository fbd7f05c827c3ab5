"""Instructions that not every CPU has: by the word, the feature, and where the model says whether it is there.

DDI 0487 C4.1 has the encodings, A2.2 the features. Only what is UNDEFINED where a feature is missing is here: what is a
NOP then (PACIASP, BTI) needs no row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from armvcpu.arch.idregs import CpuModel


class InstructionFeature(NamedTuple):
    """A group of words: those that are `value` in the bits of `mask`."""

    mask: int
    value: int
    name: str
    """As Arm's manual has it: FEAT_LSE."""
    register: str = ""
    field: str = ""
    """The ID register and its field; empty for what no model has."""
    least: int = 1

    def is_in(self, cpu: CpuModel) -> bool:
        """Has a model of CPU it?"""
        return bool(self.field) and bool(getattr(getattr(cpu, self.register), self.field) >= self.least)


_ISAR0, _ISAR1, _PFR0, _MMFR1, _MMFR2 = (
    "ID_AA64ISAR0_EL1", "ID_AA64ISAR1_EL1", "ID_AA64PFR0_EL1", "ID_AA64MMFR1_EL1", "ID_AA64MMFR2_EL1",
)  # fmt: skip
_Row = InstructionFeature
INSTRUCTION_FEATURES: tuple[InstructionFeature, ...] = (
    _Row(0x3FFF_FC00, 0x38BF_C000, "FEAT_LRCPC", _ISAR1, "LRCPC"),  # LDAPR
    _Row(0x3F20_0C00, 0x1900_0000, "FEAT_LRCPC2", _ISAR1, "LRCPC", 2),  # LDAPUR, STLUR
    _Row(0x3F20_8C00, 0x3820_0000, "FEAT_LSE", _ISAR0, "Atomic", 2),  # LDADD and its like
    _Row(0x3F20_FC00, 0x3820_8000, "FEAT_LSE", _ISAR0, "Atomic", 2),  # SWP
    _Row(0x3FA0_7C00, 0x08A0_7C00, "FEAT_LSE", _ISAR0, "Atomic", 2),  # CAS
    _Row(0xBFA0_7C00, 0x0820_7C00, "FEAT_LSE", _ISAR0, "Atomic", 2),  # CASP
    _Row(0xBF20_F400, 0x2E00_8400, "FEAT_RDM", _ISAR0, "RDM"),  # SQRDMLAH, SQRDMLSH: vector
    _Row(0xFF20_F400, 0x7E00_8400, "FEAT_RDM", _ISAR0, "RDM"),  # scalar
    _Row(0xAF00_D400, 0x2F00_D000, "FEAT_RDM", _ISAR0, "RDM"),  # by element
    _Row(0x9F20_FC00, 0x0E00_9400, "FEAT_DotProd", _ISAR0, "DP"),  # SDOT, UDOT
    _Row(0x9F00_F400, 0x0F00_E000, "FEAT_DotProd", _ISAR0, "DP"),  # by element
    _Row(0xFFE0_8000, 0xCE00_0000, "FEAT_SHA3", _ISAR0, "SHA3"),  # EOR3
    _Row(0xFFE0_8000, 0xCE20_0000, "FEAT_SHA3", _ISAR0, "SHA3"),  # BCAX
    _Row(0xFFE0_FC00, 0xCE60_8C00, "FEAT_SHA3", _ISAR0, "SHA3"),  # RAX1
    _Row(0xFFE0_0000, 0xCE80_0000, "FEAT_SHA3", _ISAR0, "SHA3"),  # XAR
    _Row(0xFFE0_F000, 0xCE60_8000, "FEAT_SHA512", _ISAR0, "SHA2", 2),  # SHA512H, SHA512H2, SHA512SU1
    _Row(0xFFFF_FC00, 0xCEC0_8000, "FEAT_SHA512", _ISAR0, "SHA2", 2),  # SHA512SU0
    _Row(0xBF20_E400, 0x2E00_C400, "FEAT_FCMA", _ISAR1, "FCMA"),  # FCMLA
    _Row(0xBF20_EC00, 0x2E00_E400, "FEAT_FCMA", _ISAR1, "FCMA"),  # FCADD
    _Row(0xFFFF_FC00, 0x1E7E_0000, "FEAT_JSCVT", _ISAR1, "JSCVT"),  # FJCVTZS
    _Row(0x7FC0_0000, 0x1EC0_0000, "FEAT_FP16", _PFR0, "FP"),  # scalar, half precision
    _Row(0x9F60_C400, 0x0E40_0400, "FEAT_FP16", _PFR0, "AdvSIMD"),  # three the same
    _Row(0x9F7E_0C00, 0x0E78_0800, "FEAT_FP16", _PFR0, "AdvSIMD"),  # two registers
    _Row(0xFFFF_FFFF, 0xD500_401F, "FEAT_FlagM", _ISAR0, "TS"),  # CFINV
    _Row(0xFFE0_7C10, 0xBA00_0400, "FEAT_FlagM", _ISAR0, "TS"),  # RMIF
    _Row(0xFFFF_BC1F, 0x3A00_080D, "FEAT_FlagM", _ISAR0, "TS"),  # SETF8, SETF16
    _Row(0xFFFF_FFFF, 0xD500_403F, "FEAT_FlagM2", _ISAR0, "TS", 2),  # XAFLAG
    _Row(0xFFFF_FFFF, 0xD500_405F, "FEAT_FlagM2", _ISAR0, "TS", 2),  # AXFLAG
    _Row(0xFFFF_FFFF, 0xD503_30FF, "FEAT_SB", _ISAR1, "SB"),
    _Row(0xFFFF_F0FF, 0xD500_409F, "FEAT_PAN", _MMFR1, "PAN"),  # MSR PAN, #imm
    _Row(0xFFFF_F0FF, 0xD500_407F, "FEAT_UAO", _MMFR2, "UAO"),  # MSR UAO, #imm
    _Row(0xFFFF_0000, 0xDAC1_0000, "FEAT_PAuth"),  # PACIA and its like, XPAC
    _Row(0xFFE0_FC00, 0x9AC0_3000, "FEAT_PAuth"),  # PACGA
    _Row(0xFE9F_F800, 0xD61F_0800, "FEAT_PAuth"),  # BRAA, BLRAA, RETAA, ERETAA
    _Row(0xFF20_0400, 0xF820_0400, "FEAT_PAuth"),  # LDRAA, LDRAB
    _Row(0xFF20_0000, 0xD920_0000, "FEAT_MTE"),  # LDG, STG
    _Row(0xFFE0_FC00, 0x9AC0_1000, "FEAT_MTE"),  # IRG
    _Row(0xFFC0_C000, 0x9180_0000, "FEAT_MTE"),  # ADDG
    _Row(0xFFFF_FFC0, 0xD503_1000, "FEAT_WFxT"),  # WFET, WFIT
    _Row(0xBFE0_FC00, 0x2E40_FC00, "FEAT_BF16"),  # BFDOT
    _Row(0xFFE0_FC00, 0x6E40_EC00, "FEAT_BF16"),  # BFMMLA
    _Row(0xFFFF_FC00, 0x1E63_4000, "FEAT_BF16"),  # BFCVT
    _Row(0xDFE0_FC00, 0x4E80_A400, "FEAT_I8MM"),  # SMMLA, UMMLA
    _Row(0xFFE0_FC00, 0x4E80_AC00, "FEAT_I8MM"),  # USMMLA
    _Row(0xBFE0_FC00, 0x0E80_9C00, "FEAT_I8MM"),  # USDOT
    _Row(0x3F20_0C00, 0x1900_0400, "FEAT_MOPS"),  # CPY and SET
    _Row(0x1E00_0000, 0x0400_0000, "FEAT_SVE"),
    _Row(0x9E00_0000, 0x8000_0000, "FEAT_SME"),
)
"""What a compiler makes of -march=armv8.1-a and later, the first row that fits being the one."""


def instruction_feature(word: int) -> InstructionFeature | None:
    """The feature that a word is of; None for one that every CPU has, or none."""
    return next((row for row in INSTRUCTION_FEATURES if word & row.mask == row.value), None)
