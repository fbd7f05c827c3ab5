"""The target description, GDB manual appendix G: every register of a vCPU, by its Arm name."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from armvcpu import Machine
from armvcpu.debug.gdb.description import Description


@pytest.mark.parametrize("el", [1, 2, 3])
def test_every_register_is_described_once(el):
    """All rows of vcpu.registers, numbered without gaps, and gdb's own 68 first."""
    with Machine("guests/bin/hello.elf", el=el) as machine:
        rows = list(machine.vcpu.registers)
        description = Description(rows)
        registers = list(ElementTree.fromstring(description.xml).iter("reg"))
        assert [int(each.get("regnum")) for each in registers] == list(range(len(registers)))
        assert [each.get("name") for each in registers][31:34] == ["sp", "pc", "cpsr"]
        assert [each.get("name") for each in registers][66:68] == ["fpsr", "fpcr"]
        ours = [each.ours for each in description.registers]
        assert set(ours) == {row.name for row in rows} | {"SP"}
        assert len(set(ours)) == len(ours)
        for each in description.registers:
            assert 0 <= machine.vcpu.registers[each.ours] < 1 << 8 * each.size, each
