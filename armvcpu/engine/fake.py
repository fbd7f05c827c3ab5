"""An engine without Unicorn that plays a script: what the layers above see of a guest, exactly as a test wants it.

    engine = ScriptedEngine([Trap(2, esr=0x5A00_0000, pc=0x4000_0004, regs={0: 0x8400_0000}), LimitReached()])
    engine.set_trap_handler(handler)
    engine.run()                 # delivers the trap; if the handler does not leave, goes on to the next entry

Its states are real `CpuState`s over a layout of its own, so that code which reads and writes them is tested as it is.
"""

from __future__ import annotations

from collections import deque

from armvcpu.arch.esr import has_far
from armvcpu.arch.pstate import DAIF, EL1h, uses_spx
from armvcpu.arch.pstate import el as level_of
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.arch.vectors import VectorKind, vector_offset
from armvcpu.engine.api import STORM_LIMIT, Fault, LastException, RunEnd
from armvcpu.engine.fake_memory import FakeMemory
from armvcpu.engine.fake_parts import FakeCode, FakeListen, FakeRecords, FakeRegisters, FakeSamples
from armvcpu.engine.fake_script import AtCode, Entry, ExceptionEntry, LimitReached, ScriptedAccess, StopRequested, Trap
from armvcpu.engine.fake_state import FakeStates
from armvcpu.engine.state import FRAME_PC, FRAME_SP, CpuState
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from armvcpu.engine.api import EntryHandler, StateCopy, TrapHandler

__all__ = [
    "AtCode",
    "Entry",
    "ExceptionEntry",
    "LimitReached",
    "ScriptedAccess",
    "ScriptedEngine",
    "StopRequested",
    "Trap",
]

_NO_EXCEPTION = LastException(0, 0, 0)
_VECTOR_SIZE = 0x80


class ScriptedEngine:
    """An `armvcpu.engine.api.Engine` that plays `script`, and notes what is done to it in its public attributes."""

    def __init__(self, script: Iterable[Entry] = ()) -> None:
        self.script: deque[Entry] = deque(script)
        self.memory, self.listen, self.records = FakeMemory(), FakeListen(), FakeRecords()
        self.samples = FakeSamples()
        self.code = FakeCode(self.memory.written)
        self.entered: list[ExceptionEntry] = []
        self.limits: list[int] = []
        """The limit of each run."""
        self.leaves = self.steps = 0
        self.count_origin = 0
        self.closed = self.yields = self.has_returned = False
        self.rest = 0
        self.call: tuple[int, int] | None = None
        """Where the run is to be over, and with which SP."""
        self.edges: memoryview | None = None
        self.lines = self.virtual_lines = (False, False)
        """The levels of IRQ and FIQ."""
        self.highest = 1
        self.on_cross: Callable[[], None] | None = None
        self.access_is_secure = False
        """As a test sets it."""
        self.instructions = self.entries = 0
        self.stops: list[int | None] = []
        """The argument of each `stop_at`."""
        self.last_exception = _NO_EXCEPTION
        self.first_fault: Fault | None = None
        self.fault_history = b""
        """As a test sets it."""
        self._storm = 0
        self._stopping, self._left = False, False
        self._handler: TrapHandler = _no_handler
        self._on_entry: EntryHandler = _ignore
        self._states = FakeStates()
        self.state = self._own_state = self._states.new()
        self.state.look_at(self.state.own, self._give_up)
        self.registers = FakeRegisters(self._states, lambda: self.state)

    @property
    def took_exception(self) -> bool:
        """Is there a last exception?"""
        return bool(self.last_exception.esr)

    @property
    def is_endless(self) -> bool:
        """Have exceptions become a storm?"""
        return self._storm >= STORM_LIMIT

    def set_trap_handler(self, handler: TrapHandler, on_entry: EntryHandler | None = None) -> None:
        """Install the one trap handler."""
        self._handler, self._on_entry = handler, on_entry or _ignore

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, limit: int = 0) -> RunEnd:
        """Play entries until one ends the run; UsageError when the script is used up before that."""
        self.limits.append(limit)
        self._left = False
        while not self._stopping:
            entry = self._next()
            if isinstance(entry, LimitReached):
                return RunEnd.LIMIT
            self._play(entry)
            if self._left:
                return RunEnd.LEFT
        self._stopping = False
        return RunEnd.STOPPED

    def _play(self, entry: Trap | AtCode | ScriptedAccess | StopRequested) -> None:
        match entry:
            case Trap():
                self._deliver(entry)
            case AtCode(pc):
                self.state.frame[FRAME_PC] = pc
                self.listen.reach(pc)
            case ScriptedAccess(is_read, address, width, value):
                for handler in self.listen.memory_handlers:
                    handler(is_read, address, width, value)
            case StopRequested():
                self._stopping = True

    def step(self) -> None:
        """Deliver the next entry where that is a trap; else one instruction passes, which only moves PC by 4."""
        self.steps += 1
        if self.script and isinstance(trap := self.script[0], Trap):
            self.script.popleft()
            self._left = False
            self._deliver(trap)
        else:
            self.state.set_pc(self.state.pc + 4)

    def _next(self) -> Entry:
        if not self.script:
            raise UsageError("the script of the fake engine is used up: end it with what ends the run")
        return self.script.popleft()

    def _deliver(self, trap: Trap) -> None:
        for index, value in trap.regs.items():
            self.state.frame[index] = value
        if trap.pc is not None:
            self.state.frame[FRAME_PC] = trap.pc
        if trap.pstate is not None:
            self._states.set_pstate(self.state, trap.pstate)
        if trap.hpfar:
            self._states.write_sysreg(self.state, by_name["HPFAR_EL2"].encoding, trap.hpfar)
        self._handler(trap.target_el, trap.esr, trap.far)

    def watch_el3(self, signalled: memoryview | None, on_cross: Callable[[], None]) -> None:
        """Note it in `on_cross`."""
        self.on_cross = None if signalled is None else on_cross

    def take_external_abort(self, esr: int, far: int) -> None:
        """At EL1, or the level above that executes."""
        level = level_of(self.state.pstate)
        self.take_exception(esr & ~(1 << 26) | bool(level) << 26, far, el=max(1, level))

    def take_exception(self, esr: int, far: int = 0, *, el: int = 1, serror: bool = False) -> None:
        """Enter it, and note it in `entered`."""
        state = self.state
        pstate, elr = state.pstate, state.pc
        offset = vector_offset(
            VectorKind.SERROR if serror else VectorKind.SYNCHRONOUS,
            source_el=level_of(pstate), target_el=el, spx=uses_spx(pstate), aarch32=False,
        )  # fmt: skip
        vector = self.registers.of(f"VBAR_EL{el}") + int(offset)
        self.entered.append(ExceptionEntry(elr, pstate, esr, far, vector))
        written = [("ELR", elr), ("SPSR", pstate), ("ESR", esr)]
        for name, value in [*written, ("FAR", far)] if has_far(esr) else written:
            self._states.write_sysreg(state, by_name[f"{name}_EL{el}"].encoding, value)
        self._states.set_sp_el(state, level_of(pstate) if uses_spx(pstate) else 0, state.frame[FRAME_SP])
        state.frame[FRAME_SP] = state.sp_el(el)
        state.frame[FRAME_PC] = vector
        self._states.set_pstate(state, pstate & 0xF000_0000 | DAIF | el << 2 | 1)
        self._note_exception(esr, far if has_far(esr) else 0, elr, vector, el)

    def _note_exception(self, esr: int, far: int, elr: int, vector: int, el: int) -> None:
        """No ERET is seen here: what does not come from a vector begins anew."""
        self.last_exception = LastException(esr, far, elr, el)
        if vector <= elr < vector + _VECTOR_SIZE:
            self._storm += 1
        else:
            frame = self.state.frame
            self._storm, self.first_fault = 0, Fault(esr, far, elr, EL1h, frame[FRAME_SP], frame[29], frame[30], el)
        if self.listen.observes_exceptions or self.is_endless:
            self._on_entry()

    def leave(self) -> None:
        """Let `run` return when the handler has."""
        self.leaves += 1
        self._left = True

    def request_stop(self) -> None:
        """The present or next `run` returns STOPPED."""
        self._stopping = True

    def copy_state(self, _state: CpuState, _but: Sequence[int]) -> StateCopy | None:
        """A scripted engine keeps registers in more than one place."""
        return None

    def put_state(self, _state: CpuState, _copy: StateCopy) -> None:
        """There are no copies."""
        raise UsageError("a scripted engine makes no copies of states")

    def set_alarm(self, _moment: int) -> bool:
        """There is none."""
        return False

    def take_alarm(self) -> bool:
        """None has come."""
        return False

    def begin_call(self, pc: int, sp: int) -> bool:
        """Note it in `call`."""
        self.call, self.has_returned = (pc, sp), False
        return self.memory.translate(pc) is not None

    def end_call(self) -> None:
        """Forget it."""
        self.call, self.has_returned = None, False

    def count_edges(self, edges: memoryview | None, _compares: memoryview | None = None) -> None:
        """Note it in `edges`."""
        self.edges = edges

    @property
    def counts_edges(self) -> bool:
        """Is there a map?"""
        return self.edges is not None

    def forget_edge(self) -> None:
        """There is none."""

    def set_lines(self, *, irq: bool, fiq: bool) -> None:
        """Note them in `lines`."""
        self.lines = irq, fiq

    def set_virtual_lines(self, *, irq: bool, fiq: bool) -> None:
        """Note them in `virtual_lines`."""
        self.virtual_lines = irq, fiq

    def set_count_origin(self, origin: int) -> None:
        """Note it in `count_origin`."""
        self.count_origin = origin

    def look(self) -> bool:
        """States are always up to date here."""
        return True

    def count_instructions(self) -> None:
        """`instructions` is what a test sets it to."""

    def stop_at(self, instructions: int | None) -> None:
        """Note it; the script goes on as it stands."""
        self.stops.append(instructions)

    def pause_at(self, instructions: int | None) -> None:
        """The script goes on as it stands."""

    # --- states -----------------------------------------------------------------------------------------------

    def new_state(self, el: int = 1) -> CpuState:
        """A state for another vCPU, as after reset."""
        return self._states.new(el)

    def reset_state(self, state: CpuState, el: int = 1) -> None:
        """Put a state back to what it is after reset."""
        self._states.reset(state, el)
        if state is self.state:
            self._forget_exceptions()

    def load(self, state: CpuState) -> None:
        """Make `state` the running one, and have another engine that still has it give it up."""
        if state is not self.state:
            state.settle()
            self.state.look_at(self.state.own)
            state.look_at(state.own, self._give_up)
            self.state = state
            self._forget_exceptions()

    def _forget_exceptions(self) -> None:
        self.last_exception, self.first_fault, self._storm = _NO_EXCEPTION, None, 0

    def _give_up(self) -> None:
        self.load(self._own_state)

    def close(self) -> None:
        """Note it."""
        self.closed = True


def _no_handler(target_el: int, esr: int, _far: int) -> None:
    raise UsageError(f"no trap handler is installed (target EL{target_el}, ESR {esr:#x})")


def _ignore() -> None:
    """Nobody hears of exceptions."""
