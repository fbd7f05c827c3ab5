"""Hypervisors with a guest each, that take turns on one physical CPU: whichever level a switch finds them at.

Each counts at EL1 in x5 and calls its own EL2, which counts in x7 and calls what is above it, by SMC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from unicorn_bench import CODE, VECTORS, Machine, mrs, msr

from armvcpu.vcpu.exits import Hypercall, Nothing

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu

ADD_X5_1, ADD_X7_1, HVC, SMC, ERET, BRANCH_BACK_2 = (
    0x9100_04A5,
    0x9100_04E7,
    0xD400_0002,
    0xD400_0003,
    0xD69F_03E0,
    0x17FF_FFFE,
)
GUEST, SYNC_OF_LOWER = CODE + 0x100, VECTORS + 0x400
CALL = 0xC300_0042
RW, EL1H = 1 << 31, 0x3C5
TO_GUEST = [
    msr("VBAR_EL2", 1), msr("HCR_EL2", 2), msr("ELR_EL2", 3), msr("SPSR_EL2", 4), msr("TPIDR_EL2", 20),
    msr("TPIDR_EL1", 21), ERET,
]  # fmt: skip


def hypervisor(machine: Machine, number: int) -> Aarch64VCpu:
    """At EL2, with its guest's entry before it, and `number` in TPIDR_EL2 and, doubled, in its guest's TPIDR_EL1."""
    machine.put(GUEST, ADD_X5_1, HVC, BRANCH_BACK_2)
    machine.put(SYNC_OF_LOWER, mrs(6, "TPIDR_EL2"), mrs(8, "TPIDR_EL1"), ADD_X7_1, SMC, ERET)
    vcpu = machine.vcpu(*TO_GUEST, el=2, forward_smc=True)
    for register, value in {0: CALL, 1: VECTORS, 2: RW, 3: GUEST, 4: EL1H, 20: number, 21: 2 * number}.items():
        vcpu.set_gpr(register, value)
    return vcpu


@pytest.mark.parametrize("step", [0, 1, 7])
def test_they_take_turns_and_keep_their_levels(machine: Machine, step: int) -> None:
    """At each call to above EL2, and, with `step`, after so many instructions wherever that is."""
    pcpu, vcpus, calls = machine.cpu(), [hypervisor(machine, number) for number in (3, 5)], [0, 0]
    while min(calls) < 20:
        for index, vcpu in enumerate(vcpus):
            vcpu.bind(pcpu)
            taken = vcpu.run(max_instructions=step)
            vcpu.unbind()
            if taken == Nothing():
                continue
            assert isinstance(taken, Hypercall)
            assert (taken.nr, taken.conduit) == (CALL, "smc")
            calls[index] += 1
            assert [vcpu.gpr(n) for n in (5, 6, 7, 8)] == [
                calls[index],
                3 + 2 * index,
                calls[index],
                2 * (3 + 2 * index),
            ]
