"""The Performance Monitors of a machine's CPUs, as a guest uses them."""

from __future__ import annotations

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.arch.registers import by_name

CYCLES, ENABLE = 1 << 31, 1
START = [
    *raw.mov(0, CYCLES), raw.msr("PMCNTENSET_EL0", 0), *raw.mov(0, ENABLE), raw.msr("PMCR_EL0", 0), raw.ISB,
]  # fmt: skip
OFF = raw.psci(raw.SYSTEM_OFF)


def run(tmp_path, *words, vector=None, **options):
    """Run a guest; its machine's x registers at the end."""
    path = tmp_path / "guest.bin"
    path.write_bytes(raw.image(*words, vector=vector))
    with Machine(path, **options) as machine:
        outcome = machine.run(timeout=10)
        assert outcome.ok, outcome.text
        return [machine.vcpu.gpr(n) for n in range(31)]


def test_an_instruction_is_four_cycles_by_the_instruction_clock(tmp_path):
    """A cycle is a nanosecond of the machine's time, on every CPU model."""
    read = [raw.mrs(20, "PMCCNTR_EL0"), *[raw.NOP] * 9, raw.mrs(21, "PMCCNTR_EL0")]
    x = run(tmp_path, START, read, OFF, clock="instructions")
    assert x[21] - x[20] == 4 * 10


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_the_cycle_counter_is_monotonic(tmp_path, clock):
    """As it is read, one after the other."""
    x = run(tmp_path, START, [raw.mrs(20 + n, "PMCCNTR_EL0") for n in range(8)], OFF, clock=clock)
    assert x[20:28] == sorted(set(x[20:28]))


@pytest.mark.parametrize(("cpu_model", "control"), [("a53", 0x4103_3040), ("a57", 0x4101_3040), ("a72", 0x4102_3040)])
def test_identification(tmp_path, cpu_model, control):
    """PMCR_EL0 of the core that is shown, and ID_AA64DFR0_EL1.PMUVer."""
    x = run(tmp_path, raw.mrs(20, "PMCR_EL0"), raw.mrs(21, "ID_AA64DFR0_EL1"), OFF, cpu_model=cpu_model)
    assert (x[20], x[21] >> 8 & 0xF) == (control, 1)


@pytest.mark.parametrize("name", ["PMEVCNTR6_EL0", "PMEVTYPER30_EL0", "PMMIR_EL1"])
def test_what_is_not_there_is_undefined(tmp_path, name):
    """Counters from PMCR_EL0.N on, and registers of a later PMU (EC 0)."""
    x = run(tmp_path, raw.set_vectors(), raw.mrs(20, name), OFF, vector=[raw.mrs(21, "ESR_EL1"), *OFF])
    assert x[21] >> 26 == 0


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("gic", [2, 3])
def test_an_overflow_interrupts(tmp_path, gic, clock):
    """PPI 23 becomes pending when the time has come, and the CPU wakes from WFI."""
    line = [
        *raw.mov(0, -200_000 & (1 << 64) - 1), raw.msr("PMCCNTR_EL0", 0),
        *raw.mov(0, CYCLES), raw.msr("PMINTENSET_EL1", 0), *enable_ppi(gic), raw.WFI,
        raw.mrs(20, "PMOVSCLR_EL0"), raw.mrs(21, "ISR_EL1"), *raw.mov(0, CYCLES), raw.msr("PMOVSCLR_EL0", 0),
        raw.mrs(22, "ISR_EL1"),
    ]  # fmt: skip
    x = run(tmp_path, START, line, OFF, gic=gic, clock=clock)
    assert (x[20], x[21], x[22]) == (CYCLES, 1 << 7, 0)


def enable_ppi(gic: int) -> list[int]:
    """INTID 23 to the CPU, Group 1 on a GICv3, with nothing masked but by PSTATE.I."""
    ppi, distributor, cpu = 1 << 23, 0x0800_0000, 0x0801_0000
    writes = [(distributor + 0x100, ppi), (distributor, 1), (cpu + 4, 0xF0), (cpu, 1)]
    registers: list[int] = []
    if gic == 3:
        frame = 0x080B_0000  # SGI_base of the first redistributor
        writes = [(0x080A_0014, 0), (frame + 0x80, ppi), (frame + 0x100, ppi), (distributor, 0x12)]
        registers = [
            *raw.mov(0, 0xF0), raw.msr("ICC_PMR_EL1", 0), *raw.mov(0, 1), raw.msr("ICC_IGRPEN1_EL1", 0), raw.ISB,
        ]  # fmt: skip
    stores = [word for at, value in writes for word in (*raw.mov(1, at), *raw.mov(2, value), raw.store(2, 1, 4))]
    return [*stores, *registers]


def test_el0_needs_leave(tmp_path):
    """PMUSERENR_EL0.EN: without it an access from EL0 is trapped to EL1 (EC 0x18)."""
    for allowed in (0, 1):
        to_el0 = [
            *raw.mov(0, allowed), raw.msr("PMUSERENR_EL0", 0), *raw.mov(0, 0x3C0), raw.msr("SPSR_EL1", 0),
            *raw.mov(0, raw.BASE + 0x400), raw.msr("ELR_EL1", 0), raw.ERET,
        ]  # fmt: skip
        words = raw.flat(raw.set_vectors(), START, to_el0)
        at_el0 = [raw.mrs(20, "PMCCNTR_EL0"), raw.SVC]
        words = [*words, *[raw.NOP] * (0x100 - len(words)), *at_el0]
        # from a lower exception level the vector is 0x200 further on
        vector = [*[raw.NOP] * 0x80, raw.mrs(21, "ESR_EL1"), *OFF]
        x = run(tmp_path, words, vector=vector)
        assert x[21] >> 26 == (0x15 if allowed else 0x18)
        assert (x[20] > 0) == bool(allowed)


def test_a_snapshot_keeps_the_count(tmp_path):
    """And the counter goes on from there."""
    path = tmp_path / "guest.bin"
    path.write_bytes(raw.image(START, raw.mov(0, 0xC600_0001), raw.HVC, raw.NOP, raw.mrs(20, "PMCCNTR_EL0"), OFF))
    counter = by_name["PMCCNTR_EL0"].encoding
    with Machine(path, clock="instructions") as machine:
        machine.on_hypercall(0xC600_0001)(lambda _vcpu: machine.quit("here"))
        machine.run(timeout=5)
        snapshot = machine.snapshot()
        before = machine.vcpu.sysregs.readers[counter]()
        assert before > 0
        ends = []
        for _ in range(2):
            assert machine.run(timeout=5).ok
            ends.append(machine.vcpu.gpr(20))
            machine.restore(snapshot)
            assert machine.vcpu.sysregs.readers[counter]() == before
        assert ends[0] == ends[1] > before
