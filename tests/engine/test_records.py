"""Records of translated blocks, against a hook on every instruction (docs/engine.md, "Records")."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from struct import iter_unpack
from typing import TYPE_CHECKING

import pytest

from armvcpu import Machine
from armvcpu.arch.registers import instruction_from_access
from armvcpu.engine.api import PLACE, RECORD, Place, Record
from armvcpu.engine.selftest_bench import ADD_X0_1, CODE, DATA, LDR_X3_X2, NOP, branch, svc

if TYPE_CHECKING:
    from armvcpu.engine.api import BlockRecords

GUESTS = ("hello", "exceptions", "mmu", "selfmod", "lazyfp", "traps", "smccc", "sysreg", "timer", "wfi", "gic", "smp")
LENGTH = 60_000
SUBS_X1_1, B_NE, CBZ_X1, TBNZ_X0_0, CMP_X1_32 = 0xF100_0421, 0x5400_0001, 0xB400_0001, 0x3700_0000, 0xF100_803F
UNMAPPED = 0x7000_0000


def blocks(records: BlockRecords) -> list[Record]:
    return [Record(*fields) for fields in iter_unpack(RECORD, records.blocks())]


def words(records: BlockRecords, block: Record) -> list[int]:
    return records.words()[block.words : block.words + block.instructions].tolist()


def executed(records: BlockRecords) -> Counter[int]:
    """How often the instruction at each PC was executed."""
    times: Counter[int] = Counter()
    known = blocks(records)
    for block in known:
        for n in range(block.instructions):
            times[block.pc + 4 * n] += block.executed
    for fields in iter_unpack(PLACE, records.places()):
        place = Place(*fields)
        block = known[place.record]
        for n in range(place.executed, block.instructions):
            times[block.pc + 4 * n] -= place.times
    return +times


def branches(records: BlockRecords) -> Counter[tuple[int, bool]]:
    """How often the conditional branch at each PC was taken, and not."""
    counts: Counter[tuple[int, bool]] = Counter()
    for block in blocks(records)[1:]:
        if is_conditional(words(records, block)[-1]):
            end = block.pc + 4 * (block.instructions - 1)
            counts[end, False] += block.fell
            counts[end, True] += block.executed - block.aborted - block.fell
    return +counts


def is_conditional(word: int) -> bool:
    """B.cond; CBZ and CBNZ; TBZ and TBNZ."""
    return word >> 24 == 0x54 or word >> 25 & 0x3F in (0x1A, 0x1B)


def target(pc: int, word: int) -> int:
    """Where it goes: imm14 of TBZ and TBNZ, imm19 of the others."""
    bits = 14 if word >> 25 & 0x3F == 0x1B else 19
    offset = word >> 5 & (1 << bits) - 1
    return pc + 4 * (offset - (offset >> bits - 1 << bits))


def branches_of(machine: Machine, trace: list[int]) -> tuple[Counter[tuple[int, bool]], int]:
    """Likewise, by what has come behind each of them; and how often that was an interrupt, or nothing."""
    counts: Counter[tuple[int, bool]] = Counter()
    unknown = 0
    words = {pc: machine.engine.memory.fetch_word(pc) or 0 for pc in set(trace)}
    for pc, following in pairwise([*trace, 0]):
        if not is_conditional(words[pc]):
            continue
        if following in (pc + 4, target(pc, words[pc])):
            counts[pc, following != pc + 4] += 1
        else:
            unknown += 1
    return counts, unknown


@pytest.mark.parametrize("name", GUESTS)
def test_what_is_executed_is_what_a_hook_on_every_instruction_hears(name):
    """Whatever traps, faults, changes its code or waits."""
    trace: list[int] = []
    with Machine(f"guests/bin/{name}.elf", clock="instructions") as machine:
        machine.engine.records.begin()
        machine.trace_instructions(trace.append)
        machine.run(timeout=60, max_instructions=LENGTH)
        assert trace
        assert executed(machine.engine.records) == Counter(trace)


@pytest.mark.parametrize("name", ["hello", "exceptions", "lazyfp", "timer", "smccc"])
def test_nothing_depends_on_counts_of_instructions(name):
    """On a clock of the host's blocks take nothing off a countdown."""
    trace: list[int] = []
    with Machine(f"guests/bin/{name}.elf") as machine:
        machine.engine.records.begin()
        machine.trace_instructions(trace.append)
        assert machine.run(timeout=60).status == 0
        assert executed(machine.engine.records) == Counter(trace)


@pytest.mark.parametrize("name", ["hello", "exceptions", "mmu", "traps", "timer", "gic", "parser"])
def test_branches_are_those_of_a_hook_on_every_instruction(name):
    """Each of them, as often as it was taken and not; but for those that an interrupt came behind, which are few."""
    trace: list[int] = []
    with Machine(f"guests/bin/{name}.elf", clock="instructions") as machine:
        machine.engine.records.begin()
        machine.trace_instructions(trace.append)
        machine.run(timeout=60, max_instructions=LENGTH)
        heard, unknown = branches_of(machine, trace)
        counted = branches(machine.engine.records)
    assert heard
    assert heard - counted == Counter()
    assert (counted - heard).total() == unknown < 50


@pytest.mark.parametrize("level", [2, 3])
def test_guests_at_higher_levels_have_records_too(level):
    """Of EL2's and EL3's own code."""
    trace: list[int] = []
    with Machine(f"guests/bin/el{level}.elf", el=level, clock="instructions") as machine:
        machine.engine.records.begin()
        machine.trace_instructions(trace.append)
        machine.run(timeout=60, max_instructions=LENGTH)
        assert executed(machine.engine.records) == Counter(trace)


def test_records_change_nothing_of_a_run_that_repeats():
    """The same instruction is the last one before a limit, with the same registers."""
    ends = []
    for wanted in (False, True):
        with Machine("guests/bin/timer.elf", clock="instructions") as machine:
            if wanted:
                machine.engine.records.begin()
            machine.run(timeout=60, max_instructions=LENGTH)
            ends.append((machine.instructions, machine.vcpu.state.pc, machine.vcpu.state.frame.tolist()))
    assert ends[0] == ends[1]


def test_branches_are_counted_as_they_go(bench):
    """B.NE, CBZ and TBNZ of a loop of seven rounds: taken, and not."""
    bench.start(
        SUBS_X1_1, CBZ_X1 | 6 << 5, ADD_X0_1, TBNZ_X0_0 | 2 << 5, NOP, CMP_X1_32, B_NE | -6 << 5 & 0xFFFFE0, svc(0)
    )
    bench.engine.records.begin()
    bench.set_gpr(1, 7)
    bench.run_to_trap()
    counts = branches(bench.engine.records)
    assert counts == {
        (CODE + 4, False): 6, (CODE + 4, True): 1, (CODE + 12, True): 3, (CODE + 12, False): 3, (CODE + 24, True): 6,
    }  # fmt: skip


def test_a_load_that_faults_leaves_its_block_there(bench):
    """What stands behind it has not been executed; the load has, as in a count of instructions."""
    bench.start(ADD_X0_1, LDR_X3_X2, ADD_X0_1, branch(-3), stage2=True)
    bench.engine.records.begin()
    bench.set_gpr(2, UNMAPPED)
    bench.run_to_trap()
    assert executed(bench.engine.records) == {CODE: 1, CODE + 4: 1}
    bench.set_gpr(2, DATA)
    bench.run(limit=5)
    assert executed(bench.engine.records) == {CODE: 2, CODE + 4: 3, CODE + 8: 1, CODE + 12: 1}


def test_code_that_is_translated_anew_keeps_its_record(bench):
    """Forgotten and translated again ten times, it has one record for each of its blocks."""
    bench.start(ADD_X0_1, branch(1), svc(0))
    bench.engine.records.begin()
    seen = set()
    for _ in range(10):
        bench.engine.state.set_pc(CODE)
        bench.engine.code.invalidate()
        bench.run_to_trap()
        seen.add(len(bench.engine.records))
    assert len(seen) == 1
    assert executed(bench.engine.records) == {CODE: 10, CODE + 4: 10, CODE + 8: 10}


def test_other_code_at_the_same_address_has_another_record(bench):
    """By its words, which stay where the guest has others by now."""
    records = bench.engine.records
    records.begin()
    for first in (NOP, ADD_X0_1, NOP):
        bench.start(first, svc(0))
        bench.run_to_trap()
    known = [block for block in blocks(records) if block.pc == CODE]
    assert [(words(records, block), block.executed) for block in known] == [
        ([NOP, svc(0)], 2), ([ADD_X0_1, svc(0)], 1),
    ]  # fmt: skip


def test_physical_addresses_are_known(bench):
    """Of code behind stage 2, which is mapped to itself here."""
    bench.start(NOP, svc(0), stage2=True)
    bench.engine.records.begin()
    bench.run_to_trap()
    assert [block.physical for block in blocks(bench.engine.records)[1:]] == [CODE]


def test_nothing_is_kept_once_nobody_wants_it(bench):
    """Two begin, and the second end is the last; what was counted stays."""
    records = bench.engine.records
    records.begin()
    records.begin()
    bench.start(NOP, svc(0))
    for ends in (True, True, False):
        bench.engine.state.set_pc(CODE)
        bench.run_to_trap()
        if ends:
            records.end()
    assert executed(records) == {CODE: 2, CODE + 4: 2}


def test_a_handler_that_moves_pc_leaves_the_block_there(bench):
    """A register that Python answers, in the middle of a block: it has been executed, and what is behind it not."""
    from armvcpu.arch.registers import by_name
    from armvcpu.engine.api import PYTHON, RegisterRows

    encoding = by_name["ICC_IAR1_EL1"].encoding
    rows = RegisterRows()
    rows.shape = ((encoding, (PYTHON, PYTHON, 0)),)
    bench.start(NOP, instruction_from_access(encoding, 4, is_read=True), NOP, NOP, svc(0))

    def read() -> int:
        bench.engine.state.set_pc(CODE + 16)
        return 0

    rows.reads[encoding] = read
    bench.engine.registers.use(rows)
    bench.engine.records.begin()
    bench.run_to_trap()
    assert executed(bench.engine.records) == {CODE: 1, CODE + 4: 1, CODE + 16: 1}


def test_many_blocks_have_many_records(bench):
    """Each at its place for ever."""
    words = [branch(1)] * 6000
    bench.start(*words, svc(0))
    bench.engine.records.begin()
    bench.run_to_trap()
    assert len(bench.engine.records) == 6002
    assert executed(bench.engine.records) == {CODE + 4 * n: 1 for n in range(6001)}
