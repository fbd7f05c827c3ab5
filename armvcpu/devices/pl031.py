"""PrimeCell Real Time Clock (PL031): Arm DDI 0224.

The counter is never stored: it is the host's clock plus an offset, so that an idle guest costs nothing. It runs from
reset on and shows the host's time then; on a real board a battery keeps it and firmware has started it, and software
for the `virt` board relies on QEMU, which never stops it either.
"""

from __future__ import annotations

from math import ceil

from armvcpu.arch.static import Any
from armvcpu.devices.device import Device, DtNode, Ref, Register, Wires, reg_cells
from armvcpu.devices.dtnode import spi_cells

WRAP = 1 << 32
"""The counter has 32 bits and counts seconds."""


class Pl031(Device):
    """A PL031 that counts the seconds of its clock's Unix time and drives RTCINTR on its interrupt line."""

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

    def __init__(self, wires: Wires | None = None) -> None:
        self._level = False
        super().__init__(wires)

    def connect(self, wires: Wires) -> None:
        """An interrupt line, the clock, and a deadline: the alarm's."""
        self.irq, self.clock = wires.irq, wires.clock
        self._deadline = wires.schedule.add(self._expire)

    def reset(self) -> None:
        """Return to the state after power-on reset."""
        super().reset()
        self._offset = 0
        self._alarm = self._next_match(just_passed=True)
        self._drive_irq()
        self._set_deadline()

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
        return (int(self.clock.unix()) + self._offset) % WRAP

    def write_RTCLR(self, value: int) -> None:
        """Load the counter."""
        self._look()
        self.RTCLR = value
        self._offset = value - int(self.clock.unix())
        self._set_alarm()

    # --- the alarm

    def write_RTCMR(self, value: int) -> None:
        """Set the second at which RTCINTR is raised."""
        self._look()
        self.RTCMR = value
        self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm = self._next_match()
        self._look()
        self._set_deadline()

    def _next_match(self, *, just_passed: bool = False) -> int:
        """The second of Unix time at which the counter is RTCMR: now, unless that has been dealt with, or later."""
        ahead = (self.RTCMR - self.read_RTCDR()) % WRAP
        if just_passed and not ahead:
            ahead = WRAP
        return int(self.clock.unix()) + ahead

    def _set_deadline(self) -> None:
        """Have `_expire` called when the alarm's second begins; a masked one is seen when somebody looks."""
        if self.RTCIMSC and not self.RTCRIS:
            ahead = ceil((self._alarm - self.clock.unix()) * 1e9)
            self._deadline.set(self.clock.ns() + ahead)
        else:
            self._deadline.clear()

    def _expire(self) -> None:
        """The moment has come, but not the second where somebody has set the wall clock back, or by rounding."""
        self._look()
        self._set_deadline()

    def _look(self) -> None:
        """Raise the interrupt if the counter has reached RTCMR."""
        if self.clock.unix() >= self._alarm:
            self.RTCRIS = 1
            self._alarm = self._next_match(just_passed=True)
            self._drive_irq()

    # --- interrupt

    def write_RTCIMSC(self, value: int) -> None:
        """Choose whether the alarm reaches RTCINTR."""
        self._look()
        self.RTCIMSC = value
        self._drive_irq()
        self._set_deadline()

    def read_RTCRIS(self) -> int:
        """Has the alarm been reached?"""
        self._look()
        return self.RTCRIS

    def read_RTCMIS(self) -> int:
        """The same, if it is not masked."""
        return self.read_RTCRIS() & self.RTCIMSC

    def write_RTCICR(self, value: int) -> None:
        """Clear the interrupt: by bit 0 in this manual, by any value in that of a chip (DDI 0287B). All but zero do."""
        self._look()
        if value:
            self.RTCRIS = 0
        self._drive_irq()
        self._set_deadline()

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
        self._look()
        self._set_deadline()
