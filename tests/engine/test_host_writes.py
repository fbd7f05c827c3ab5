"""Translation at EL2 and EL3 by registers that the host writes: where they led before is forgotten (DDI 0487 D8.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.idregs import model, translated_features
from armvcpu.engine.selftest_bench import CODE, DATA, HCR_RW, LDR_X3_X2, PAGE, RAM, hvc

if TYPE_CHECKING:
    from armvcpu.engine.selftest_bench import Bench

EL2H, EL3H, SMC, M = 0x3C9, 0x3CD, 0xD400_0003, 1
TABLES, HIGH = RAM + 0x4000, 0xFFFF_FF80_0000_0000
BLOCK, TABLE, LEAF = 0x701, 3, 0x703  # AF, inner shareable, AttrIndx 0
TCR_E2H, TCR_EL3 = 25 << 16 | 25 | 2 << 30, 25
"""4 KiB granule, 39 bits of virtual addresses in each range."""


def build(bench: Bench, at: int, page: int) -> int:
    """Tables for the first GiB with RAM as it is, and for a page of the GiB after it that leads to `page`."""
    level1, level2, level3 = at, at + PAGE, at + 2 * PAGE
    bench.put_u64(level1 + 8, RAM & ~((1 << 30) - 1) | BLOCK, level2 | TABLE)
    bench.put_u64(level2, level3 | TABLE)
    bench.put_u64(level3, page | LEAF)
    return level1


@pytest.mark.parametrize(
    ("pstate", "hcr", "base", "others", "address"),
    [
        (EL3H, 0, "TTBR0_EL3", {"TCR_EL3": TCR_EL3, "MAIR_EL3": 0xFF, "SCTLR_EL3": M}, 0),
        (EL2H, HCR_EL2.of(E2H=1), "TTBR1_EL2", {"TCR_EL2": TCR_E2H, "MAIR_EL2": 0xFF, "SCTLR_EL2": M}, HIGH),
    ],
    ids=["EL3", "EL2 with VHE"],
)
def test_another_base_leads_elsewhere(
    bench: Bench, pstate: int, hcr: int, base: str, others: dict[str, int], address: int
) -> None:
    """TTBR0_EL3 and TTBR1_EL2: the same load, before and after."""
    bench.engine.registers.present(translated_features(model("max")))
    bench.start(LDR_X3_X2, SMC if pstate == EL3H else hvc(0))
    first, second = build(bench, TABLES, DATA), build(bench, TABLES + 4 * PAGE, DATA + PAGE)
    bench.put_u64(DATA, 1)
    bench.put_u64(DATA + PAGE, 2)
    bench.write("HCR_EL2", HCR_RW | hcr)
    for name, value in ({"TTBR0_EL2": first, base: first} | others).items():
        bench.write(name, value)
    found = []
    for tables in (first, second, first):
        bench.write(base, tables)
        bench.engine.registers.write_pstate(pstate)
        bench.engine.state.set_pc(CODE)
        bench.set_gpr(2, address + 0x8000_0000)
        bench.run_to_trap()
        found.append(bench.gpr(3))
    assert found == [1, 2, 1]
