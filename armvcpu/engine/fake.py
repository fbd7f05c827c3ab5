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
from armvcpu.engine.fake_script import AtCode, Entry, ExceptionEntry, IoRegion, LimitReached, StopRequested, Trap
from armvcpu.engine.fake_state import FakeStates
from armvcpu.engine.state import FRAME_PC, FRAME_SIZE, FRAME_SP, CpuState
from armvcpu.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from armvcpu.engine.api import IoRead, IoWrite, TrapHandler

__all__ = ["AtCode", "Entry", "ExceptionEntry", "IoRegion", "LimitReached", "ScriptedEngine", "StopRequested", "Trap"]


class ScriptedEngine:
    """An `armvcpu.engine.api.Engine` that plays `script`, and notes what is done to it in its public attributes."""

    def __init__(self, script: Iterable[Entry] = (), *, counting: bool = False) -> None:
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
        self.code_handlers: list[tuple[int, int, Callable[[int], None]]] = []
        self.ram: dict[int, memoryview] = {}
        self.io: dict[int, IoRegion] = {}
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

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, limit: int = 0) -> RunEnd:
        """Play entries until one ends the run; InternalError when the script is used up before that."""
        if limit and not self._counting:
            raise InternalError("an instruction limit needs the counting mode")
        self.limits.append(limit)
        self._left = False
        while not self._stopping:
            match self._next():
                case Trap() as trap:
                    self._deliver(trap)
                    if self._left:
                        return RunEnd.LEFT
                case AtCode(pc):
                    self._reach(pc)
                    if self._left:
                        return RunEnd.LEFT
                case StopRequested():
                    self._stopping = True
                case LimitReached():
                    return RunEnd.LIMIT
        self._stopping = False
        return RunEnd.STOPPED

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

    def request_stop(self) -> None:
        """The present or next `run` returns STOPPED."""
        self._stopping = True

    def set_counting(self, counting: bool) -> None:
        """Note the mode."""
        self._counting = counting

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

    def map_ram(self, address: int, memory: memoryview) -> None:
        """Note it in `ram`."""
        self.ram[address] = memory

    def map_io(self, address: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Note it in `io`."""
        self.io[address] = IoRegion(size, read, write)

    def unmap(self, address: int, size: int) -> None:
        """Remove what was mapped at `address`."""
        if self.ram.pop(address, None) is None and self.io.pop(address, None) is None:
            raise InternalError(f"nothing is mapped at {address:#x} ({size:#x} bytes)")

    def io_read(self, address: int, width: int) -> int:
        """What a guest's load of `width` bytes from a device at this physical address gets."""
        base, region = self._io_at(address)
        return region.read(address - base, width)

    def io_write(self, address: int, width: int, value: int) -> None:
        """A guest's store of `width` bytes to a device at this physical address."""
        base, region = self._io_at(address)
        region.write(address - base, width, value)

    def _io_at(self, address: int) -> tuple[int, IoRegion]:
        for base, region in self.io.items():
            if base <= address < base + region.size:
                return base, region
        raise InternalError(f"no device is mapped at {address:#x}")

    def translate(self, address: int) -> int | None:
        """The address itself where RAM is mapped: the fake guest's MMU is off."""
        return None if self.read_virtual(address, 1) is None else address

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """Bytes of one RAM region, or None."""
        for base, memory in self.ram.items():
            if base <= address and address + size <= base + len(memory):
                return bytes(memory[address - base : address - base + size])
        return None

    def fetch_word(self, address: int) -> int | None:
        """The word in RAM at an aligned address, or None."""
        data = self.read_virtual(address, 4) if address % 4 == 0 else None
        return None if data is None else int.from_bytes(data, "little")

    def on_code(self, begin: int, end: int, handler: Callable[[int], None]) -> None:
        """Note it in `code_handlers`, for `AtCode`."""
        self.code_handlers.append((begin, end, handler))

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
