"""Every row of system registers, read and written at EL1 and EL0: where it has no right to be, it is UNDEFINED.

Expected are the rights of DDI 0487 D17, section "Accessibility" of each register, with everything allowed that EL1 can
allow EL0. What the rows can't say stands here.
"""

from __future__ import annotations

import pytest
from raw_guest import BASE

from armvcpu import Machine
from armvcpu.arch.registers import SYSREGS, instruction_from_access, lowest_el
from armvcpu.arch.sysreg import RO, WO, Home

CODE, VECTORS = BASE + 0x2000, BASE + 0x1_0000
PSTATE = {0: 0x3C0, 1: 0x3C5}
UNKNOWN_REASON = 0x0200_0000
"""ESR_EL1 of an instruction that is UNDEFINED."""
READ_ONLY_AT_EL0 = {"TPIDRRO_EL0", "PMUSERENR_EL0"}
READ_ONLY_BELOW_THE_HIGHEST_EL = {"CNTFRQ_EL0"}
NOT_IN_V8_0 = {"PAN", "UAO", "LORSA_EL1", "LOREA_EL1", "LORN_EL1", "LORC_EL1", "LORID_EL1"}
"""Of FEAT_PAN, FEAT_UAO, FEAT_LOR."""
EVENT_COUNTERS = 6
NOT_IMPLEMENTED = {
    "PMMIR_EL1",  # of PMUv3p4
    *(f"{name}{n}_EL0" for name in ("PMEVCNTR", "PMEVTYPER") for n in range(EVENT_COUNTERS, 31)),
    *(f"ICC_AP{group}R{n}_EL1" for group in (0, 1) for n in (1, 2, 3)),  # of more than 32 priorities
}


def is_allowed(row, el: int, *, is_read: bool, model: str) -> bool:
    if row.home is Home.ABSENT or row.name in NOT_IMPLEMENTED or (model != "max" and row.name in NOT_IN_V8_0):
        return False
    if not is_read and row.name in READ_ONLY_BELOW_THE_HIGHEST_EL | (set() if el else READ_ONLY_AT_EL0):
        return False
    return lowest_el(row.encoding) <= el and row.is_there(1, vhe=True) and bool(row.access & (RO if is_read else WO))


def outcome(machine: Machine, row, el: int, *, is_read: bool) -> str:
    """What one MRS or MSR does. What is written is what is there."""
    registers = machine.vcpu.registers
    machine.write(CODE, instruction_from_access(row.encoding, 3, is_read=is_read).to_bytes(4, "little"))
    registers["x3"] = registers[row.name] if row.name in registers and row.access & RO and not row.acts else 0
    registers["PC"], registers["PSTATE"] = CODE, PSTATE[el]
    machine.step()
    if registers["PC"] == CODE + 4:
        return "executed"
    assert VECTORS <= registers["PC"] < VECTORS + 0x800
    return "UNDEFINED" if registers["ESR_EL1"] == UNKNOWN_REASON else f"ESR_EL1 {registers['ESR_EL1']:#x}"


@pytest.mark.parametrize("el", [1, 0])
@pytest.mark.parametrize("model", ["a72", "max"])
def test_each_register_has_its_rights_at_each_level(tmp_path, model, el):
    """And no more: neither is there one that EL0 can write though only EL1 may, as PMUSERENR_EL0 was."""
    (tmp_path / "guest.bin").write_bytes(bytes(4))
    wrong = []
    with Machine(tmp_path / "guest.bin", cpu_model=model) as machine:
        registers = machine.vcpu.registers
        machine.step()
        registers["VBAR_EL1"] = VECTORS
        registers["CPACR_EL1"] = 3 << 20  # FP at EL0 too
        registers["CNTKCTL_EL1"] = 0x303
        registers["SCTLR_EL1"] = 0x30D0_0800 | 1 << 26 | 1 << 15 | 1 << 14 | 1 << 9  # UCI, UCT, DZE, UMA
        registers["PMUSERENR_EL0"] = 0xF
        start = machine.snapshot()
        for row in SYSREGS:
            for is_read in (True, False):
                machine.restore(start)
                got = outcome(machine, row, el, is_read=is_read)
                if got != ("executed" if is_allowed(row, el, is_read=is_read, model=model) else "UNDEFINED"):
                    wrong.append((row.name, "MRS" if is_read else "MSR", got))
    assert wrong == []
