"""Breakpoints and watchpoints: any number, at any Exception level, in flash too; nothing is written to memory.

Both are by virtual address, whatever address space that is in: who wants one only asks in a condition. A watchpoint may
be by physical address instead, and is then heard of by whatever name.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError, callable_in, number_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine, Removable
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Condition = Callable[[Aarch64VCpu], object]


class Breakpoint:
    """At an instruction; with a condition that is asked with the vCPU before it is executed."""

    def __init__(self, address: int, condition: Condition | None, hit: Callable[[Breakpoint], None], engine: Engine):
        if number_in("the address of a breakpoint", address, 64) % 4:
            raise UsageError(f"{address:#x} is no address of an instruction, which is a multiple of 4")
        if condition is not None:
            callable_in("a breakpoint's condition", condition, 1)
        self.address, self.condition = address, condition
        self._probe = engine.listen.probe(address, lambda _pc: hit(self))

    def remove(self) -> None:
        """Stop there no more; may be called twice."""
        self._probe.remove()


class Watchpoint:
    """On `size` bytes of memory from an address on, for reads, writes or both."""

    def __init__(
        self, address: int, size: int, hit: Callable[[Watchpoint, int, int, bool], None], engine: Engine,
        *, read: bool, write: bool, physical: bool,
    ) -> None:  # fmt: skip
        number_in("the address of a watchpoint", address, 64)
        if number_in("the size of a watchpoint", size, 64) < 1 or address + size > 1 << 64:
            raise UsageError(f"a watchpoint of {size} bytes at {address:#x}: 1 byte or more, below 2^64")
        if not read and not write:
            raise UsageError("a watchpoint needs read or write")
        self.address, self.size, self.read, self.write, self.physical = address, size, read, write, physical
        self._watched: Removable = engine.listen.watch(
            address, size, partial(hit, self), reads=read, writes=write, is_physical=physical
        )

    def remove(self) -> None:
        """Stop for it no more; may be called twice."""
        self._watched.remove()


class Breakpoints:
    """Those of one debugger, in the order in which they came."""

    def __init__(self, engine: Engine, hit: Callable[[Breakpoint], None]) -> None:
        self._engine, self._hit = engine, hit
        self.all: list[Breakpoint] = []

    def add(self, address: int, condition: Condition | None = None) -> Breakpoint:
        """Stop before the instruction at a virtual address, where `condition(vcpu)` gives something true.

        UsageError for an address that is none of an instruction.
        """
        self.all.append(Breakpoint(address, condition, self._hit, self._engine))
        return self.all[-1]

    def remove(self, breakpoint: Breakpoint) -> None:
        """Stop there no more; one that is not there is fine."""
        breakpoint.remove()
        if breakpoint in self.all:
            self.all.remove(breakpoint)

    def at(self, address: int) -> bool:
        """Is there one?"""
        return any(each.address == address for each in self.all)


class Watchpoints:
    """Those of one debugger, in the order in which they came."""

    def __init__(self, engine: Engine, hit: Callable[[Watchpoint, int, int, bool], None]) -> None:
        self._engine, self._hit = engine, hit
        self.all: list[Watchpoint] = []

    def add(
        self, address: int, size: int, *, read: bool = False, write: bool = True, physical: bool = False
    ) -> Watchpoint:
        """Stop before an access of any of `size` bytes at an address, as the instruction has it.

        UsageError for a range that there can't be, and where neither reads nor writes are meant.
        """
        self.all.append(Watchpoint(address, size, self._hit, self._engine, read=read, write=write, physical=physical))
        return self.all[-1]

    def remove(self, watchpoint: Watchpoint) -> None:
        """Stop for it no more; one that is not there is fine."""
        watchpoint.remove()
        if watchpoint in self.all:
            self.all.remove(watchpoint)
