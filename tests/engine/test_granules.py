"""Stage-1 translation granules; DDI 0487 D8.2."""

from __future__ import annotations

import pytest

from armvcpu.arch.controls import SCTLR_EL1, TCR_EL1
from armvcpu.engine.selftest_bench import DATA, LDR_X3_X2, RAM, hvc

TABLE = RAM + 0x8000
VA_32_BITS = 32
AF_BLOCK = 1 << 10 | 1


@pytest.mark.parametrize(
    ("tg0", "block_bits"), [(0, 30), (2, 25), (1, 29)], ids=["4 KiB", "16 KiB, though not listed", "64 KiB"]
)
def test_blocks_of_every_granule_translate(bench, tg0, block_bits):
    """A load through the block after RAM's own gets RAM's data."""
    block = 1 << block_bits
    bench.start(LDR_X3_X2, hvc(1))
    index = RAM >> block_bits
    bench.put_u64(TABLE + 8 * index, RAM | AF_BLOCK, RAM | AF_BLOCK)
    bench.put_u64(DATA, 0xCAFE)
    bench.write("TCR_EL1", TCR_EL1.of(T0SZ=VA_32_BITS, TG0=tg0, EPD1=1, IPS=0))
    bench.write("TTBR0_EL1", TABLE)
    bench.write("SCTLR_EL1", bench.read("SCTLR_EL1") | SCTLR_EL1.M.mask)
    bench.engine.registers.write_pstate(bench.engine.state.pstate)
    bench.engine.memory.flush_tlb()
    bench.set_gpr(2, DATA + block)
    bench.run_to_trap()
    assert bench.gpr(3) == 0xCAFE
