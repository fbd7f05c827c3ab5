"""The debugger: breakpoints, watchpoints and steps, between two of the guest's instructions."""

from __future__ import annotations

import threading

import pytest

from armvcpu import Machine, UsageError
from armvcpu.machine.debugging.stop import Stop, StopKind

HELLO = "guests/bin/hello.elf"


class Looking:
    """A client that notes each stop, and does what it is given in turn; then the guest goes on."""

    def __init__(self, machine, *acts):
        self.machine, self.acts = machine, list(acts)
        self.stops: list[Stop] = []
        self.ends: list[str] = []

    def stopped(self, stop):
        self.stops.append(stop)
        if self.acts:
            self.acts.pop(0)(self.machine)

    def ended(self, outcome):
        self.ends.append(outcome.reason)
        return False


@pytest.fixture(params=["host", "instructions"])
def hello(request):
    with Machine(HELLO, clock=request.param) as machine:
        yield machine


def test_a_run_with_a_client_is_stopped_and_goes_on(hello):
    """At a breakpoint and at the start; the run's outcome is the guest's own."""
    main = hello.symbols.address("main")
    client = Looking(hello)
    hello.debugger.breakpoints.add(main)
    hello.debugger.attach(client, at_start=True)
    outcome = hello.run(timeout=20)
    assert (outcome.reason, client.ends) == ("the guest powered off", ["the guest powered off"])
    assert client.stops == [Stop(StopKind.START, 0, hello.plan.entry), Stop(StopKind.BREAKPOINT, 0, main)]


def test_a_condition_decides_and_costs_no_stop(hello):
    """It is asked with the vCPU before the instruction."""
    put, asked = hello.symbols.address("fdt_cells"), []
    client = Looking(hello)
    hello.debugger.breakpoints.add(put, lambda vcpu: (asked.append(vcpu.state.pc), len(asked) % 2 == 0)[1])
    hello.debugger.attach(client)
    hello.run(timeout=20)
    assert set(asked) == {put}
    assert len(client.stops) == len(asked) // 2 > 0


def test_stops_can_be_heard_of_without_stopping(hello):
    """All that come, up to one that is asked for, with the count of instructions before each."""
    seen = []

    def hear(stop):
        seen.append((stop.pc, hello.engine.instructions))
        return len(seen) == 3

    at = hello.symbols.address("fdt_cells")
    hello.engine.count_instructions()
    hello.debugger.breakpoints.add(at)
    assert hello.debugger.go(timeout=20, hear=hear) == Stop(StopKind.BREAKPOINT, 0, at)
    assert seen[2] == (at, hello.engine.instructions)
    assert len({count for _, count in seen}) == 3


def test_going_on_from_a_breakpoint_is_not_stopped_by_it(hello):
    """Nor from one that a step has come to; but each later arrival is a stop."""
    main = hello.symbols.address("main")
    debugger = hello.debugger
    debugger.breakpoints.add(main)
    assert debugger.go(timeout=20) == Stop(StopKind.BREAKPOINT, 0, main)
    second = debugger.step()
    assert second == Stop(StopKind.STEP, 0, main + 4)
    debugger.breakpoints.add(main + 8)
    debugger.step()
    assert debugger.go(timeout=20).reason == "the guest powered off"


def test_a_watchpoint_stops_before_the_access(hello):
    """And once for each access: PC is on it, and memory is still what it was."""
    debugger, sp = hello.debugger, []
    main = hello.symbols.address("main")
    stop = debugger.breakpoints.add(main)
    debugger.go(timeout=20)
    debugger.breakpoints.remove(stop)
    sp = hello.vcpu.registers["sp"]
    debugger.watchpoints.add(sp - 64, 64)
    first = debugger.go(timeout=20)
    assert (first.kind, first.is_write, sp - 64 <= first.address < sp) == (StopKind.WATCHPOINT, True, True)
    hello.write(first.address, b"\xaa" * 8)
    debugger.step()
    assert hello.vcpu.state.pc == first.pc + 4
    assert hello.read(first.address, 8) != b"\xaa" * 8
    second = debugger.go(timeout=20)
    assert second.pc != first.pc


def test_a_pause_comes_from_any_thread():
    """The guest stands soon, also where it waits."""
    with Machine("guests/bin/echo.elf") as machine:
        timer = threading.Timer(0.3, machine.debugger.pause)
        timer.start()
        stop = machine.debugger.go(timeout=20)
        timer.join()
        assert stop.kind is StopKind.PAUSED


def test_time_stands_with_the_guest():
    """By the host's clock: it can't tell that it has been stopped for long."""
    with Machine("guests/bin/echo.elf") as machine:
        counts = []

        def wait(machine):
            counts.append(machine.current_cpu.time.count())
            threading.Event().wait(0.5)

        machine.debugger.attach(Looking(machine, wait), at_start=True)
        machine.run(timeout=0.2)
        counts.append(machine.current_cpu.time.count())
        assert (counts[1] - counts[0]) / 62_500_000 < 0.45


def test_limits_and_time_outs_are_those_of_what_has_run():
    """A stop uses up nothing of them."""
    with Machine(HELLO, clock="instructions") as machine:
        client = Looking(machine, *[lambda machine: machine.debugger.step()] * 3)
        for name in ("main", "fdt_cells", "fdt_property", "print"):
            machine.debugger.breakpoints.add(machine.symbols.address(name))
        machine.debugger.attach(client, at_start=True)
        outcome = machine.run(max_instructions=15_000)
        assert (outcome.reason, machine.instructions) == ("instruction limit: 15000 executed", 15_000)
        assert len(client.stops) > 3


def test_stops_change_nothing_of_a_run_that_repeats():
    """Breakpoints on what a guest with timers and two CPUs does most, and steps from there: the same end."""

    def run(*, stops):
        with Machine("guests/bin/preempt.elf", clock="instructions", cpus=2) as machine:
            client = Looking(machine, *[lambda machine: [machine.debugger.step() for _ in range(3)]] * 200)
            if stops:
                for name in ("exception", "pass", "print", "save_frame"):
                    machine.debugger.breakpoints.add(machine.symbols.address(name) + 4)
                machine.debugger.attach(client, at_start=True)
            outcome = machine.run(timeout=60)
            return outcome.reason, machine.instructions, bytes(machine.console.output), len(client.stops) > 50

    one, other = run(stops=False), run(stops=True)
    assert one[:3] == other[:3]
    assert other[3]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda d: d.breakpoints.add(2), "is no address of an instruction"),
        (lambda d: d.breakpoints.add("main"), "is a number"),
        (lambda d: d.breakpoints.add(4, 5), "is a function"),
        (lambda d: d.watchpoints.add(4, 0), "1 byte or more"),
        (lambda d: d.watchpoints.add((1 << 64) - 4, 8), "below 2^64"),
        (lambda d: d.watchpoints.add(4, 4, write=False), "needs read or write"),
    ],
)
def test_what_there_can_t_be_is_refused(hello, wrong, words):
    """In one line, with nothing changed."""
    with pytest.raises(UsageError) as refused:
        wrong(hello.debugger)
    assert words in str(refused.value)
    assert not hello.debugger.breakpoints.all
    assert not hello.debugger.watchpoints.all


def test_a_quit_at_a_stop_is_not_lost(hello):
    """Who asks for it in a condition gets it, and the client's stop comes first."""
    client = Looking(hello)
    hello.debugger.breakpoints.add(hello.symbols.address("main"), lambda _vcpu: hello.quit("enough") or True)
    hello.debugger.attach(client)
    assert hello.run(timeout=20).reason == "enough"
    assert [stop.kind for stop in client.stops] == [StopKind.BREAKPOINT]


def test_the_first_client_may_come_while_the_guest_runs():
    """From another thread: it is asked at once, and the run goes on after."""
    with Machine("guests/bin/echo.elf") as machine:
        client, debugger = Looking(machine, lambda machine: machine.quit("seen")), machine.debugger

        def come():
            debugger.attach(client)
            debugger.pause()

        timer = threading.Timer(0.3, come)
        timer.start()
        assert machine.run(timeout=20).reason == "seen"
        timer.join()
        assert len(client.stops) == 1
