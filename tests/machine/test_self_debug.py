"""A guest's own debugging: its watchpoints, and software step that begins where it clears PSTATE.D."""

from __future__ import annotations

import struct

import pytest
import raw_guest as raw

from armvcpu import Machine

DATA, OLD, NEW = 0x4020_0100, 0x1111_2222_3333_4444, 0x5A
KDE, MDE, SS = 1 << 13, 1 << 15, 1
D_CLEAR, D_SET = 0xD503_48FF, 0xD503_48DF  # MSR DAIFClr, #8 and MSR DAIFSet, #8
ENABLED, AT_EL1, LOADS, STORES, ALL_BYTES = 1, 1 << 1, 1 << 3, 2 << 3, 0xFF << 5
EL1_STORES = ENABLED | AT_EL1 | STORES | ALL_BYTES
UNLOCK = [*raw.mov(0, 0), raw.msr("OSLAR_EL1", 0)]
HANDLER = [
    raw.mrs(21, "ESR_EL1"), raw.mrs(22, "FAR_EL1"), raw.mrs(23, "ELR_EL1"), *raw.mov(1, DATA), raw.load(24, 1),
    *raw.psci(raw.SYSTEM_OFF),
]  # fmt: skip
"""x21 to x24: the exception, and what memory holds then."""
CURRENT, LOWER, WNR = 0xD600_0022, 0xD200_0022, 1 << 6
"""ESR_EL1 of watchpoint exceptions: EC 0x35 and 0x34, IL, DFSC 0x22."""


def watch(value: int, control: int, mdscr: int = KDE | MDE) -> list[int]:
    """Watchpoint 1, and debug exceptions at EL1."""
    return raw.flat(
        raw.mov(0, value), raw.msr("DBGWVR1_EL1", 0), raw.mov(0, control), raw.msr("DBGWCR1_EL1", 0),
        raw.mov(0, mdscr), raw.msr("MDSCR_EL1", 0), raw.ISB, D_CLEAR,
    )  # fmt: skip


def access(offset: int, width: int, *, is_read: bool = False) -> list[int]:
    """With its address in x5 and its PC in x6."""
    made = raw.load(7, 5, width) if is_read else raw.store(7, 5, width)
    return raw.flat(raw.mov(5, DATA + offset), raw.mov(7, NEW), 0x1000_0026, made)  # ADR x6, #4


def run(tmp_path, *words, vector=HANDLER, memory_at=None, **options) -> list[int]:
    """Run a guest; its x registers at the end. `memory_at`: what is where in memory before."""
    path = tmp_path / "guest.bin"
    fill = [raw.mov(1, DATA), raw.mov(2, OLD), raw.store(2, 1), raw.set_vectors()]
    path.write_bytes(raw.image(*fill, *words, vector=vector))
    with Machine(path, **options) as machine:
        for address, data in (memory_at or {}).items():
            machine.memory.write(address, data)
        outcome = machine.run(timeout=10)
        assert outcome.ok, outcome.reason
        return [machine.vcpu.gpr(n) for n in range(31)]


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize(
    ("value", "control", "offset", "width", "far"),
    [
        (0, EL1_STORES, 0, 8, 0),
        (0, EL1_STORES, 5, 1, 5),
        (0, ENABLED | AT_EL1 | STORES | 1 << 5 + 3, 0, 8, 3),  # byte 3 alone, in the middle of what is written
        (4, ENABLED | AT_EL1 | STORES | 0xF << 5, 2, 4, 4),
        (0, ENABLED | AT_EL1 | STORES | ALL_BYTES | 6 << 24, 0x38, 1, 0x38),  # 64 bytes by MASK
        (0, EL1_STORES | LOADS, 6, 2, 6),
    ],
)
def test_a_watched_store_becomes_an_exception(tmp_path, clock, value, control, offset, width, far):
    """EC 0x35 before anything is written; FAR_EL1 has the first watched byte of the access, ELR_EL1 the instruction."""
    x = run(tmp_path, UNLOCK, watch(DATA + value, control), access(offset, width), clock=clock)
    assert (x[21], x[22], x[23], x[24]) == (CURRENT | WNR, DATA + far, x[6], OLD)


def test_a_watched_load_becomes_an_exception(tmp_path):
    """With WnR clear, and no register loaded."""
    x = run(tmp_path, UNLOCK, watch(DATA, EL1_STORES | LOADS), access(0, 8, is_read=True))
    assert (x[21], x[22], x[7]) == (CURRENT, DATA, NEW)


@pytest.mark.parametrize(
    ("control", "mdscr", "offset", "before"),
    [
        (EL1_STORES, KDE | MDE, 8, UNLOCK),  # beside it
        (EL1_STORES, KDE | MDE, -1, UNLOCK),
        (EL1_STORES & ~ENABLED, KDE | MDE, 0, UNLOCK),
        (EL1_STORES & ~STORES | LOADS, KDE | MDE, 0, UNLOCK),
        (EL1_STORES & ~AT_EL1 | 2 << 1, KDE | MDE, 0, UNLOCK),  # at EL0 only
        (EL1_STORES, KDE, 0, UNLOCK),
        (EL1_STORES, MDE, 0, UNLOCK),
        (EL1_STORES | 2 << 14, KDE | MDE, 0, UNLOCK),  # in Secure state only
        (EL1_STORES, KDE | MDE, 0, [*raw.mov(0, 1), raw.msr("OSLAR_EL1", 0)]),  # the OS lock
    ],
)
def test_what_is_not_watched_is_stored(tmp_path, control, mdscr, offset, before):
    """And the guest goes on."""
    x = run(tmp_path, before, watch(DATA, control, mdscr), access(offset, 1), raw.SVC)
    assert x[21] >> 26 == 0x15
    assert offset or x[24] == OLD & ~0xFF | NEW


def test_a_handler_that_masks_debug_exceptions_can_return(tmp_path):
    """SPSR_EL1.D set: the store is made, and the exception came once."""
    masking = [
        raw.add(20, 20, 1), raw.mrs(2, "SPSR_EL1"), 0xB277_0042, raw.msr("SPSR_EL1", 2), raw.ERET,  # ORR x2, x2, #0x200
    ]  # fmt: skip
    end = [*raw.mov(1, DATA), raw.load(24, 1, 1), *raw.psci(raw.SYSTEM_OFF)]
    x = run(tmp_path, raw.mov(20, 0), UNLOCK, watch(DATA, EL1_STORES), access(0, 1), end, vector=masking)
    assert (x[20], x[24]) == (1, NEW)


def test_an_access_from_el0(tmp_path):
    """EC 0x34, whatever KDE and PSTATE.D say."""
    to_el0 = [
        *raw.mov(0, 0x3C0), raw.msr("SPSR_EL1", 0), *raw.mov(0, raw.BASE + 0x600), raw.msr("ELR_EL1", 0), raw.ERET,
    ]  # fmt: skip
    words = raw.flat(UNLOCK, watch(DATA, ENABLED | 2 << 1 | STORES | ALL_BYTES, MDE), to_el0)
    fill = 26  # words that `run` puts before
    words = [*words, *[raw.NOP] * (0x600 // 4 - len(words) - fill), *[raw.NOP] * 0x20, *access(0, 8)]
    x = run(tmp_path, words, vector=[*[raw.NOP] * 0x80, *HANDLER])
    assert (x[21], x[22], x[23], x[24]) == (LOWER | WNR, DATA, x[6], OLD)


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_software_step_begins_where_d_is_cleared(tmp_path, clock):
    """Before the next instruction (DDI 0487 D2.12), and then with each return that sets SPSR_EL1.SS."""
    count = [
        raw.mrs(21, "ESR_EL1"), raw.mrs(22, "ELR_EL1"), 0xD100_0694, 0xB400_00B4,  # SUB x20, x20, #1; CBZ x20, .+20
        raw.mrs(2, "SPSR_EL1"), 0xB26B_0042, raw.msr("SPSR_EL1", 2), raw.ERET,  # ORR x2, x2, #1 << 21
        *raw.psci(raw.SYSTEM_OFF),
    ]  # fmt: skip
    arm = [*raw.mov(0, KDE | SS), raw.msr("MDSCR_EL1", 0), raw.ISB, *[raw.NOP] * 300, D_CLEAR]
    x = run(tmp_path, raw.mov(20, 3), UNLOCK, arm, 0x1000_0006, [raw.NOP] * 8, vector=count, clock=clock)  # ADR x6, .
    assert (x[20], x[21], x[22]) == (0, 0xCE00_0022 | x[21] & 0x1FF_FFC0, x[6] + 8)


def test_software_step_that_is_taken_back(tmp_path):
    """MDSCR_EL1.SS cleared while PSTATE.D is set: none, and the register holds what was written."""
    arm = [raw.msr("MDSCR_EL1", 0), raw.ISB, raw.NOP]
    words = raw.flat(raw.mov(0, KDE | SS), arm, raw.mov(0, KDE), arm, raw.mrs(19, "MDSCR_EL1"), D_CLEAR, raw.SVC)
    x = run(tmp_path, UNLOCK, words)
    assert (x[19], x[21] >> 26) == (KDE, 0x15)


def test_a_debugger_steps_over_debug_registers(tmp_path):
    """They are accessed as in a run: MDCR_EL2.TDE, which single step sets, would trap them."""
    path = tmp_path / "guest.bin"
    words = [raw.mov(0, KDE), raw.msr("MDSCR_EL1", 0), raw.mrs(1, "MDSCR_EL1"), raw.mrs(2, "DBGBCR0_EL1"), raw.FOREVER]
    path.write_bytes(raw.image(*words))
    with Machine(path) as machine:
        for _ in range(7):
            assert machine.step() is None
        assert (machine.vcpu.gpr(1), machine.vcpu.gpr(2), machine.vcpu.state.pc) == (KDE, 0, raw.BASE + 28)


def test_watchpoints_go_with_a_reset_and_return_with_a_snapshot(tmp_path):
    """What a CPU's registers say is watched, and nothing else."""
    path = tmp_path / "guest.bin"
    call = [*raw.mov(0, 0xC600_0001), raw.HVC]
    words = [raw.set_vectors(), UNLOCK, watch(DATA, EL1_STORES), call, access(0, 8)]
    path.write_bytes(raw.image(*words, vector=HANDLER))
    with Machine(path) as machine:
        machine.on_hypercall(0xC600_0001)(lambda _vcpu: machine.quit("here"))
        assert machine.parts.self_debug.is_idle
        machine.run(timeout=5)
        snapshot = machine.snapshot()
        assert not machine.parts.self_debug.is_idle
        machine.reset()
        assert machine.parts.self_debug.is_idle
        machine.restore(snapshot)
        assert machine.run(timeout=5).ok
        assert machine.vcpu.gpr(21) == CURRENT | WNR
    with Machine(path) as other:
        other.restore(snapshot)
        assert other.run(timeout=5).ok
        assert other.vcpu.gpr(22) == DATA


# --- what is watched is mapped later, or elsewhere

ELSEWHERE, TABLES, DSB = 0x4021_0000, 0x4030_0000, 0xD503_3F9F
NORMAL, DEVICE, TABLE, BLOCK, PAGE = 0x701, 0x405, 3, 1, 3
"""Of descriptors with 4 KiB granules: AF, SH and AttrIndx; what they are (DDI 0487 D8.3)."""
MAIR, TCR = 0x00FF, 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32
"""AttrIndx 0 is Normal, 1 is Device; 39 bits from TTBR0_EL1 alone."""


def tables(base: int, data: int) -> bytes:
    """Levels 1 to 3, at `base`: all is where it is, but what is behind the page of DATA."""
    level_1 = [DEVICE | BLOCK, base + 0x1000 | TABLE]
    level_2 = [0x4000_0000 | NORMAL | BLOCK, base + 0x2000 | TABLE]
    level_3 = [data, *(0x4020_0000 + 0x1000 * n | NORMAL | PAGE for n in range(1, 512))]
    return b"".join(
        struct.pack(f"<{len(level)}Q", *level).ljust(0x1000, b"\0") for level in (level_1, level_2, level_3)
    )


NOWHERE, THERE = tables(TABLES, 0), tables(TABLES + 0x3000, ELSEWHERE | NORMAL | PAGE)
SWITCH_ON = [
    *raw.mov(0, MAIR), raw.msr("MAIR_EL1", 0), *raw.mov(0, TCR), raw.msr("TCR_EL1", 0), *raw.mov(0, TABLES),
    raw.msr("TTBR0_EL1", 0), raw.ISB, raw.mrs(0, "SCTLR_EL1"), 0xB240_0000, raw.msr("SCTLR_EL1", 0), raw.ISB,
]  # fmt: skip
"""The MMU: ORR x0, x0, #1."""


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize(
    "comes",
    [
        [*raw.mov(0, TABLES + 0x2000), *raw.mov(1, ELSEWHERE | NORMAL | PAGE), raw.store(1, 0), DSB, raw.ISB],
        [*raw.mov(0, TABLES + 0x1008), *raw.mov(1, TABLES + 0x5000 | TABLE), raw.store(1, 0), DSB, 0xD508_871F, DSB,
         raw.ISB],
        [*raw.mov(0, TABLES + 0x3000), raw.msr("TTBR0_EL1", 0), 0xD508_871F, DSB, raw.ISB],
    ],
    ids=["descriptor", "table", "TTBR0_EL1"],
)  # fmt: skip
def test_a_watchpoint_follows_its_mapping(tmp_path, clock, comes):
    """Watched before anything is mapped there, as after a fork (copy on write). The hex words are TLBI VMALLE1."""
    code = [SWITCH_ON, UNLOCK, watch(DATA, EL1_STORES), comes, raw.branch(1), access(0, 8)]
    at = {TABLES: NOWHERE + THERE, ELSEWHERE + DATA % 0x1000: struct.pack("<Q", OLD)}
    x = run(tmp_path, *code, memory_at=at, clock=clock)
    assert x[21:25] == [CURRENT | WNR, DATA, x[6], OLD]


def test_a_page_that_was_watched_is_free_once_nothing_is(tmp_path):
    """The tables too."""
    path = tmp_path / "guest.bin"
    off = [*raw.mov(0, 0), raw.msr("MDSCR_EL1", 0), raw.ISB, raw.NOP, raw.branch(1)]
    path.write_bytes(raw.image(SWITCH_ON, UNLOCK, watch(DATA, EL1_STORES), raw.branch(1), off, raw.FOREVER))
    with Machine(path) as machine:
        machine.memory.write(TABLES, NOWHERE)
        machine.run(timeout=0.2)
        assert machine.parts.self_debug.is_idle


@pytest.mark.parametrize("el", [2, 3])
def test_a_watched_store_at_el2_becomes_an_exception_there(tmp_path, el):
    """With HMC in the control, and MDCR_EL2.TDE, by which debug exceptions go there (DDI 0487 D2.4)."""
    handler = [
        raw.mrs(21, "ESR_EL2"), raw.mrs(22, "FAR_EL2"), raw.mrs(23, "ELR_EL2"), *raw.mov(1, DATA), raw.load(24, 1),
        raw.FOREVER,
    ]  # fmt: skip
    route = [*raw.mov(0, 1 << 8), raw.msr("MDCR_EL2", 0), *raw.mov(9, raw.BASE + 0x800), raw.msr("VBAR_EL2", 9)]
    fill = raw.flat(raw.mov(1, DATA), raw.mov(2, OLD), raw.store(2, 1), route)
    code = raw.flat(fill, UNLOCK, watch(DATA, EL1_STORES | 1 << 13), access(0, 8))
    down = [*raw.mov(0, 0x531), raw.msr("SCR_EL3", 0), raw.lower(3, 0x3C9)] if el == 3 else []
    path = tmp_path / "guest.bin"
    path.write_bytes(raw.image(*raw.flat(*down, *code), vector=handler))
    with Machine(path, el=el) as machine:
        machine.run(timeout=0.3)
        x = [machine.vcpu.gpr(n) for n in range(31)]
        assert (x[21], x[22], x[23], x[24]) == (CURRENT | WNR, DATA, x[6], OLD)
