"""A translation told step by step says what the engine does: the same fault for the same tables, DDI 0487 D8."""

from __future__ import annotations

import random

import pytest
from raw_guest import BASE, image, load, store

from armvcpu import Machine
from armvcpu.arch.idregs import model, presented
from armvcpu.arch.registers import by_name
from armvcpu.machine.watching.regimes import regime
from armvcpu.machine.watching.translation import EXECUTE, READ, WRITE, Cpu, Translation

TABLES, SECOND, OUT, HOLE = 0x4100_0000, 0x4200_0000, 0x4300_0000, 0x7000_0000
VECTORS = BASE + 0x800
ADDRESS = 0x8000_0000
"""Of the access, above the block of 1 GiB that the code lies in."""
BRANCH_TO_ITSELF, BR_X0, LDR, STR = 0x1400_0000, 0xD61F_0000, load(1, 0), store(1, 0)
CODE = {READ: LDR, WRITE: STR, EXECUTE: BR_X0}
AF, SH_INNER, BOTH_MAY_EXECUTE = 1 << 10, 3 << 8, 3 << 6
CASES = 150
EL0t, EL1h = 0x3C0, 0x3C5


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    """Machines by highest level and model, with tables to fill in."""
    path, machines = tmp_path_factory.mktemp("guest") / "guest.bin", {}
    path.write_bytes(image(LDR, STR, BR_X0).ljust(0x800, b"\0") + image(*[BRANCH_TO_ITSELF] * 0x200))

    def make(el: int, cpu_model: str) -> Machine:
        if (el, cpu_model) not in machines:
            machines[el, cpu_model] = Machine(path, el=el, cpu_model=cpu_model, memory="64M", rng=False)
        return machines[el, cpu_model]

    yield make
    for machine in machines.values():
        machine.close()


def put(machine: Machine, address: int, value: int) -> None:
    """Write a doubleword."""
    machine.write(address, value.to_bytes(8, "little"))


def chance(rng: random.Random, likely: int, *others: int) -> int:
    """Mostly the first."""
    return likely if rng.random() < 0.75 else rng.choice(others)


def leaf(rng: random.Random, output: int, level: int) -> int:
    """A block or page, often as it should be."""
    kind = chance(rng, 3 if level == 3 else 1, 0, 1, 2, 3)
    rights = rng.randrange(4) << 6 | rng.randrange(4) << 53
    return kind | rights | chance(rng, AF, 0) | SH_INNER | chance(rng, output, output | 1 << 46)


def first_stage(rng: random.Random, machine: Machine) -> None:
    """Stage 1's tables: 39 bits, the code's block of 1 GiB, and down to a leaf of some level for ADDRESS."""
    last, table = rng.choice((1, 2, 3)), TABLES
    put(machine, TABLES + 8, 0x4000_0000 | 1 | AF | BOTH_MAY_EXECUTE)
    for level in range(1, last + 1):
        at = table + (16 if level == 1 else 0)
        if level == last:
            put(machine, at, leaf(rng, 0x4000_0000 if level == 1 else OUT & -0x20_0000 if level == 2 else OUT, level))
        else:
            following = TABLES + 0x1000 * level
            denied = rng.choice((0, 0, rng.randrange(16) << 59))
            put(machine, at, chance(rng, following, HOLE) | 3 | denied)
            table = following


def second_stage(rng: random.Random, machine: Machine) -> None:
    """Stage 2's: 32 bits from level 1; RAM in a table of 2 MiB blocks, of which one at a time is random."""
    put(machine, SECOND + 8, SECOND + 0x1000 | 3)
    for n in range(32):
        put(machine, SECOND + 0x1000 + 8 * n, 0x4000_0000 + n * 0x20_0000 | AF | 3 << 6 | 0xF << 2 | 1)
    which = rng.choice((TABLES, OUT, OUT)) - 0x4000_0000 >> 21
    rights = rng.randrange(4) << 6 | rng.randrange(4) << 53
    value = 0x4000_0000 + which * 0x20_0000 | chance(rng, AF, 0) | rights | 0xF << 2 | chance(rng, 1, 0, 3)
    put(machine, SECOND + 0x1000 + 8 * which, value)


def predicted(machine: Machine, address: int, el: int, access: str, *, pan: bool) -> tuple[int, int] | None:
    """(target, ESR) of the access, or None."""
    read = machine.engine.registers.read
    ids = presented(model(machine.config.cpu_model), el=machine.config.el)
    mmfr0, mmfr1 = (ids[by_name[f"ID_AA64MMFR{n}_EL1"].encoding] for n in (0, 1))
    cpu = Cpu(read, machine.memory.doubleword, mmfr0 & 15, has_xnx=bool(mmfr1 >> 28), has_hpds=bool(mmfr1 >> 12 & 15))
    told = Translation(address, el, regime(el, machine.config.el, read), cpu)
    problem = told.problem(access, pan=pan)
    if problem is None:
        return None
    target = told.target(problem, machine.config.el)
    return target, int(told.esr(problem, access, target))


def taken(machine: Machine, access: str) -> tuple[int, int] | None:
    """(target, ESR) of the exception that the guest takes at the access, without what the instruction adds."""
    registers = machine.vcpu.registers
    machine.run(max_instructions=2 if access == EXECUTE else 1, timeout=20)
    el = machine.vcpu.state.el
    if not VECTORS <= registers["PC"] < VECTORS + 0x800:
        return None
    esr = registers[f"ESR_EL{el}"]
    return el, esr & ~0x1FF_C000 if access != EXECUTE else esr


@pytest.mark.parametrize("cpu_model", ["a72", "max"])
@pytest.mark.parametrize("highest", [1, 2])
def test_an_access_takes_the_fault_that_is_told(guest, highest, cpu_model):
    """Random tables of both stages, random rights: the target level and ESR_ELx are those of the engine's own walk."""
    machine, rng = guest(highest, cpu_model), random.Random(f"{highest} {cpu_model}")
    registers, seen = machine.vcpu.registers, set()
    for output in (OUT, 0x4000_0000):
        put(machine, output, BRANCH_TO_ITSELF)
    start = machine.snapshot()
    for case in range(CASES):
        machine.restore(start)
        first_stage(rng, machine)
        el, access = rng.choice((0, 1)), rng.choice((READ, WRITE, EXECUTE))
        registers["TCR_EL1"] = 25 | 1 << 23 | 2 << 32 | (rng.choice((0, 1 << 41)) if cpu_model == "max" else 0)
        registers["TTBR0_EL1"], registers["VBAR_EL1"] = TABLES, VECTORS
        registers["SCTLR_EL1"] = 0x30D0_0801 | 1 | chance(rng, 0, 1 << 19)
        pan = cpu_model == "max" and rng.random() < 0.3
        if highest == 2:
            second_stage(rng, machine)
            registers["VTCR_EL2"], registers["VTTBR_EL2"] = 0x8000_0000 | 2 << 16 | 1 << 6 | 32, SECOND
            registers["HCR_EL2"], registers["VBAR_EL2"] = 1 << 31 | 1, VECTORS
        address = chance(rng, ADDRESS, ADDRESS << 10, 0x5A << 56 | ADDRESS)
        registers["PSTATE"] = (EL1h if el else EL0t) | pan << 22
        registers["PC"], registers["x0"] = BASE + 4 * (READ, WRITE, EXECUTE).index(access), address
        machine.engine.memory.flush_tlb()
        if machine.read_virtual(BASE, 4) is None:
            continue  # the code itself is out of reach
        expected = predicted(machine, address, el, access, pan=pan)
        assert taken(machine, access) == expected, f"case {case}: EL{el} {access} {address:#x}"
        seen.add(expected)
    assert len(seen) > 12
    start.close()
