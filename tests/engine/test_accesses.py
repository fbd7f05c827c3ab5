"""What `memory_access` says of an instruction, against what the engine accesses for it (DDI 0487 C4.1.94)."""

from __future__ import annotations

import pytest
import raw_guest as raw

from armvcpu.arch.accesses import memory_access
from armvcpu.testing.target.target import Target

DATA, STACK = 0x4100_0800, 0x4100_2000
WORDS = [
    (0xF9000061, "str x1, [x3]"),
    (0x39001461, "strb w1, [x3, #5]"),
    (0x79000C61, "strh w1, [x3, #6]"),
    (0xB9400861, "ldr w1, [x3, #8]"),
    (0x389FD061, "ldrsb x1, [x3, #-3]"),
    (0xB9800461, "ldrsw x1, [x3, #4]"),
    (0xF81F7061, "stur x1, [x3, #-9]"),
    (0xF8010461, "str x1, [x3], #16"),
    (0xF85F0C61, "ldr x1, [x3, #-16]!"),
    (0xB8004861, "sttr w1, [x3, #4]"),
    (0xF8400861, "ldtr x1, [x3]"),
    (0xF8646861, "ldr x1, [x3, x4]"),
    (0xB825D861, "str w1, [x3, w5, sxtw #2]"),
    (0x38644861, "ldrb w1, [x3, w4, uxtw]"),
    (0x78647861, "ldrh w1, [x3, x4, lsl #1]"),
    (0x58000201, "ldr x1, . + 0x40"),
    (0x98000201, "ldrsw x1, . + 0x40"),
    (0xA9010861, "stp x1, x2, [x3, #16]"),
    (0x297F0861, "ldp w1, w2, [x3, #-8]"),
    (0xA9BE0861, "stp x1, x2, [x3, #-32]!"),
    (0xA8C10861, "ldp x1, x2, [x3], #16"),
    (0x69408861, "ldpsw x1, x2, [x3, #4]"),
    (0xA8000861, "stnp x1, x2, [x3]"),
    (0xC85F7C61, "ldxr x1, [x3]"),
    (0x889FFC61, "stlr w1, [x3]"),
    (0xC8DFFC61, "ldar x1, [x3]"),
    (0xC87F8861, "ldaxp x1, x2, [x3]"),
    (0xF8BFC061, "ldapr x1, [x3]"),
    (0xF8218062, "swp x1, x2, [x3]"),
    (0xB8210062, "ldadd w1, w2, [x3]"),
    (0x38E11062, "ldclralb w1, w2, [x3]"),
    (0x78214062, "ldsmaxh w1, w2, [x3]"),
    (0xC8A17C62, "cas x1, x2, [x3]"),
    (0x08A17C62, "casb w1, w2, [x3]"),
    (0x48267C68, "casp x6, x7, x8, x9, [x3]"),
    (0x08267C68, "casp w6, w7, w8, w9, [x3]"),
    (0x3D800460, "str q0, [x3, #16]"),
    (0xFD400060, "ldr d0, [x3]"),
    (0xBD000460, "str s0, [x3, #4]"),
    (0x3D000460, "str b0, [x3, #1]"),
    (0x7D400460, "ldr h0, [x3, #2]"),
    (0x3CDF9061, "ldur q1, [x3, #-7]"),
    (0xAD010460, "stp q0, q1, [x3, #32]"),
    (0x6D400460, "ldp d0, d1, [x3]"),
    (0x2C810460, "stp s0, s1, [x3], #8"),
    (0x9C000200, "ldr q0, . + 0x40"),
    (0x1C000200, "ldr s0, . + 0x40"),
    (0x4C007060, "st1 {v0.16b}, [x3]"),
    (0x0C00A060, "st1 {v0.8b, v1.8b}, [x3]"),
    (0x4C406060, "ld1 {v0.16b, v1.16b, v2.16b}, [x3]"),
    (0x4C9F2060, "st1 {v0.16b, v1.16b, v2.16b, v3.16b}, [x3], #64"),
    (0x4C408860, "ld2 {v0.4s, v1.4s}, [x3]"),
    (0x0C004060, "st3 {v0.8b, v1.8b, v2.8b}, [x3]"),
    (0x4C400C60, "ld4 {v0.2d, v1.2d, v2.2d, v3.2d}, [x3]"),
    (0x0D000C60, "st1 {v0.b}[3], [x3]"),
    (0x0D005060, "st1 {v0.h}[2], [x3]"),
    (0x0D409060, "ld1 {v0.s}[1], [x3]"),
    (0x4D408460, "ld1 {v0.d}[1], [x3]"),
    (0x0D209060, "st2 {v0.s, v1.s}[1], [x3]"),
    (0x0D006860, "st3 {v0.h, v1.h, v2.h}[1], [x3]"),
    (0x0D60A460, "ld4 {v0.d, v1.d, v2.d, v3.d}[0], [x3]"),
    (0x4D40C460, "ld1r {v0.8h}, [x3]"),
    (0x4D60EC60, "ld4r {v0.2d, v1.2d, v2.2d, v3.2d}, [x3]"),
    (0xF90007E1, "str x1, [sp, #8]"),
    (0xF9800060, "prfm pldl1keep, [x3]"),
    (0xD8000200, "prfm pldl1keep, . + 0x40"),
    (0xF8801060, "prfum pldl1keep, [x3, #1]"),
    (0xD50B7423, "dc zva, x3"),
    (0xC8067C61, "stxr w6, x1, [x3]"),
    (0xD95F8061, "ldapur x1, [x3, #-8]"),
    (0x99004061, "stlur w1, [x3, #4]"),
    (0x99800061, "ldapursw x1, [x3]"),
    (0x91000421, "add x1, x1, #1"),
]


@pytest.mark.parametrize("word", [word for word, _ in WORDS], ids=[text for _, text in WORDS])
def test_it_is_what_the_engine_accesses(tmp_path, word):
    """Address, size and direction; as X3 is the base, X4 and W5 offsets, and CAS finds what it expects."""
    setup = raw.flat(
        raw.mov(1, 0x300000), raw.msr("CPACR_EL1", 1), raw.ISB,
        raw.mov(1, 0), raw.mov(3, STACK), raw.mov_sp(3), raw.mov(3, DATA), raw.mov(4, 0x18), raw.mov(5, 0xFFFF_FFF0),
        raw.mov(6, 0), raw.mov(7, 0), 0xC85F_7C62,  # LDXR X2, [X3]
    )  # fmt: skip
    path = tmp_path / "image.bin"
    path.write_bytes(raw.image(setup, word, raw.psci(raw.SYSTEM_OFF)))
    at = raw.BASE + 4 * len(setup)
    with Target(path, cpu_model="max") as target:
        seen = []
        target.trace_memory(lambda pc, is_read, va, width, _: seen.append((is_read, va, width)) if pc == at else None)
        target.run_until(address=at, timeout=5)
        state = target.vcpu.state
        said = memory_access(word, at, state.gpr, state.frame[31], zva_size=64)
        assert target.finish(timeout=5).ok
    read = {byte for is_read, va, width in seen for byte in range(va, va + width) if is_read}
    written = {byte for is_read, va, width in seen for byte in range(va, va + width) if not is_read}
    whole = set() if said is None else set(range(said.address, said.address + said.width))
    assert read == (whole if said is not None and (said.reads or said.status is not None) else set())
    assert written == (whole if said is not None and said.writes else set())
