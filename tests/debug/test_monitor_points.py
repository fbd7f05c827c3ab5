"""The monitor's commands that stop the guest and let it go on, and those that trace it meanwhile."""

from __future__ import annotations

import re

import pytest
from raw_guest import BASE, FOREVER, NOP, SYSTEM_OFF, WFI, add, image, load, mov, store

from armvcpu import Machine
from armvcpu.errors import StateError, UsageError

HVC = 0xD400_0002
RAM = 0x4400_0000


@pytest.fixture
def machine(tmp_path):
    """A guest that counts x2 up to 3, stores and loads it, and powers off."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(
        mov(1, RAM), add(2, 2, 1), add(2, 2, 1), add(2, 2, 1), store(2, 1), load(3, 1), mov(0, SYSTEM_OFF), HVC,
    ))  # fmt: skip
    with Machine(path, clock="instructions") as machine:
        yield machine


def test_a_breakpoint_stops_and_the_guest_goes_on(machine):
    """Before the instruction; deleted, it stops no more."""
    assert machine.monitor(f"break {BASE + 16:#x}") == f"1: breakpoint at {BASE + 16:#x}"
    assert machine.monitor("continue").startswith("cpu0 has come to a breakpoint\n=> 0x0000000040080010")
    assert machine.monitor("print x2") == "0x0 = 0"
    assert machine.monitor("delete 1") == ""
    assert machine.monitor("continue") == "the guest powered off"


@pytest.mark.parametrize(
    ("condition", "stops_at"),
    [
        ("$x2 == 2", 24), ("x2 >= 1", 20), ("$x2 != 0", 20), ("$x2 > 1", 24), ("$x2 & 2", 24), ("$x2", 20),
        ("$x2 + 1 == 3", 24), ("$x2 == 77", None),
    ],
)  # fmt: skip
def test_a_condition_is_asked_each_time(machine, condition, stops_at):
    """At every of three places."""
    for offset in (16, 20, 24):
        machine.monitor(f"break {BASE + offset:#x} if {condition}")
    said = machine.monitor("continue")
    assert said == "the guest powered off" if stops_at is None else f"=> {BASE + stops_at:#018x}" in said


@pytest.mark.parametrize(
    ("line", "offset", "words"),
    [
        (f"watch {RAM:#x}", 28, "before a write to 0x44000000"),
        (f"watch {RAM + 4:#x} 1 w", 28, "before a write to 0x44000004"),
        (f"watch {RAM:#x} 8 r", 32, "before a read of 0x44000000"),
        (f"watch {RAM:#x} 8 rw", 28, "before a write to"),
        (f"watchp {RAM:#x} 8", 28, "before a write to"),
    ],
)
def test_a_watchpoint_stops_before_the_access(machine, line, offset, words):
    """Of the kind that was asked for."""
    machine.monitor(line)
    said = machine.monitor("continue")
    assert f"cpu0 has come to a watchpoint, {words}" in said
    assert f"=> {BASE + offset:#018x}" in said
    assert machine.monitor("info breakpoints").startswith("1: watchpoint on ")


def test_steps_go_one_instruction_or_several(machine):
    """And stop at a breakpoint on the way; the step that ends the guest says how."""
    assert machine.monitor("step").startswith(f"=> {BASE + 4:#018x}")
    assert machine.monitor("s 3").startswith(f"=> {BASE + 16:#018x}")
    machine.monitor(f"break {BASE + 24:#x}")
    assert machine.monitor("step 10").startswith(f"=> {BASE + 24:#018x}")
    assert machine.monitor("step 100") == "the guest powered off"
    assert machine.run(timeout=5).reason == "the guest powered off"


def test_another_cpu_is_stepped(tmp_path):
    """The one that `cpu N` has chosen; one that is off can't be."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(NOP, FOREVER))
    with Machine(path, cpus=2) as machine:
        machine.monitor("cpu 1")
        with pytest.raises(UsageError, match="never switched on"):
            machine.monitor("step")


def test_a_cpu_that_waits_is_not_stepped(tmp_path):
    """It would keep the step waiting, and the monitor with it."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(NOP, WFI, NOP, FOREVER))
    with Machine(path) as machine:
        machine.monitor("step 2")
        with pytest.raises(UsageError, match="cpu0 waits"):
            machine.monitor("step")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("break", "ADDRESS is missing"),
        ("break nosuch", "no symbol 'nosuch'"),
        ("break 0x40080002", "no address of an instruction"),
        ("break 0x40080000 if $nosuch == 1", "no register 'nosuch'"),
        ("break 0x40080000 if", "not an address"),
        ("watch 0x44000000 0", "0 is no count"),
        ("watch 0x44000000 8 x", "'x' is no access: r, w, rw"),
        ("delete 7", "there is no breakpoint 7"),
        ("step 0", "0 is no count"),
        ("step 100000000", "at most 1000000 steps"),
        ("trace on nosuch", "no trace kind 'nosuch'"),
        ("trace on exits:file", "behind a space"),
        ("trace on mmio", "begins with"),
        ("trace on exits /no/such/file", "No such file"),
        ("trace on insn some.blocks.zst", "begins with trace insn:some.blocks.zst alone"),
    ],
)
def test_mistakes(machine, line, error):
    """One line, and nothing has been set."""
    with pytest.raises(UsageError, match=re.escape(error)) as refused:
        machine.monitor(line)
    assert "\n" not in str(refused.value)
    assert (machine.monitor("info breakpoints"), machine.monitor("info traces")) == ("none", "none")


def test_a_trace_begins_and_ends_in_the_middle_of_a_run(machine, tmp_path):
    """What came before and comes after is not in it."""
    machine.monitor("step 4")
    machine.monitor(f"trace on insn,psci {tmp_path / 'trace'}")
    assert machine.monitor("info traces") == f"insn,psci to {tmp_path / 'trace'}"
    machine.monitor("step 2")
    assert machine.monitor("trace off") == ""
    machine.monitor("step")
    lines = (tmp_path / "trace").read_text().splitlines()
    assert [line.split()[1] for line in lines] == [f"{BASE + 16:#018x}", f"{BASE + 20:#018x}"]
    assert machine.monitor("trace off") == "there was none"


def test_traces_end_with_the_machine(tmp_path):
    """Their files are complete."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(mov(0, SYSTEM_OFF), HVC))
    with Machine(path) as machine:
        machine.monitor(f"trace on psci {tmp_path / 'trace'}")
        machine.run(timeout=10)
    assert "SYSTEM_OFF" in (tmp_path / "trace").read_text()


def test_a_run_that_was_looked_at_is_the_same_run(tmp_path):
    """By the instruction clock: stops, breakpoints and looks change nothing of what comes."""

    def run(*, is_looked_at: bool) -> tuple[str, int | None, dict[str, int]]:
        with Machine("guests/bin/preempt.elf", clock="instructions", cpus=2) as machine:
            if is_looked_at:
                machine.monitor("break main")
                assert "<main>" in machine.monitor("continue")
                for count in range(1, 200, 7):
                    machine.monitor("info gic")
                    machine.monitor("translate $pc")
                    machine.monitor(f"step {count}")
                    machine.run(max_instructions=1000 + count)
            outcome = machine.run(timeout=60)
            return outcome.reason, machine.instructions, machine.vcpu.registers.save()

    assert run(is_looked_at=True) == run(is_looked_at=False)


def test_a_trace_that_could_not_be_written_keeps_nobody_else_from_the_end(tmp_path):
    """Neither another trace nor the machine: what is lost is told, and all that was held is given back."""
    (tmp_path / "guest.bin").write_bytes(image(mov(0, SYSTEM_OFF), HVC))
    with Machine(tmp_path / "guest.bin") as machine:
        for kind, path in ("exits", "/dev/full"), ("psci", tmp_path / "trace"):
            machine.monitor(f"trace on {kind} {path}")
        machine.run(timeout=20)
        with pytest.raises(UsageError, match="No space left on device; name another"):
            machine.monitor("trace off")
        assert (machine.monitor("info traces"), machine.vcpu.observer) == ("none", None)
        assert "SYSTEM_OFF" in (tmp_path / "trace").read_text()
        machine.monitor("trace on exits /dev/full")
        machine.reset()
        machine.run(timeout=20)
        with pytest.raises(UsageError, match="No space left"):
            machine.close()
        with pytest.raises(StateError, match="closed"):
            machine.run(timeout=20)
