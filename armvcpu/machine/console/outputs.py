"""What a guest prints, once: a machine that has gone back prints the same again, and nobody is to see it twice.

By the instruction clock what is printed between two moments is always the same, so that counting is enough: as many
characters as have been printed since the moment that the machine has returned to are kept from the console. By the
host's clock nothing stands between the guest and its console.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class OncePrinted:
    """One place for characters, which `put` takes."""

    __slots__ = ("_put", "_repeated", "_written")

    def __init__(self, put: Callable[[int], object]) -> None:
        self._put = put
        self._written = self._repeated = 0
        """How many the place has, and how many of the last of them the guest is about to print again."""

    def write(self, byte: int) -> None:
        """One character from the guest."""
        if self._repeated:
            self._repeated -= 1
        else:
            self._written += 1
            self._put(byte)

    @property
    def printed(self) -> int:
        """How many the guest has printed, by its own time."""
        return self._written - self._repeated

    def return_to(self, printed: int) -> None:
        """The guest has gone back, or on, to where it had printed so many."""
        self._repeated = self._written - printed

    def forget_future(self) -> None:
        """What comes is another story, and is printed."""
        self._written, self._repeated = self.printed, 0


class Outputs:
    """Those of one machine: the console, and the Secure UART's own where there is one."""

    def __init__(
        self, put: Callable[[int], None], put_secure: Callable[[int], None] | None, *, repeats: bool
    ) -> None:  # fmt: skip
        self._all: list[OncePrinted] = []
        self.write = self._once(put) if repeats else put
        """Takes each character of the console's."""
        self.write_secure = self._once(put_secure) if repeats and put_secure else put_secure

    def _once(self, put: Callable[[int], None]) -> Callable[[int], None]:
        place = OncePrinted(put)
        self._all.append(place)
        return place.write

    def state(self) -> tuple[int, ...]:
        """How many characters have been printed."""
        return tuple(each.printed for each in self._all)

    def load_state(self, state: tuple[int, ...]) -> None:
        """The guest is where it had printed so many."""
        for each, printed in zip(self._all, state, strict=True):
            each.return_to(printed)

    def forget_future(self) -> None:
        """What comes is another story than that which has been printed."""
        for each in self._all:
            each.forget_future()
