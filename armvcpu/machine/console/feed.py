"""What the guest's consoles are given of what has been typed: as much as they have room for, and nothing is lost."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.deadline import Schedule
    from armvcpu.devices.pl011 import Pl011
    from armvcpu.devices.virtio.console import VirtioConsole
    from armvcpu.machine.console.inputs import Input

PIECE = 64
"""Bytes that are offered at once."""


class NoInputYet(Exception):
    """None waits, but some may come."""


class ConsoleFeed:
    """Of one machine. Once the guest uses a virtio console that gets it, and what the UART has that is unread.

    A guest that asks for a character by semihosting gets it before either, and while it waits for one they get none.
    """

    def __init__(self, inputs: Input, uart: Pl011, console: VirtioConsole | None, schedule: Schedule) -> None:
        self._inputs, self._uart, self._console = inputs, uart, console
        for port in (uart, console):
            if port is not None:
                port.stream.watch(self.feed)
        self._readers: dict[int, Callable[[], bool]] = {}
        self._has_news = False
        self._next = schedule.add(self.note)  # where it is known when the next input comes

    def note(self) -> None:
        """From any thread: there may be input."""
        self._has_news = True

    @property
    def has_input(self) -> bool:
        """Does `attend` let something in?"""
        return self._has_news and self._inputs.has_come

    def attend(self) -> None:
        """Between two blocks of the guest: let in what has come, and offer it."""
        if self._has_news:
            self._has_news = False  # first: what comes from now on is news again
            if self._inputs.admit():
                self._has_news = True
            self._next.set(self._inputs.deadline)
            self.feed()

    def restart(self) -> None:
        """The inputs are at another moment: hear of the next one that is known, and look whether there is one now."""
        self._readers.clear()
        self._next.set(self._inputs.deadline)
        self.note()

    @property
    def has_readers(self) -> bool:
        """Does a guest wait for a character?"""
        return bool(self._readers)

    def read(self) -> int | None:
        """The next character, for semihosting; None after the last one, NoInputYet where more may come."""
        if unread := self._uart.take_back():
            self._inputs.put_back(unread)
        ended = self._inputs.ended
        data = self._inputs.take(1)
        if not data and not ended:
            raise NoInputYet
        return data[0] if data else None

    def await_input(self, reader: int, wake: Callable[[], bool]) -> None:
        """Call `wake` once something has come for `reader`; it tells whether that still waits."""
        self._readers[reader] = wake

    def _wake_readers(self) -> bool:
        data = self._inputs.take(1)
        self._inputs.put_back(data)
        if not data and not self._inputs.ended:
            return False
        readers, self._readers = self._readers, {}
        woken = [wake() for wake in readers.values()]
        return any(woken)

    def feed(self) -> None:
        """Give the guest what it has room for."""
        console, inputs = self._console, self._inputs
        if self._readers and self._wake_readers():
            return
        port: Pl011 | VirtioConsole = self._uart
        if console is not None and console.is_in_use:
            port = console
            if unread := self._uart.take_back():
                inputs.put_back(unread)
        while data := inputs.take(PIECE):
            accepted = port.receive(data)
            if accepted < len(data):
                inputs.put_back(data[accepted:])
                return  # until the port tells that it has room again
