"""PrimeCell UART (PL011): Arm DDI 0183. The bits of its registers are in `pl011_registers.py`.

The serial format is not modelled: characters have 8 bits and take no time, whatever LCR_H and the baud-rate
registers say. So the transmit FIFO is always empty. No character has a framing, parity or break error. Nor are IrDA,
DMA requests (no controller listens) and the test registers at 0x080 modelled. The identity is that of r1p1, as on the
`virt` board: UARTPeriphID2 reads 0x14, revision 1.

Where the manual and QEMU's board differ, the board wins, since that is what software for it was written on. Its receive
trigger level is one character, whatever UARTIFLS says and with the FIFO too (the manual: 2 to 14, 2.8.2), and it has no
receive timeout (2.8.4), which is never needed then. Many a small kernel unmasks RXIM alone, and gets every key.
"""
# read_NAME and write_NAME carry the register's name

from __future__ import annotations

from collections import deque

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.device import Device, DtNode, Ref, Register, Wires, reg_cells
from armvcpu.devices.dtnode import spi_cells
from armvcpu.devices.pl011_registers import CR, DR, FIFO_DEPTH, FR, INT, LCR_H, LOOPED_MODEM_LINES, RSR, RX_TRIGGER

if TYPE_CHECKING:
    from armvcpu.devices.stream import Stream


class Pl011(Device):
    """A PL011 whose characters go to `stream` and come from there, and whose UARTINTR is its interrupt line.

    It sends and receives whatever UARTEN, TXE and RXE say: on a real board firmware has set them before most
    software runs, and software for the `virt` board relies on QEMU, which does not look at them.
    """

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

    def __init__(self, stream: Stream, wires: Wires | None = None) -> None:
        self.stream = stream
        self._put = stream.put
        self._received: deque[int] = deque()
        self._overrun = False
        self._level = False
        super().__init__(wires)

    def connect(self, wires: Wires) -> None:
        """An interrupt line."""
        self.irq = wires.irq

    def reset(self) -> None:
        """Return to the state after power-on reset; characters that wait in the FIFO are lost."""
        super().reset()
        self._received.clear()
        self._overrun = False
        self._drive_irq()
        self.stream.ready()

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The node of binding `arm,pl011`; the clock labelled `apb-pclk` feeds both inputs."""
        return DtNode(
            f"pl011@{base:x}",
            {
                "compatible": ["arm,pl011", "arm,primecell"],
                "reg": reg_cells((base, self.size)),
                "interrupts": spi_cells(interrupts),
                "clocks": (Ref("apb-pclk"), Ref("apb-pclk")),
                "clock-names": ["uartclk", "apb_pclk"],
            },
        )

    # --- receiver

    def receive(self, data: bytes) -> int:
        """Take characters from the line; how many fitted, so that the host keeps the rest until `Stream.ready`."""
        if self.UARTCR & CR.LBE:  # RXD is connected to TXD instead
            return 0
        accepted = data[: max(0, self._depth - len(self._received))]
        for character in accepted:
            self._push(character)
        self._drive_irq()
        return len(accepted)

    def take_back(self) -> bytes:
        """Empty the receiver as a driver does that reads all of it: characters that are for another console now."""
        waiting = bytes(entry & 0xFF for entry in self._received)
        self._received.clear()
        self.UARTRIS &= ~INT.RX
        self._drive_irq()
        return waiting

    def can_interrupt(self) -> bool:
        """Could a character that comes now interrupt the guest: is UARTRXINTR enabled?"""
        return self.UARTIMSC & INT.RX != 0

    @property
    def _depth(self) -> int:
        """Characters the receiver holds: the FIFO, or with FIFOs disabled one holding register (3.3.7)."""
        return FIFO_DEPTH if self.UARTLCR_H & LCR_H.FEN else 1

    def _push(self, character: int) -> None:
        """One character arrives: into the FIFO, or lost to an overrun (2.4.3, "Overrun bit")."""
        if len(self._received) >= self._depth:
            self._overrun = True
            self.UARTRSR |= RSR.OE
            self.UARTRIS |= INT.OE
            return
        self._received.append(character | DR.OE if self._overrun else character)
        self._overrun = False
        # Reaching the level sets UARTRXINTR; were it being above it, UARTICR could not clear it (2.8.2).
        if len(self._received) == RX_TRIGGER:
            self.UARTRIS |= INT.RX

    def read_UARTDR(self) -> int:
        """The oldest character and its overrun bit; 0 when there is none, where 3.3.1 promises nothing."""
        if not self._received:
            return 0
        entry = self._received.popleft()
        if len(self._received) < RX_TRIGGER:
            self.UARTRIS &= ~INT.RX
            self._drive_irq()
            self.stream.ready()  # not at every free place: a batch costs the host little more than one character
        return entry

    def write_UARTECR(self, _value: int) -> None:
        """Clear the receive status, whatever is written (3.3.2)."""
        self.UARTRSR = 0

    def read_UARTFR(self) -> int:
        """The flags: the transmitter is empty and never full or busy, the receiver may be either."""
        flags = FR.TXFE
        if not self._received:
            flags |= FR.RXFE
        elif len(self._received) >= self._depth:
            flags |= FR.RXFF
        return flags | self._modem_inputs(self.UARTCR) if self.UARTCR & CR.LBE else flags

    # --- transmitter

    def write_UARTDR(self, value: int) -> None:
        """Send a character.

        It leaves at once, and the FIFO passes its trigger level with it. That transition sets UARTTXINTR,
        which therefore is not pending before the first character (2.8.3).
        """
        self._put(value & 0xFF)
        if self.UARTCR & CR.LBE:
            self._push(value & 0xFF)
        elif self.UARTRIS & INT.TX:  # as for all characters of a polling driver but the first
            return
        self.UARTRIS |= INT.TX
        self._drive_irq()

    # --- control

    def write_UARTLCR_H(self, value: int) -> None:
        """Set the line control; FEN = 0 flushes the transmit FIFO (3.3.8), which is empty anyway.

        Received characters stay, even more than the holding register has room for, so that no typed-ahead
        input is lost when one driver takes over from another.
        """
        self.UARTLCR_H = value
        self.stream.ready()

    def write_UARTCR(self, value: int) -> None:
        """Set the control; with loop-back the modem inputs may change, which is an interrupt (2.8.1)."""
        changed = self._modem_inputs(self.UARTCR) ^ self._modem_inputs(value)
        for _output, flag, interrupt in LOOPED_MODEM_LINES:
            if changed & flag:
                self.UARTRIS |= interrupt
        self.UARTCR = value
        self._drive_irq()
        self.stream.ready()

    @staticmethod
    def _modem_inputs(control: int) -> int:
        """The modem status flags: nothing is connected to the inputs but, in loop-back, the outputs."""
        if not control & CR.LBE:
            return 0
        return sum(flag for output, flag, _interrupt in LOOPED_MODEM_LINES if control & output)

    # --- interrupts

    def write_UARTIMSC(self, value: int) -> None:
        """Choose the interrupts that reach UARTINTR."""
        self.UARTIMSC = value
        self._drive_irq()

    def read_UARTMIS(self) -> int:
        """The pending interrupts that are not masked."""
        return self.UARTRIS & self.UARTIMSC

    def write_UARTICR(self, value: int) -> None:
        """Clear the interrupts written as one; one that its cause does not raise anew stays clear."""
        self.UARTRIS &= ~value
        self._drive_irq()

    def _drive_irq(self) -> None:
        """Put UARTINTR, the OR of the masked interrupts (2.8.6), on the line if it changed."""
        level = self.UARTRIS & self.UARTIMSC != 0
        if level != self._level:
            self._level = level
            self.irq(level)

    # --- snapshot

    def state(self) -> dict[str, Any]:
        """The registers, the receive FIFO, and whether a character was lost after its last one."""
        return {**super().state(), "received": list(self._received), "overrun": self._overrun}

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave; the interrupt line follows if its level differs."""
        super().load_state(state)
        self._received = deque(state["received"])
        self._overrun = state["overrun"]
        self._drive_irq()
        self.stream.ready()
