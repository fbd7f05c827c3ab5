"""Address size faults (DDI 0487 D8.2): addresses of more bits than TCR_EL1.IPS or PARange has, in tables and without.

The syndromes are those of QEMU 7.2 (-M virt,gic-version=3 -cpu cortex-a72) with the same guest.
"""

from __future__ import annotations

from struct import pack

import pytest
import raw_guest as raw

from armvcpu import Machine

L1, L2, L3 = 0x4010_0000, 0x4010_1000, 0x4010_2000
LEVEL1 = [0x405, 0x4000_0701, L2 | 3, 0x1_0000_0405, 0x40_1000_0405, 2 << 40 | 3, 1 << 44 | 0x405]
"""Blocks of 1 GiB: devices; RAM; a table; 33, 39 bits; a table at 2 TiB; 45 bits."""
PAGE, BLOCK_33, BLOCK_39, TABLE_42, BLOCK_45 = 0x8000_0000, 0xC000_0000, 0x1_0000_0000, 0x1_4000_0000, 0x1_8000_0000
TCR = 25 | 1 << 8 | 1 << 10 | 3 << 12
AT_S1E1R_X0 = 0xD508_7800
READ = [raw.load(1, 0, 8)]
FETCH = [raw.br(0)]
OK = 0


def result(tmp_path, words, *, mmu, ips=0, ttbr1=0, model="a72"):
    """(ESR_EL1 of what the words do, or OK; PAR_EL1)."""
    setup = [*raw.set_vectors()]
    if mmu:
        upper = 25 << 16 | 2 << 30 if ttbr1 else 1 << 23  # T1SZ and TG1, or EPD1
        setup += [*raw.mov(1, 0x00FF), raw.msr("MAIR_EL1", 1), *raw.mov(1, TCR | upper | ips << 32)]
        setup += [raw.msr("TCR_EL1", 1), *raw.mov(1, L1), raw.msr("TTBR0_EL1", 1)]
        setup += [*raw.mov(1, ttbr1), raw.msr("TTBR1_EL1", 1), raw.ISB]
        setup += [*raw.mov(1, 0x30D0_0801), raw.msr("SCTLR_EL1", 1), raw.ISB]
    off = raw.psci(raw.SYSTEM_OFF)
    code = raw.image([*setup, *words, raw.ISB, *raw.mov(20, OK), raw.mrs(21, "PAR_EL1"), *off],
                     vector=[raw.mrs(20, "ESR_EL1"), raw.mrs(21, "FAR_EL1"), *off])  # fmt: skip
    (tmp_path / "image.bin").write_bytes(code)
    with Machine(tmp_path / "image.bin", cpu_model=model) as machine:
        machine.write(L1, pack("<7Q", *LEVEL1))
        machine.write(L2, pack("<Q", L3 | 3))
        machine.write(L3, pack("<Q", 0x40_1000_0707))
        assert machine.run(timeout=10).status == 0
        return machine.vcpu.gpr(20), machine.vcpu.gpr(21)


@pytest.mark.parametrize(("ips", "address", "syndrome"), [
    (0, BLOCK_33, 0x9600_0001), (0, PAGE, 0x9600_0003), (0, BLOCK_39, 0x9600_0001), (0, TABLE_42, 0x9600_0001),
    (2, BLOCK_33, 0x9600_0010), (2, PAGE, OK), (2, TABLE_42, 0x9600_0001), (2, BLOCK_45, 0x9600_0001),
    (5, BLOCK_45, 0x9600_0001), (5, PAGE, OK), (0, 0x4000_0000, OK),
])  # fmt: skip
def test_tables_that_lead_beyond(tmp_path, ips, address, syndrome):
    """At the level of the descriptor that has it, a table too; IPS of more than the CPU has is its own."""
    esr, far = result(tmp_path, [*raw.mov(0, address), *READ], mmu=True, ips=ips)
    assert esr == syndrome
    assert syndrome == OK or far == address


@pytest.mark.parametrize(("ips", "address", "par"), [(0, BLOCK_33, 0x803), (0, PAGE, 0x807), (5, BLOCK_45, 0x803)])
def test_at_tells_it_in_par(tmp_path, ips, address, par):
    """PAR_EL1.FST (D17.2.114) has the same code."""
    assert result(tmp_path, [*raw.mov(0, address), AT_S1E1R_X0], mmu=True, ips=ips) == (OK, par)


def test_the_first_table_lies_beyond(tmp_path):
    """TTBR1_EL1 with 39 bits under an IPS of 36: level 0."""
    words = [*raw.mov(0, 0xFFFF_FF80_0000_0000), *READ]
    tables = {"mmu": True, "ips": 1, "ttbr1": 1 << 39}
    assert result(tmp_path, words, **tables)[0] == 0x9600_0000


@pytest.mark.parametrize(("words", "syndrome"), [(READ, 0x9600_0000), (FETCH, 0x8600_0000)])
@pytest.mark.parametrize("address", [1 << 44, 1 << 60])
def test_without_tables_the_address_itself(tmp_path, words, syndrome, address):
    """More bits than PARange has, the MMU being off: level 0 (D8.2.10)."""
    assert result(tmp_path, [*raw.mov(0, address), *words], mmu=False) == (syndrome, address)
