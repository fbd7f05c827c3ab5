"""Watching memory: who of the guest reads and writes a variable, and what.

with target.watch("counter", read=False) as watch:
    target.run_until(symbol="main_loop")
assert [access.symbol for access in watch.writes] == ["init"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from armvcpu.errors import UsageError
from armvcpu.machine.board.memory import PAGE, page_pieces
from armvcpu.machine.watching.page_watches import PageWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.machine import Machine
    from armvcpu.machine.watching.page_watches import WatchedAccess


class Touched(NamedTuple):
    """One access that touched what is watched, all of it: PC, the function there, virtual address, bytes, value.

    `symbol` is empty where no symbol covers PC; `value` is None where memory cannot be read.
    """

    pc: int
    symbol: str
    is_read: bool
    address: int
    width: int
    value: int | None


class Watch:
    """A range of memory whose accesses are kept in `accesses`, until `close` or the end of the context.

    The range is where the guest's MMU has it when the watch begins. An atomic operation is a read and a write; a
    store-exclusive that fails is nothing. Accesses by devices and by the MMU's own table walks are not heard.
    """

    def __init__(self, machine: Machine, address: int, size: int, *, read: bool = True, write: bool = True) -> None:
        if not read and not write:
            raise UsageError("a watch needs read or write")
        self.accesses: list[Touched] = []
        self.on_access: Callable[[Touched], None] | None = None
        """Called with each, after it has been made."""
        self._machine = machine
        self._ranges = _physical(machine, address, size)
        pages = frozenset(start & -PAGE for start, _ in self._ranges)
        self._watch = PageWatch(pages, self._hear, reads=read, writes=write)
        machine.parts.page_watches.add(self._watch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hear no more; what has been kept stays."""
        self._machine.parts.page_watches.remove(self._watch)

    @property
    def reads(self) -> list[Touched]:
        """The reads among the accesses."""
        return [access for access in self.accesses if access.is_read]

    @property
    def writes(self) -> list[Touched]:
        """The writes."""
        return [access for access in self.accesses if not access.is_read]

    def _hear(self, access: WatchedAccess) -> None:
        if not any(at < end and start < at + size for at, size in access.pieces for start, end in self._ranges):
            return
        found = self._machine.symbols.find(access.pc)
        touched = Touched(
            access.pc, found[0] if found else "", access.is_read, access.address, access.width, access.value
        )
        self.accesses.append(touched)
        if self.on_access is not None:
            self.on_access(touched)


def _physical(machine: Machine, address: int, size: int) -> list[tuple[int, int]]:
    """(start, end) of the physical pieces of a range, which is physical where the guest maps nothing there."""
    starts = ((machine.physical(at), length) for at, length in page_pieces(address, size))
    return [(start, start + length) for start, length in starts]
