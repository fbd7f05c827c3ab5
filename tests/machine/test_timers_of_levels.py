"""The Generic Timer of guests that start at EL2 and EL3, by either clock. DDI 0487 D11, D17.11."""

from __future__ import annotations

import pytest
from raw_guest import FOREVER, ISB, SYSTEM_OFF, image, load, mov, mrs, msr

from armvcpu import Machine
from armvcpu.machine.snapshots import snapshot_file

SMC = 0xD400_0003
PENDING = 0x080B_0200
"""GICR_ISPENDR0 of CPU 0."""
OFFSET = 0x1_2345_6789
E2H, TGE, RW = 1 << 34, 1 << 27, 1 << 31
SECOND = 62_500_000
TIMERS = {
    "CNTV": ("EL0", 27, 2), "CNTP": ("EL0", 30, 2), "CNTHP": ("EL2", 26, 2), "CNTHV": ("EL2", 28, 2),
    "CNTPS": ("EL1", 29, 3),
}  # fmt: skip
"""Suffix of the registers, INTID, lowest level of a CPU that has it."""


@pytest.fixture
def run(tmp_path):
    """Run instructions up to a branch to itself; the machine, whose general registers tell what came of them."""

    def run(*words, limit=4000, **options):
        (tmp_path / "guest.bin").write_bytes(image(*words, FOREVER))
        machine = Machine(tmp_path / "guest.bin", **options)
        machine.run(max_instructions=limit)
        return machine

    return run


def gprs(machine: Machine, *numbers: int) -> list[int]:
    with machine:
        return [machine.vcpu.gpr(n) for n in numbers]


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("el", [2, 3])
def test_counts_begin_at_power_on_and_the_offset_is_the_guests(run, el, clock):
    """CNTVCT_EL0 is CNTPCT_EL0 less CNTVOFF_EL2, which reads as it was written (D11.1.2)."""
    words = [*mov(0, OFFSET), msr("CNTVOFF_EL2", 0), ISB]
    words += [mrs(20, "CNTPCT_EL0"), mrs(21, "CNTVCT_EL0"), mrs(22, "CNTPCT_EL0"), mrs(23, "CNTVOFF_EL2")]
    before, virtual, after, offset = gprs(run(*words, el=el, clock=clock), 20, 21, 22, 23)
    assert before <= (virtual + OFFSET) % (1 << 64) <= after < 60 * SECOND
    assert offset == OFFSET


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("timer", TIMERS)
def test_each_timer_interrupts_at_its_count(run, timer, clock):
    """ISTATUS is set when the count has come to CVAL, and the PPI is pending then (D11.2.4; BSA's PPIs)."""
    suffix, intid, el = TIMERS[timer]
    count = "CNTVCT_EL0" if timer == "CNTV" else "CNTPCT_EL0"
    words = [*mov(0, OFFSET), msr("CNTVOFF_EL2", 0), ISB, *mov(1, PENDING), load(24, 1, 4)]
    words += [mrs(20, count), 0x9140_0294, msr(f"{timer}_CVAL_{suffix}", 20)]  # ADD X20, X20, #0x1000
    words += [*mov(0, 1), msr(f"{timer}_CTL_{suffix}", 0), ISB]
    words += [mrs(21, f"{timer}_CTL_{suffix}"), 0x3617_FFF5, mrs(22, count), load(23, 1, 4)]  # TBZ W21, #2, back
    machine = run(*words, el=el, clock=clock, cpu_model="max", limit=400_000)
    due, ctl, now, pending, earlier = gprs(machine, 20, 21, 22, 23, 24)
    assert (ctl, earlier) == (5, 0)
    assert (now - due) % (1 << 64) < 60 * SECOND
    assert pending == 1 << intid


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_where_el2_is_the_host_it_has_its_timers_by_el1s_names(run, clock):
    """CNTP_* is CNTHP_*, CNTV_* is CNTHV_*, and EL1's are CNTx_*_EL02; its CNTVCT_EL0 has no offset (HCR_EL2.E2H)."""
    words = [*mov(0, E2H | RW), msr("HCR_EL2", 0), *mov(1, OFFSET), msr("CNTVOFF_EL2", 1), ISB]
    for name, value in (
        ("CNTP_CVAL_EL0", 11), ("CNTV_CVAL_EL0", 12), ("CNTP_CVAL_EL02", 13), ("CNTV_CVAL_EL02", 14)
    ):  # fmt: skip
        words += [*mov(2, value), msr(name, 2)]
    words += [mrs(20, "CNTHP_CVAL_EL2"), mrs(21, "CNTHV_CVAL_EL2"), mrs(26, "CNTVCT_EL0"), mrs(27, "CNTPCT_EL0")]
    words += [*mov(0, RW), msr("HCR_EL2", 0), ISB, mrs(22, "CNTP_CVAL_EL0"), mrs(23, "CNTV_CVAL_EL0")]
    found = gprs(run(*words, el=2, cpu_model="max", clock=clock), 20, 21, 22, 23, 26, 27)
    assert found[:4] == [11, 12, 13, 14]
    assert found[4] <= found[5]


def test_moving_the_offset_moves_the_virtual_timers_interrupt(run):
    """CNTVOFF_EL2 as a hypervisor writes it when it switches guests, the timer left as it is."""
    words = [*mov(1, PENDING), *mov(0, 1 << 40), msr("CNTV_CVAL_EL0", 0), *mov(0, 1), msr("CNTV_CTL_EL0", 0)]
    words += [load(20, 1, 4), *mov(2, (1 << 64) - (1 << 41)), msr("CNTVOFF_EL2", 2), ISB, load(21, 1, 4)]
    words += [msr("CNTVOFF_EL2", 31), ISB, load(22, 1, 4)]
    assert gprs(run(*words, el=2), 20, 21, 22) == [0, 1 << 27, 0]


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_snapshot_has_all_timers_and_the_offset(run, tmp_path, clock):
    """In a machine that is switched on later: registers, counts, what is armed."""
    words = [*mov(0, OFFSET), msr("CNTVOFF_EL2", 0)]
    for n, (timer, (suffix, _, _)) in enumerate(TIMERS.items()):
        words += [*mov(0, (1 << 50) + n), msr(f"{timer}_CVAL_{suffix}", 0), *mov(0, 1), msr(f"{timer}_CTL_{suffix}", 0)]
    options = {"el": 3, "cpu_model": "max", "clock": clock}
    with run(*words, **options) as machine:
        before, due = machine.cpus[0].time.count(), machine.cpus[0].time._timers.due()
        snapshot_file.save(machine.snapshot(), tmp_path / "snapshot")
    with Machine(tmp_path / "guest.bin", snapshot=tmp_path / "snapshot", **options) as machine:
        time = machine.cpus[0].time
        assert {name: timer.cval for name, timer in time.timers.items()} == {
            "V": 1 << 50, "P": (1 << 50) + 1, "HP": (1 << 50) + 2, "HV": (1 << 50) + 3, "PS": (1 << 50) + 4,
        }  # fmt: skip
        assert time._timers.due() == due == (1 << 50) + 1
        assert before <= time.count() < before + 60 * SECOND
        assert machine.vcpu.registers["CNTVOFF_EL2"] == OFFSET == time.timers["V"].offset


def test_a_timer_wakes_a_hypervisor(run):
    """WFI at EL2, ended by CNTHP's interrupt, masked or not (D1.6.2): time jumps by the instruction clock."""
    wfi = 0xD503_207F
    words = [*mov(0, 1 << 26), *mov(1, 0x080B_0100), 0xB900_0020]  # STR W0, [X1]: GICR_ISENABLER0
    words += [*mov(1, 0x080B_0080), 0x1280_0002, 0xB900_0022]  # MOV W2, #-1; GICR_IGROUPR0
    words += [*mov(1, 0x0800_0000), *mov(2, 0x12), 0xB900_0022]  # GICD_CTLR: ARE, group 1
    words += [*mov(0, 0xF0), msr("ICC_PMR_EL1", 0), *mov(0, 1), msr("ICC_IGRPEN1_EL1", 0)]
    words += [*mov(0, SECOND), msr("CNTHP_TVAL_EL2", 0), *mov(0, 1), msr("CNTHP_CTL_EL2", 0), ISB, wfi]
    words += [mrs(20, "CNTPCT_EL0"), mrs(21, "CNTHP_CTL_EL2"), *mov(0, SYSTEM_OFF), SMC]
    with run(*words, el=2, clock="instructions") as machine:
        assert machine.vcpu.gpr(20) >= SECOND
        assert machine.vcpu.gpr(21) == 5
