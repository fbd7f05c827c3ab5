"""What a machine connects a device to: an interrupt line, time, memory.

    class Countdown(Device):
        COUNT = Register(0x0)  # microseconds until it interrupts, or 0; a write takes the interrupt back

        def connect(self, wires: Wires) -> None:
            self.irq, self.clock = wires.irq, wires.clock
            self.deadline = wires.schedule.add(lambda: self.irq(True))

        def reset(self) -> None:
            super().reset()
            self.deadline.clear()
            self.irq(False)

        def write_COUNT(self, value: int) -> None:
            self.COUNT = value
            self.irq(False)
            self.deadline.set(self.clock.ns() + value * 1000 if value else NEVER)

        def state(self) -> dict[str, Any]:
            left = None if self.deadline.moment == NEVER else self.deadline.moment - self.clock.ns()
            return {**super().state(), "left": left}

        def load_state(self, state: dict[str, Any]) -> None:
            super().load_state(state)
            self.deadline.set(NEVER if state["left"] is None else self.clock.ns() + state["left"])

A device takes what it needs in `connect` and nothing else. Whether it has an interrupt, a deadline or DMA is said there
and nowhere else, so no machine has to know a device by name. A snapshot keeps no wires: a deadline is part of the
device's `state()`, as what is left of it by `clock.ns()`, and set anew or cleared by `load_state`. The level of the
interrupt line is the interrupt controller's to keep; `reset` takes it back.
"""

from __future__ import annotations

from collections.abc import Callable

from armvcpu.arch.static import TYPE_CHECKING, Protocol
from armvcpu.devices.deadline import Schedule
from armvcpu.devices.dma import NoMemory
from armvcpu.errors import callable_in

if TYPE_CHECKING:
    from armvcpu.devices.dma import DmaMemory

SignalLine = Callable[[bool], None]
"""An interrupt output: called with the new level whenever it changes (True is asserted)."""


def unconnected(_level: bool) -> None:
    """A signal line that leads nowhere."""


class DeviceClock(Protocol):
    """The time of a machine."""

    def ns(self) -> int:
        """Nanoseconds since some moment; never goes back. What deadlines are set in."""

    def unix(self) -> float:
        """Seconds since 1970-01-01, UTC: a wall clock, which may be set anew."""


class StoppedClock:
    """The time of a device without a machine: it stands still at 1970-01-01."""

    def ns(self) -> int:
        """0."""
        return 0

    def unix(self) -> float:
        """0.0."""
        return 0.0


class Wires:
    """The connections of one device, each of which may be left open.

    `irq` is its interrupt line, `schedule` where it adds its deadlines, `clock` the time that they are set in, `memory`
    where its DMA goes. Without them the line leads nowhere, nothing that is due ever comes, time stands still and no
    address is RAM.
    """

    __slots__ = ("clock", "irq", "memory", "schedule")

    def __init__(
        self,
        irq: SignalLine = unconnected,
        *,
        schedule: Schedule | None = None,
        clock: DeviceClock | None = None,
        memory: DmaMemory | None = None,
    ) -> None:
        callable_in("an interrupt line", irq)
        self.irq = irq
        self.schedule = Schedule() if schedule is None else schedule
        self.clock: DeviceClock = StoppedClock() if clock is None else clock
        self.memory: DmaMemory = NoMemory() if memory is None else memory
