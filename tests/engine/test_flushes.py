"""Flushes of the TLB by what a guest's own EL2 writes: EL1 sees each change at once. DDI 0487 D8.14."""

from __future__ import annotations

from struct import pack

import pytest
import raw_guest as raw

from armvcpu import Machine

VECTORS, LOWER_SYNC = 0x800, 0x400  # of VBAR_EL2, from the image's start and from there
TABLES = 0x4100_0000
FIRST, SECOND, OTHER, STAGE2, STAGE2_LEVEL2 = (TABLES + n * 0x1_0000 for n in range(5))
PAGE = 0x20_0000
"""Where EL1 loads from; it is 1, 2 or 3 that is found there."""
BLOCK, TABLE, S2_BLOCK = 0x701, 3, 0x7FD
"""Descriptors: AF, inner shareable, Normal memory; for stage 2 with both accesses."""
RW, VM = 1 << 31, 1
TCR = 33 | 1 << 23 | 5 << 32  # 31 bits of 4 KiB, no upper half
STAGE2_FOR_40_BITS = 1 << 31 | 2 << 16 | 1 << 6 | 25  # 39 bits from level 1
ON = 0x30D0_0801
B_SELF = 0x1400_0000


def tables(machine: Machine) -> None:
    """Two of EL1's, of which the second leads elsewhere; stage 2, which moves what both lead to."""
    for table, level2, to in ((FIRST, FIRST + 0x1000, 0x4020_0000), (SECOND, SECOND + 0x1000, 0x4040_0000)):
        machine.write(table, pack("<2Q", level2 | TABLE, 0x4000_0000 | BLOCK))
        machine.write(level2 + 8, pack("<Q", to | BLOCK))
    machine.write(STAGE2 + 8, pack("<Q", STAGE2_LEVEL2 | TABLE))
    pages = [0x4000_0000 + n * 0x20_0000 for n in range(512)]
    pages[1] = 0x4060_0000
    machine.write(STAGE2_LEVEL2, pack("<512Q", *(page | S2_BLOCK for page in pages)))
    for value, where in ((1, 0x4020_0000), (2, 0x4040_0000), (3, 0x4060_0000)):
        machine.write(where, pack("<Q", value))


def set_registers(**values: int) -> list[int]:
    """MSR of each."""
    return [word for name, value in values.items() for word in (*raw.mov(0, value), raw.msr(name, 0))]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TTBR0_EL1", 1 << 48 | SECOND, 2),
        ("HCR_EL2", RW | VM, 3),
        ("VTTBR_EL2", STAGE2, 1),  # stage 2 is off
    ],
)
def test_el1_sees_what_el2_has_written(tmp_path, name, value, expected):
    """A load before, a call, the write, and the same load; and once more, with nothing filled at EL1 in between."""
    start = set_registers(
        HCR_EL2=RW, VBAR_EL2=raw.BASE + VECTORS, MAIR_EL1=0xFF, TCR_EL1=TCR, TTBR0_EL1=FIRST, SCTLR_EL1=ON,
        VTCR_EL2=STAGE2_FOR_40_BITS, VTTBR_EL2=STAGE2 if name == "HCR_EL2" else 0, SPSR_EL2=0x3C5,
    )  # fmt: skip
    start += raw.mov(10, PAGE)
    at_el1 = [raw.load(5, 10), raw.HVC, raw.load(6, 10), raw.HVC, raw.load(7, 10), B_SELF]
    begin = raw.BASE + 4 * (len(start) + 6)  # behind four words of MOV, MSR and ERET
    words = raw.flat(start, raw.mov(0, begin), raw.msr("ELR_EL2", 0), raw.ERET, at_el1)
    vector = raw.flat(set_registers(**{name: value}), set_registers(**{name: value}), raw.ISB, raw.ERET)
    data = pack(f"<{len(words)}I", *words).ljust(VECTORS + LOWER_SYNC, b"\0") + pack(f"<{len(vector)}I", *vector)
    image = tmp_path / "image.bin"
    image.write_bytes(data)
    with Machine(image, el=2, clock="instructions") as machine:
        tables(machine)
        machine.run(timeout=20, max_instructions=300)
        assert [machine.vcpu.gpr(n) for n in (5, 6, 7)] == [1, expected, expected]
