"""What the layers above need of an engine: a small Protocol with two implementations, Unicorn's and a scripted one.

An engine is a physical CPU with EL2 under our control. It runs the guest at EL1 and EL0 until something is for
EL2, or is an exception that somebody must enter for it, and then calls its trap handler, inside the run. The
handler changes `state` and returns (the guest goes on at once), or calls `leave()` first (`run()` returns).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from armvcpu.engine.counter_reads import CountReader
    from armvcpu.engine.msr_hook import DebugListener, SctlrListener, TimerListener
    from armvcpu.engine.state import CpuState

TrapHandler = Callable[[int, int, int], None]
"""Called as handler(target EL, ESR of the exception, fault address). `state` holds the guest's registers;
`state.pc` is the preferred return address (ELR) that DDI 0487 gives for the exception."""

IoRead = Callable[[int, int], int]
"""read(offset, width in bytes) of a device region."""
IoWrite = Callable[[int, int, int], None]
"""write(offset, width in bytes, value) of a device region."""

PRIVATE_BASE = 0xF00_0000_0000
"""Physical address of EL2's own memory: above every guest address, inside the 44 bits of the engine's CPU."""
TABLES_OFFSET = 0x20_0000
"""Where in it the stage-2 tables may lie; below is the engine's own scratch."""
PRIVATE_SIZE = 0x200_0000


class RunEnd(Enum):
    """Why `Engine.run` returned."""

    LEFT = "the trap handler called leave()"
    STOPPED = "request_stop() was called, or the count of stop_at() reached"
    LIMIT = "the instruction limit was reached"


class Engine(Protocol):
    """One physical CPU. Not thread-safe, but for `request_stop`."""

    state: CpuState
    """The registers of the vCPU that is loaded, valid in a trap handler and after `run`."""
    tables: memoryview
    """EL2's memory for stage-2 tables, at PRIVATE_BASE + TABLES_OFFSET."""

    @property
    def counting(self) -> bool:
        """Does `run` obey exact instruction limits (and ignore asynchronous stops until one is reached)?"""
        ...

    def set_trap_handler(self, handler: TrapHandler) -> None:
        """Install the one trap handler."""
        ...

    def answer_in_place(self, encoding: int, value: int | None = None) -> None:
        """In a trap from EL1, a hint: the instruction at PC will come often, and needs no trap.

        An MRS of `encoding`, packed, reads the constant `value`; without one it is IC IVAU or DC CVAU.
        """
        ...

    def trap_everywhere(self) -> None:
        """Take `answer_in_place` back."""
        ...

    def run(self, limit: int = 0) -> RunEnd:
        """Run the loaded state; exactly `limit` instructions at most (0: no limit).

        A limit needs the counting mode or `count_instructions`.
        """
        ...

    def step(self) -> None:
        """Run exactly one instruction, or take the exception that it causes."""
        ...

    def leave(self) -> None:
        """In a trap handler: let `run` return when the handler has returned."""
        ...

    def request_stop(self, *, wait: bool = True) -> None:
        """From any thread: make `run` return soon; one made before the run starts is not lost.

        It returns once the run has heard it, or at once, where `wait` is false: then `repeat_stop` follows.
        """
        ...

    def repeat_stop(self) -> bool:
        """From any thread, a millisecond after a stop was requested: make it heard. Is this to be called again?"""
        ...

    def set_counting(self, counting: bool) -> None:
        """Change between the prompt mode and the counting mode; not while running."""
        ...

    def count_instructions(self) -> None:
        """Count what is executed from now on, also in the prompt mode; not while running."""
        ...

    @property
    def instructions(self) -> int:
        """How many were executed: exact but in callbacks of a device, where those of the present block are missing."""
        ...

    @instructions.setter
    def instructions(self, value: int) -> None: ...

    def stop_at(self, instructions: int | None) -> None:
        """Have runs end with STOPPED at the first block after the count, always the same one; None: not."""
        ...

    def on_count_read(self, reader: CountReader) -> None:
        """Have `reader` answer the guest's reads of the Generic Timer's counts, in place of the host's clock."""
        ...

    def read_sysreg(self, encoding: int) -> int:
        """A system register of the loaded state by its packed encoding."""
        ...

    def write_sysreg(self, encoding: int, value: int) -> None:
        """Write one; in a trap handler as outside."""
        ...

    def read_cpacr(self) -> int:
        """The guest's CPACR_EL1, whose accesses by the guest CPTR_EL2.TCPAC traps."""
        ...

    def write_cpacr(self, value: int) -> None:
        """Write it: FPEN decides at which levels FP and Advanced SIMD raise EC 0x07."""
        ...

    def enter_exception(
        self, target_el: int, *, elr: int, spsr: int, esr: int | None, far: int | None, pstate: int, pc: int
    ) -> None:
        """Write the registers of an exception entry in one go and select SP_ELx of `target_el`."""
        ...

    def new_state(self) -> CpuState:
        """A state for another vCPU, as after reset; any engine of the process can load it."""
        ...

    @property
    def state_format(self) -> str:
        """What the bytes of a state mean: engines with the same format can load each other's states."""
        ...

    def reset_state(self, state: CpuState) -> None:
        """Put a state back to what it is after reset."""
        ...

    def load(self, state: CpuState) -> None:
        """Make `state` the running one; the one before stays as it was at its last `store`."""
        ...

    def store(self) -> None:
        """Bring `state` up to date with the registers as they are (after register writes outside a run)."""
        ...

    def map_ram(self, address: int, memory: memoryview) -> None:
        """Put host memory at a physical address. Base and size are multiples of 4096 bytes."""
        ...

    def map_io(self, address: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Put a device at a physical address; its callbacks run inside the guest's access."""
        ...

    def unmap(self, address: int, size: int) -> None:
        """Take a region away; not while running."""
        ...

    def invalidate_code(self) -> None:
        """Forget translated code, after the host changed memory that the guest may execute; takes effect at `run`."""
        ...

    def invalidate_instruction_cache(self, address: int | None = None) -> None:
        """In a trap: forget code translated from the page of a virtual address, or all (IC IVAU, IC IALLU)."""
        ...

    def flush_tlb(self) -> None:
        """Forget translations, after stage-2 tables changed; in a trap handler as outside."""
        ...

    def translate(self, address: int) -> int | None:
        """The physical address behind a guest-virtual one, or None where none is mapped."""
        ...

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """Memory at a guest-virtual address, or None where part of it is no memory."""
        ...

    def fetch_word(self, address: int) -> int | None:
        """The 32-bit instruction word at a guest-virtual address, or None."""
        ...

    def on_code(self, begin: int, end: int, handler: Callable[[int], None]) -> None:
        """Call `handler` with the PC before each instruction at `begin` to `end`; `state` is up to date there."""
        ...

    def on_timer_write(self, listener: TimerListener) -> None:
        """Have `listener` hear what the guest writes to its timers, and keep CTL and CVAL in the registers."""
        ...

    def on_sctlr_write(self, listener: SctlrListener) -> None:
        """Call `listener` with each value that the guest writes to SCTLR_EL1; what it gives is written."""
        ...

    def on_debug_write(self, listener: DebugListener) -> None:
        """Call `listener` before the guest, at EL1, writes MDSCR_EL1 or a watchpoint register: encoding and value."""
        ...

    def watch_translation(self, wanted: bool) -> None:
        """Is that listener to hear of writes of TTBR0_EL1 too?"""
        ...

    def on_memory(self, handler: Callable[[bool, int, int, int | None], None]) -> None:
        """Call `handler` on each access of the guest: is a read, virtual address, width, the value of a write."""
        ...

    def close(self) -> None:
        """Free the engine; it can't be used after."""
        ...
