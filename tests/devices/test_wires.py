"""A device and its wires: what `Wires` says a user's device looks like, by a down counter with an interrupt."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest

from armvcpu.devices import wires as wires_module
from armvcpu.devices.deadline import NEVER, Schedule
from armvcpu.devices.device import Device, Register, Wires
from armvcpu.devices.dma import BadAddress, DmaMemory
from armvcpu.devices.stream import Stream
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT, STORE, TOTAL = 0x0, 0x8, 0x10


class Countdown(Device):
    """COUNT interrupts after so many microseconds, until it is written again; STORE writes what has expired to memory.

    TOTAL counts how often it has expired.
    """

    COUNT = Register(0x0)
    STORE = Register(0x8, width=8, wo=True)
    TOTAL = Register(0x10, ro=True)

    def connect(self, wires: Wires) -> None:
        self.irq, self.clock, self.memory = wires.irq, wires.clock, wires.memory
        self.deadline = wires.schedule.add(self.expire)

    def reset(self) -> None:
        super().reset()
        self.deadline.clear()
        self.irq(False)

    def read_COUNT(self) -> int:
        return 0 if self.deadline.moment == NEVER else (self.deadline.moment - self.clock.ns()) // 1000

    def write_COUNT(self, value: int) -> None:
        self.irq(False)
        self.deadline.set(self.clock.ns() + value * 1000 if value else NEVER)

    def write_STORE(self, address: int) -> None:
        self.memory.view(address, 4, is_written=True)[:] = self.TOTAL.to_bytes(4, "little")

    def expire(self) -> None:
        self.TOTAL += 1
        self.irq(True)

    def state(self) -> dict[str, Any]:
        left = None if self.deadline.moment == NEVER else self.deadline.moment - self.clock.ns()
        return {**super().state(), "left": left}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.deadline.set(NEVER if state["left"] is None else self.clock.ns() + state["left"])


class Machine:
    """As little of one as a device needs: time, a line, memory."""

    def __init__(self) -> None:
        self.now = 1000
        self.levels: list[bool] = []
        self.bytes = bytearray(16)
        self.schedule = Schedule()

    @property
    def wires(self) -> Wires:
        return Wires(self.levels.append, schedule=self.schedule, clock=self, memory=self)

    def ns(self) -> int:
        return self.now

    def unix(self) -> float:
        return 0.0

    def view(self, address: int, size: int, *, is_written: bool = False) -> memoryview:
        del is_written
        if not 0 <= address <= len(self.bytes) - size:
            raise BadAddress(address, size)
        return memoryview(self.bytes)[address : address + size]

    def sleep(self) -> None:
        """Until the next deadline, as a machine without work does."""
        self.now = self.schedule.next()
        self.schedule.run_due(self.now)


@pytest.mark.parametrize("late", [False, True], ids=["made with wires", "connected later"])
def test_a_device_with_an_interrupt_a_deadline_and_memory(late: bool) -> None:
    """Both ways it works alike, and whoever runs the machine has not heard of it."""
    machine = Machine()
    if late:
        device = Countdown()
        device.connect(machine.wires)
    else:
        device = Countdown(machine.wires)
    machine.levels.clear()
    device.write(COUNT, 4, 50)
    machine.now += 20_000
    assert (device.read(COUNT, 4), machine.schedule.next()) == (30, 51_000)
    machine.sleep()
    assert (machine.levels, device.read(COUNT, 4), machine.schedule.next()) == ([False, True], 0, NEVER)
    device.write(STORE, 8, 4)
    assert machine.bytes.hex() == "00000000" + "01000000" + "00" * 8


EXAMPLE = dedent((wires_module.__doc__ or "").split("\n\n", 1)[1].rsplit("\n\n", 1)[0])


@pytest.fixture
def example() -> type[Device]:
    """The device of the documentation."""
    names: dict[str, Any] = {"Device": Device, "NEVER": NEVER, "Register": Register, "Wires": Wires}
    exec("from __future__ import annotations\n" + EXAMPLE, names)
    found: type[Device] = names["Countdown"]
    return found


def test_the_example_in_the_documentation_works(example: type[Device]) -> None:
    """It interrupts when its time is up, and a reset leaves nothing to come."""
    machine = Machine()
    device = example()
    device.connect(machine.wires)
    device.write(COUNT, 4, 50)
    machine.sleep()
    assert (machine.now, machine.levels) == (51_000, [False, True])
    device.write(COUNT, 4, 50)
    device.reset()
    assert (machine.schedule.next(), machine.levels[-1]) == (NEVER, False)


def test_the_example_returns_to_what_a_snapshot_has(example: type[Device]) -> None:
    """To before COUNT was written, and with what was left of it, in another machine too."""
    machine, other = Machine(), Machine()
    device, restored = example(machine.wires), example(other.wires)
    before = device.state()
    device.write(COUNT, 4, 50)
    machine.now += 20_000
    after = device.state()
    device.load_state(before)
    assert machine.schedule.next() == NEVER
    other.now = 7_000_000
    restored.load_state(after)
    assert (restored.read(COUNT, 4), other.schedule.next()) == (50, 7_030_000)


def test_the_example_is_the_one_of_how_to_add_a_device() -> None:
    """In docs/architecture.md, to the letter."""
    text = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    assert f"\n\n\n{EXAMPLE}\n\n\nwith Machine(" in text


def test_a_deadline_outlasts_a_snapshot() -> None:
    """What is left of it goes on in another machine, whose time is another."""
    machine, other = Machine(), Machine()
    device, restored = Countdown(machine.wires), Countdown(other.wires)
    device.write(COUNT, 4, 50)
    other.now = 7_000_000
    restored.load_state(device.state())
    assert (restored.read(COUNT, 4), other.schedule.next()) == (50, 7_050_000)
    other.sleep()
    assert other.levels[-1] is True


def test_a_device_without_a_machine_works_alone() -> None:
    """Its line leads nowhere, time stands still and no address is RAM."""
    device = Countdown()
    device.write(COUNT, 4, 50)
    assert device.read(COUNT, 4) == 50
    memory: DmaMemory = Wires().memory
    with pytest.raises(BadAddress, match="4 bytes at 0x0 are not all RAM"):
        memory.view(0, 4)


def test_devices_without_a_machine_share_nothing() -> None:
    """The deadline of one is none of the other's."""
    device, other = Countdown(), Countdown()
    device.write(COUNT, 4, 50)
    assert other.deadline.moment == NEVER
    assert Wires().schedule is not Wires().schedule


def test_a_stream_has_one_watcher() -> None:
    """Nobody at first; a later one replaces the first. `write` is `put`, character by character."""
    sent, asked = list[int](), list[str]()
    stream = Stream(sent.append)
    stream.ready()
    stream.watch(lambda: asked.append("first"))
    stream.watch(lambda: asked.append("second"))
    stream.ready()
    stream.write(b"ab")
    assert (asked, sent) == (["second"], [97, 98])


@pytest.mark.parametrize(
    "connect",
    [Wires, Stream, lambda what: Stream(print).watch(what), Schedule().add, Schedule().watch],
    ids=["line", "stream", "room", "deadline", "schedule"],
)
def test_what_cannot_be_called_is_no_connection(connect: Callable[[Any], object]) -> None:
    """It is said at once, and not when the guest gets there."""
    with pytest.raises(UsageError, match=r"is a function, not 'x'$"):
        connect("x")


def test_a_device_is_connected_by_wires() -> None:
    """And not by one of them."""
    with pytest.raises(UsageError, match="what connects a device is of the class Wires"):
        Countdown(print)  # type: ignore[arg-type]
