"""The engine on Unicorn: one `uc_engine` is one physical CPU, with EL2 under the control of Python.

The guest runs at Non-secure EL1 and EL0 under a real HCR_EL2, so traps arrive with the architecture's syndrome; what it
takes itself, the shim enters (shim/traps.c). docs/engine.md tells what Unicorn leaves to us and why.
"""

from __future__ import annotations

import ctypes as C

from armvcpu.arch.registers import op
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine import native
from armvcpu.engine.api import LOOP_LIMIT, STORM_LIMIT, Fault, LastException, RunEnd, StateCopy
from armvcpu.engine.code import Code
from armvcpu.engine.handle import Handle, closed
from armvcpu.engine.library import (
    ERR_FETCH_PROT,
    ERR_FETCH_UNMAPPED,
    ERR_READ_UNMAPPED,
    ERR_WRITE_UNMAPPED,
    HOOK_INTR,
)
from armvcpu.engine.listen import Listen
from armvcpu.engine.memory import EngineMemory
from armvcpu.engine.native import COUNTING, EDGE, LEFT, LONGEST_BLOCK, RETURNS, YIELDED, YIELDS
from armvcpu.engine.records import BlockRecords
from armvcpu.engine.registers import SystemRegisters
from armvcpu.engine.samples import Samples
from armvcpu.engine.state import CpuState, Layout, Views
from armvcpu.errors import Unmodelled, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.api import EntryHandler, TrapHandler

_SCR_EL3, _HCR_EL2 = op(3, 6, 1, 1, 0), op(3, 4, 1, 1, 0)
_SCTLR_EL1 = op(3, 0, 1, 0, 0)
_SCR_NON_SECURE = 0x531  # NS, RES1, HCE, RW; SMD stays clear, or HVC and SMC are UNDEFINED (DDI 0487 D17.2.117)
_HCR_RW = 1 << 31
_SCTLR_RESET = 0x30D0_0800
_PSTATE_AT_RESET = {1: 0x3C5, 2: 0x3C9, 3: 0x3CD}
"""By the level: its own stack pointer, all exceptions masked (DDI 0487 D1.4)."""
_EXTERNAL_ABORT = 1 << 25 | 0x10  # IL, IFSC
_IRQ, _FIQ, _VIRQ, _VFIQ = 2, 0x10, 0x40, 0x200
_NO_FAULTS = bytes(8 * (native.SHARED_WORDS - native.STORM))
ENDS = (RunEnd.LEFT, RunEnd.YIELDED, RunEnd.LIMIT, RunEnd.STOPPED)
"""`enum end` of shim/run.c; behind them come Unicorn's errors."""


class UnicornEngine:
    """One physical CPU on Unicorn; see `armvcpu.engine.api.Engine` for what each method promises."""

    def __init__(self) -> None:
        self._handle = handle = Handle()
        self._shim, self._unicorn = handle.shim, handle.unicorn
        self._go = self._shim.run
        self._edges: C.Array[C.c_char] | None = None
        self._compares: C.Array[C.c_char] | None = None
        self.memory, self.code = EngineMemory(handle), Code(handle)
        self.records = BlockRecords(handle, self.code)
        self.listen = Listen(handle, self.code, self.memory, lambda: self.state)
        self.registers = SystemRegisters(handle, self.code.invalidate)
        self.samples = Samples(handle, self.code.invalidate, self.memory.device_places)
        self._on_trap: TrapHandler = _no_handler
        self._on_entry: EntryHandler = _ignore
        self._on_cross: Callable[[], None] = _ignore
        handle.attach(
            {
                "trap": native.TRAP(self._trapped),
                "entered": native.ENTERED(self._entered),
                "crossed": native.CROSSED(self._crossed),
                "read": self.registers.on_read,
                "write": self.registers.on_write,
                "io_read": self.memory.io_read,
                "io_write": self.memory.io_write,
                "code": self.listen.on_code_reached,
                "probe": self.listen.probes.on_reached,
                "watched": self.listen.watches.on_access,
                "sample": self.samples.on_sample,
                "branch": self.listen.on_branch,
                "level": self.listen.on_level,
                "traced": self.records.on_traced,
            }
        )
        self._engine, self._shared = handle.engine, handle.shared
        self._unicorn.add_hook(handle.uc, HOOK_INTR, self._shim.trap, data=self._engine)
        self._layout = Layout(*self._shim.layout)
        self._env = self._views(handle.env)
        self._power_on = bytes(self._env.raw)
        self.highest = 1
        self._begin_at(1)
        self._resets = {1: bytes(self._env.raw)}
        self._stop = self._bound = self._pause = native.NEVER
        self._set_stop()
        self.state = self._own_state = self.new_state()
        self.state.look_at(self._env, self._give_up)

    def _begin_at(self, el: int) -> None:
        """Leave Secure EL1, where Unicorn starts, for a level: Non-secure ones with AArch64 below, EL3 as it comes."""
        self.registers.write(_SCR_EL3, _SCR_NON_SECURE if el < 3 else 0)  # its bits 4 and 5 are RES1, and read so
        self.registers.write(_HCR_EL2, _HCR_RW)
        self.registers.write(_SCTLR_EL1, _SCTLR_RESET)
        self.registers.write_pstate(_PSTATE_AT_RESET[el])

    def _reset(self, el: int) -> bytes:
        """The registers as after reset at a level."""
        found = self._resets.get(el)
        if found is None:
            before = bytes(self._env.raw)
            self._switch(None, self._power_on)
            self._begin_at(el)
            found = self._resets[el] = bytes(self._env.raw)
            self._switch(None, before)
        return found

    def _views(self, address: int) -> Views:
        memory = (C.c_char * self._layout.size).from_address(address)
        return Views(self._layout, memoryview(memory).cast("B"), address)

    # --- traps ------------------------------------------------------------------------------------------------

    def set_trap_handler(self, handler: TrapHandler, on_entry: EntryHandler | None = None) -> None:
        """Install the one trap handler, and who hears of exceptions that have been entered."""
        self._on_trap, self._on_entry = handler, on_entry or _ignore

    def _trapped(self, target: int, syndrome: int, far: int) -> None:
        try:
            self._on_trap(target, syndrome, far)
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)

    def _entered(self, _syndrome: int) -> None:
        try:
            self._on_entry()
        except BaseException as failure:
            self._handle.fail(failure)

    @property
    def highest(self) -> int:
        """The guest's highest level."""
        return int(self._shared[native.HIGHEST])

    @highest.setter
    def highest(self, el: int) -> None:
        self._shared[native.HIGHEST] = el

    def watch_el3(self, signalled: memoryview | None, on_cross: Callable[[], None]) -> None:
        """Call `on_cross` when EL3 is entered or left and the word at `signalled` has one of the bits 1 and 2."""
        self._on_cross = on_cross
        at = None if signalled is None else C.addressof(C.c_uint64.from_buffer(signalled))
        self._shim.watch_el3(self._engine, at)

    def _crossed(self) -> None:
        try:
            self._on_cross()
        except BaseException as failure:
            self._handle.fail(failure)

    def take_exception(self, esr: int, far: int = 0, *, el: int = 1, serror: bool = False) -> None:
        """Enter an exception: AArch64.TakeException, by the engine's own code."""
        self._shim.take_exception(self._engine, el, esr, far, serror)

    def take_external_abort(self, esr: int, far: int) -> None:
        """Enter one where SCR_EL3.EA and HCR_EL2.TEA have it."""
        self._shim.take_abort(self._engine, esr, far)

    @property
    def took_exception(self) -> bool:
        """Is there a last exception?"""
        return bool(self._shared[native.LAST_ESR])

    @property
    def last_exception(self) -> LastException:
        """The last one that was entered, by whomever."""
        words, mask = self._shared, 0xFFFF_FFFF_FFFF_FFFF
        return LastException(
            words[native.LAST_ESR], words[native.LAST_FAR] & mask, words[native.LAST_ELR] & mask, words[native.LAST_EL]
        )

    @property
    def is_endless(self) -> bool:
        """Have exceptions become a loop?"""
        return self._shared[native.STORM] >= STORM_LIMIT or self._shared[native.LOOP] >= LOOP_LIMIT

    @property
    def first_fault(self) -> Fault | None:
        """What the row of exceptions began with that the guest has not returned from."""
        number = self._shim.first_fault(self._engine)
        if number < 0:
            return None
        at = native.FAULTS + number * native.FAULT_WORDS
        return Fault(*(word & 0xFFFF_FFFF_FFFF_FFFF for word in self._shared[at : at + native.FAULT_WORDS]))

    @property
    def fault_history(self) -> bytes:
        """The words of faults.c."""
        return self._shared[native.STORM :].tobytes()

    @fault_history.setter
    def fault_history(self, history: bytes) -> None:
        self._shared[native.STORM :] = memoryview(history or _NO_FAULTS).cast("q")

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, limit: int = 0) -> RunEnd:
        """Run until the handler leaves, a stop is requested, or `limit` instructions are done."""
        if self.code.is_stale:
            self.code.drain()
        shared = self._shared
        shared[LEFT] = shared[YIELDED] = 0
        if limit:
            return self._run_exactly(limit)
        if self.rest and (end := self._finish_block()) is not RunEnd.LIMIT:
            return end
        end = self._run()
        return self._at_count() if end is RunEnd.LIMIT else end

    def _at_count(self) -> RunEnd:
        """Which of the two counts has been reached that end a run."""
        return RunEnd.PAUSED if self.instructions < self._stop else RunEnd.STOPPED

    def _run(self, *, exact: bool = False) -> RunEnd:
        """LIMIT is for a count that has been reached, and for the end of a block that was to be the last (`exact`)."""
        while (end := self._go(self._engine)) >= len(ENDS):
            self._engine_error(end - len(ENDS))
            if self._shared[LEFT]:  # whoever heard of the exception wants no more: a storm, say
                end = 0
                break
            if exact:
                return RunEnd.LIMIT
        if self._handle.failure is not None:
            failure, self._handle.failure = self._handle.failure, None
            raise failure
        return ENDS[end]

    def _run_exactly(self, limit: int) -> RunEnd:
        """As always up to the last block or two, and the rest in blocks of the length that is left."""
        self.count_instructions()
        self.code.drain()
        target = self.instructions + limit
        if self.rest and (end := self._finish_block(min(limit, LONGEST_BLOCK))) is not RunEnd.LIMIT:
            return end
        if target - self.instructions > LONGEST_BLOCK:
            end = self._run_to(target - LONGEST_BLOCK)
            if end is not RunEnd.LIMIT:
                return end
        while (left := target - self.instructions) > 0:
            if self.instructions >= min(self._stop, self._pause):
                return self._at_count()
            end = self._run_block(min(left, LONGEST_BLOCK))
            if end is not RunEnd.LIMIT:
                return end
        return RunEnd.LIMIT

    @property
    def rest(self) -> int:
        """How many instructions are left of the block in which the guest stands; 0 between two blocks."""
        return int(self._shim.rest(self._engine))

    @rest.setter
    def rest(self, instructions: int) -> None:
        self._shim.set_rest(self._engine, instructions)

    def _run_block(self, most: int) -> RunEnd:
        """One block of so many instructions at most."""
        self._shim.next_block(self._engine, most)
        return self._run(exact=True)

    def _finish_block(self, most: int = LONGEST_BLOCK) -> RunEnd:
        """The same, whatever has asked for a stop: that is for the run behind it."""
        is_stopped = self._shim.take_stop(self._engine)
        while (end := self._run_block(most)) is RunEnd.STOPPED:
            is_stopped = True
        if is_stopped:
            self.request_stop()
        return end

    def _run_to(self, instructions: int) -> RunEnd:
        """Up to the first block after a count, or what `stop_at` says, which a handler may change meanwhile."""
        self._bound = instructions
        self._set_stop()
        try:
            return self._run()
        finally:
            self._bound = native.NEVER
            self._set_stop()

    def _engine_error(self, error: int) -> None:
        """Unicorn gave up: a fetch from where no memory is, is the guest's external abort.

        Of a load or a store it does not say where the guest stands, so that nothing can be entered. Who keeps stage 2
        on, or a device behind each hole, never meets one. All else is a bug of ours.
        """
        if error in (ERR_READ_UNMAPPED, ERR_WRITE_UNMAPPED):
            raise Unmodelled(
                f"an access near PC {self.state.pc:#x} of a physical address with nothing behind it; keep stage 2 on, "
                "and its tables to what is mapped"
            )
        if error not in (ERR_FETCH_PROT, ERR_FETCH_UNMAPPED):
            self._unicorn.check(error, f"uc_emu_start at PC {self.state.pc:#x}")
        self.take_external_abort(0x20 << 26 | _EXTERNAL_ABORT, self.state.pc)

    def step(self) -> None:
        """Run one instruction, or take the exception that it causes; a stop is for the next run."""
        self.code.drain()
        self._shared[LEFT] = self._shared[YIELDED] = 0
        self._finish_block(1)

    def leave(self) -> None:
        """In a callback: let `run` return when it is over."""
        self._shared[LEFT] = self._shared[LEFT] or 1

    def request_stop(self) -> None:
        """From any thread."""
        if self._engine:
            self._shim.request_stop(self._engine)

    @property
    def yields(self) -> bool:
        """Do WFE and YIELD end a run?"""
        return bool(self._shared[YIELDS])

    @yields.setter
    def yields(self, wanted: bool) -> None:
        self._shared[YIELDS] = wanted

    def set_lines(self, *, irq: bool, fiq: bool) -> None:
        """The levels of the CPU's IRQ and FIQ inputs."""
        self._shim.set_lines(self._engine, (_IRQ if irq else 0) | (_FIQ if fiq else 0))

    def set_virtual_lines(self, *, irq: bool, fiq: bool) -> None:
        """The levels of the virtual IRQ and FIQ."""
        self._shim.set_virtual_lines(self._engine, (_VIRQ if irq else 0) | (_VFIQ if fiq else 0))

    @property
    def access_is_secure(self) -> bool:
        """Is the access under way a Secure one?"""
        return bool(self._shared[native.SECURE])

    def set_count_origin(self, origin: int) -> None:
        """Where the counts begin that are shown from there."""
        self._shim.set_count_origin(self._engine, origin)

    def look(self) -> bool:
        """In a callback of a device: bring `state` up to date, PC included."""
        return bool(self._shim.look(self._engine))

    def set_alarm(self, moment: int) -> bool:
        """Have a run end at a moment."""
        return bool(self._shim.alarm(self._engine, moment))

    def take_alarm(self) -> bool:
        """Has one ended so?"""
        return bool(self._shim.take_alarm(self._engine))

    # --- calls ------------------------------------------------------------------------------------------------

    def begin_call(self, pc: int, sp: int) -> bool:
        """The next run is over where a function returns to."""
        physical = self.memory.translate(pc)
        if physical is None:
            return False
        self._shim.call(self._engine, pc, physical, sp)
        return True

    def end_call(self) -> None:
        """It no longer is."""
        self._shared[RETURNS] = 0

    @property
    def has_returned(self) -> bool:
        """Is it over?"""
        return self._shared[RETURNS] > 1

    # --- counting ---------------------------------------------------------------------------------------------

    def count_edges(self, edges: memoryview | None, compares: memoryview | None = None) -> None:
        """Count in a map, or no more: all code is translated with it, or without."""
        self._edges = None if edges is None else (C.c_char * len(edges)).from_buffer(edges)
        self._compares = None if compares is None else (C.c_char * len(compares)).from_buffer(compares)
        self._shim.count_edges(self._engine, None if self._edges is None else C.addressof(self._edges))
        self._shim.log_compares(self._engine, None if self._compares is None else C.addressof(self._compares))
        self.code.invalidate()

    @property
    def counts_edges(self) -> bool:
        """Is there a map?"""
        return self._edges is not None

    def forget_edge(self) -> None:
        """Begin a path anew."""
        self._shared[EDGE] = 0

    def count_instructions(self) -> None:
        """Count from now on."""
        if not self._shared[COUNTING]:
            self._shared[COUNTING] = 1
            self.code.invalidate()

    @property
    def instructions(self) -> int:
        """How many were executed since counting began."""
        return int(self._shim.instructions(self._engine))

    @instructions.setter
    def instructions(self, value: int) -> None:
        self._shim.set_instructions(self._engine, value)

    def stop_at(self, instructions: int | None) -> None:
        """Have runs end at the first block after the count; None: not."""
        self._stop = native.NEVER if instructions is None else min(instructions, native.NEVER)
        self._set_stop()

    def pause_at(self, instructions: int | None) -> None:
        """Have runs end there with PAUSED; None: not."""
        self._pause = native.NEVER if instructions is None else min(instructions, native.NEVER)
        self._set_stop()

    @property
    def entries(self) -> int:
        """How many exceptions and interrupts have been entered."""
        return int(self._shared[native.ENTRIES])

    @entries.setter
    def entries(self, value: int) -> None:
        self._shared[native.ENTRIES] = value

    def _set_stop(self) -> None:
        self._shim.stop_at(self._engine, min(self._stop, self._bound, self._pause))

    # --- states -----------------------------------------------------------------------------------------------

    def new_state(self, el: int = 1) -> CpuState:
        """A state as after reset."""
        memory = C.create_string_buffer(self._reset(el), self._layout.size)
        views = Views(self._layout, memoryview(memory).cast("B"), C.addressof(memory))
        return CpuState(self._layout, views)

    def reset_state(self, state: CpuState, el: int = 1) -> None:
        """Put a state back to what it is after reset."""
        reset = self._reset(el)
        if state is self.state:
            self._switch(None, reset)
        else:
            state.raw[:] = reset

    def copy_state(self, state: CpuState, but: Sequence[int]) -> StateCopy | None:
        """All of it, with the places of those that are not meant."""
        fields = [self._shim.field(self._engine, encoding) for encoding in but]
        return None if -1 in fields else StateCopy(bytes(state.raw), (C.c_int64 * len(fields))(*fields))

    def put_state(self, state: CpuState, copy: StateCopy) -> None:
        """Put it back: what is derived from the registers is made anew."""
        if state is self.state:
            self._shim.put(self._engine, copy.raw, copy.but, len(copy.but))
        else:
            raw, now = bytearray(copy.raw), state.raw
            for at in copy.but:
                raw[at : at + 8] = now[at : at + 8]
            now[:] = raw

    def load(self, state: CpuState) -> None:
        """Make `state` the running one; the one before has its registers to itself again."""
        before = self.state
        if state is not before:
            state.settle()  # another engine may have it
            self._switch(before.own.address, state.own.address)
            before.look_at(before.own)
            state.look_at(self._env, self._give_up)
            self.state = state

    def _give_up(self) -> None:
        """The state that is loaded is wanted elsewhere."""
        self.load(self._own_state)

    def _switch(self, save: int | None, source: int | bytes) -> None:
        self._shim.switch(self._engine, save, source)

    def close(self) -> None:
        """Free the engine."""
        if self._engine:
            self.state.own.raw[:] = self._env.raw
            self.state.look_at(self.state.own)
            self._engine = 0
            self._handle.close()
            del self._shim, self._go, self._shared, self.registers
            self.__class__ = ClosedEngine


class ClosedEngine(UnicornEngine):
    """One that is closed; as `ClosedHandle`."""

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            """What `close` has taken away."""
            return closed(name)


def _no_handler(target: int, syndrome: int, _far: int) -> None:
    raise UsageError(f"no trap handler is installed (target EL{target}, ESR {syndrome:#x}): set_trap_handler() first")


def _ignore() -> None:
    """Nobody hears of exceptions."""
