"""Who called whom, by the chain of frame records: Procedure Call Standard for AArch64 (IHI 0055), "The Frame Pointer".

A function that keeps a frame stores the record {caller's x29, return address} and points x29 at it; code built with
-fomit-frame-pointer is missing from the chain. A guest may have any values in its registers and its memory, so the
walk trusts none: it is bounded, goes up the stack only, and ends at the first record that cannot be one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.machine.boot.symbols import Symbols

MAX_FRAMES = 64


def backtrace(
    pc: int, x29: int, x30: int, read: Callable[[int, int], bytes | None], symbols: Symbols, limit: int = MAX_FRAMES
) -> list[int]:
    """The PC, then the return addresses, innermost first, at most `limit`.

    `read(address, size)` gives guest memory at a virtual address, or None. Whether the function at PC has stored x30
    already cannot be known; x30 counts as a frame of its own where it can be a return address into another function
    than the PC is in, and the chain does not begin with it. Without symbols that may show a caller too many.
    """
    frames = [pc]
    chain = list(islice(_return_addresses(x29, read), limit))
    if _is_return_address(x30, read) and x30 not in chain[:1] and not _same_function(pc, x30 - 4, symbols):
        frames.append(x30)
    return [*frames, *chain][:limit]


def _return_addresses(x29: int, read: Callable[[int, int], bytes | None]) -> Iterator[int]:
    """The return addresses of the frame records from x29 up."""
    below = 0
    while x29 > below and x29 % 8 == 0:
        record = read(x29, 16)
        if record is None or len(record) < 16:
            return
        below, x29 = x29, int.from_bytes(record[:8], "little")
        address = int.from_bytes(record[8:16], "little")
        if not _is_return_address(address, read):
            return
        yield address


def _is_return_address(address: int, read: Callable[[int, int], bytes | None]) -> bool:
    """Can it be: aligned, and with an instruction before it."""
    return address >= 4 and address % 4 == 0 and read(address - 4, 4) is not None


def _same_function(one: int, other: int, symbols: Symbols) -> bool:
    first, second = symbols.find(one), symbols.find(other)
    return first is not None and second is not None and one - first[1] == other - second[1]
