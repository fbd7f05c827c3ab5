"""Names for the addresses of a profile's stacks: functions, and where their source is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.profile.sampler import SECURE
from armvcpu.debug.source import SourceLines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.profile.sampler import Segment, Stack
    from armvcpu.machine.boot.symbols import Symbols

IDLE = "all CPUs wait (WFI)"
LOST = "(more stacks than are kept)"


class Frame(NamedTuple):
    """A function in a stack, or what stands for one: a CPU, a level."""

    name: str
    """Of an address that no symbol covers, the address."""
    address: int = 0
    """Of the instruction: of a caller that of the call; 0 where there is none."""
    start: int = 0
    """Where the function begins; 0 where that is not known."""


class Names:
    """Those that `symbols` know; each address is looked up once."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._frames: dict[int, Frame] = {}
        self._lines: SourceLines | None = None
        self._places: dict[int, tuple[str, int]] = {}

    def stack(self, stack: Stack) -> tuple[Frame, ...]:
        """A sampled stack, outermost first: the CPU, then each level that has part in it with its frames."""
        cpu, *segments = stack
        frames = [Frame(f"cpu{cpu}")]
        for segment in reversed(segments):
            frames += self._segment(segment)
        return tuple(frames)

    def _segment(self, segment: Segment) -> Iterator[Frame]:
        level, *addresses = segment
        yield Frame(f"Secure EL{level & ~SECURE}" if level & SECURE else f"EL{level}")
        if not addresses:
            yield Frame(LOST)
            return
        pc, x30, *returns = addresses
        for address in reversed(returns):
            yield self._frame(address - 4)
        leaf = self._frame(pc)
        if self._is_caller(leaf, x30, returns):
            yield self._frame(x30 - 4)
        yield leaf

    def _is_caller(self, leaf: Frame, x30: int, returns: list[int]) -> bool:
        """Is x30 where the leaf returns to, which has no record of its own (yet)?

        Where the function at PC has called others x30 leads back into it. Without names nothing is to be told apart.
        """
        if x30 < 4 or x30 % 4 or x30 in returns[:1] or not leaf.start:
            return False
        caller = self._frame(x30 - 4)
        return bool(caller.start) and caller.start != leaf.start

    def _frame(self, address: int) -> Frame:
        found = self._frames.get(address)
        if found is None:
            symbol = self._symbols.find(address)
            found = (
                Frame(f"{address:#x}", address) if symbol is None else Frame(symbol[0], address, address - symbol[1])
            )
            self._frames[address] = found
        return found

    def place(self, address: int) -> tuple[str, int]:
        """The source file and line of an instruction; empty and 0 where they are not known.

        A kernel's tables take long to read: what is not found within a second in all is not told.
        """
        found = self._places.get(address)
        if found is None:
            if self._lines is None:
                self._lines = SourceLines(self._symbols)
            file, _, line = self._lines.find(address).rpartition(":") if address else ("", "", "")
            found = self._places[address] = file, int(line or 0)
        return found
