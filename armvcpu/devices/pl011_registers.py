"""The bits of the PL011's registers, as Arm DDI 0183 chapter 3 tabulates them; `pl011.py` has the registers.

Only revision 3, r1p5, has FIFOs of 32 characters, the others have 16, and drivers choose the depth by the revision
in UARTPeriphID2 (3.3.15).

Bits are plain ints rather than an IntFlag, whose operators take longer than a whole access may.
"""

from __future__ import annotations

FIFO_DEPTH = 16
RX_TRIGGER = 1
"""Receive trigger level in characters: that of QEMU's board, where UARTIFLS is stored and changes nothing."""


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
