"""Profiles: where the guest's time goes, and what armvcpu does for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import raw_guest as raw

from armvcpu import Machine, StateError, UsageError
from armvcpu.debug.profile.summary import DeviceUse, Summary
from armvcpu.debug.tracing.formats import writer_for

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
LOOP = [*raw.mov(1, 200_000), 0xD100_0421, 0xB5FF_FFE1]  # sub x1, x1, #1; cbnz x1, back to it


def profiled(image, interval=5, **options):
    """A profile of a guest's whole run, and how that ended."""
    with Machine(image, **{"clock": "instructions", **options}) as machine:
        with machine.profile(interval) as profile:
            outcome = machine.run(timeout=60)
        return profile, outcome


def plain(image, **options):
    """What a run without a profile is like."""
    with Machine(image, clock="instructions", **options) as machine:
        outcome = machine.run(timeout=60)
        return outcome.reason, machine.instructions, machine.console.output, list(machine.last_exits)


@pytest.mark.parametrize(
    ("guest", "options"), [("hello", {}), ("exceptions", {}), ("smp", {"cpus": 4}), ("preempt", {}), ("el2", {"el": 2})]
)
def test_a_run_by_instructions_is_the_same_with_a_profile(guest, options):
    """Every exit, character and count."""
    image = GUESTS / f"{guest}.elf"
    with Machine(image, clock="instructions", **options) as machine:
        with machine.profile(3):
            outcome = machine.run(timeout=60)
        seen = outcome.reason, machine.instructions, machine.console.output, list(machine.last_exits)
    assert seen == plain(image, **options)


def test_stacks_are_the_functions_of_the_guest():
    """Outermost first, below their CPU and level."""
    profile, outcome = profiled(GUESTS / "hello.elf", 1)
    assert outcome.ok
    stacks = profile.stacks()
    assert ("cpu0", "EL1", "_start", "main", "print", "put_formatted") in stacks
    assert {stack[:2] for stack in stacks} == {("cpu0", "EL1")}


def test_times_of_all_stacks_are_the_guests_time():
    """To the nanosecond, by the instruction clock: with those in which all CPUs wait."""
    profile, _ = profiled(GUESTS / "wfi.elf")
    summary = profile.summary()
    assert sum(profile.stacks().values()) == summary.guest_ns
    assert summary.guest_idle_ns == profile.stacks()[("all CPUs wait (WFI)",)] > 0


def test_a_profile_is_the_same_each_time():
    """By the instruction clock."""
    first, second = (profiled(GUESTS / "smp.elf", 3, cpus=2)[0] for _ in range(2))
    assert first.stacks() == second.stacks()
    assert {stack[0] for stack in first.stacks() if len(stack) > 1} == {"cpu0", "cpu1"}


def test_levels_are_told_apart():
    """A hypervisor's stacks and its guest's."""
    profile, _ = profiled(GUESTS / "el2.elf", 1, el=2)
    assert {"EL1", "EL2"} <= {stack[1] for stack in profile.stacks() if len(stack) > 1}


def test_secure_levels_are_told_apart():
    """By SCR_EL3.NS."""
    profile, _ = profiled(GUESTS / "el3.elf", 1, el=3)
    assert {"EL3", "Secure EL1"} <= {stack[1] for stack in profile.stacks() if len(stack) > 1}


def test_by_the_hosts_clock_a_loop_has_its_time(tmp_path):
    """Most of it, where the guest does little else."""
    image = tmp_path / "loop.bin"
    image.write_bytes(raw.image(*LOOP[:4], *raw.mov(1, 30_000_000), *LOOP[4:], *raw.psci(raw.SYSTEM_OFF)))
    profile, outcome = profiled(image, 200, clock="host")
    assert outcome.ok
    loop = raw.BASE + 4 * 8
    times = {stack[-1]: ns for stack, ns in profile.stacks().items()}
    assert times[f"{loop:#x}"] > 0.5 * sum(times.values())
    assert profile.summary().samples > 3


def test_waiting_is_no_time_of_the_guests_code():
    """By the host's clock."""
    profile, _ = profiled(GUESTS / "wfi.elf", clock="host")
    waited = profile.stacks()[("all CPUs wait (WFI)",)]
    assert 0 < waited == profile.summary().guest_idle_ns < profile.summary().guest_ns


def test_between_two_runs_no_time_passes():
    """By the host's clock, too: the guest does not run."""
    with Machine(GUESTS / "echo.elf") as machine, machine.profile() as profile:
        machine.run(timeout=0.05)
        before = profile.summary().guest_ns
        machine.read(0x4000_0000, 4)
        assert profile.summary().guest_ns == before


def test_summary_counts_exits_exceptions_and_devices():
    """hello prints, looks for two things that are not there, and powers off by HVC."""
    with Machine(GUESTS / "hello.elf", clock="instructions") as machine:
        with machine.profile() as profile:
            machine.run(timeout=10)
        printed = len(machine.console.output)
        executed = machine.instructions
    summary = profile.summary()
    assert summary.exits["HVC64"].count == 1
    assert summary.devices["pl011"].stores == printed
    assert summary.instructions == executed
    assert summary.guest_ns == 4 * executed
    assert 0 < summary.engine_ns + summary.python_ns + summary.loop_ns + summary.samples_ns <= summary.host_ns


def test_summary_counts_what_the_guest_takes_itself():
    """Exceptions at its own level by class, and interrupts."""
    profile, _ = profiled(GUESTS / "lazyfp.elf")
    assert profile.summary().exceptions["FP"] == 943
    profile, _ = profiled(GUESTS / "timer.elf")
    assert profile.summary().exceptions["interrupts"] > 0


def test_summary_in_words():
    """Three lines at least, that name the kinds and devices."""
    profile, _ = profiled(GUESTS / "hello.elf")
    text = str(profile.summary())
    assert text.startswith("profile: ")
    assert "HVC64 1" in text
    assert "pl011" in text


def test_many_devices_are_few_words():
    """Those that took most of the time, and the others together; data has all."""
    uses = {f"virtio-mmio{n}": DeviceUse(loads=6, stores=n, ns=1000 * (n + 1)) for n in range(32)}
    summary = Summary(0, 0, 0, 0, 0, 0, 0, 0, 0, None, devices=uses)
    (line,) = [line for line in str(summary).splitlines() if "devices:" in line]
    assert line.startswith("  devices: virtio-mmio31 6 loads, 31 stores (32 µs), virtio-mmio30 ")
    assert line.endswith(", 24 others 420 accesses (300 µs)")
    assert len(summary.as_dict()["devices"]) == 32


@pytest.mark.parametrize(("kind", "counted"), [("call", "handlers at instructions"), ("level", "exceptions told")])
def test_what_a_trace_costs_is_none_of_the_guests_code(kind, counted):
    """Branches and changes of the level are Python's time, too."""
    lines: list[str] = []
    with Machine(GUESTS / "exceptions.elf") as machine:
        trace = machine.trace({kind}, writer_for(None, lines.append))
        with machine.profile() as profile:
            machine.run(timeout=10)
        trace.close()
    assert profile.summary().exits[counted].count >= len(lines) > 10


def test_handlers_and_a_scripts_devices_are_counted():
    """A device that is a script by its address, a handler at a symbol by its calls."""
    with Machine(GUESTS / "mmio.elf") as machine:
        machine.on_mmio(0x0B00_0000, 0x1000, lambda _offset, _width: 0, lambda _offset, _width, _value: None)
        called = []
        machine.on_symbol("main")(called.append)
        with machine.profile() as profile:
            machine.run(timeout=10)
    assert profile.summary().devices["0xb000000"].loads > 0
    assert profile.summary().exits["handlers at instructions"].count == len(called) == 1


@pytest.mark.parametrize("interval", [0, -1, 1 << 40, 1.5, "200", True])
def test_an_interval_that_is_none(interval):
    """One line, and the machine can be profiled after."""
    with Machine(GUESTS / "hello.elf") as machine:
        with pytest.raises(UsageError), machine.profile(interval):
            pass
        with machine.profile():
            assert machine.run(timeout=10).ok


def test_one_profile_at_a_time():
    """Neither in a handler nor in another profile."""
    with Machine(GUESTS / "hello.elf") as machine, machine.profile():
        with pytest.raises(StateError), machine.profile():
            pass

        @machine.on_symbol("main")
        def inside(_vcpu):
            with pytest.raises(StateError), machine.profile():
                pass

        assert machine.run(timeout=10).ok


def test_what_ends_a_profile_by_an_exception_leaves_the_machine_as_it_was():
    """It can run, and be profiled again."""
    with Machine(GUESTS / "hello.elf", clock="instructions") as machine:
        with pytest.raises(UsageError), machine.profile():
            machine.run(max_instructions=-1)
        with machine.profile(1) as profile:
            assert machine.run(timeout=10).ok
        assert sum(profile.stacks().values()) == profile.summary().guest_ns > 0


def test_a_snapshot_that_takes_time_back():
    """What comes after is counted on."""
    with Machine(GUESTS / "hello.elf", clock="instructions") as machine:
        snapshot = machine.snapshot()
        with machine.profile(1) as profile:
            machine.run(max_instructions=10_000)
            machine.restore(snapshot)
            assert machine.run(timeout=10).ok
    assert sum(profile.stacks().values()) >= 4 * 10_000


def test_wild_stacks_do_no_harm(tmp_path):
    """X29 and X30 of any value; SP is nobody's."""
    for value in (1, 8, 0xFFFF_FFFF_FFFF_FFF8, 0x4000_0000, 0x0900_0000, raw.HOLE, 1 << 63):
        image = tmp_path / "wild.bin"
        image.write_bytes(raw.image(raw.mov(29, value), raw.mov(30, value), *LOOP, *raw.psci(raw.SYSTEM_OFF)))
        profile, outcome = profiled(image)
        assert outcome.ok
        assert profile.stacks()
