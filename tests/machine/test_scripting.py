"""What a script asks of a machine: a device of its own, calls into the guest, code at an address, who called whom."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.devices.deadline import NEVER
from armvcpu.devices.device import Device, Register
from armvcpu.engine import handle
from armvcpu.errors import GuestCrash, UsageError
from armvcpu.machine.board.devicetree_reader import parse
from armvcpu.machine.outcome import Ending
from armvcpu.machine.snapshots import snapshot_file
from armvcpu.vcpu.observer import Observer

if TYPE_CHECKING:
    from armvcpu.devices.wires import Wires

HELLO, ECHO, CRASH = (f"guests/bin/{name}.elf" for name in ("hello", "echo", "crash"))
BASE, SPI = 0x0B00_0000, 100
WFI = 0xD503_207F


class Countdown(Device):
    """Interrupts so many microseconds after COUNT has been written, until LEFT is read."""

    COUNT = Register(0x0)
    LEFT = Register(0x4, ro=True)

    def connect(self, wires: Wires) -> None:
        self.irq, self.clock = wires.irq, wires.clock
        self.deadline = wires.schedule.add(self.expire)

    def write_COUNT(self, value: int) -> None:
        self.COUNT = value
        self.deadline.set(self.clock.ns() + value * 1000 if value else NEVER)

    def read_LEFT(self) -> int:
        self.irq(False)
        return max(0, self.deadline.moment - self.clock.ns()) // 1000 if self.deadline.moment < NEVER else 0

    def expire(self) -> None:
        self.irq(True)


def gic_on(spi: int) -> list[int]:
    """Instructions that enable an SPI for CPU 0 of a GICv3, and its interface."""
    intid, gicd = 32 + spi, 0x0800_0000
    word, bit = intid // 32 * 4, 1 << intid % 32
    code: list[int] = []
    for address, value, width in (
        (gicd, 0x13, 4), (gicd + 0x80 + word, bit, 4), (gicd + 0x400 + intid, 0x80, 1), (gicd + 0x100 + word, bit, 4),
    ):  # fmt: skip
        code += [*raw.mov(1, address), *raw.mov(2, value), raw.store(2, 1, width)]
    for name, value in (("ICC_PMR_EL1", 0xFF), ("ICC_IGRPEN1_EL1", 1)):
        code += [*raw.mov(2, value), raw.msr(name, 2)]
    return code


@pytest.fixture
def countdown(tmp_path):
    """A guest that counts down 1000 us, waits for the interrupt, acknowledges it into x5, and powers off."""
    code = [
        *gic_on(SPI), *raw.mov(1, BASE), *raw.mov(2, 1000), raw.store(2, 1, 4), WFI,
        raw.mrs(5, "ICC_IAR1_EL1"), *raw.mov(1, BASE + 4), raw.load(6, 1, 4), *raw.psci(0x8400_0008),
    ]  # fmt: skip
    path = tmp_path / "countdown.bin"
    path.write_bytes(raw.image(code))
    return path


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_device_of_a_user_interrupts_at_its_deadline(countdown, clock):
    """Bus, interrupt line and deadline come from one call."""
    with Machine(countdown, clock=clock) as machine:
        machine.add_device(Countdown(), BASE, SPI)
        assert machine.run(timeout=10).ending is Ending.POWERED_OFF
        assert (machine.vcpu.gpr(5), machine.vcpu.gpr(6)) == (32 + SPI, 0)


def test_a_device_of_a_user_is_listed_and_in_the_device_tree():
    """Its node says where it is and which interrupt it has, where it says nothing itself."""
    with Machine(HELLO) as machine:
        machine.add_device(Countdown(), BASE, SPI, name="counter")
        assert machine.name_of(BASE + 4) == "counter.LEFT"
        plan = machine.plan
        blob = next(data for address, data in plan.writes if address == plan.dtb_addr)
        assert machine.read(plan.dtb_addr, 4) == b"\xd0\x0d\xfe\xed"
        (node,) = [each for each in parse("tree", blob).root.children if each.name == f"counter@{BASE:x}"]
        assert bytes(node.props["compatible"]).startswith(b"armvcpu,counter")
        assert machine.run(timeout=10).ok


def test_a_snapshot_has_the_state_of_a_users_device():
    """And is one of a machine with that device."""
    with Machine(ECHO) as machine:
        device = Countdown()
        machine.add_device(device, BASE, SPI)
        device.write(0, 4, 77)
        snapshot = machine.snapshot()
        device.write(0, 4, 5)
        machine.restore(snapshot)
        assert device.COUNT == 77
        with Machine(ECHO) as other, pytest.raises(UsageError, match="its devices are"):
            other.restore(snapshot)


@pytest.mark.parametrize(
    ("base", "spi", "name", "said"),
    [
        (0x0900_0000, None, None, "overlaps"),
        (0x4000_0000, None, None, "overlaps"),
        (BASE + 4, None, None, "multiples of 4096"),
        (BASE, 1, None, "SPI 1 is that of pl011"),
        (BASE, 988, None, "no SPI 988"),
        (BASE, None, "pl011", "a device 'pl011' already"),
    ],
)
def test_a_device_that_cannot_be_there_changes_nothing(base, spi, name, said):
    """One line says why, and the guest finds the board as it was."""
    with Machine(HELLO) as machine:
        slots = list(machine.board.slots)
        with pytest.raises(UsageError, match=said):
            machine.add_device(Countdown(), base, spi, name)
        assert machine.board.slots == slots
        assert machine.run(timeout=10).ok


def test_a_device_comes_before_the_first_run():
    """A guest looks for its devices when it starts."""
    with Machine(ECHO) as machine:
        machine.run(timeout=0.01)
        with pytest.raises(UsageError, match="before the first run"):
            machine.add_device(Countdown(), BASE)


def test_a_function_of_the_guest_is_called():
    """By its symbol; its result is x0, and the guest goes on as if nothing had been."""
    with Machine(ECHO) as machine:
        machine.run(timeout=0.2)
        before = machine.vcpu.registers.save()
        printed = len(machine.console.output)
        machine.write(0x4100_0000, b"called\n\0")
        machine.call("put_string", 0x4100_0000)
        assert machine.console.output[printed:].replace(b"\r", b"") == b"called\n"
        assert machine.vcpu.registers.save() == before
        machine.console.feed(b"quit\r")
        assert machine.run(timeout=10).ok


def test_a_function_that_does_not_return_is_told(tmp_path):
    """In the time that it has; the word that stood for its return is back in its place."""
    path = tmp_path / "loops.bin"
    path.write_bytes(raw.image(raw.FOREVER, raw.FOREVER))
    with Machine(path) as machine:
        with pytest.raises(GuestCrash, match="did not return: time-out"):
            machine.call(raw.BASE + 4, timeout=0.1)
        assert machine.read(raw.BASE, 8) == 2 * raw.FOREVER.to_bytes(4, "little")


@pytest.mark.parametrize("arguments", [(0,) * 9, (1 << 64,), (-(1 << 63) - 1,)])
def test_what_a_call_cannot_pass_is_refused(arguments):
    """More than eight, or more than 64 bits."""
    with Machine(ECHO) as machine:
        machine.run(timeout=0.2)
        with pytest.raises(UsageError, match="argument"):
            machine.call("put_char", *arguments)


def test_code_at_an_address_is_heard_of():
    """As at a symbol."""
    with Machine(HELLO) as machine:
        seen = []
        machine.on_address(machine.symbols.address("main"))(lambda vcpu: seen.append(vcpu.state.pc))
        assert machine.run(timeout=10).ok
        assert seen == [machine.symbols.address("main")]
        with pytest.raises(UsageError, match="no address of an instruction"):
            machine.on_address(2)


def test_a_backtrace_names_who_called():
    """Innermost first."""
    with Machine(ECHO) as machine:
        frames = []
        machine.on_symbol("print")(lambda _vcpu: frames.append(machine.backtrace()))
        machine.run(timeout=0.2)
        symbols = [frame.symbol for frame in frames[0]]
        assert symbols[0] == "print"
        assert any(symbol.startswith("main+") for symbol in symbols)


def test_the_outcome_of_a_crash_has_its_report():
    """And no other outcome has one."""
    with Machine(CRASH) as machine:
        outcome = machine.run(timeout=10)
        assert outcome.ending is Ending.CRASHED
        assert outcome.report.startswith(
            "armvcpu: cpu0 stopped: undefined instruction or unknown reason at 0x0, called"
        )
        assert outcome.reason.startswith("undefined instruction or unknown reason at 0x0, called")
        assert "reason    endless exception loop: the vector at" in outcome.report
    with Machine(HELLO) as machine:
        assert machine.run(timeout=10).report == ""


def test_a_machine_that_is_dropped_is_freed():
    """Without `close`, when Python collects it: engine, memory and all."""
    gc.collect()
    before = len(handle._open)
    machine = Machine(HELLO)
    assert len(handle._open) == before + 1
    machine.run(timeout=10)
    del machine
    gc.collect()
    assert len(handle._open) == before


def test_a_machines_physical_cpu_is_in_its_registry():
    """The vCPU that is loaded is found there by the current CPU, in a trap as everywhere below the machine."""
    with Machine(HELLO) as machine:
        found = []
        machine.on_symbol("main")(lambda vcpu: found.append(machine.percpu.current_vcpu() is vcpu))
        assert machine.run(timeout=10).ok
        assert found == [True]


@pytest.mark.parametrize("exact", [False, True], ids=["direct", "exact"])
@pytest.mark.parametrize("kind", ["on_mmio", "add_device"])
def test_pc_is_on_the_instruction_for_who_serves_it(tmp_path, exact, kind):
    """Whether the access comes from the engine or as an exit; and a PC that it sets is where the guest goes on."""
    code = [*raw.mov(1, BASE), raw.load(2, 1, 4), raw.store(2, 1, 4), raw.load(3, 1, 4), *raw.psci(raw.SYSTEM_OFF)]
    path = tmp_path / "accesses.bin"
    path.write_bytes(raw.image(code))
    with Machine(path, exact_mmio=exact) as machine:
        seen = []

        class Seeing(Device):
            ANY = Register(0x0)

            def read_ANY(self) -> int:
                seen.append(machine.vcpu.state.pc - raw.BASE)
                if len(seen) == 1:
                    machine.vcpu.trap_frame.set_exception_pc(raw.BASE + 24)
                return 7

            def write_ANY(self, value: int) -> None:
                seen.append(value)

        device = Seeing()
        if kind == "on_mmio":
            machine.on_mmio(BASE, 4096, device.read, device.write)
        else:
            machine.add_device(device, BASE)
        assert machine.run(timeout=10).ending is Ending.POWERED_OFF
        assert (seen, machine.vcpu.gpr(3)) == ([16, 24], 7)


def test_an_observer_is_told_which_cpu_accesses_a_device(tmp_path):
    """The second one, here."""
    code = [
        *raw.mov(0, 0xC400_0003), *raw.mov(1, 1), *raw.mov(2, raw.BASE + 72), *raw.mov(3, 0), raw.HVC, raw.WFI,
    ]  # fmt: skip
    second = [*raw.mov(1, raw.UART), *raw.mov(2, ord("2")), raw.store(2, 1, 1), *raw.psci(raw.SYSTEM_OFF)]
    path = tmp_path / "second.bin"
    path.write_bytes(raw.image(code, second))

    class Accesses(Observer):
        def __init__(self):
            self.seen = []

        def mmio(self, vcpu_id, _state, _is_read, _address, _width, value):
            self.seen.append((vcpu_id, value))

    with Machine(path, cpus=2, exact_mmio=True) as machine:
        observer = Accesses()
        machine.observe(observer)
        assert machine.run(timeout=10).ending is Ending.POWERED_OFF
        assert observer.seen == [(1, ord("2"))]


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_steps_serve_what_is_due(countdown, clock):
    """A waiting CPU lets time pass up to it, and the guest goes on."""
    with Machine(countdown, clock=clock) as machine:
        machine.add_device(Countdown(), BASE, SPI)
        for _ in range(500):
            if machine.step() is not None:
                break
        assert (machine.vcpu.gpr(5), machine.vcpu.gpr(6)) == (32 + SPI, 0)


def test_a_function_is_called_on_a_cpu_that_waits(tmp_path):
    """It waits again after, at the same place."""
    path = tmp_path / "waits.bin"
    function = [raw.add(0, 0, 1), 0xD65F_03C0]  # RET
    path.write_bytes(raw.image(raw.WFI, raw.branch(-1), *function))
    with Machine(path) as machine:
        machine.run(timeout=0.1)
        pc = machine.vcpu.state.pc
        assert machine.current_cpu.waiting
        assert machine.call(raw.BASE + 8, 41) == 42
        assert (machine.current_cpu.waiting, machine.vcpu.state.pc) == (True, pc)


def test_an_address_in_flash_is_where_the_guest_sees_it(tmp_path):
    """Not where the engine keeps it."""
    path = tmp_path / "firmware.bin"
    path.write_bytes(raw.image(raw.NOP, raw.FOREVER))
    with Machine(firmware=path) as machine:
        machine.run(max_instructions=2)
        assert (machine.physical(4), machine.physical(0x400_0000)) == (4, 0x400_0000)
        assert machine.read(machine.physical(4), 4) == raw.FOREVER.to_bytes(4, "little")


def test_a_device_has_one_place():
    """On one board, and once."""
    device = Countdown()
    with Machine(HELLO) as first, Machine(HELLO) as second:
        first.add_device(device, BASE)
        for machine in (first, second):
            with pytest.raises(UsageError, match="a device has one place"):
                machine.add_device(device, BASE + 0x1000, name="again")


@pytest.mark.parametrize("name", ["", "a b", "9a", "a@b", "é", "a" * 32, 5])
def test_a_name_that_no_node_can_have_is_refused(name):
    """Of the device tree."""
    with Machine(HELLO) as machine, pytest.raises(UsageError, match="is no device's name"):
        machine.add_device(Countdown(), BASE, name=name)


def test_a_machine_with_a_device_begins_with_a_snapshots_file(tmp_path):
    """`devices` are there before the state is."""
    saved, first = tmp_path / "saved", Countdown()
    with Machine(ECHO, devices=[(first, BASE, SPI)]) as machine:
        first.write(0, 4, 77)
        snapshot_file.save(machine.snapshot(), saved)
    second = Countdown()
    with Machine(ECHO, devices=[(second, BASE, SPI)], snapshot=saved) as machine:
        assert second.COUNT == 77
        with pytest.raises(UsageError, match="before the first run"):
            machine.add_device(Countdown(), BASE + 0x1000, name="late")
