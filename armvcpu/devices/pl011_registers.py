"""PL011 registers and their bits: what Arm DDI 0183 chapter 3 tabulates; `pl011.py` is what they do.

The identity is that of r1p1, as on the `virt` board: UARTPeriphID2 reads 0x14, revision 1. Only revision 3,
r1p5, has FIFOs of 32 characters, the others have 16, and drivers choose the depth by this field (3.3.15).

Bits are plain ints rather than an IntFlag, whose operators take longer than a whole access may.
"""

from __future__ import annotations

from armvcpu.devices.device import Device, Register

FIFO_DEPTH = 16
RX_TRIGGER = tuple(FIFO_DEPTH * eighths // 8 for eighths in (1, 2, 4, 6, 7, 7, 7, 7))
"""Receive trigger level in characters by UARTIFLS.RXIFLSEL (3.3.9); reserved values act as the last one."""


class DR:
    """UARTDR bits above the character (3.3.1); UARTRSR has the same ones from bit 0 on (3.3.2)."""

    OE = 1 << 11


class RSR:
    """UARTRSR, receive status (3.3.2)."""

    OE = 1 << 3


class FR:
    """UARTFR, flags (3.3.3)."""

    CTS = 1 << 0
    DSR = 1 << 1
    DCD = 1 << 2
    RXFE = 1 << 4
    RXFF = 1 << 6
    TXFE = 1 << 7
    RI = 1 << 8


class LCR_H:
    """UARTLCR_H, line control (3.3.7)."""

    FEN = 1 << 4


class CR:
    """UARTCR, control (3.3.8)."""

    LBE = 1 << 7
    DTR = 1 << 10
    RTS = 1 << 11
    Out1 = 1 << 12
    Out2 = 1 << 13


class INT:
    """The interrupt sources: bits of UARTIMSC, UARTRIS, UARTMIS and UARTICR (3.3.10 to 3.3.13)."""

    RI = 1 << 0
    CTS = 1 << 1
    DCD = 1 << 2
    DSR = 1 << 3
    RX = 1 << 4
    TX = 1 << 5
    RT = 1 << 6
    OE = 1 << 10


LOOPED_MODEM_LINES = (
    (CR.RTS, FR.CTS, INT.CTS),
    (CR.DTR, FR.DSR, INT.DSR),
    (CR.Out1, FR.DCD, INT.DCD),
    (CR.Out2, FR.RI, INT.RI),
)
"""Which modem output loop-back feeds to which input, and the interrupt of that input (3.3.8, LBE)."""


class Pl011Registers(Device):
    """The register map (3.2)."""

    UARTDR = Register(0x000)
    UARTRSR = Register(0x004, ro=True)
    UARTECR = Register(0x004, wo=True)
    UARTFR = Register(0x018, ro=True)
    UARTILPR = Register(0x020, mask=0xFF)
    UARTIBRD = Register(0x024, mask=0xFFFF)
    UARTFBRD = Register(0x028, mask=0x3F)
    UARTLCR_H = Register(0x02C, mask=0xFF)
    UARTCR = Register(0x030, reset=0x0300, mask=0xFF87)
    UARTIFLS = Register(0x034, reset=0x12, mask=0x3F)
    UARTIMSC = Register(0x038, mask=0x7FF)
    UARTRIS = Register(0x03C, ro=True)
    UARTMIS = Register(0x040, ro=True)
    UARTICR = Register(0x044, wo=True, mask=0x7FF)
    UARTDMACR = Register(0x048, mask=0x7)
    UARTPeriphID0 = Register(0xFE0, ro=True, reset=0x11)
    UARTPeriphID1 = Register(0xFE4, ro=True, reset=0x10)
    UARTPeriphID2 = Register(0xFE8, ro=True, reset=0x14)
    UARTPeriphID3 = Register(0xFEC, ro=True, reset=0x00)
    UARTPCellID0 = Register(0xFF0, ro=True, reset=0x0D)
    UARTPCellID1 = Register(0xFF4, ro=True, reset=0xF0)
    UARTPCellID2 = Register(0xFF8, ro=True, reset=0x05)
    UARTPCellID3 = Register(0xFFC, ro=True, reset=0xB1)
