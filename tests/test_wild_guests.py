"""Wild guests: whatever a guest does ends in a crash report, a time-out, or as the guest asked, and harms nobody.

Each guest is a few hand-encoded instructions. All of them run in this one process, one after the other.
"""

from __future__ import annotations

import subprocess
import sys
from typing import NamedTuple

import pytest
from raw_guest import (
    BASE,
    CPU_OFF,
    ERET,
    FOREVER,
    HOLE,
    ISB,
    NOP,
    STP_PUSH,
    SVC,
    SYSTEM_OFF,
    SYSTEM_RESET,
    UART,
    UDF,
    WFI,
    add,
    br,
    branch,
    image,
    load,
    mov,
    mov_sp,
    mrs,
    msr,
    print_text,
    psci,
    set_vectors,
    store,
)  # fmt: skip

from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine

OFF = psci(SYSTEM_OFF)
NOWHERE = 0x10_0000_0000
RESET_LOOP = [*print_text("."), *psci(SYSTEM_RESET)]
REPORT = [mrs(20, "ESR_EL1"), mrs(21, "FAR_EL1"), *OFF]
"""A vector that leaves the syndrome in x20 and the address in x21."""


@pytest.fixture(params=["host", "instructions"])
def boot(request, tmp_path):
    """Make a machine of a raw image, in each mode of the engine; machines are closed at the end."""
    machines = []

    def boot(data: bytes, **options: object) -> Machine:
        path = tmp_path / "wild.bin"
        path.write_bytes(data)
        machines.append(Machine(path, **{"clock": request.param} | options))
        return machines[-1]

    yield boot
    for machine in machines:
        machine.close()


def mmu_on(ttbr: int) -> list[int]:
    """Enable the MMU with 39-bit addresses and the tables at `ttbr`."""
    control = [mrs(2, "SCTLR_EL1"), add(2, 2, 1), msr("SCTLR_EL1", 2), ISB]
    return [*mov(0, ttbr), msr("TTBR0_EL1", 0), *mov(1, 0x19), msr("TCR_EL1", 1), *control]


def eret_to(spsr: int) -> list[int]:
    """ERET to the start of the image with this SPSR_EL1."""
    return [*mov(0, spsr), msr("SPSR_EL1", 0), *mov(1, BASE), msr("ELR_EL1", 1), ERET]


LOOP, NOTHING_WAKES, ONLY_CPU = "endless exception loop", "nothing on this machine can wake it", "its only CPU off"
CRASHES = {
    "jump to nowhere": (image(mov(0, NOWHERE), br(0)), LOOP),
    "jump to an address of no table": (image(mov(0, 0xDEAD_BEEF_DEAD_BEEC), br(0)), LOOP),
    "jump to a hole": (image(mov(0, HOLE), br(0)), LOOP),
    "jump to a device": (image(mov(0, UART), br(0)), LOOP),
    "jump between instructions": (image(mov(0, BASE + 2), br(0)), LOOP),
    "undefined without vectors": (image(UDF), LOOP),
    "SVC without vectors": (image(SVC), LOOP),
    "semihosting that is not enabled": (image(0xD45E_0000), LOOP),
    "vector is undefined": (image(set_vectors(), UDF, vector=[UDF]), LOOP),
    "vector calls SVC": (image(set_vectors(), UDF, vector=[NOP, NOP, SVC]), LOOP),
    "vector pushes to a stack in a hole": (
        image(set_vectors(), mov(0, HOLE), mov_sp(0), UDF, vector=[STP_PUSH, *OFF]),
        LOOP,
    ),
    "stack in a hole": (image(mov(0, HOLE), mov_sp(0), STP_PUSH, OFF), LOOP),
    "WFI with nothing to wake it": (image(WFI, OFF), NOTHING_WAKES),
    "CPU_OFF of the only CPU": (image(psci(CPU_OFF)), ONLY_CPU),
    "tables that are code": (image(mmu_on(BASE), OFF), LOOP),
    "tables in a hole": (image(mmu_on(HOLE), OFF), LOOP),
    "tables in a device": (image(mmu_on(UART), OFF), LOOP),
    "tables in erased flash": (image(mmu_on(0), OFF), LOOP),
    "tables beyond memory": (image(mmu_on(0xFFFF_FFFF_0000), OFF), LOOP),
    "overwrites itself and all of RAM": (image(mov(0, BASE), store(31, 0), add(0, 0, 8), branch(-2)), LOOP),
}
TIMEOUTS = {
    "branch to itself": image(FOREVER),
    "vector that returns to the fault": image(set_vectors(), UDF, vector=[ERET]),
    "vector that jumps back to nowhere": image(set_vectors(), mov(0, HOLE), br(0), vector=[br(0)]),
    "storm of undefined instructions": image(
        set_vectors(), UDF, branch(-1), vector=[mrs(0, "ELR_EL1"), add(0, 0, 4), msr("ELR_EL1", 0), ERET]
    ),
    "resets for ever": image(RESET_LOOP),
    "trapped register for ever": image(mrs(0, "ID_AA64PFR0_EL1"), branch(-1)),
    "hypercalls for ever": image(mov(0, 0x8400_0000), 0xD400_0002, branch(-5)),
    "UART for ever": image(mov(1, UART), mov(2, 65), store(2, 1, 1), branch(-1)),
}


@pytest.mark.parametrize(("data", "reason"), CRASHES.values(), ids=CRASHES)
def test_crash_ends_with_a_reason_and_a_report(boot, data, reason):
    """Status 3, and the report can be made of whatever the guest left."""
    machine = boot(data)
    outcome = machine.run(timeout=20)
    assert (outcome.status, reason in outcome.reason) == (3, True), outcome
    report = machine.crash_report(outcome.reason)
    assert reason in report.render()
    assert report.as_dict()["pc"] == f"{machine.vcpu.state.pc:#x}"


@pytest.mark.parametrize("data", TIMEOUTS.values(), ids=TIMEOUTS)
def test_endless_guest_ends_at_the_time_out(boot, data):
    """Status 4, whether the guest computes, traps, prints or resets."""
    outcome = boot(data).run(timeout=0.1)
    assert (outcome.status, outcome.reason) == (4, "time-out")


@pytest.mark.parametrize("data", TIMEOUTS.values(), ids=TIMEOUTS)
def test_endless_guest_ends_at_the_instruction_limit(boot, data):
    """Status 4, for the same guests; 1000 instructions may be 1000 traps."""
    outcome = boot(data).run(timeout=20, max_instructions=1000)
    assert (outcome.status, outcome.reason) == (4, "instruction limit: 1000 executed")


@pytest.mark.parametrize("limit", [1, 2, 3, 999, 19_999, 20_000, 20_001, 1_234_567])
def test_instruction_limit_is_exact(boot, limit):
    """A loop of ADD and B has added half of them, and PC is at the one that is next."""
    machine = boot(image(mov(0, 0)[:1], add(0, 0, 1), branch(-1)))
    machine.run(timeout=20, max_instructions=limit)
    assert machine.instructions == limit
    assert machine.vcpu.gpr(0) == limit // 2
    assert machine.vcpu.state.pc == BASE + (8 if limit % 2 == 0 else 4)


def test_instruction_limit_goes_on_where_it_ended(boot):
    """Runs of 7 and 5 instructions are one of 12."""
    machine = boot(image(mov(0, 0)[:1], add(0, 0, 1), branch(-1)))
    for count in (7, 5):
        machine.run(timeout=20, max_instructions=count)
    assert (machine.instructions, machine.vcpu.gpr(0)) == (12, 6)


def test_input_and_stop_requests_leave_the_instruction_limit_exact(boot):
    """What arrives while instructions are counted waits for the end of a slice."""
    console = MemoryConsole(on_output=lambda _byte: console.feed(b"x"))
    loop = [add(0, 0, 1), store(0, 1, 1), branch(-2)]
    machine = boot(image(mov(1, UART), mov(0, 0)[:1], loop), console=console)
    outcome = machine.run(timeout=20, max_instructions=5 + 30_000)
    assert (outcome.status, machine.vcpu.gpr(0)) == (4, 10_000)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
@pytest.mark.parametrize(("access", "wnr"), [(load, 0), (store, 1 << 6)])
def test_access_to_a_hole_is_an_external_abort(boot, access, wnr, width):
    """The guest's ESR_EL1 has EC 0x25, WnR and DFSC 0x10, FAR_EL1 the address (DDI 0487 D17.2.37)."""
    machine = boot(image(set_vectors(), mov(0, HOLE + 8), access(1, 0, width), vector=REPORT))
    assert machine.run(timeout=20).ok
    assert (machine.vcpu.gpr(20), machine.vcpu.gpr(21)) == (0x9600_0010 | wnr, HOLE + 8)


@pytest.mark.parametrize(
    ("code", "esr", "far"),
    [
        ([*mov(0, HOLE + 8), br(0)], 0x8600_0010, HOLE + 8),
        ([*mov(0, UART), br(0)], 0x8600_0010, UART),
        ([*mov(0, 1 << 41), load(1, 0)], 0x9600_0010, 1 << 41),
        ([*mov(0, HOLE), mov_sp(0), STP_PUSH], 0x9600_0050, HOLE - 16),
        ([*mov(0, BASE + 0x1000_0000), load(1, 0)], 0x9600_0010, BASE + 0x1000_0000),
    ],
    ids=["fetch from a hole", "fetch from a device", "beyond the guest-physical range", "pair", "behind RAM"],
)
def test_what_is_not_there_is_an_external_abort(boot, code, esr, far):
    """Fetches, pairs and addresses beyond RAM too."""
    machine = boot(image(set_vectors(), code, vector=REPORT))
    assert machine.run(timeout=20).ok
    assert (machine.vcpu.gpr(20), machine.vcpu.gpr(21)) == (esr, far)


class Odd(NamedTuple):
    """A guest that does something odd and may get away with it."""

    data: bytes
    statuses: tuple[int, ...]


ODDITIES = {
    "stack in a device": Odd(image(mov(0, UART + 0x1000), mov_sp(0), [STP_PUSH] * 200, OFF), (0,)),
    "stores to flash": Odd(image(mov(0, 0), mov(1, 0x40), store(1, 0, 4), store(1, 0, 8), store(1, 0, 1), OFF), (0,)),
    "ERET to AArch32 EL0": Odd(image(eret_to(0x10)), (3, 4)),
    "ERET to AArch32 EL1": Odd(image(eret_to(0x13)), (3, 4)),
    "ERET to EL2": Odd(image(eret_to(0x09)), (3, 4)),
    "ERET to EL3": Odd(image(eret_to(0x0D)), (3, 4)),
}


@pytest.mark.parametrize("odd", ODDITIES.values(), ids=ODDITIES)
def test_odd_guest_harms_nobody(boot, odd):
    """It ends, one way or the other."""
    assert boot(odd.data).run(timeout=0.3).status in odd.statuses


def test_no_reboot_ends_at_the_first_reset(boot):
    """The guest asked for it: status 0, and it ran once."""
    machine = boot(image(RESET_LOOP), reboot=False)
    outcome = machine.run(timeout=20)
    assert (outcome.status, "reset" in outcome.reason, bytes(machine.console.output)) == (0, True, b".")


PEAK = """
import re, sys
from armvcpu.cli import main
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
"""


def test_flood_of_output_takes_no_memory(tmp_path):
    """`armvcpu run` passes on what a guest prints and keeps none of it: its memory stays below 150 MB."""
    (tmp_path / "flood.bin").write_bytes(TIMEOUTS["UART for ever"])
    command = [sys.executable, "-c", PEAK, "run", str(tmp_path / "flood.bin"), "--timeout", "2"]
    with open(tmp_path / "out", "wb") as out:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 4
    assert (tmp_path / "out").stat().st_size > 100_000
    assert int(done.stderr.split()[-1]) < 150 << 10
