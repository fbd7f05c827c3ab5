"""VMSAv8-64 stage 2 with the 4 KiB granule: descriptors, VTCR_EL2 and the geometry of the tables, as facts.

In this layer because it is only the manual's numbers: whoever builds the tables, sets the registers or
decodes a dump reads them from here. Follows Arm DDI 0487 D8: "Translation process" (levels, concatenated
tables), D8.3 "Translation table descriptor formats", "Memory region attributes"; and VTCR_EL2's description.
Not covered: FEAT_LPA2 (52-bit output), FEAT_TTST (start at level 3), FEAT_S2FWB.
"""

from __future__ import annotations

from enum import IntEnum

from armvcpu.arch.fields import Field, RegisterView
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_SIZE = 4096
TABLE_ENTRIES = 512
LAST_LEVEL = 3
FIRST_LEAF_LEVEL = 1  # without FEAT_LPA2 a level 0 entry is never a block
MAX_CONCATENATED_TABLES = 16


class MemAttr(IntEnum):
    """Stage 2 MemAttr[3:0] with HCR_EL2.FWB = 0; the rows that are used."""

    DEVICE_nGnRnE = 0b0000
    DEVICE_nGnRE = 0b0001
    NORMAL_NC = 0b0101  # outer and inner Non-cacheable
    NORMAL_WB = 0b1111  # outer and inner Write-Back


class S2AP(IntEnum):
    """Stage 2 data access permissions."""

    NONE = 0b00
    RO = 0b01
    WO = 0b10
    RW = 0b11


class SH(IntEnum):
    """Shareability, in descriptors and in VTCR_EL2.SH0."""

    NON = 0b00
    OUTER = 0b10
    INNER = 0b11


class XN(IntEnum):
    """Stage 2 XN[1:0] (bits 54:53). Without FEAT_XNX bit 53 is RES0, so only the even values exist."""

    EXECUTABLE = 0b00
    EL0_ONLY = 0b01
    EXECUTE_NEVER = 0b10
    EL1_ONLY = 0b11


class Stage2Descriptor(RegisterView):
    """A stage 2 table, block or page descriptor; attributes have no meaning in a table descriptor."""

    VALID = Field(0)
    TABLE = Field(1)  # levels 0 to 2: a table; level 3: a page (0 there is reserved, so invalid)
    MemAttr = Field(5, 2, MemAttr)
    S2AP = Field(7, 6, S2AP)
    SH = Field(9, 8, SH)
    AF = Field(10)
    OA = Field(47, 12)  # output or next-level table address, in pages; a block's low bits are zero
    XN = Field(54, 53, XN)


LEAF_TYPE = 0b11
VALID = Stage2Descriptor.VALID.mask
ADDRESS_MASK = Stage2Descriptor.OA.mask
TABLE_TYPE = Stage2Descriptor.of(VALID=1, TABLE=1)
BLOCK_TYPE = Stage2Descriptor.of(VALID=1)
PAGE_TYPE = Stage2Descriptor.of(VALID=1, TABLE=1)


def leaf_type(level: int) -> int:
    """Bits [1:0] of a leaf: page at level 3, block above."""
    return PAGE_TYPE if level == LAST_LEVEL else BLOCK_TYPE


def is_table(descriptor: int, level: int) -> bool:
    """Whether a descriptor read at `level` points to a next-level table."""
    return level < LAST_LEVEL and descriptor & 0b11 == TABLE_TYPE


class VTCR_EL2(RegisterView):
    """Virtualization Translation Control Register; the fields an ARMv8.0 stage 2 needs."""

    T0SZ = Field(5, 0)  # 64 - input bits
    SL0 = Field(7, 6)
    IRGN0 = Field(9, 8)
    ORGN0 = Field(11, 10)
    SH0 = Field(13, 12, SH)
    TG0 = Field(15, 14)  # 0b00: 4 KiB
    PS = Field(18, 16)
    RES1 = Field(31)


SL0_BY_START_LEVEL = {0: 0b10, 1: 0b01}  # 4 KiB granule
PS_BY_PA_BITS = {32: 0b000, 36: 0b001, 40: 0b010, 42: 0b011, 44: 0b100, 48: 0b101}
WALK_WRITE_BACK = 0b01  # IRGN0 and ORGN0: Normal, Write-Back, Read-Allocate, Write-Allocate


class Stage2Geometry(Row):
    """The shape of the tables for `levels` (3 or 4) of lookup of an `input_bits` wide IPA.

    3 levels start at level 1 and reach 43 bits, above 39 by 2 to 16 concatenated root tables; 4 levels start
    at level 0 and reach 48 bits. UsageError for a width that the start level does not allow.
    """

    levels: int
    input_bits: int

    def __post_init__(self) -> None:
        if self.levels not in (3, 4):
            raise UsageError(f"stage 2 has 3 or 4 levels with the 4 KiB granule, not {self.levels}")
        low, high = (31, 43) if self.levels == 3 else (40, 48)
        if not low <= self.input_bits <= high:
            raise UsageError(
                f"{self.levels} levels of stage 2 take {low} to {high} address bits, not {self.input_bits}"
            )

    @property
    def start_level(self) -> int:
        """The level of the root table or tables."""
        return LAST_LEVEL + 1 - self.levels

    @property
    def root_tables(self) -> int:
        """How many 4 KiB tables stand side by side at the root (D8.2, "Concatenated translation tables")."""
        return max(1, (1 << self.input_bits - self.shift(self.start_level)) // TABLE_ENTRIES)

    @staticmethod
    def shift(level: int) -> int:
        """The lowest IPA bit that indexes a table of this level: 39, 30, 21, 12."""
        return 39 - 9 * level

    def index(self, ipa: int, level: int) -> int:
        """The entry for `ipa`, below 2**input_bits; at the root it counts through all concatenated tables."""
        entry = ipa >> self.shift(level)
        return entry if level == self.start_level else entry % TABLE_ENTRIES

    def parts(self, level: int, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """[start, end), inside one table, cut at that level's entries: (entry index, start, end) of each."""
        size = 1 << self.shift(level)
        for number, ipa in enumerate(range(start & -size, end, size), self.index(start, level)):
            yield number, max(start, ipa), min(end, ipa + size)

    def vtcr_el2(self, pa_bits: int) -> VTCR_EL2:
        """The register for these tables on a CPU with `pa_bits` of physical address (its PARange).

        UsageError for a combination with which every walk would fault at level 0.
        """
        if pa_bits not in PS_BY_PA_BITS:
            raise UsageError(f"no VTCR_EL2.PS for {pa_bits} bits; use one of {sorted(PS_BY_PA_BITS)}")
        if self.input_bits > pa_bits:
            raise UsageError(f"{self.input_bits} guest address bits exceed the CPU's {pa_bits} physical address bits")
        if self.start_level == 0 and pa_bits <= 42:
            raise UsageError(f"4 levels of stage 2 need more than 42 physical address bits, not {pa_bits}")
        return VTCR_EL2.of(
            T0SZ=64 - self.input_bits,
            SL0=SL0_BY_START_LEVEL[self.start_level],
            IRGN0=WALK_WRITE_BACK,
            ORGN0=WALK_WRITE_BACK,
            SH0=SH.INNER,
            PS=PS_BY_PA_BITS[pa_bits],
            RES1=1,
        )
