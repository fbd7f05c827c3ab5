"""Guests of every Exception level: programs that write anything to what controls them, and go on."""

from __future__ import annotations

from struct import pack
from typing import TYPE_CHECKING

from mutate import number
from raw_guest import ERET, HVC, ISB, NOP, SVC, UDF, WFI, add, branch, flat, load, mov, mrs, msr, store

from armvcpu import Machine
from armvcpu.arch.registers import SYSREGS, by_name
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

CODE = 0x4008_0000
VECTORS = 0x800, 0x1000, 0x1800
"""Offsets of the vectors of EL1, EL2 and EL3."""
PROGRAM = 0x2000
SMC, WFE, SEVL, BRK = 0xD400_0003, 0xD503_205F, 0xD503_20BF, 0xD420_0000
LEVELS = [row for row in SYSREGS if row.name.endswith(("_EL2", "_EL3", "_EL12", "_EL02"))]
INTERRUPTS = [row for row in SYSREGS if row.name.startswith(("ICC_", "ICH_", "CNT"))]
CONTROLS = [by_name[name] for name in (
    "HCR_EL2", "SCR_EL3", "VTCR_EL2", "VTTBR_EL2", "SCTLR_EL2", "RMR_EL3", "RMR_EL2", "ICH_HCR_EL2", "ICH_LR0_EL2",
    "CPTR_EL2", "CPTR_EL3", "MDCR_EL3", "SCTLR_EL3", "TTBR0_EL2", "TTBR1_EL2", "TCR_EL2", "CNTHP_CTL_EL2",
    "CNTHV_CTL_EL2", "CNTPS_CTL_EL1", "DAIF",
)]  # fmt: skip
PLACES = (
    (0x0800_0000, 0x1000),  # GICD or a GICv2's
    (0x0801_0000, 0x1000),  # GICC
    (0x0803_0000, 0x200),  # GICH
    (0x0804_0000, 0x1000),  # GICV
    (0x080A_0000, 0x2_0000),  # GICR
    (0x0900_0000, 0x100),
    (0x0904_0000, 0x100),  # the Secure world's
    (0x090B_0000, 0x100),
    (0x0E00_0000, 0x100_0000),
    (CODE, 0x10_0000),
    (0, 1 << 48),
)


def value(rng: Random) -> int:
    """What a control register might get: few bits, many, addresses."""
    few = sum({1 << rng.randrange(64) for _ in range(rng.randrange(1, 6))})
    return rng.choice((few, few, number(rng), rng.getrandbits(64), CODE + (rng.getrandbits(20) & ~0xFFF)))


def an_access(rng: Random) -> list[int]:
    """MSR or MRS, mostly of a register of the levels."""
    row = rng.choice(rng.choice((LEVELS, INTERRUPTS, CONTROLS, SYSREGS)))
    if rng.random() < 0.3:
        return [mrs(3, row.name)]
    return [*mov(4, value(rng)), msr(row.name, 4), *rng.choice(([], [ISB]))]


def a_return(rng: Random, highest: int) -> list[int]:
    """ERET to the next instruction at some level, or to nonsense."""
    el = rng.choice(("EL1", "EL2", "EL3")[:highest])
    spsr = rng.choice((0x3C0, 0x3C4, 0x3C5, 0x3C8, 0x3C9, 0x3CC, 0x3CD, 0x9, 0x5, 0, 0x3CA, 0x1D3, rng.getrandbits(32)))
    adr = 0x1000_0005 | 4 << 5  # ADR X5, 16 bytes on
    return [*mov(6, spsr), msr(f"SPSR_{el}", 6), adr, NOP, msr(f"ELR_{el}", 5), ERET]


def a_memory_access(rng: Random) -> list[int]:
    """A load or store of any width, at a device of some world mostly."""
    base, size = rng.choice(PLACES)
    width = rng.choice((1, 2, 4, 4, 8))
    access = rng.choice((load, store))
    return [*mov(7, base + rng.randrange(size) // width * width), *mov(8, value(rng)), access(8, 7, width)]


def an_operation(rng: Random) -> list[int]:
    """A call, a wait, or one of SYS: address translation, TLB and cache maintenance of all levels."""
    system = 0xD508_0000 | rng.choice((0, 4, 6)) << 16 | rng.choice((7, 8)) << 12 | rng.getrandbits(7) << 5 | 10
    call = rng.choice((HVC, SMC, SVC, UDF, BRK, WFI, WFE, SEVL, HVC | rng.getrandbits(16) << 5))
    function = rng.choice((0x8400_0000 | rng.getrandbits(4), 0xC400_0003, 0xC400_0001, rng.getrandbits(32)))
    return rng.choice(([*mov(10, value(rng)), system], [*mov(0, function), *mov(1, number(rng)), call]))


def program(rng: Random, highest: int, count: int) -> bytes:
    """An image: vectors that go on behind what was taken, and `count` random pieces in a circle."""
    start: list[int] = []
    for level in range(1, highest + 1):
        start += [*mov(9, CODE + VECTORS[level - 1]), msr(f"VBAR_EL{level}", 9)]
    kinds = rng.choices((an_access, a_memory_access, an_operation), k=count, weights=(5, 2, 3))
    code = flat(*(a_return(rng, highest) if rng.random() < 0.1 else kind(rng) for kind in kinds))
    code.append(branch(-len(code)))
    words = [NOP] * (PROGRAM // 4) + code
    words[: len(start)] = start
    words[len(start)] = branch(PROGRAM // 4 - len(start))
    for level, vectors in enumerate(VECTORS[:highest], start=1):
        skip = [mrs(10, f"ELR_EL{level}"), add(10, 10, 4), msr(f"ELR_EL{level}", 10), ERET]
        for offset in range(vectors, vectors + 0x800, 0x80):
            handler = skip if offset % 0x200 == 0 else [ERET]
            words[offset // 4 : offset // 4 + len(handler)] = handler
    return pack(f"<{len(words)}I", *words)


def levels(rng: Random, directory: Path) -> str:
    """Run one, look at what it left, and go on from a snapshot of it."""
    el = rng.choice((1, 2, 2, 3, 3))
    path = directory / "levels.bin"
    path.write_bytes(program(rng, el, rng.choice((16, 128, 512))))
    options = {"cpu_model": rng.choice(("a72", "a53", "max")), "gic": rng.choice((2, 3)), "cpus": rng.choice((1, 2, 8)),
               "clock": rng.choice(("host", "instructions")), "el": el}  # fmt: skip
    with Machine(path, memory="16M", **options) as machine:  # type: ignore[arg-type]
        outcome = machine.run(timeout=2, max_instructions=10_000)
        look(machine, rng, el)
        if outcome.ending is Ending.CRASHED:
            assert outcome.report
        else:
            machine.restore(machine.snapshot())
            machine.run(timeout=2, max_instructions=1000)
        return outcome.ending.name.lower()


def look(machine: Machine, rng: Random, el: int) -> None:
    """What a debugger would ask for."""
    machine.crash_report("looked at").render()
    for level in range(1, el + 1):
        machine.walk(value(rng), el=level)
    for row in rng.sample(SYSREGS, 40):
        if row.name in machine.vcpu.registers:
            machine.vcpu.registers[row.name]
