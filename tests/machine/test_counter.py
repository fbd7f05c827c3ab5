"""The Generic Timer's count: from power-on, as on QEMU's board, by either clock. DDI 0487 D11.1."""

from __future__ import annotations

import pytest
from raw_guest import FOREVER, SYSTEM_OFF, image, mov, mrs, msr, psci

from armvcpu import Machine
from armvcpu.machine.snapshots import snapshot_file

SECOND = 62_500_000
"""CNTFRQ_EL0."""
READ_BOTH = [mrs(20, "CNTPCT_EL0"), mrs(21, "CNTVCT_EL0"), mrs(22, "CNTPCT_EL0")]


@pytest.fixture
def boot(tmp_path):
    def boot(*words, **options):
        (tmp_path / "guest.bin").write_bytes(image(*words, psci(SYSTEM_OFF), FOREVER))
        return Machine(tmp_path / "guest.bin", **options)

    return boot


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_the_count_begins_at_power_on(boot, clock):
    """Not when the host was switched on; and the virtual count is the physical one."""
    with boot(*READ_BOTH, clock=clock) as machine:
        assert machine.run(timeout=20).ok
        physical, virtual, again = (machine.vcpu.gpr(n) for n in (20, 21, 22))
        assert physical <= virtual <= again < 10 * SECOND
        if clock == "host":
            assert again <= machine.vcpu.registers["CNTPCT_EL0"] < 20 * SECOND


def test_all_cpus_have_one_count(boot):
    with boot(cpus=4) as machine:
        assert len({cpu.time._origin for cpu in machine.cpus}) == 1


@pytest.mark.parametrize("timer", ["CNTP", "CNTV"])
@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_timer_is_due_by_the_count_that_the_guest_reads(boot, clock, timer):
    """CVAL a little ahead; ISTATUS is set when the count has come there, and not before (D11.2.4)."""
    ahead = 0x9140_0294  # ADD X20, X20, #0x1000, which is 65 us, or 4096 counts
    loop = [mrs(21, f"{timer}_CTL_EL0"), 0x3617_FFF5 & ~(0x3FFF << 5) | (-1 & 0x3FFF) << 5]  # TBZ W21, #2, back
    words = [mrs(20, f"{timer}CT_EL0"), ahead]
    words += [msr(f"{timer}_CVAL_EL0", 20), *mov(1, 3), msr(f"{timer}_CTL_EL0", 1), *loop, mrs(22, "CNTPCT_EL0")]
    with boot(*words, clock=clock) as machine:
        assert machine.run(timeout=20).ok
        assert machine.vcpu.gpr(20) <= machine.vcpu.gpr(22) < machine.vcpu.gpr(20) + 5 * SECOND


def test_the_count_goes_on_from_a_snapshot(boot, tmp_path):
    """Both of them, in a machine that is switched on later."""
    with boot(*READ_BOTH) as machine:
        machine.run(timeout=20)
        snapshot_file.save(machine.snapshot(), tmp_path / "snapshot")
        before = machine.vcpu.gpr(22)
    with boot(*READ_BOTH, snapshot=tmp_path / "snapshot") as machine:
        machine.vcpu.registers["PC"] = machine.plan.entry
        machine.run(timeout=20)
        assert before <= machine.vcpu.gpr(20) <= machine.vcpu.gpr(21) < before + 30 * SECOND
