"""The characters of a serial device: out to the host one by one, and in when the device has room.

    stream = Stream(console.write)
    uart = Pl011(stream)
    stream.watch(feed)                      once: `feed` is called when the device has room again
    taken = uart.receive(b"typed")          how many it had room for; the host keeps the rest

The device is in the middle: it calls `put` and `ready`, and the host calls its `receive`. It never waits.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import callable_in

if TYPE_CHECKING:
    from collections.abc import Callable


class Stream:
    """The host's end of a serial device's line. `put` takes each character that the guest sends, 0 to 255."""

    def __init__(self, put: Callable[[int], object]) -> None:
        callable_in("what takes a stream's characters", put)
        self.put = put
        self.ready: Callable[[], object] = _nobody_feeds
        """For the device to call: its receiver may take more than it could. To be set by `watch`."""

    def write(self, data: bytes) -> None:
        """Take several characters at once."""
        put = self.put
        for byte in data:
            put(byte)

    def watch(self, on_ready: Callable[[], object]) -> None:
        """Have `on_ready` called when the device has room for input; it is meant to call `receive`.

        The one watcher is whoever has the input; who watched before no longer does.
        """
        callable_in("what watches a stream", on_ready)
        self.ready = on_ready


def _nobody_feeds() -> None:
    """Before `watch`."""
