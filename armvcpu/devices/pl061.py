"""PrimeCell General Purpose Input/Output (PL061): Arm DDI 0190, with the power-off key of the `virt` board.

Its outputs are for whoever watches them; inputs that nobody drives are low. Alternate functions (GPIOAFSEL) are not
there.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Device, DtNode, Ref, Register, Wires, reg_cells
from armvcpu.devices.dtnode import DtValue, spi_cells

if TYPE_CHECKING:
    from collections.abc import Callable

LINES = 8
POWER_KEY = 3
"""The line of the power-off key."""
KEY_POWER = 116
"""Linux's input event code (linux/input-event-codes.h)."""


class Pl061(Device):
    """A PL061 that drives GPIOINTR on its interrupt line.

    GPIODATA has 256 addresses: the address bits [9:2] say which lines the access means (3.3.1).
    """

    GPIODATA = Register(0x000, count=256, mask=0xFF)
    GPIODIR = Register(0x400, mask=0xFF)
    GPIOIS = Register(0x404, mask=0xFF)
    GPIOIBE = Register(0x408, mask=0xFF)
    GPIOIEV = Register(0x40C, mask=0xFF)
    GPIOIE = Register(0x410, mask=0xFF)
    GPIORIS = Register(0x414, ro=True)
    GPIOMIS = Register(0x418, ro=True)
    GPIOIC = Register(0x41C, wo=True, mask=0xFF)
    GPIOAFSEL = Register(0x420, mask=0xFF)
    GPIOPeriphID0 = Register(0xFE0, ro=True, reset=0x61)
    GPIOPeriphID1 = Register(0xFE4, ro=True, reset=0x10)
    GPIOPeriphID2 = Register(0xFE8, ro=True, reset=0x04)
    GPIOPeriphID3 = Register(0xFEC, ro=True, reset=0x00)
    GPIOPCellID0 = Register(0xFF0, ro=True, reset=0x0D)
    GPIOPCellID1 = Register(0xFF4, ro=True, reset=0xF0)
    GPIOPCellID2 = Register(0xFF8, ro=True, reset=0x05)
    GPIOPCellID3 = Register(0xFFC, ro=True, reset=0xB1)

    def __init__(self, wires: Wires | None = None) -> None:
        self._level = False
        self._inputs = self._driven = 0
        self._on_driven: Callable[[int], object] = _nobody
        super().__init__(wires)

    def watch(self, on_driven: Callable[[int], object]) -> None:
        """Have `on_driven` called with the lines that the device drives high, 8 bits, whenever they change."""
        self._on_driven = on_driven

    def connect(self, wires: Wires) -> None:
        """An interrupt line."""
        self.irq = wires.irq

    def reset(self) -> None:
        """Return to the state after power-on reset; keys are released."""
        super().reset()
        self._outputs = self._inputs = self._edges = 0
        self._drive_irq()
        self._drive_outputs()

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The node of binding `arm,pl061`, labelled `gpio`."""
        return DtNode(
            f"pl061@{base:x}",
            {
                "compatible": ["arm,pl061", "arm,primecell"],
                "reg": reg_cells((base, self.size)),
                "interrupts": spi_cells(interrupts),
                "clocks": (Ref("apb-pclk"),),
                "clock-names": "apb_pclk",
                "#gpio-cells": (2,),
                "gpio-controller": None,
            },
            label="gpio",
        )

    def keys_node(self) -> DtNode:
        """The node of binding `gpio-keys`, a sibling of this device's own, with the power-off key."""
        key: dict[str, DtValue] = {
            "gpios": (Ref("gpio"), POWER_KEY, 0),
            "linux,code": (KEY_POWER,),
            "label": "GPIO Key Poweroff",
        }
        return DtNode("gpio-keys", {"compatible": "gpio-keys"}, (DtNode("poweroff", key),))

    # --- lines

    def press(self, line: int = POWER_KEY) -> None:
        """Hold a line high: a key goes down. Drivers debounce, so `release` it some 100 ms later, not at once."""
        self._drive_inputs(self._inputs | 1 << line)

    def release(self, line: int = POWER_KEY) -> None:
        """Let a line go low again."""
        self._drive_inputs(self._inputs & ~(1 << line))

    def _drive_inputs(self, levels: int) -> None:
        """The inputs take new levels, whose edges are what GPIOIBE and GPIOIEV choose (2.3.4)."""
        changed = (levels ^ self._inputs) & ~self.GPIODIR
        wanted = self.GPIOIBE | ~(levels ^ self.GPIOIEV)
        self._inputs = levels
        self._edges |= changed & wanted & ~self.GPIOIS & 0xFF
        self._drive_irq()

    @property
    def _lines(self) -> int:
        return self._outputs & self.GPIODIR | self._inputs & ~self.GPIODIR

    def read_GPIODATA(self, selected: int) -> int:
        """The selected lines: outputs as they were set, inputs as they are."""
        return self._lines & selected

    def write_GPIODATA(self, value: int, selected: int) -> None:
        """Set the selected outputs; what is set for an input shows when it becomes an output."""
        self._outputs = self._outputs & ~selected | value & selected
        self._drive_outputs()

    def _drive_outputs(self) -> None:
        driven = self._outputs & self.GPIODIR
        if driven != self._driven:
            self._driven = driven
            self._on_driven(driven)

    def write_GPIODIR(self, value: int) -> None:
        """Choose which lines are outputs."""
        self.GPIODIR = value
        self._drive_irq()
        self._drive_outputs()

    # --- interrupts

    def write_GPIOIS(self, value: int) -> None:
        """Choose which lines are sensed by level; an edge seen before on one counts no more."""
        self.GPIOIS = value
        self._edges &= ~value
        self._drive_irq()

    def write_GPIOIEV(self, value: int) -> None:
        """Choose the rising edge or the high level."""
        self.GPIOIEV = value
        self._drive_irq()

    def write_GPIOIE(self, value: int) -> None:
        """Choose the lines that reach GPIOINTR."""
        self.GPIOIE = value
        self._drive_irq()

    def write_GPIOIC(self, value: int) -> None:
        """Forget edges; a level stays as long as it is there (3.3.9)."""
        self._edges &= ~value
        self._drive_irq()

    def read_GPIORIS(self) -> int:
        """The lines with an edge seen or with the level chosen."""
        return self._edges | ~(self._inputs ^ self.GPIOIEV) & self.GPIOIS & ~self.GPIODIR & 0xFF

    def read_GPIOMIS(self) -> int:
        """Those that reach GPIOINTR."""
        return self.read_GPIORIS() & self.GPIOIE

    def _drive_irq(self) -> None:
        level = self.read_GPIOMIS() != 0
        if level != self._level:
            self._level = level
            self.irq(level)

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """The registers, the lines and the edges seen."""
        return {**super().state(), "outputs": self._outputs, "inputs": self._inputs, "edges": self._edges}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        super().load_state(state)
        self._outputs, self._inputs, self._edges = state["outputs"], state["inputs"], state["edges"]
        self._drive_irq()
        self._driven = self._outputs & self.GPIODIR  # whoever watches has a state of its own


def _nobody(_levels: int) -> None:
    """The outputs lead nowhere."""
