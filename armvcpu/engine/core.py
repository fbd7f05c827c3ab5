"""A physical CPU on Unicorn: its handle, registers and states, memory, and hooks. `UnicornEngine` runs it."""

from __future__ import annotations

import ctypes as C  # noqa: N812
import mmap
from typing import TYPE_CHECKING

from armvcpu.arch.registers import op
from armvcpu.engine import priming
from armvcpu.engine.api import PRIVATE_BASE, PRIVATE_SIZE, TABLES_OFFSET
from armvcpu.engine.block_counter import NO_LIMIT, BlockCounter
from armvcpu.engine.calibration import calibrate
from armvcpu.engine.counter_reads import CounterReads
from armvcpu.engine.fp_trap import CPACR_EL1, FpTrap
from armvcpu.engine.instruction_cache import InstructionCache
from armvcpu.engine.library import library
from armvcpu.engine.memory import EngineMemory
from armvcpu.engine.msr_hook import MsrHook
from armvcpu.engine.registers import Registers
from armvcpu.engine.sites import Sites
from armvcpu.engine.state import FRAME_PC, FRAME_SIZE, CpuState
from armvcpu.engine.virtual import VirtualMemory
from armvcpu.engine.watching import Watching
from armvcpu.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import IoRead, IoWrite
    from armvcpu.engine.counter_reads import CountReader
    from armvcpu.engine.msr_hook import DebugListener, SctlrListener, TimerListener

SCR_EL3 = op(3, 6, 1, 1, 0)
SCR_NON_SECURE = 0x531  # NS, RES1, HCE, RW; SMD stays clear, or HVC and SMC are UNDEFINED (DDI 0487 D17.2.117)
PSTATE_EL1H_MASKED = 0x3C5


class EngineCore:
    """See `armvcpu.engine.api.Engine` for what each method promises."""

    def __init__(self) -> None:
        self._lib = lib = library()
        quick = lib.quick
        pointer = C.c_void_p()
        lib.check(quick.uc_open(lib.const.UC_ARCH_ARM64, lib.const.UC_MODE_ARM, C.byref(pointer)), "uc_open")
        assert pointer.value is not None
        self._handle = handle = pointer.value
        lib.control(handle, lib.const.UC_CTL_CPU_MODEL, C.c_int(lib.reg.UC_CPU_ARM64_MAX))
        lib.control(handle, lib.const.UC_CTL_UC_PAGE_SIZE, C.c_uint32(4096))
        self._save = quick.uc_context_save
        self.memory = EngineMemory(lib, handle, self._fail)
        self.virtual = VirtualMemory(lib, handle, self.memory)
        private = memoryview(mmap.mmap(-1, PRIVATE_SIZE))
        self.memory.map_ram(PRIVATE_BASE, private)
        self._scratch, self.tables = private[:TABLES_OFFSET], private[TABLES_OFFSET:]
        tables = priming.scratch_tables(PRIVATE_BASE)
        self._scratch[priming.L1_OFFSET : priming.L1_OFFSET + len(tables)] = tables
        self.registers = Registers(lib, handle)
        self.instruction_cache = InstructionCache(lib, handle, self.registers, self.virtual)
        self.changing_mode = False
        """Does code of the engine's own run?"""
        self._failure: BaseException | None = None
        self._stale = True  # has the CPU moved on since `state` was saved?
        self._counter = BlockCounter(lib, handle)
        self._watching = Watching(self, lib, handle, self._fail)
        self._set_up_el2()
        self._layout = calibrate(lib, handle, self.registers, self._scratch)
        self.state = self._reset_state = self._allocate_state()
        self._msr_hook = MsrHook(lib, handle, self.registers, self._counter, self._fail)
        self.sites = Sites(lib, handle, self.registers, self.instruction_cache, self._fail)
        self.fp_trap = FpTrap(self, lib, handle, self._fail)
        self._reset_registers()
        self.store()

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

    def leave(self) -> None:
        """In a callback: let the run end."""
        raise NotImplementedError

    def _fail(self, failure: BaseException) -> None:
        """Keep an exception raised in a callback until `run` can raise it."""
        if self._failure is None:
            self._failure = failure
        self.leave()

    def answer_in_place(self, encoding: int, value: int | None = None) -> None:
        """In a trap from EL1: make the instruction at PC a site."""
        self.sites.add(self.state.pc, encoding, value)

    def trap_everywhere(self) -> None:
        """No sites any more."""
        self.sites.clear()
        self.invalidate_code()

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

    def on_debug_write(self, listener: DebugListener) -> None:
        """Call `listener` before the guest, at EL1, writes MDSCR_EL1 or a watchpoint register."""
        self._msr_hook.listen_to_debug(listener)

    def watch_translation(self, wanted: bool) -> None:
        """Is that listener to hear of writes of TTBR0_EL1 too?"""
        self._msr_hook.want_ttbr0(wanted)

    def on_memory(self, handler: Callable[[bool, int, int, int | None], None]) -> None:
        """Call `handler` on each access: is a read, virtual address, width, the value of a write."""
        self._watching.on_memory(handler)
