"""The scripted engine's parts besides memory: they note what is done to them, and registers keep what is written."""

from __future__ import annotations

from struct import pack

from armvcpu.arch.registers import by_name, register_name
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.engine.api import PLACE, RECORD, Place, Record, RegisterRows, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.fake_state import FakeStates
    from armvcpu.engine.state import CpuState


HIGHEST = (1 << 64) - 1


class FakeRegisters:
    """System registers of the loaded state; one that was never written is 0, or as after reset."""

    def __init__(self, states: FakeStates, loaded: Callable[[], CpuState]) -> None:
        self._states, self._loaded = states, loaded
        self.written: list[tuple[str, int]] = []
        """By name and the value written, in order."""
        self.rows = RegisterRows()
        self.presented: tuple[int, ...] = ()

    def read(self, encoding: int) -> int:
        """One by its packed encoding."""
        return self._states.read_sysreg(self._loaded(), encoding)

    def write(self, encoding: int, value: int) -> None:
        """Write it, and note it in `written`."""
        self.written.append((register_name(encoding), value))
        self._states.write_sysreg(self._loaded(), encoding, value)

    def write_pstate(self, value: int) -> None:
        """Write PSTATE of the loaded state."""
        self._states.set_pstate(self._loaded(), value)

    def of(self, name: str) -> int:
        """One by its name."""
        return self.read(by_name[name].encoding)

    def use(self, rows: RegisterRows) -> None:
        """Note it in `rows`."""
        self.rows = rows

    def present(self, identity: Sequence[int]) -> None:
        """Note it in `presented`."""
        self.presented = tuple(identity)


class FakeCode:
    """Nothing is translated here."""

    def __init__(self, written: Callable[[int, int], None]) -> None:
        self._written = written
        self.invalidations: list[tuple[int, int] | None] = []
        """The range of each `invalidate`; None for all."""

    def invalidate(self, address: int | None = None, size: int = 1) -> None:
        """Note it."""
        self.invalidations.append(None if address is None else (address, size))
        if address is not None:
            self._written(address, size)


class FakeHearing:
    """A function among those that are called."""

    def __init__(self, among: list[Any], handler: Any) -> None:
        self._among, self._handler = among, handler
        among.append(handler)

    def remove(self) -> None:
        """Call it no more."""
        if self._handler in self._among:
            self._among.remove(self._handler)


class FakeProbe:
    """A function at an address."""

    def __init__(self, among: list[FakeProbe], address: int, handler: Callable[[int], object]) -> None:
        self._among, self.address, self.handler = among, address, handler

    def remove(self) -> None:
        """Call it no more."""
        if self in self._among:
            self._among.remove(self)


class FakeWatch:
    """A watched range."""

    def __init__(
        self, among: list[FakeWatch], address: int, size: int, handler: Callable[[int, int, bool], object],
        *, reads: bool, writes: bool,
    ) -> None:  # fmt: skip
        self._among, self.address, self.size, self.handler = among, address, size, handler
        self.reads, self.writes = reads, writes

    def remove(self) -> None:
        """Tell no more."""
        if self in self._among:
            self._among.remove(self)


class FakeRecords:
    """A test says what has been executed: `known`, in the order of their numbers, and `left` before their end."""

    def __init__(self) -> None:
        self.users = 0
        self.known = [Record(HIGHEST, HIGHEST, 0, 0, 0, 0, 0, 0)]
        self.left: list[Place] = []
        self.instructions: list[int] = []

    def begin(self) -> None:
        """Note it in `users`."""
        self.users += 1

    def end(self) -> None:
        """Note it in `users`."""
        self.users -= 1

    def trace(self, hear: Callable[[bytes], None]) -> None:
        """Note it in `hear`, which a test calls."""
        self.hear = hear

    def take_trace(self) -> None:
        """There is nothing that the test has not told."""

    def end_trace(self) -> None:
        """Likewise."""

    def __len__(self) -> int:
        return len(self.known)

    def blocks(self) -> memoryview:
        """`known` as an engine has it in memory."""
        return memoryview(b"".join(pack(RECORD, *block) for block in self.known))

    def places(self) -> memoryview:
        """`left` likewise."""
        return memoryview(b"".join(pack(PLACE, *place) for place in self.left))

    def words(self) -> memoryview:
        """`instructions` likewise."""
        return memoryview(b"".join(word.to_bytes(4, "little") for word in self.instructions)).cast("I")


class FakeSamples:
    """A script takes no time."""

    run_ns = 0

    def __init__(self) -> None:
        self.handler: Callable[[], None] | None = None

    def begin(self, handler: Callable[[], None], *, instructions: int = 0, ns: int = 0) -> None:
        """Note it in `handler`."""
        del instructions, ns
        self.handler = handler

    def end(self) -> None:
        """Forget it."""
        self.handler = None

    def frames(self, x29: int) -> tuple[Sequence[int], int]:
        """There are none."""
        del x29
        return (), 0

    def tally(self, *, wanted: bool) -> None:
        """Nothing is counted."""

    @property
    def tallied(self) -> Tally:
        """Nothing was."""
        none = (0, 0)
        return Tally(none, none, none, none, none, none, none, none, 0, {}, {}, {})


class FakeListen:
    """Who hears of what the script says."""

    def __init__(self) -> None:
        self.code_handlers: list[Callable[[int], None]] = []
        self.probes: list[FakeProbe] = []
        self.watches: list[FakeWatch] = []
        self.watches_are_off = False
        self.memory_handlers: list[Callable[[bool, int, int, int | None], None]] = []
        self.heard_exceptions = 0
        self.heard_above: dict[int, int] = {}
        """By level, of EL2 and EL3."""
        self.hears_semihosting = self.observes_exceptions = False

    def hear_branches(self, kinds: int, handler: Callable[[int, int], None] | None) -> None:
        """Note it in `branches`; a test calls it."""
        self.branches = kinds, handler

    def hear_levels(self, handler: Callable[[int, int], None] | None) -> None:
        """Note it in `levels`; a test calls it."""
        self.levels = handler

    def on_code(self, handler: Callable[[int], None]) -> FakeHearing:
        """Note it in `code_handlers`, for `AtCode`."""
        return FakeHearing(self.code_handlers, handler)

    def probe(self, address: int, handler: Callable[[int], object]) -> FakeProbe:
        """Note it in `probes`, for `AtCode`."""
        self.probes.append(FakeProbe(self.probes, address, handler))
        return self.probes[-1]

    def watch(
        self,
        address: int,
        size: int,
        handler: Callable[[int, int, bool], object],
        *,
        reads: bool,
        writes: bool,
        is_physical: bool = False,
    ) -> FakeWatch:
        """Note it in `watches`, for `MemoryAccess`; physical addresses are taken for virtual ones."""
        del is_physical
        self.watches.append(FakeWatch(self.watches, address, size, handler, reads=reads, writes=writes))
        return self.watches[-1]

    def suspend_watches(self, is_off: bool) -> None:
        """Note it."""
        self.watches_are_off = is_off

    def on_memory(self, handler: Callable[[bool, int, int, int | None], None]) -> FakeHearing:
        """Note it in `memory_handlers`, for `MemoryAccess`."""
        return FakeHearing(self.memory_handlers, handler)

    def reach(self, pc: int) -> None:
        """The guest is about to execute what is at `pc`."""
        for handler in self.code_handlers:
            handler(pc)
        for probe in tuple(self.probes):
            if probe.address == pc:
                probe.handler(pc)

    def hear_exceptions(self, classes: int, el: int = 1) -> None:
        """Note it; a script says which traps come."""
        if el == 1:
            self.heard_exceptions = classes
        else:
            self.heard_above[el] = classes

    def hear_semihosting(self, wanted: bool) -> None:
        """Note it."""
        self.hears_semihosting = wanted

    def observe_exceptions(self, wanted: bool) -> None:
        """Call the entry handler after each exception."""
        self.observes_exceptions = wanted
