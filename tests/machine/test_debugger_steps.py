"""Steps of the debugger: what they do with time, interrupts, watchpoints and the guest's end."""

from __future__ import annotations

import time

import pytest
import raw_guest as raw
from raw_guest import image

from armvcpu import Machine
from armvcpu.machine.debugging.stop import Stop, StopKind
from armvcpu.machine.outcome import Ending, Outcome

ECHO, HELLO, SMP, TIMER = (f"guests/bin/{name}.elf" for name in ("echo", "hello", "smp", "timer"))


class Stepping:
    """A client that calls a function at its first stop, once."""

    def __init__(self, act):
        self._act = act
        self.ends = []

    def stopped(self, _stop):
        act, self._act = self._act, lambda: None
        act()

    def ended(self, outcome):
        self.ends.append(outcome)
        return False


def test_time_stands_between_steps_and_never_goes_back(tmp_path):
    """By the host's clock, of a guest that reads CNTVCT_EL0: MRS x0, CNTVCT_EL0 before and after half a second."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(0xD53B_E040, 0xD53B_E041, 0xD53B_E042, 0x1400_0000))
    with Machine(path) as machine:

        def act():
            while machine.vcpu.fetch_word() != 0xD53B_E040:
                machine.debugger.step()
            machine.debugger.step()
            time.sleep(0.5)
            machine.debugger.step()
            time.sleep(0.5)

        client = Stepping(act)
        machine.debugger.attach(client, at_start=True)
        machine.run(timeout=0.2)
        first, second, third = (machine.vcpu.gpr(n) for n in range(3))
        assert first <= second <= third
        assert (third - first) * 16 < 400_000_000


def test_a_step_takes_no_interrupt_by_the_hosts_clock():
    """As on QEMU: the timer is due, and a step stays in the function; the run takes it then."""
    with Machine(TIMER) as machine:
        machine.run(timeout=0.05)
        before = machine.vcpu.registers["VBAR_EL1"]
        places = []

        def act():
            for _ in range(300):
                machine.debugger.step()
                places.append(machine.vcpu.state.pc)
                if len(places) % 100 == 0:
                    time.sleep(0.05)

        machine.debugger.attach(Stepping(act), at_start=True)
        machine.run(timeout=20)
        assert not [pc for pc in places if before <= pc < before + 0x800 and before]


def test_a_step_takes_no_interrupt_that_it_brings_about(tmp_path):
    """The instruction makes a timer due: the step is behind it, and the run takes the interrupt."""
    frame = 0x080A_0000 + 0x1_0000  # GICR_*: the SGI frame of CPU 0
    code = raw.set_vectors()
    for address, value, width in (
        (0x0800_0000, 0x13, 4), (frame + 0x80, 1 << 27, 4), (frame + 0x41B, 0x80, 1), (frame + 0x100, 1 << 27, 4)
    ):  # fmt: skip
        code += [*raw.mov(1, address), *raw.mov(2, value), raw.store(2, 1, width)]
    for name, value in (("ICC_PMR_EL1", 0xFF), ("ICC_IGRPEN1_EL1", 1), ("CNTV_CVAL_EL0", 0)):
        code += [*raw.mov(2, value), raw.msr(name, 2)]
    code += [*raw.mov(2, 1), 0xD503_42FF, raw.msr("CNTV_CTL_EL0", 2), raw.NOP, raw.FOREVER]  # MSR DAIFClr, #2
    path = tmp_path / "guest.bin"
    path.write_bytes(raw.image(*code, vector=[*[raw.FOREVER] * 0x80]))
    at = raw.BASE + 4 * (len(raw.flat(*code)) - 3)
    with Machine(path) as machine:
        debugger = machine.debugger
        debugger.breakpoints.add(at)
        debugger.go(timeout=10)
        assert debugger.step().pc == at + 4
        assert debugger.step().pc == at + 8
        machine.run(timeout=0.1)
        assert machine.vcpu.state.pc == raw.BASE + 0x800 + 0x280


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_step_is_made_whatever_has_asked_for_a_stop(tmp_path, clock):
    """A pause from another thread is for when the guest goes on, also at the beginning of a block."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(*[raw.NOP, 0x1400_0001] * 20, raw.FOREVER))
    with Machine(path, clock=clock) as machine:
        debugger, pc = machine.debugger, machine.vcpu.state.pc
        for executed in range(1, 31):
            debugger.pause()
            assert debugger.step() == Stop(StopKind.STEP, 0, pc + 4 * executed)
        assert debugger.go(timeout=10) == Stop(StopKind.PAUSED, 0, pc + 4 * executed)
        assert debugger.go(timeout=0.05).ending is Ending.LIMIT


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_watchpoint_stops_a_step_before_the_access(clock):
    """And the next step makes it."""
    with Machine(HELLO, clock=clock) as machine:
        debugger, main = machine.debugger, machine.symbols.address("main")
        debugger.breakpoints.add(main)
        assert debugger.go(20).kind is StopKind.BREAKPOINT
        stack = machine.vcpu.registers["SP"]
        debugger.watchpoints.add(stack - 64, 64)
        assert debugger.step() == Stop(StopKind.STEP, 0, main + 4)  # SUB SP, SP, #64
        assert debugger.step() == Stop(StopKind.WATCHPOINT, 0, main + 4, stack - 48, True)  # STP X29, X30, [SP, #16]
        assert machine.read(stack - 48, 16) == bytes(16)
        assert debugger.step() == Stop(StopKind.STEP, 0, main + 8)
        assert machine.read(stack - 40, 8) != bytes(8)


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_step_that_ends_the_guest_ends_the_run(clock):
    """A client's step over SYSTEM_OFF: the run has its outcome, and the client is told once."""
    with Machine(HELLO, clock=clock) as machine:
        seen = []

        def act():
            while isinstance(made := machine.debugger.step(), Stop):
                pass
            seen.append(made)

        machine.debugger.breakpoints.add(machine.symbols.address("power_off"))
        client = Stepping(lambda: None)
        machine.debugger.attach(client)
        client._act = act
        outcome = machine.run(timeout=20)
        assert (outcome.reason, client.ends) == ("the guest powered off", seen)


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("is_paused", [False, True], ids=["alone", "and somebody asks for a stop"])
def test_a_step_that_ends_the_guest_before_it_runs_ends_the_run(tmp_path, clock, is_paused):
    """A client that has made its steps at the very beginning."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(raw.mov(1, 7), raw.psci(raw.SYSTEM_OFF), raw.FOREVER))
    with Machine(path, clock=clock) as machine:

        def act():
            while isinstance(machine.debugger.step(), Stop):
                pass
            if is_paused:
                machine.debugger.pause()

        client = Stepping(act)
        machine.debugger.attach(client, at_start=True)
        outcome = machine.run(timeout=5)
        assert (outcome.reason, client.ends) == ("the guest powered off", [outcome])


def test_a_step_that_ends_a_guest_that_was_taken_back_ends_the_run(tmp_path):
    """A client that goes back from the end, and there by steps once more, is told of it again."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(raw.mov(1, 7), raw.psci(raw.SYSTEM_OFF), raw.FOREVER))
    ends = []

    class Returning(Stepping):
        def ended(self, outcome):
            ends.append(outcome.reason)
            if len(ends) == 1:
                machine.history.go_to(1)
                while isinstance(machine.debugger.step(), Stop):
                    pass
            return len(ends) == 1

    with Machine(path, clock="instructions") as machine:
        machine.keep_history()
        machine.debugger.attach(Returning(lambda: None))
        assert machine.run(timeout=5).reason == "the guest powered off"
        assert ends == ["the guest powered off"] * 2


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_step_that_crashes_the_guest_is_an_outcome(tmp_path, clock):
    """Not an exception: BR X30, to nothing, with no vectors."""
    path = tmp_path / "guest.bin"
    path.write_bytes(image(0xD280_001E, 0xD503_201F, 0x0000_0000))
    with Machine(path, clock=clock) as machine:
        for _ in range(1000):
            made = machine.debugger.step()
            if isinstance(made, Outcome):
                break
        assert isinstance(made, Outcome)
        assert made.ending is Ending.CRASHED


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_one_cpu_runs_alone(clock):
    """By the host's clock no other runs until the next stop; where runs repeat, none of the others stops."""
    with Machine(SMP, cpus=2, clock=clock) as machine:
        debugger, address = machine.debugger, machine.symbols.address("add_exclusive")
        debugger.breakpoints.add(address)
        while len({machine.vcpu.vcpu_id, *(stop.cpu for stop in [debugger.go(20)])}) == 1:
            pass
        debugger.only = first = machine.vcpu.vcpu_id
        other = machine.cpus[1 - first].vcpu
        for _ in range(20):
            before = other.registers["PC"]
            assert debugger.go(20).cpu == first
            assert clock == "instructions" or other.registers["PC"] == before
