"""The host's side of the UART: where a guest's characters go and where its input comes from.

It stands in machine/ because devices do no I/O of their own. `Console` is what the board asks for; `MemoryConsole`
serves tests and embedding programs, `stdio.py` has the process's standard input and output.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.static import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Console(Protocol):
    """A place for characters."""

    @property
    def is_live(self) -> bool:
        """May something come at any moment, from outside of this process?"""
        ...

    @property
    def ended(self) -> bool:
        """Is what `take` may still give all that will ever come?"""
        ...

    def call_on_input(self, callback: Callable[[], None] | None) -> None:
        """Call this, in any thread, when `take` may give something, in place of what was called before."""
        ...

    def write(self, byte: int) -> None:
        """One character from the guest."""
        ...

    def flush(self) -> None:
        """Show what was written; for a guest that goes idle."""
        ...

    def take(self, limit: int) -> bytes:
        """At most `limit` bytes of input; none where none waits."""
        ...

    def put_back(self, data: bytes) -> None:
        """Return what the guest had no room for; the next `take` gives it first."""
        ...


class Listeners:
    """Who hears a guest's characters, in the order in which they have come."""

    def __init__(self, *listeners: Callable[[int], object]) -> None:
        self._all = listeners

    def add(self, listener: Callable[[int], object]) -> Callable[[], None]:
        """One more; what takes it away again, which may be called twice."""
        self._all = (*self._all, listener)
        return partial(self._remove, listener)

    def _remove(self, listener: Callable[[int], object]) -> None:
        self._all = tuple(each for each in self._all if each is not listener)

    def tell(self, byte: int) -> None:
        """Tell them one."""
        for listener in self._all:
            listener(byte)


class MemoryConsole:
    """A console of which the host is the embedding program."""

    is_live = False
    ended = False

    def __init__(self, on_output: Callable[[int], object] | None = None) -> None:
        self.output = bytearray()
        self._on_input: Callable[[], None] = nothing
        self._listeners = Listeners() if on_output is None else Listeners(on_output)
        self._input = bytearray()

    def write(self, byte: int) -> None:
        """Append to `output`, and then tell who hears it."""
        self.output.append(byte)
        self._listeners.tell(byte)

    def hear(self, listener: Callable[[int], object]) -> Callable[[], None]:
        """Call `listener` with each character of the guest's, beside those that hear it already; what ends that."""
        return self._listeners.add(listener)

    def call_on_input(self, callback: Callable[[], None] | None) -> None:
        """Call this when something has been typed."""
        self._on_input = callback or nothing

    def flush(self) -> None:
        """Nothing is held back."""

    def feed(self, data: bytes) -> None:
        """Type `data`; from any thread."""
        self._input += data
        self._on_input()

    def end_input(self) -> None:
        """Nothing more will be typed: a guest that waits for input by semihosting hears of its end."""
        self.ended = True
        self._on_input()

    def take(self, limit: int) -> bytes:
        """At most `limit` bytes of what was fed."""
        return take_from(self._input, limit)

    def put_back(self, data: bytes) -> None:
        """Have `data` taken first."""
        self._input[:0] = data


def nothing() -> None:
    """Nobody is called."""


def take_from(queue: bytearray, limit: int) -> bytes:
    """Remove the first bytes; safe while another thread appends."""
    data = bytes(queue[:limit])
    del queue[: len(data)]
    return data
