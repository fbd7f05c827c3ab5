"""An engine without Unicorn that plays a script: what the layers above see of a guest, exactly as a test wants it.

    engine = ScriptedEngine([Trap(2, esr=0x5A00_0000, pc=0x4000_0004, regs={0: 0x8400_0000}), LimitReached()])
    engine.set_trap_handler(handler)
    engine.run()                 # delivers the trap; if the handler does not leave, goes on to the next entry

Its states are real `CpuState`s over a layout of its own, so that code which reads and writes them is tested as it is.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from armvcpu.arch.pstate import el, uses_spx
from armvcpu.arch.registers import by_name, register_name
from armvcpu.engine.api import PRIVATE_SIZE, TABLES_OFFSET, RunEnd
from armvcpu.engine.fake_memory import FakeMemory
from armvcpu.engine.fake_script import AtCode, Entry, ExceptionEntry, LimitReached, MemoryAccess, StopRequested, Trap
from armvcpu.engine.fake_state import FakeStates
from armvcpu.engine.state import FRAME_PC, FRAME_SIZE, FRAME_SP, CpuState
from armvcpu.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from armvcpu.engine.api import TrapHandler
    from armvcpu.engine.counter_reads import CountReader
    from armvcpu.engine.msr_hook import DebugListener, SctlrListener, TimerListener

__all__ = [
    "AtCode",
    "Entry",
    "ExceptionEntry",
    "LimitReached",
    "MemoryAccess",
    "ScriptedEngine",
    "StopRequested",
    "Trap",
]


class ScriptedEngine(FakeMemory):
    """An `armvcpu.engine.api.Engine` that plays `script`, and notes what is done to it in its public attributes."""

    def __init__(self, script: Iterable[Entry] = (), *, counting: bool = False) -> None:
        super().__init__()
        self.script: deque[Entry] = deque(script)
        self.entered: list[ExceptionEntry] = []
        self.written: list[tuple[str, int]] = []
        """System registers by name and the value written, in order."""
        self.limits: list[int] = []
        """The limit of each run."""
        self.cache_invalidations: list[int | None] = []
        """The argument of each `invalidate_instruction_cache`."""
        self.leaves = self.steps = self.code_invalidations = self.tlb_flushes = 0
        self.closed = False
        self.sites: list[tuple[int, int, int | None]] = []
        """PC and the arguments of each `answer_in_place`."""
        self.instructions = 0
        self.stops: list[int | None] = []
        """The argument of each `stop_at`."""
        self.count_reader: CountReader | None = None
        self.timer_listener: TimerListener | None = None
        self.sctlr_listeners: list[SctlrListener] = []
        self.memory_handlers: list[Callable[[bool, int, int, int | None], None]] = []
        self.code_handlers: list[tuple[int, int, Callable[[int], None]]] = []
        self.tables = memoryview(bytearray(PRIVATE_SIZE - TABLES_OFFSET))
        self._counting, self._stopping, self._left = counting, False, False
        self._handler: TrapHandler = _no_handler
        self._states = FakeStates()
        self.state: CpuState = self._states.new()

    @property
    def counting(self) -> bool:
        """As `set_counting` said last."""
        return self._counting

    def set_trap_handler(self, handler: TrapHandler) -> None:
        """Install the one trap handler."""
        self._handler = handler

    @property
    def state_format(self) -> str:
        """That of no other engine."""
        return "script"

    def answer_in_place(self, encoding: int, value: int | None = None) -> None:
        """Note it; the script goes on as it stands."""
        self.sites.append((self.state.pc, encoding, value))

    def trap_everywhere(self) -> None:
        """Forget the sites."""
        self.sites.clear()

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, limit: int = 0) -> RunEnd:
        """Play entries until one ends the run; InternalError when the script is used up before that."""
        if limit and not self._counting:
            raise InternalError("an instruction limit needs the counting mode")
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

    def _play(self, entry: Trap | AtCode | MemoryAccess | StopRequested) -> None:
        match entry:
            case Trap():
                self._deliver(entry)
            case AtCode(pc):
                self._reach(pc)
            case MemoryAccess(is_read, address, width, value):
                for handler in self.memory_handlers:
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
            self._settle()

    def _next(self) -> Entry:
        if not self.script:
            raise InternalError("the script of the fake engine is used up: end it with what ends the run")
        return self.script.popleft()

    def _deliver(self, trap: Trap) -> None:
        self._settle()
        for index, value in trap.regs.items():
            self.state.frame[index] = value
        if trap.pc is not None:
            self.state.frame[FRAME_PC] = trap.pc
        if trap.pstate is not None:
            self._states.set_pstate(self.state, trap.pstate)
        self._states.set_exception(self.state, trap.esr, trap.far, trap.target_el)
        if trap.hpfar:
            self._states.write_sysreg(self.state, by_name["HPFAR_EL2"].encoding, trap.hpfar)
        self._handler(trap.target_el, trap.esr, trap.far)
        self._settle()

    def _reach(self, pc: int) -> None:
        self.state.frame[FRAME_PC] = pc
        for begin, end, handler in self.code_handlers:
            if begin <= pc <= end:
                handler(pc)
        self._settle()

    def _settle(self) -> None:
        """What was changed in the frame is now in the CPU."""
        self.state.dirty_from, self.state.dirty_to = FRAME_SIZE, -1

    def leave(self) -> None:
        """Let `run` return when the handler has."""
        self.leaves += 1
        self._left = True

    def request_stop(self, *, wait: bool = True) -> None:  # noqa: ARG002
        """The present or next `run` returns STOPPED."""
        self._stopping = True

    def repeat_stop(self) -> bool:
        """It was heard."""
        return False

    def set_counting(self, counting: bool) -> None:
        """Note the mode."""
        self._counting = counting

    def count_instructions(self) -> None:
        """Allow limits; `instructions` is what a test sets it to."""
        self._counting = True

    def stop_at(self, instructions: int | None) -> None:
        """Note it; the script goes on as it stands."""
        self.stops.append(instructions)

    def on_count_read(self, reader: CountReader) -> None:
        """Note it in `count_reader`."""
        self.count_reader = reader

    # --- registers and states ---------------------------------------------------------------------------------

    def sysreg(self, name: str) -> int:
        """A system register of the loaded state by name; 0 if it was never written."""
        return self.read_sysreg(by_name[name].encoding)

    def read_sysreg(self, encoding: int) -> int:
        """A system register of the loaded state; 0 if it was never written."""
        return self._states.read_sysreg(self.state, encoding)

    def write_sysreg(self, encoding: int, value: int) -> None:
        """Write one in the loaded state, and note it in `written`."""
        self.written.append((register_name(encoding), value))
        self._states.write_sysreg(self.state, encoding, value)

    def read_cpacr(self) -> int:
        """CPACR_EL1 of the loaded state."""
        return self.sysreg("CPACR_EL1")

    def write_cpacr(self, value: int) -> None:
        """Write CPACR_EL1, and note it in `written`."""
        self.write_sysreg(by_name["CPACR_EL1"].encoding, value)

    def enter_exception(
        self, target_el: int, *, elr: int, spsr: int, esr: int | None, far: int | None, pstate: int, pc: int
    ) -> None:
        """Do it to the loaded state, for any target EL, and note it in `entered`."""
        self.entered.append(ExceptionEntry(target_el, elr, spsr, esr, far, pstate, pc))
        for name, value in (("ELR", elr), ("SPSR", spsr), ("ESR", esr), ("FAR", far)):
            if value is not None:
                self._states.write_sysreg(self.state, by_name[f"{name}_EL{target_el}"].encoding, value)
        old_bank = el(spsr) if uses_spx(spsr) else 0
        self._states.set_sp_el(self.state, old_bank, self.state.frame[FRAME_SP])
        self.state.frame[FRAME_SP] = self.state.sp_el(target_el)
        self.state.frame[FRAME_PC] = pc
        self._states.set_pstate(self.state, pstate)

    def new_state(self) -> CpuState:
        """A state for another vCPU, as after reset."""
        return self._states.new()

    def reset_state(self, state: CpuState) -> None:
        """Put a state back to what it is after reset."""
        self._states.reset(state)

    def load(self, state: CpuState) -> None:
        """Make `state` the running one."""
        self.state = state

    def store(self) -> None:
        """States here are always up to date."""
        self._settle()

    # --- memory -----------------------------------------------------------------------------------------------

    def on_code(self, begin: int, end: int, handler: Callable[[int], None]) -> None:
        """Note it in `code_handlers`, for `AtCode`."""
        self.code_handlers.append((begin, end, handler))

    def on_memory(self, handler: Callable[[bool, int, int, int | None], None]) -> None:
        """Note it in `memory_handlers`, for `MemoryAccess`."""
        self.memory_handlers.append(handler)

    def on_timer_write(self, listener: TimerListener) -> None:
        """Note it in `timer_listener`."""
        self.timer_listener = listener

    def on_sctlr_write(self, listener: SctlrListener) -> None:
        """Note it in `sctlr_listeners`."""
        self.sctlr_listeners.append(listener)

    def on_debug_write(self, listener: DebugListener) -> None:
        """Note it in `debug_listener`."""
        self.debug_listener = listener

    def watch_translation(self, wanted: bool) -> None:
        """Nothing translates here."""

    def invalidate_code(self) -> None:
        """Count it."""
        self.code_invalidations += 1

    def invalidate_instruction_cache(self, address: int | None = None) -> None:
        """Note it in `cache_invalidations`."""
        self.cache_invalidations.append(address)

    def flush_tlb(self) -> None:
        """Count it."""
        self.tlb_flushes += 1

    def close(self) -> None:
        """Note it."""
        self.closed = True


def _no_handler(target_el: int, esr: int, _far: int) -> None:
    raise InternalError(f"no trap handler is installed (target EL{target_el}, ESR {esr:#x})")
