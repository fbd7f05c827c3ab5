"""The GICv2m MSI frame. DEN 0029, appendix "GICv2m architecture"."""

from __future__ import annotations

import pytest
from gic_guest import V2

from armvcpu.devices.gic.gicv2m import Gicv2m

SETSPI = 0x40


def test_what_the_frame_says() -> None:
    """MSI_TYPER: first INTID and number of SPIs, as on the `virt` board; no implementer in MSI_IIDR."""
    frame = Gicv2m(48, [lambda _level: None] * 64)
    assert (frame.read(0x8, 4), frame.read(0xFCC, 4), frame.read(SETSPI, 4)) == (80 << 16 | 64, 0, 0)


def test_a_message_is_an_edge() -> None:
    """The written INTID's SPI is pending after it, once configured as edge-triggered."""
    guest = V2()
    guest.configure(81, edge=True)
    guest.gic.msi_frame.write(SETSPI, 4, 81)
    assert (guest.irq[0], guest.get(0xC)) == (True, 81)


@pytest.mark.parametrize("value", [0, 79, 144, 1023, 81 + 1024 * 5])
def test_messages_for_other_interrupts_are_ignored(value: int) -> None:
    """Bits 9 to 0 must name one of the frame's own."""
    pulses: list[bool] = []
    Gicv2m(48, [pulses.append] * 64).write(SETSPI, 4, value)
    assert pulses == ([True, False] if value & 0x3FF == 81 else [])
