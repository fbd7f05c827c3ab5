"""What a report says of guests that start at EL2 or EL3: level and Security state, both stages, and what to try."""

from __future__ import annotations

import pytest
from raw_guest import BASE, FOREVER, HVC, ISB, NOP, image, load, lower, mov, mrs, msr, store

from armvcpu import Machine
from armvcpu.errors import UsageError

SMC, VTTBR = 0xD400_0003, BASE + 0x4000
SECURE_RAM, HOLE = 0x0E00_0000, 0x0B00_0000
EL1H, EL2H = 0x3C5, 0x3C9
VECTORS_EL2 = [*mov(9, BASE + 0x800), msr("VBAR_EL2", 9)]
TO_EL2 = [*mov(0, 0x531), msr("SCR_EL3", 0)]


MISTAKES = {
    "register of EL3": (2, [msr("SCR_EL3", 0)], "SCR_EL3 is a register of EL3, and the guest started at EL2", "EL2"),
    "register of EL2 at EL1": (
        2, [*mov(1, 1 << 31), msr("HCR_EL2", 1), *lower(2, EL1H, mrs(0, "HCR_EL2"))],
        "HCR_EL2 is a register of EL2, and this ran at EL1", "EL1",
    ),
    "HVC at EL2": (2, [HVC], "HVC goes to EL2, which the guest has to itself, and nothing answers it there", "EL2"),
    "HVC at EL3": (3, [HVC], "HVC is UNDEFINED here: SCR_EL3.HCE is 0", "EL3"),
    "SMC at EL3": (3, [SMC], "SMC goes to EL3, which the guest has to itself", "EL3"),
    "FP at EL2": (2, [*mov(0, 0x3200 | 1 << 10), msr("CPTR_EL2", 0), 0x1E61_2800], "set CPTR_EL2.TFP = 0", "EL2"),
    "no vectors at EL2": (2, [0xD400_0001], "the guest has no exception vectors: VBAR_EL2 is 0", "EL2"),
    "a hole at EL2": (2, [*mov(1, HOLE), load(0, 1)], f"nothing is at {HOLE:#010x}", "EL2"),
    "a store to a hole": (2, [*mov(1, HOLE), store(0, 1)], f"nothing is at {HOLE:#010x}", "EL2"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_hint_knows_levels(crashed, mistake):
    """And the level is in the first line and the last."""
    el, words, advice, state = MISTAKES[mistake]
    report = crashed(*words, el=el)
    assert advice in report.hint
    text = report.render()
    level = report.fault.as_dict()["el"]
    assert (f"EL{level}", report.as_dict()["state"]) == (state, report.state)
    assert text.startswith(f"armvcpu: cpu0 at {report.state} stopped: ")


def test_registers_are_those_of_the_level(crashed):
    """Of EL2 with HCR_EL2 and the registers of stage 2; of EL3 with SCR_EL3."""
    of_el2 = crashed(0xD400_0001, el=2).system_registers
    of_el3 = crashed(0xD400_0001, el=3).system_registers
    assert {"ESR_EL2", "HCR_EL2", "HPFAR_EL2", "VTTBR_EL2", "VTCR_EL2"} < of_el2.keys()
    assert {"ESR_EL3", "SCR_EL3"} < of_el3.keys()
    assert not any(name.endswith("_EL1") for name in (*of_el2, *of_el3))


def test_a_stage_2_fault_tells_both_stages(crashed):
    """Of a guest of the guest's: the virtual, the intermediate and the physical address."""
    words = [
        *mov(1, 1 << 31 | 1), msr("HCR_EL2", 1), *mov(1, 1 << 6 | 25), msr("VTCR_EL2", 1),
        *mov(1, VTTBR), msr("VTTBR_EL2", 1), *mov(2, BASE & ~0x3FFF_FFFF | 0x7FD), store(2, 1) | 1 << 10, ISB,
        *lower(2, EL1H, NOP, *mov(3, 0x8000_0010), load(4, 3)),
    ]  # fmt: skip
    report = crashed(*words, el=2)
    assert (report.fault.esr >> 26, report.fault.far, report.level) == (0x24, 0x8000_0010, 2)
    assert "stage 2 (VTTBR_EL2) maps nothing at 0x80000000" in report.hint
    assert report.walk == (
        "virtual 0x80000010 in EL1&0 with stage 2: no tables, intermediate 0x80000010",
        f"intermediate 0x80000010 in stage 2: 1 descriptors, the last at {VTTBR + 16:#x}, nothing",
    )
    assert "walk      virtual 0x80000010 in EL1&0" in report.render()


def test_a_walk_can_be_asked_for(tmp_path):
    """By `Machine.walk`, at any level that there is."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(FOREVER))
    with Machine(path, el=2) as machine:
        machine.run(max_instructions=10)
        found = machine.walk(BASE)
        assert (str(found.regime), found.ipa, found.physical) == ("EL2", BASE, BASE)
        assert str(machine.walk(BASE, el=1).regime) == "EL1&0"
        with pytest.raises(UsageError, match="the guest has no EL3: its levels are EL0 to EL2"):
            machine.walk(BASE, el=3)
