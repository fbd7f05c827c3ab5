"""The engine on Unicorn: one `uc_engine` is one physical CPU, with EL2 under the control of Python.

The only file with a run loop around `uc_emu_start`. A trap costs one call from C (0.3 µs), one copy of the
registers (0.5 µs) and one batch of writes (0.5 µs); no Python object is made on the way but the handler's own.
The guest runs at Non-secure EL1 and EL0 under a real HCR_EL2, so traps arrive with the architecture's syndrome.
docs/engine.md tells what Unicorn leaves to us and why.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import mmap
import threading
import time
from typing import TYPE_CHECKING

from armvcpu.arch.registers import op
from armvcpu.engine import priming
from armvcpu.engine.api import PRIVATE_BASE, PRIVATE_SIZE, TABLES_OFFSET, RunEnd
from armvcpu.engine.block_counter import LONGEST_BLOCK, NO_LIMIT, BlockCounter
from armvcpu.engine.calibration import calibrate
from armvcpu.engine.counter_reads import CounterReads
from armvcpu.engine.fp_trap import CPACR_EL1, FpTrap
from armvcpu.engine.instruction_cache import InstructionCache
from armvcpu.engine.library import INTR_CALLBACK, NEVER, library
from armvcpu.engine.memory import EngineMemory
from armvcpu.engine.msr_hook import MsrHook
from armvcpu.engine.registers import Registers
from armvcpu.engine.repair import repair_syndrome
from armvcpu.engine.sites import Sites
from armvcpu.engine.state import FRAME_PC, FRAME_SIZE, CpuState
from armvcpu.engine.virtual import VirtualMemory
from armvcpu.engine.watching import Watching
from armvcpu.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import IoRead, IoWrite, TrapHandler
    from armvcpu.engine.counter_reads import CountReader
    from armvcpu.engine.msr_hook import SctlrListener, TimerListener

SCR_EL3 = op(3, 6, 1, 1, 0)
SCR_NON_SECURE = 0x531  # NS, RES1, HCE, RW; SMD stays clear, or HVC and SMC are UNDEFINED (DDI 0487 D17.2.117)
MDCR_EL2, MDSCR_EL1 = op(3, 4, 1, 1, 1), op(2, 0, 0, 2, 2)
MDCR_TDE, MDSCR_SS, PSTATE_SS = 1 << 8, 1, 1 << 21
PSTATE_EL1H_MASKED = 0x3C5
_EXTERNAL_ABORT_IFSC = 0x10
_EC_SOFTSTEP_LOWER = 0x32
_IL, _EC_1 = 1 << 25, 1 << 26
_STOP_AGAIN = 0.001


class UnicornEngine:
    """One physical CPU on Unicorn; see `armvcpu.engine.api.Engine` for what each method promises."""

    def __init__(self) -> None:
        self._lib = lib = library()
        quick = lib.quick
        pointer = C.c_void_p()
        lib.check(quick.uc_open(lib.const.UC_ARCH_ARM64, lib.const.UC_MODE_ARM, C.byref(pointer)), "uc_open")
        assert pointer.value is not None
        self._handle = handle = pointer.value
        lib.control(handle, lib.const.UC_CTL_CPU_MODEL, C.c_int(lib.reg.UC_CPU_ARM64_MAX))
        lib.control(handle, lib.const.UC_CTL_UC_PAGE_SIZE, C.c_uint32(4096))
        self._save, self._stop, self._start = quick.uc_context_save, quick.uc_emu_stop, lib.blocking.uc_emu_start
        self.memory = EngineMemory(lib, handle, self._fail)
        self.virtual = VirtualMemory(lib, handle, self.memory)
        private = memoryview(mmap.mmap(-1, PRIVATE_SIZE))
        self.memory.map_ram(PRIVATE_BASE, private)
        self._scratch, self.tables = private[:TABLES_OFFSET], private[TABLES_OFFSET:]
        tables = priming.scratch_tables(PRIVATE_BASE)
        self._scratch[priming.L1_OFFSET : priming.L1_OFFSET + len(tables)] = tables
        self.registers = Registers(lib, handle)
        self.instruction_cache = InstructionCache(lib, handle, self.registers, self.virtual)
        self._handler: TrapHandler = _no_handler
        self._failure: BaseException | None = None
        self._left = self._stopping = self._stepping = self._closed = False
        self.changing_mode = False
        self._stale = True  # has the CPU moved on since `state` was saved?
        self.counting = True  # as Unicorn starts
        self._counter = BlockCounter(lib, handle)
        self._watching = Watching(self, lib, handle, self._fail)
        self._runner: int | None = None
        self._stop_lock = threading.RLock()
        self._set_up_el2()
        self._layout = calibrate(lib, handle, self.registers, self._scratch)
        reset = self._allocate_state()
        self.state = reset
        self._install_trap_hook()
        self._msr_hook = MsrHook(lib, handle, self.registers, self._counter, self._fail)
        self.sites = Sites(lib, handle, self.registers, self.instruction_cache, self._fail)
        self.fp_trap = FpTrap(self, lib, handle, self._fail)
        self._reset_registers()
        self.store()
        self._reset_state, self._mode_state = reset, self._allocate_state()
        self.state = self.new_state()
        self.set_counting(False)

    # --- construction -----------------------------------------------------------------------------------------

    def _set_up_el2(self) -> None:
        """Leave Secure EL1, where Unicorn starts, for Non-secure EL1 with AArch64 below EL2."""
        self.registers.write_sysreg(SCR_EL3, SCR_NON_SECURE)
        self.registers.write_sysreg(priming.HCR_EL2, priming.HCR_RW)
        self.registers.write_pstate(PSTATE_EL1H_MASKED)

    def _reset_registers(self) -> None:
        for index in range(31):
            self.registers.write(getattr(self._lib.reg, f"UC_ARM64_REG_X{index}"), 0)
        for el in (0, 1):
            self.registers.write_sysreg(op(3, 4 * el, 4, 1, 0), 0)
        self.registers.write(self._lib.reg.UC_ARM64_REG_SP, 0)
        for encoding in (op(3, 0, 1, 0, 0), op(3, 0, 12, 0, 0), op(3, 4, 6, 0, 4)):
            self.registers.write_sysreg(encoding, 0x30D0_0800 if encoding == op(3, 0, 1, 0, 0) else 0)
        self.registers.write_pstate(PSTATE_EL1H_MASKED)

    def _allocate_state(self) -> CpuState:
        """A context is a header and registers, with no tie to this engine: in memory of ours it may outlive it."""
        pointer = C.c_void_p()
        self._lib.check(self._lib.quick.uc_context_alloc(self._handle, C.byref(pointer)), "uc_context_alloc")
        size = self._layout.size
        memory = C.create_string_buffer(C.string_at(pointer.value or 0, size), size)
        self._lib.quick.uc_context_free(pointer)
        return CpuState(self._layout, memory)

    # --- traps ------------------------------------------------------------------------------------------------

    def _install_trap_hook(self) -> None:
        handle, save, lib, counter = self._handle, self._save, self._lib, self._counter
        write_back = self.registers.write_back

        def hook(_uc: int, _number: int, _data: int) -> None:
            state = self.state
            save(handle, state.address)
            try:
                self._stale = False
                words, at = state.words, state.exception_at
                syndrome, far, target = words[at] & 0xFFFF_FFFF, words[at + 1], words[at + 2] & 0xFFFF_FFFF
                if counter.active:
                    counter.trapped(state.frame[FRAME_PC], syndrome)
                if self._stepping and syndrome >> 26 == _EC_SOFTSTEP_LOWER:
                    self.leave()
                    return
                if syndrome < _EC_1 or not syndrome & _IL:
                    syndrome, target = repair_syndrome(self, syndrome, target)
                    if not syndrome:
                        return
                self._handler(target, syndrome, far)
                if state.dirty_to >= 0:
                    write_back(state)
                if not self._left:
                    self._stale = True
            except BaseException as failure:  # it must not pass through C; `run` raises it again
                self._fail(failure)

        self._trap_callback = INTR_CALLBACK(hook)
        lib.add_hook(handle, lib.const.UC_HOOK_INTR, self._trap_callback)

    def set_trap_handler(self, handler: TrapHandler) -> None:
        """Install the one trap handler."""
        self._handler = handler

    def answer_in_place(self, encoding: int, value: int | None = None) -> None:
        """In a trap from EL1: make the instruction at PC a site."""
        self.sites.add(self.state.pc, encoding, value)

    def trap_everywhere(self) -> None:
        """No sites any more."""
        self.sites.clear()
        self.invalidate_code()

    def _fail(self, failure: BaseException) -> None:
        """Keep an exception raised in a callback until `run` can raise it."""
        if self._failure is None:
            self._failure = failure
        self.leave()

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, limit: int = 0) -> RunEnd:
        """Run until the handler leaves, a stop is requested, or `limit` instructions are done."""
        if limit and not self.counting:
            return self._run_exactly(limit)
        state = self.state
        if state.dirty_to >= 0:
            self.registers.write_back(state)
        if self.memory.code_is_stale:
            self.memory.drain()
        self.fp_trap.drain()
        self.instruction_cache.forget()
        self._left = False
        self._runner = threading.get_ident()
        try:
            return self._run(state, limit)
        finally:
            self._runner = None

    def _run(self, state: CpuState, limit: int) -> RunEnd:
        while not self._stopping:
            self._stale = True
            error = self._start(self._handle, state.frame[FRAME_PC], NEVER, 0, limit)
            if self.fp_trap.pending:
                self.fp_trap.drain()
            if self._stale:
                self._save(self._handle, state.address)
            if self._counter.active:
                self._counter.finish(state.frame[FRAME_PC])
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if error:
                self._engine_error(error)
            if self._has_left():
                return RunEnd.LEFT
            if limit and not error:
                return RunEnd.LIMIT  # a stop that was requested meanwhile ends the next run before it starts
            if self._counter.is_at_limit:
                return RunEnd.STOPPED
        with self._stop_lock:
            self._stopping = False
        return RunEnd.STOPPED

    def _run_exactly(self, limit: int) -> RunEnd:
        """Promptly up to the last block or two, and the rest in the counting mode."""
        counter = self._counter
        if not counter.active:
            raise InternalError("an instruction limit needs the counting mode, or count_instructions")
        target = counter.instructions + limit
        if limit > LONGEST_BLOCK:
            counter.bound(target - LONGEST_BLOCK)
            try:
                end = self.run()
            finally:
                counter.bound(NO_LIMIT)
            if end is RunEnd.LEFT or counter.instructions < target - LONGEST_BLOCK or counter.is_at_stop:
                return end
        counter.bound(0)
        self.set_counting(True)
        try:
            end = self.run(target - counter.instructions)
        finally:
            self.set_counting(False)
            counter.bound(NO_LIMIT)
        if end is RunEnd.LIMIT:
            counter.set(target)
        return end

    def _has_left(self) -> bool:
        return self._left

    def _engine_error(self, error: int) -> None:
        """Unicorn gave up: a fetch from a device is the guest's external abort, all else a bug of ours."""
        if error != self._lib.const.UC_ERR_FETCH_PROT:
            self._lib.check(error, f"uc_emu_start at PC {self.state.pc:#x}")
        ec = 0x21 if self.state.pstate & 0xC else 0x20
        self._handler(1, ec << 26 | 1 << 25 | _EXTERNAL_ABORT_IFSC, self.state.pc)
        if self.state.dirty_to >= 0:
            self.registers.write_back(self.state)

    def step(self) -> None:
        """Run one instruction under software step from EL2 (DDI 0487 D2.12): EC 0x32, or its own exception."""
        registers = self.registers
        mdcr, mdscr = registers.read_sysreg(MDCR_EL2), registers.read_sysreg(MDSCR_EL1)
        pstate = self.state.pstate
        registers.write_sysreg(MDCR_EL2, mdcr | MDCR_TDE)
        registers.write_sysreg(MDSCR_EL1, mdscr | MDSCR_SS)
        registers.write_pstate(pstate | PSTATE_SS)
        self._stepping = True
        try:
            self.run()
        finally:
            self._stepping = False
            self.store()
            registers.write_sysreg(MDCR_EL2, mdcr)
            registers.write_sysreg(MDSCR_EL1, mdscr)
            registers.write_pstate(self.state.pstate & ~PSTATE_SS)
            self.store()

    def leave(self) -> None:
        """In a callback: let `run` return."""
        self._left = True
        if self._counter.is_in_block and not self.counting:
            self._counter.stop_now()
        else:
            self._stop(self._handle)

    def request_stop(self) -> None:
        """From any thread. A stop that comes just before `uc_emu_start` is lost, so it is repeated until taken."""
        self._stopping = True
        if self.counting:
            return
        taken = not self._stop_once()
        while not taken and self._runner not in {None, threading.get_ident()}:
            time.sleep(_STOP_AGAIN)
            taken = not self._stop_once()

    def _stop_once(self) -> bool:
        """Stop, unless the request has been met meanwhile: a later run, or another engine here, must not hear of it."""
        with self._stop_lock:
            wanted = self._stopping and not self._closed
            if wanted and self._counter.active:
                self._counter.stop_now()
            elif wanted:
                self._stop(self._handle)
        return wanted

    def set_counting(self, counting: bool) -> None:
        """Change the mode by translating one Thumb instruction; see `priming`."""
        if counting == self.counting:
            return
        before, registers, executed = self.state, self.registers, self._counter.instructions
        registers.write_back(before) if before.dirty_to >= 0 else None
        self.store()
        code = priming.program(primed=not counting)
        self._scratch[: len(code)] = code
        self.state = self._mode_state  # the trap hook saves into it, so it can't be the reset state itself
        self.state.raw[:] = self._reset_state.raw
        self.fp_trap.pause()
        self._lib.check(self._lib.quick.uc_context_restore(self._handle, self.state.address), "uc_context_restore")
        registers.write_sysreg(priming.SPSR_EL1, priming.AARCH32_USER_THUMB)
        registers.write_sysreg(op(3, 0, 4, 0, 1), priming.THUMB_ENTRY)
        registers.write_sysreg(priming.VTCR_EL2, priming.VTCR_39_BITS)
        registers.write_sysreg(priming.VTTBR_EL2, PRIVATE_BASE + priming.L1_OFFSET)
        registers.write_sysreg(priming.HCR_EL2, priming.HCR_RW | priming.HCR_VM)
        registers.write_pstate(PSTATE_EL1H_MASKED)
        handler, self._handler = self._handler, lambda *_: self.leave()
        try:
            self._left, self.changing_mode = False, True
            self._lib.control(self._handle, self._lib.const.UC_CTL_TB_FLUSH)
            self._start(self._handle, 0, NEVER, 0, 0)
            while not self._left and self._failure is None:  # a stop that was meant for an earlier run
                self._start(self._handle, registers.read(self._lib.reg.UC_ARM64_REG_PC), NEVER, 0, 0)
        finally:
            self._handler, self._left, self.changing_mode = handler, False, False
            self._lib.control(self._handle, self._lib.const.UC_CTL_TB_FLUSH)
            self.load(before)
            self._counter.set(executed)
        self.counting = counting

    # --- counting ---------------------------------------------------------------------------------------------

    def count_instructions(self) -> None:
        """Count from now on; see `block_counter`."""
        if not self._counter.active:
            self._counter.start()
            self.invalidate_code()

    @property
    def instructions(self) -> int:
        """How many were executed since counting began."""
        return self._counter.instructions

    @instructions.setter
    def instructions(self, value: int) -> None:
        self._counter.set(value)

    def stop_at(self, instructions: int | None) -> None:
        """Have runs end at the first block after the count; None: not."""
        self._counter.stop_at(NO_LIMIT if instructions is None else instructions)

    def on_count_read(self, reader: CountReader) -> None:
        """Have `reader` answer for the counts of the Generic Timer."""
        self._counter_reads = CounterReads(self._lib, self._handle, self.registers, reader, self._counter, self._fail)
        self.invalidate_code()

    # --- registers and states ---------------------------------------------------------------------------------

    def read_sysreg(self, encoding: int) -> int:
        """A system register of the loaded state."""
        if encoding == CPACR_EL1:
            return self.fp_trap.read_cpacr()
        return self.registers.read_sysreg(encoding)

    def write_sysreg(self, encoding: int, value: int) -> None:
        """Write a system register of the loaded state."""
        self._stale = True
        if encoding == CPACR_EL1:
            self.fp_trap.write_cpacr(value)
            return
        self.registers.write_sysreg(encoding, value)

    def read_cpacr(self) -> int:
        """CPACR_EL1 as the guest wrote it."""
        return self.fp_trap.read_cpacr()

    def write_cpacr(self, value: int) -> None:
        """Write CPACR_EL1 for the guest; FPEN takes effect through `fp_trap`."""
        self.fp_trap.write_cpacr(value)

    def enter_exception(
        self, target_el: int, *, elr: int, spsr: int, esr: int | None, far: int | None, pstate: int, pc: int
    ) -> None:
        """Write the registers of an exception entry; the guest's own levels end at EL1 for now."""
        if target_el != 1:
            raise InternalError(f"exception entry to EL{target_el}: the guest starts at EL1")
        state = self.state
        if state.dirty_to >= 0:
            self.registers.write_back(state)
        self._stale = True
        self.registers.enter_el1(state, elr, spsr, esr, far, pstate, pc)

    def new_state(self) -> CpuState:
        """A state as after reset."""
        state = self._allocate_state()
        state.raw[:] = self._reset_state.raw
        return state

    @property
    def state_format(self) -> str:
        """Two engines with the same format can load each other's states, also in another process."""
        return f"unicorn {self._layout}"

    def reset_state(self, state: CpuState) -> None:
        """Put a state back to what it is after reset; the loaded one is loaded again."""
        state.raw[:] = self._reset_state.raw
        state.dirty_from, state.dirty_to = FRAME_SIZE, -1
        if state is self.state:
            self.load(state)

    def load(self, state: CpuState) -> None:
        """Make `state` the running one. HCR_EL2 is written again: the pending vIRQ is no part of a context."""
        self.state = state
        self._lib.check(self._lib.quick.uc_context_restore(self._handle, state.address), "uc_context_restore")
        self.registers.write_sysreg(priming.HCR_EL2, self.registers.read_sysreg(priming.HCR_EL2))
        self.flush_tlb()
        self.fp_trap.reloaded()

    def store(self) -> None:
        """Bring `state` up to date; changes of its frame that were not written back yet are written first."""
        if self.state.dirty_to >= 0:
            self.registers.write_back(self.state)
        self._lib.check(self._save(self._handle, self.state.address), "uc_context_save")

    def store_at(self, pc: int) -> None:
        """In a code hook: bring `state` up to date; the CPU's own PC is that of the block."""
        self._save(self._handle, self.state.address)
        self.state.frame[FRAME_PC] = pc

    # --- memory -----------------------------------------------------------------------------------------------

    def map_ram(self, address: int, memory: memoryview) -> None:
        """Put host memory at a physical address."""
        self.memory.map_ram(address, memory)

    def map_io(self, address: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Put a device at a physical address."""
        self.memory.map_io(address, size, read, write)

    def unmap(self, address: int, size: int) -> None:
        """Take a region away."""
        self.memory.unmap(address, size)

    def invalidate_code(self) -> None:
        """Forget translated code at the next `run`."""
        self.memory.code_is_stale = True

    def invalidate_instruction_cache(self, address: int | None = None) -> None:
        """IC IVAU, or IC IALLU, in a trap: translated code goes at once."""
        if address is None:
            self.instruction_cache.invalidate_all()
        else:
            self.instruction_cache.invalidate(address)

    def flush_tlb(self) -> None:
        """Forget translations."""
        self._lib.control(self._handle, self._lib.const.UC_CTL_TLB_FLUSH)

    def translate(self, address: int) -> int | None:
        """The physical address behind a virtual one."""
        return self.virtual.translate(address)

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """Memory by virtual address."""
        return self.virtual.read(address, size)

    def fetch_word(self, address: int) -> int | None:
        """The instruction word at a virtual address."""
        return self.virtual.fetch_word(address)

    def on_code(self, begin: int, end: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with the PC before each instruction from `begin` to `end`, both included."""
        self._watching.on_code(begin, end, handler)

    def on_timer_write(self, listener: TimerListener) -> None:
        """Have `listener` keep the guest's timers; until then CTL and CVAL are only stored."""
        self._msr_hook.timers = listener

    def on_sctlr_write(self, listener: SctlrListener) -> None:
        """Call `listener` with each value that the guest writes to SCTLR_EL1; what it gives is written."""
        self._msr_hook.listen_to_sctlr(listener)

    def on_memory(self, handler: Callable[[bool, int, int, int | None], None]) -> None:
        """Call `handler` on each access: is a read, virtual address, width, the value of a write."""
        self._watching.on_memory(handler)

    def close(self) -> None:
        """Free the engine."""
        if not self._closed:
            with self._stop_lock:
                self._closed = True
            self._lib.quick.uc_close(self._handle)


def _no_handler(target: int, syndrome: int, _far: int) -> None:
    raise InternalError(f"no trap handler is installed (target EL{target}, ESR {syndrome:#x})")
