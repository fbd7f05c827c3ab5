"""What comes to a machine from outside while it runs: what a user types, and network frames."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.deadline import NEVER
from armvcpu.machine.console.port import MemoryConsole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.pl011 import Pl011
    from armvcpu.devices.virtio.console import VirtioConsole
    from armvcpu.devices.virtio.socket_backend import SocketBackend
    from armvcpu.machine.console.feed import ConsoleFeed
    from armvcpu.machine.console.inputs import Input
    from armvcpu.machine.console.port import Console
    from armvcpu.machine.console.window import Window
    from armvcpu.machine.running.attention import Attention
    from armvcpu.machine.running.end_request import EndRequest
    from armvcpu.machine.running.late import LateWaker


class Outside:
    """The console, and `sources`: the descriptors of devices that bring something from the host.

    The virtio console has the size of `window`.
    """

    def __init__(
        self, console: Console, inputs: Input, feed: ConsoleFeed, uart: Pl011, virtio_console: VirtioConsole | None,
        sources: Sequence[SocketBackend], attention: Attention, end: EndRequest, window: Window | None = None,
    ) -> None:  # fmt: skip
        self._console, self._inputs, self._feed, self._uart = console, inputs, feed, uart
        self._virtio_console, self.sources, self._attention, self._end = virtio_console, sources, attention, end
        self._waker: LateWaker | None = None
        self._window, self._is_resized = window, window is not None
        self._show_size()

    def _show_size(self) -> None:
        if self._is_resized and self._window is not None and self._virtio_console is not None:
            self._is_resized = False
            self._virtio_console.show_size(*self._window.size)

    def _on_resize(self) -> None:
        self._is_resized = True

    def open(self, waker: LateWaker, *, may_bring: bool) -> None:
        """A run begins: the guest may have what has come, if not at once, then soon; the loop hears of what will."""
        self._waker = waker
        for source in self.sources:
            source.watch(waker.listen)
        self._console.call_on_input(self._on_input)
        if self._window is not None:
            self._window.watch(self._on_resize)
            self._is_resized = True  # it may be another since the last run
        self._feed.note()
        if may_bring:
            self._feed.attend()
        else:
            self._attention.call()

    def close(self) -> None:
        """The run has ended."""
        self._waker = None
        for source in self.sources:
            source.watch(_nobody)
        self._console.call_on_input(None)
        if self._window is not None:
            self._window.close()
        self._console.flush()

    def _on_input(self) -> None:
        """From any thread: the console may have something."""
        self._feed.note()
        self._attention.call()

    def attend(self) -> None:
        """Let in what has been typed, and move frames, where there are any."""
        self._feed.attend()
        if self._is_resized:
            self._show_size()
        if self._inputs.end is not None:
            self._end.by_recording(self._inputs.end)
        waker = self._waker
        if waker is None or not self.sources:
            return
        if waker.has_input or any(source.wants_write for source in self.sources):
            for source in self.sources:
                source.poll()
            waker.listen()

    def become_idle(self) -> None:
        """All CPUs wait: show what they have printed, and move what waits to be sent."""
        self._console.flush()
        if self.sources:
            self.attend()

    @property
    def may_keep_waiting(self) -> bool:
        """May a run come to wait for the host, or hear of what comes? Then it is watched over from its start."""
        return bool(self.sources) or self._inputs.is_recorded or not isinstance(self._console, MemoryConsole)

    @property
    def comes_in_host_time(self) -> bool:
        """May something come at any moment? Then waiting takes as long as by the host's clock."""
        return self._inputs.comes_in_host_time

    @property
    def brings_input(self) -> bool:
        """Is there something that has been typed, and that the guest is given when its run stops?"""
        return self._feed.has_input

    @property
    def can_interrupt(self) -> bool:
        """Could what a user types, or a frame, end a WFI?"""
        console = self._virtio_console
        return bool(self._uart.can_interrupt() or (console is not None and console.can_interrupt()) or self.sources)

    @property
    def is_replayed(self) -> bool:
        """Is more input of a recording to come, or the end that it has?"""
        return self._inputs.deadline < NEVER


def _nobody() -> None:
    """No run is at work."""
