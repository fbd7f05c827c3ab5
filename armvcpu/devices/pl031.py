"""PrimeCell Real Time Clock (PL031): Arm DDI 0224.

The counter is never stored: it is the host's clock plus an offset, so that an idle guest costs nothing. It runs from
reset on and shows the host's time then; on a real board a battery keeps it and firmware has started it, and software
for the `virt` board relies on QEMU, which never stops it either.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Device, DtNode, Ref, Register, SignalLine, reg_cells, unconnected
from armvcpu.devices.dtnode import spi_cells

if TYPE_CHECKING:
    from collections.abc import Callable

WRAP = 1 << 32
"""The counter has 32 bits and counts seconds."""


class Pl031(Device):
    """A PL031 that counts the seconds of `clock` (Unix time, seconds) and drives RTCINTR on `irq`."""

    RTCDR = Register(0x000, ro=True)
    RTCMR = Register(0x004)
    RTCLR = Register(0x008)
    RTCCR = Register(0x00C, reset=0x1, mask=0x0)  # RTCEN: "once enabled", it stays so (3.3.4)
    RTCIMSC = Register(0x010, mask=0x1)
    RTCRIS = Register(0x014, ro=True)
    RTCMIS = Register(0x018, ro=True)
    RTCICR = Register(0x01C, wo=True)
    RTCPeriphID0 = Register(0xFE0, ro=True, reset=0x31)
    RTCPeriphID1 = Register(0xFE4, ro=True, reset=0x10)
    RTCPeriphID2 = Register(0xFE8, ro=True, reset=0x14)
    RTCPeriphID3 = Register(0xFEC, ro=True, reset=0x00)
    RTCPCellID0 = Register(0xFF0, ro=True, reset=0x0D)
    RTCPCellID1 = Register(0xFF4, ro=True, reset=0xF0)
    RTCPCellID2 = Register(0xFF8, ro=True, reset=0x05)
    RTCPCellID3 = Register(0xFFC, ro=True, reset=0xB1)

    def __init__(self, clock: Callable[[], float], irq: SignalLine = unconnected) -> None:
        self.clock = clock
        self.irq = irq
        self.on_deadline: Callable[[], None] = lambda: None
        """Called when `next_deadline()` may differ from before."""
        self._level = False
        super().__init__()

    def reset(self) -> None:
        """Return to the state after power-on reset."""
        super().reset()
        self._offset = 0
        self._alarm = self._next_match(just_passed=True)
        self._drive_irq()
        self.on_deadline()

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The node of binding `arm,pl031`."""
        return DtNode(
            f"pl031@{base:x}",
            {
                "compatible": ["arm,pl031", "arm,primecell"],
                "reg": reg_cells((base, self.size)),
                "interrupts": spi_cells(interrupts),
                "clocks": (Ref("apb-pclk"),),
                "clock-names": "apb_pclk",
            },
        )

    # --- the counter

    def read_RTCDR(self) -> int:
        """The counter."""
        return (int(self.clock()) + self._offset) % WRAP

    def write_RTCLR(self, value: int) -> None:
        """Load the counter."""
        self.tick()
        self.RTCLR = value
        self._offset = value - int(self.clock())
        self._set_alarm()

    # --- the alarm

    def write_RTCMR(self, value: int) -> None:
        """Set the second at which RTCINTR is raised."""
        self.tick()
        self.RTCMR = value
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm = self._next_match()
        self.tick()
        self.on_deadline()

    def _next_match(self, *, just_passed: bool = False) -> int:
        """The time of `clock` at which the counter is RTCMR: now, unless that has been dealt with, or later."""
        ahead = (self.RTCMR - self.read_RTCDR()) % WRAP
        if just_passed and not ahead:
            ahead = WRAP
        return int(self.clock()) + ahead

    def next_deadline(self) -> float | None:
        """When to call `tick`, in the time of `clock`; None while nothing is to come."""
        return float(self._alarm) if self.RTCIMSC and not self.RTCRIS else None

    def tick(self) -> None:
        """Raise the interrupt if the counter has reached RTCMR."""
        if self.clock() >= self._alarm:
            self.RTCRIS = 1
            self._alarm = self._next_match(just_passed=True)
            self._drive_irq()

    # --- interrupt

    def write_RTCIMSC(self, value: int) -> None:
        """Choose whether the alarm reaches RTCINTR."""
        self.RTCIMSC = value
        self._drive_irq()
        self.on_deadline()

    def read_RTCRIS(self) -> int:
        """Has the alarm been reached?"""
        self.tick()
        return self.RTCRIS

    def read_RTCMIS(self) -> int:
        """The same, if it is not masked."""
        return self.read_RTCRIS() & self.RTCIMSC

    def write_RTCICR(self, value: int) -> None:
        """Clear the interrupt: by bit 0 in this manual, by any value in that of a chip (DDI 0287B). All but zero do."""
        self.tick()
        if value:
            self.RTCRIS = 0
        self._drive_irq()
        self.on_deadline()

    def _drive_irq(self) -> None:
        level = bool(self.RTCRIS & self.RTCIMSC)
        if level != self._level:
            self._level = level
            self.irq(level)

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """The registers and how far the counter is from the host's clock."""
        return {**super().state(), "offset": self._offset, "alarm": self._alarm}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave; an alarm that passed meanwhile is raised."""
        super().load_state(state)
        self._offset, self._alarm = state["offset"], state["alarm"]
        self._drive_irq()
        self.tick()
        self.on_deadline()
