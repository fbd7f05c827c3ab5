"""What the guest's consoles are given of what has been typed: as much as they have room for, and nothing is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.devices.pl011 import Pl011
    from armvcpu.devices.virtio_console import VirtioConsole
    from armvcpu.machine.inputs import Input

PIECE = 64
"""Bytes that are offered at once."""


class ConsoleInput:
    """Of one machine. Once the guest uses a virtio console that gets it, and what the UART has that is unread."""

    def __init__(self, inputs: Input, uart: Pl011, console: VirtioConsole | None) -> None:
        self._inputs, self._uart, self._console = inputs, uart, console
        uart.on_space = self.feed
        if console is not None:
            console.on_space = self.feed

    def feed(self) -> None:
        """Give the guest what it has room for."""
        console, inputs = self._console, self._inputs
        port: Pl011 | VirtioConsole = self._uart
        if console is not None and console.is_in_use:
            port = console
            if unread := self._uart.take_back():
                inputs.put_back(unread)
        data = inputs.take(PIECE)
        if data:
            accepted = port.receive(data)
            if accepted < len(data):
                inputs.put_back(data[accepted:])
