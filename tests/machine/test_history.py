"""A machine goes back to any state that it has been in, to the last bit, and forth again."""

from __future__ import annotations

import random
import resource
from itertools import pairwise

import pytest
from machine_state import digest

from armvcpu import Machine, MemoryConsole
from armvcpu.devices.virtio.disk import DiskImage
from armvcpu.errors import StateError, UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.debugging.stop import StopKind
from armvcpu.machine.history import history as history_module
from armvcpu.machine.history.contents import Disk
from armvcpu.machine.history.history import check_history
from armvcpu.machine.outcome import Ending
from armvcpu.testing.firmware.initramfs import busybox_initramfs
from armvcpu.testing.firmware.store import fetch, path

GUESTS = {
    "exceptions": {},
    "gic": {},
    "lazyfp": {},
    "mmu": {},
    "selfmod": {},
    "timer": {},
    "wfi": {},
    "preempt": {"max_instructions": 2_000_000},
    "smp": {"cpus": 4, "memory": "64M"},
    "el2": {"cpus": 2, "el": 2, "cpu_model": "max"},
    "el3": {"el": 3},
}
SHELL = b"""i=0; while [ $i -lt 5 ]; do /bin/true; i=$((i+1)); done
dd if=/dev/urandom bs=1k count=64 2>/dev/null | md5sum
sleep 2; cat /proc/interrupts
poweroff -f
"""


@pytest.fixture
def frequent(monkeypatch):
    """Checkpoints close together, for guests of a few hundred thousand instructions."""
    monkeypatch.setattr(history_module, "INTERVAL", 20_000)
    monkeypatch.setattr(history_module, "NEAREST", 100)


def forwards(image: str, counts: list[int], **options) -> dict[int, str]:
    """The states at these counts of a machine that never goes back, and keeps nothing."""
    states = {}
    with Machine(image, clock="instructions", **options) as machine:
        for count in counts:
            machine.run(max_instructions=count - machine.instructions)
            states[count] = digest(machine)
    return states


@pytest.mark.parametrize("name", GUESTS)
def test_every_state_is_the_same_from_whichever_side(name, frequent):
    """Of guests with interrupts, timers, faults, several CPUs and levels: at random counts, in random order."""
    image, options = f"guests/bin/{name}.elf", {"memory": "16M", **GUESTS[name]}
    limit, choice = options.pop("max_instructions", 0), random.Random(name)
    with Machine(image, clock="instructions", **options) as machine:
        history = machine.keep_history()
        outcome = machine.run(timeout=60, max_instructions=limit)
        total, printed, end = history.count, bytes(machine.console.output), digest(machine)
        counts = sorted({choice.randrange(1, total) for _ in range(8)})
        states = forwards(image, counts, **options)
        for count in choice.choices(counts, k=16):
            history.go_to(count)
            assert (count, digest(machine)) == (count, states[count])
        assert machine.run(max_instructions=total - history.count if limit else 0).ending is outcome.ending
        assert (history.count, digest(machine)) == (total, end)
        assert bytes(machine.console.output) == printed


def test_linux_on_two_cpus(tmp_path):
    """With its processes, random numbers and sleeps; and past the end of what is known it goes on by itself."""
    for name in ("linux-cloud", "busybox"):
        fetch(name)
    initrd = tmp_path / "initramfs.cpio"
    initrd.write_bytes(busybox_initramfs(path("busybox", "busybox"), SHELL))
    options = {"initrd": initrd, "append": "console=ttyAMA0", "cpus": 2, "memory": "96M"}
    image, choice = str(path("linux-cloud", "Image")), random.Random(2)
    counts = sorted(choice.randrange(1, 150_000_000) for _ in range(3))
    states = forwards(image, counts, **options)
    with Machine(image, clock="instructions", **options) as machine:
        history = machine.keep_history()
        machine.run(max_instructions=150_000_000)
        for count in choice.choices(counts, k=5):
            history.go_to(count)
            assert (count, digest(machine)) == (count, states[count])
        assert machine.run(timeout=60).ending is Ending.POWERED_OFF
        assert machine.console.output.count(b"Booting Linux") == 1


# --- what goes in and out --------------------------------------------------------------------------------------


def echo(*typed: bytes, **options) -> tuple[Machine, MemoryConsole]:
    """The guest that echoes lines, which has been typed so much, a piece after each half a million instructions."""
    console = MemoryConsole()
    machine = Machine("guests/bin/echo.elf", clock="instructions", console=console, memory="16M", **options)
    machine.keep_history()
    for piece in typed:
        console.feed(piece)
        machine.run(max_instructions=500_000)
    return machine, console


def test_what_was_typed_comes_again(frequent):
    """At its moments; the answers are not printed twice, and what is typed later comes later."""
    machine, console = echo(b"first\r", b"second\r", b"third\r")
    with machine:
        history, end, count = machine.history, digest(machine), machine.history.count
        printed = bytes(console.output)
        assert b"second" in printed
        history.go_to(100_000)
        console.feed(b"quit\r")
        history.go_to(count)
        assert digest(machine) == end
        assert bytes(console.output) == printed
        assert machine.run(timeout=10).ending is Ending.POWERED_OFF
        assert console.output.startswith(printed)


def test_a_guest_that_has_ended_goes_back_and_ends_again(frequent):
    """Its end is one of its states."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        history = machine.keep_history()
        outcome = machine.run(timeout=10)
        count, printed = history.count, bytes(machine.console.output)
        for back in (count - 1, 1000, 0):
            history.go_to(back)
            assert history.count == back
            assert machine.can_go_on
        assert machine.run(timeout=10).ending is outcome.ending
        assert (history.count, bytes(machine.console.output)) == (count, printed)


def test_a_disk_goes_back_and_forth(tmp_path):
    """Its file is what it was at each checkpoint, and before there was one."""
    file = tmp_path / "disk"
    file.write_bytes(bytes(64 << 10))
    with DiskImage(file) as image:
        disk, kept, states = Disk(image), [], []
        for number in range(1, 6):
            image.write_from([memoryview(bytes([number]) * 9000)], 4096 * number)
            kept.append(disk.read(disk.take_written()))
            states.append(file.read_bytes())
        image.write_from([memoryview(b"later" * 2000)], 512)
        for number in (3, 0, 4, 2):
            disk.write(disk.take_written() | set().union(*kept), kept[: number + 1])
            assert file.read_bytes() == states[number]


def test_a_disk_that_the_host_cannot_write_stays_as_it_is(tmp_path):
    """Where only some of it could be taken back, none is."""
    file = tmp_path / "disk"
    file.write_bytes(bytes(64 << 10))
    with DiskImage(file) as image:
        disk = Disk(image)
        image.write_from([memoryview(b"written" * 8000)], 0)
        written, now = disk.take_written(), file.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 10, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                disk.write(written, [])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert file.read_bytes() == now
        disk.write(written, [])
        assert file.read_bytes() == bytes(64 << 10)


# --- back to a stop ------------------------------------------------------------------------------------------------


def hits_of(machine: Machine, limit: int = 0) -> list[tuple[int, int, int]]:
    """(count, PC, CPU) of each stop of a run forwards."""
    found: list[tuple[int, int, int]] = []
    machine.debugger.go(
        60, limit, hear=lambda stop: found.append((machine.engine.instructions, stop.pc, stop.cpu))
    )  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("name", "symbol", "options"),
    [
        ("hello", "fdt_cells", {}),
        ("exceptions", "exception", {}),
        ("smp", "ticket_lock", {"cpus": 4, "memory": "64M"}),
        ("el2", "leave_guest", {"cpus": 2, "el": 2, "cpu_model": "max"}),
    ],
)
def test_the_way_back_has_the_same_stops(name, symbol, options, frequent):
    """From the guest's end, each once, the other way round; and then the beginning."""
    with Machine(f"guests/bin/{name}.elf", clock="instructions", **options) as machine:
        history, debugger = machine.keep_history(), machine.debugger
        debugger.breakpoints.add(machine.symbols.address(symbol))
        forwards = hits_of(machine)[-12:]
        assert forwards
        for there in reversed(forwards):
            stop = history.continue_back()
            assert stop.kind is StopKind.BREAKPOINT
            assert (history.count, stop.pc, stop.cpu) == there
        debugger.breakpoints.remove(debugger.breakpoints.all[0])
        assert history.continue_back().kind is StopKind.BEGINNING
        assert history.count == 0


def test_whoever_wants_the_run_to_end_meanwhile_gets_it_after(frequent):
    """A signal or a pause in a search: the machine is where it was before, and the next run ends as asked."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        history, debugger = machine.keep_history(), machine.debugger
        machine.run(max_instructions=15_000)
        asked = iter([debugger.pause, lambda: machine.interrupt(15), debugger.pause])

        def ask(_vcpu):
            next(asked, lambda: None)()
            return False

        debugger.breakpoints.add(machine.symbols.address("fdt_cells"), ask)
        for _ in range(2):
            assert history.continue_back().kind is StopKind.PAUSED
            assert history.count == 15_000
        assert machine.run().status == 128 + 15


def test_a_search_that_is_given_up_is_none():
    """At an interrupt's vector, whose count the instruction before it has, too: the machine is where it was."""
    with Machine("guests/bin/timer.elf", clock="instructions") as machine:
        history, debugger = machine.keep_history(), machine.debugger
        machine.run(max_instructions=3000)
        vector = debugger.breakpoints.add(machine.vcpu.registers["VBAR_EL1"] + 0x280)
        assert debugger.go(timeout=20).kind is StopKind.BREAKPOINT
        here = history.count, digest(machine)
        debugger.breakpoints.remove(vector)
        debugger.breakpoints.add(machine.symbols.address("main"), lambda _vcpu: debugger.pause())
        assert history.continue_back().kind is StopKind.PAUSED
        assert (history.count, digest(machine)) == here


def test_a_pause_that_is_not_meant_ends_no_search():
    """As of a monitor's client that looks: the search goes on, and misses nothing."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        history, debugger = machine.keep_history(), machine.debugger
        machine.run(max_instructions=15_000)
        point = debugger.breakpoints.add(machine.symbols.address("fdt_cells"))
        there, here = history.continue_back(), history.count
        debugger.breakpoints.remove(point)
        history.go_to(15_000)
        debugger.breakpoints.add(machine.symbols.address("fdt_cells"), lambda _vcpu: debugger.pause() or True)
        assert history.continue_back(lambda: False) == there
        assert history.count == here


def test_a_condition_that_changes_its_mind_is_told_of():
    """The guest can't be followed back to a stop that is not there the second time; it is where it was."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        history, debugger = machine.keep_history(), machine.debugger
        machine.run(max_instructions=15_000)
        once = iter([True])
        debugger.breakpoints.add(machine.symbols.address("main"), lambda _vcpu: next(once, False))
        here = digest(machine)
        with pytest.raises(StateError, match="no longer the same"):
            history.continue_back()
        assert (history.count, digest(machine)) == (15_000, here)
        debugger.breakpoints.remove(debugger.breakpoints.all[0])
        assert machine.run(timeout=10).ending is Ending.POWERED_OFF


# --- how much is kept -------------------------------------------------------------------------------------------


def test_memory_is_bounded(frequent):
    """Where less is allowed there are fewer checkpoints; every state can still be reached."""
    kept = []
    for size in (1 << 30, 1 << 20, 0):
        with Machine("guests/bin/preempt.elf", clock="instructions", memory="16M") as machine:
            history = machine.keep_history(size)
            machine.run(max_instructions=2_000_000)
            history.go_to(1_234_567)
            kept.append((len(history.checkpoints), history.used, digest(machine)))
    (many, much, state), (few, less, same), (least, _, again) = kept
    assert state == same == again
    assert many > few > least == 1
    assert less <= 1 << 20 < much


def test_checkpoints_lie_further_apart_with_their_distance(monkeypatch):
    """A long run has not many more of them than a short one, and the way back to where it has just been is short."""
    monkeypatch.setattr(history_module, "INTERVAL", 1000)
    with Machine("guests/bin/preempt.elf", clock="instructions", memory="16M") as machine:
        history = machine.keep_history()
        machine.run(max_instructions=2_000_000)
        counts = history.checkpoints
        assert len(counts) < 600
        assert counts[-1] - counts[-3] < 3000
        assert max(later - sooner for sooner, later in pairwise(counts)) < 2_000_000 // 20


# --- what can't be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "needs clock instructions"),
        ({"clock": "instructions", "networks": ("127.0.0.1:9",)}, "does not come again"),
        ({"clock": "instructions", "record": "session"}, "go back in its replay"),
        ({"clock": "instructions", "semihosting": True, "semihosting_directory": "."}, "do not go back"),
    ],
)
def test_what_cannot_come_again_has_no_history(options, words):
    """One line says why."""
    with pytest.raises(UsageError, match=words):
        check_history(MachineConfig.of("guests/bin/hello.elf", **options))


def test_what_was_never_there_is_refused():
    """Before a run, before the history began, and behind the guest's end."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        machine.run(max_instructions=1000)
        history = machine.keep_history()
        with pytest.raises(UsageError, match="nothing has been run"):
            history.go_to(1000)
        machine.run(timeout=10)
        with pytest.raises(UsageError, match="begins at 1"):
            history.go_to(10)
        with pytest.raises(StateError, match="powered off"):
            history.go_to(history.count + 1)


@pytest.mark.parametrize("name", ["hello", "exceptions", "smp", "el2", "wfi"])
def test_a_step_back_undoes_a_step(name, frequent):
    """Of whichever CPU, through faults, interrupts and switches of CPUs."""
    options = {"smp": {"cpus": 4, "memory": "64M"}, "el2": {"cpus": 2, "el": 2, "cpu_model": "max"}}.get(name, {})
    with Machine(f"guests/bin/{name}.elf", clock="instructions", **options) as machine:
        history, debugger = machine.keep_history(), machine.debugger
        machine.run(max_instructions=10_000)
        seen = []
        for _ in range(200):
            seen.append((history.count, machine.vcpu.state.pc, machine.current_cpu.index))
            debugger.step()
        for there in reversed(seen):
            machine.interrupt(15)  # who wants the run to end meanwhile gets it after
            history.step_back()
            assert (history.count, machine.vcpu.state.pc, machine.current_cpu.index) == there
        assert machine.run().status == 128 + 15


def test_who_wrote_this(frequent):
    """A watchpoint that is set when it is too late, and the way back: to before the last store."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        history, debugger = machine.keep_history(), machine.debugger
        machine.run(timeout=10)
        stack = next(at for at in range(machine.vcpu.state.frame[31] - 64, 0, -8) if machine.read(at, 8) != bytes(8))
        last = machine.read(stack, 8)
        debugger.watchpoints.add(stack, 8)
        stop = history.continue_back()
        assert (stop.kind, stop.is_write, stop.address is not None) == (StopKind.WATCHPOINT, True, True)
        debugger.step()
        assert machine.read(stack, 8) == last
        count = history.count
        debugger.watchpoints.remove(debugger.watchpoints.all[0])
        written = []
        debugger.watchpoints.add(stack, 8)
        debugger.go(timeout=10, hear=lambda stop: written.append(stop.is_write))
        assert not written
        assert history.count > count


def test_who_changes_the_past_makes_another_future(frequent):
    """What was after that is forgotten, and what was before it is not."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        history = machine.keep_history()
        machine.run(timeout=10)
        end, printed = history.count, bytes(machine.console.output)
        history.go_to(5000)
        old = digest(machine)
        message = machine.symbols.address("main")
        history.go_to(end // 2)
        machine.vcpu.state.set_pc(message)
        assert machine.run(timeout=10).ending is Ending.POWERED_OFF
        assert history.count != end
        assert machine.console.output != printed
        new = digest(machine), history.count
        history.go_to(end // 2 + 1000)
        history.go_to(new[1])
        assert digest(machine) == new[0]
        history.go_to(5000)
        assert digest(machine) == old
        assert machine.run(timeout=10).ending is Ending.POWERED_OFF
        assert history.count == end


def test_who_changes_the_same_moment_twice_has_the_last_story(frequent):
    """What was written between is of neither: memory is, each time, what it was when the guest was there."""
    with Machine("guests/bin/hello.elf", clock="instructions") as machine:
        history = machine.keep_history()
        machine.run(timeout=10)
        moment, elsewhere = history.count // 2, 0x4400_0000
        history.go_to(moment // 2)
        early = digest(machine)
        for change in range(3):
            history.go_to(moment)
            machine.write(elsewhere + 0x1000 * change, b"changed")
            machine.run(max_instructions=1000)
            behind = digest(machine)
            machine.run(timeout=10)
            end = history.count, digest(machine)
            history.go_to(moment // 2)
            assert digest(machine) == early
            history.go_to(moment + 1000)
            assert digest(machine) == behind
            history.go_to(end[0])
            assert digest(machine) == end[1]
