"""The Performance Monitors: DDI 0487 D17.5, by the rules of Armv8.0."""

from __future__ import annotations

import pytest

from armvcpu.arch.registers import by_name
from armvcpu.vcpu.pmu import COUNTERS, CPU_CYCLES, CYCLE, ENABLE, RESET_CYCLES, RESET_EVENTS, Pmu

IDENTITY = 0x4101_3000
U32, NOT_EL1, NOT_EL0 = 0xFFFF_FFFF, 1 << 31, 1 << 30
PLAIN_CONTROL = IDENTITY & 0xFFFF_0000 | COUNTERS << 11 | 1 << 6
ALL = 1 << CYCLE | (1 << COUNTERS) - 1


class Bench:
    """A PMU at EL1, its time, its interrupt line and its registers by name."""

    def __init__(self) -> None:
        self.now, self.level, self.user = 1000, 1, 0
        self.lines: list[bool] = []
        self.pmu = Pmu(
            IDENTITY, lambda: self.now, lambda: self.level, self._show, self.lines.append, lambda: None
        )  # fmt: skip
        self._registers = {encoding: (read, write) for encoding, read, write in self.pmu.registers()}

    def _show(self, value: int) -> None:
        self.user = value

    def __getitem__(self, name: str) -> int:
        read, _ = self._registers[by_name[name].encoding]
        assert read is not None
        return read()

    def __setitem__(self, name: str, value: int) -> None:
        _, write = self._registers[by_name[name].encoding]
        assert write is not None
        write(value)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_identification(bench):
    """PMCR_EL0.N, LC (RES1 without AArch32), and the two events."""
    assert bench["PMCR_EL0"] == PLAIN_CONTROL
    assert bench["PMCEID0_EL0"] == 1 << CPU_CYCLES | 1
    assert bench["PMCEID1_EL0"] == 0


def test_cycles_are_counted_while_enabled(bench):
    """By PMCR_EL0.E and PMCNTENSET_EL0 together."""
    bench["PMCNTENSET_EL0"] = 1 << CYCLE
    bench.now += 10
    assert bench["PMCCNTR_EL0"] == 0
    bench["PMCR_EL0"] = ENABLE
    bench.now += 10
    assert bench["PMCCNTR_EL0"] == 10
    bench["PMCNTENCLR_EL0"] = 1 << CYCLE
    bench.now += 10
    assert bench["PMCCNTR_EL0"] == 10
    bench["PMCNTENSET_EL0"] = 1 << CYCLE
    bench["PMCCNTR_EL0"] = 1 << 40
    bench.now += 5
    bench["PMCR_EL0"] = 0
    bench.now += 10
    assert bench["PMCCNTR_EL0"] == (1 << 40) + 5


def test_event_counter_of_cycles_overflows_at_32_bits(bench):
    """The count goes on from zero and PMOVSCLR_EL0 keeps the overflow until it is cleared."""
    bench["PMEVTYPER2_EL0"], bench["PMEVCNTR2_EL0"] = CPU_CYCLES, U32 - 9
    bench["PMCNTENSET_EL0"], bench["PMCR_EL0"] = 1 << 2, ENABLE
    bench.now += 9
    assert (bench["PMEVCNTR2_EL0"], bench["PMOVSCLR_EL0"]) == (U32, 0)
    bench.now += 3
    assert (bench["PMEVCNTR2_EL0"], bench["PMOVSSET_EL0"]) == (2, 1 << 2)
    bench["PMOVSCLR_EL0"] = 1 << 2
    assert bench["PMOVSCLR_EL0"] == 0


def test_resets_leave_the_other_counters(bench):
    """PMCR_EL0.P is about event counters, C about the cycle counter; both read as zero."""
    bench["PMEVCNTR0_EL0"] = bench["PMEVCNTR5_EL0"] = bench["PMCCNTR_EL0"] = 7
    bench["PMCR_EL0"] = RESET_EVENTS
    assert (bench["PMEVCNTR0_EL0"], bench["PMEVCNTR5_EL0"], bench["PMCCNTR_EL0"]) == (0, 0, 7)
    bench["PMCR_EL0"] = RESET_CYCLES
    assert bench["PMCCNTR_EL0"] == 0
    assert bench["PMCR_EL0"] == PLAIN_CONTROL


def test_software_increment(bench):
    """Each counter named that is enabled and counts the event, by one, while PMCR_EL0.E is set."""
    bench["PMCNTENSET_EL0"] = 0b011
    bench["PMSWINC_EL0"] = 0b111
    assert bench["PMEVCNTR0_EL0"] == 0
    bench["PMCR_EL0"] = ENABLE
    bench["PMEVTYPER1_EL0"] = CPU_CYCLES
    for _ in range(3):
        bench["PMSWINC_EL0"] = 0b111
    assert [bench[f"PMEVCNTR{n}_EL0"] for n in range(3)] == [3, 0, 0]


@pytest.mark.parametrize(("level", "without", "counts"), [(1, NOT_EL1, 0), (1, NOT_EL0, 1), (0, NOT_EL0, 0)])
def test_software_increment_is_filtered_by_level(bench, level, without, counts):
    """PMEVTYPERn_EL0.P and U."""
    bench.level = level
    bench["PMEVTYPER0_EL0"], bench["PMCNTENSET_EL0"], bench["PMCR_EL0"] = without, 1, ENABLE
    bench["PMSWINC_EL0"] = 1
    assert bench["PMEVCNTR0_EL0"] == counts


def test_cycles_at_no_level_are_not_counted(bench):
    """PMCCFILTR_EL0 with P and U: nowhere."""
    bench["PMCCFILTR_EL0"] = NOT_EL1 | NOT_EL0
    bench["PMCNTENSET_EL0"], bench["PMCR_EL0"] = 1 << CYCLE, ENABLE
    bench.now += 10
    assert bench["PMCCNTR_EL0"] == 0


def test_selected_counter(bench):
    """PMSELR_EL0 tells which one PMXEVTYPER_EL0 and PMXEVCNTR_EL0 are; 31 has a filter only."""
    bench["PMSELR_EL0"] = 1
    bench["PMXEVTYPER_EL0"], bench["PMXEVCNTR_EL0"] = 0xEA, 0x1_DEAD_BEEF
    assert (bench["PMEVTYPER1_EL0"], bench["PMEVCNTR1_EL0"]) == (0xEA, 0xDEAD_BEEF)
    bench["PMSELR_EL0"] = CYCLE
    bench["PMXEVTYPER_EL0"], bench["PMXEVCNTR_EL0"] = U32, 5
    assert (bench["PMCCFILTR_EL0"], bench["PMXEVCNTR_EL0"], bench["PMCCNTR_EL0"]) == (NOT_EL1 | NOT_EL0, 0, 0)
    bench["PMSELR_EL0"] = COUNTERS
    bench["PMXEVTYPER_EL0"] = bench["PMXEVCNTR_EL0"] = 1
    assert (bench["PMXEVTYPER_EL0"], bench["PMXEVCNTR_EL0"]) == (0, 0)


@pytest.mark.parametrize("kind", ["PMCNTEN{}_EL0", "PMINTEN{}_EL1", "PMOVS{}_EL0"])
def test_bits_of_counters_that_are_not_there_stay_zero(bench, kind):
    """SET sets, CLR clears, both read the same."""
    bench[kind.format("SET")] = U32
    assert bench[kind.format("SET")] == bench[kind.format("CLR")] == ALL
    bench[kind.format("CLR")] = ~0b11
    assert bench[kind.format("SET")] == 0b11


def test_overflow_interrupt_is_a_level(bench):
    """PMOVSSET_EL0 and PMINTENSET_EL1 and PMCR_EL0.E; it goes when one of them does."""
    bench["PMEVCNTR0_EL0"], bench["PMCNTENSET_EL0"], bench["PMCR_EL0"] = U32, 1, ENABLE
    bench["PMSWINC_EL0"] = 1
    assert bench.lines == []
    bench["PMINTENSET_EL1"] = 1
    assert bench.lines == [True]
    bench["PMCR_EL0"] = 0
    bench["PMCR_EL0"] = ENABLE
    bench["PMOVSCLR_EL0"] = 1
    assert bench.lines == [True, False, True, False]


def test_deadline_is_the_next_overflow_with_an_interrupt(bench):
    """What nobody wants to hear of has none."""
    assert bench.pmu.deadline is None
    bench["PMCCNTR_EL0"] = -500 & (1 << 64) - 1
    bench["PMEVTYPER3_EL0"], bench["PMEVCNTR3_EL0"] = CPU_CYCLES, U32 - 99
    bench["PMCNTENSET_EL0"], bench["PMCR_EL0"] = ALL, ENABLE
    assert bench.pmu.deadline is None
    bench["PMINTENSET_EL1"] = 1 << CYCLE
    assert bench.pmu.deadline == bench.now + 500
    bench["PMINTENSET_EL1"] = 1 << 3
    assert bench.pmu.deadline == bench.now + 100
    bench.now += 100
    bench.pmu.update()
    assert bench.lines == [True]


def test_state_returns(bench):
    """Time that has passed outside is not counted."""
    bench["PMCNTENSET_EL0"], bench["PMCR_EL0"], bench["PMSELR_EL0"] = 1 << CYCLE, ENABLE, 4
    bench.now += 30
    state = bench.pmu.state()
    other = Bench()
    other.now = 5
    other.pmu.load_state(state)
    other.now += 2
    assert (other["PMCCNTR_EL0"], other["PMSELR_EL0"], other["PMCR_EL0"]) == (32, 4, PLAIN_CONTROL | ENABLE)
    other.pmu.reset()
    assert (other["PMCCNTR_EL0"], other["PMCR_EL0"], other["PMCNTENSET_EL0"]) == (0, PLAIN_CONTROL, 0)


def test_access_from_el0_is_shown_to_the_engine(bench):
    """PMUSERENR_EL0 has four bits."""
    bench["PMUSERENR_EL0"] = U32
    assert bench["PMUSERENR_EL0"] == bench.user == 0xF
