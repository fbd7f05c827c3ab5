"""What the layers above need of an engine: a small Protocol with two implementations, Unicorn's and a scripted one.

An engine is a physical CPU with EL2 under our control. It runs the guest at EL1 and EL0 until something is for EL2,
and then calls its trap handler, inside the run. The handler changes `state` and returns (the guest goes on at once), or
calls `leave()` (`run()` returns). Exceptions that the guest takes itself are entered by the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from armvcpu.arch.static import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import ctypes as C
    from collections.abc import Sequence

    from armvcpu.engine.state import CpuState

TrapHandler = Callable[[int, int, int], None]
"""Called as handler(target EL, ESR of the exception, fault address). `state` holds the guest's registers;
`state.pc` is the preferred return address (ELR) that DDI 0487 gives for the exception."""
EntryHandler = Callable[[], None]
"""Called when an exception has been entered at EL1, where that is asked for or they have become a storm."""

IoRead = Callable[[int, int], int]
"""read(offset, width in bytes) of a device region."""
IoWrite = Callable[[int, int, int], None]
"""write(offset, width in bytes, value) of a device region."""

ReadRegister = Callable[[], int]
WriteRegister = Callable[[int], object]
"""Called with what the guest writes; before a write of the engine's own register, gives what is written."""
(UNDEFINED, NATIVE, CONSTANT, PYTHON, BEFORE_NATIVE, INSTRUCTION_CACHE, WHOLE_INSTRUCTION_CACHE, IGNORED,
 WORD, ALIAS, COUNT, REGIME) = range(12)  # fmt: skip
"""Who answers for a direction of a register: nobody; the engine's own register, or Python and then that; a constant;
Python; for writes also IC IVAU, IC IALLU, and nobody without an exception; for reads also another register of the
engine's, and a count of it less where counts begin; for writes the engine's own register, whose translations are those
of EL1 and EL0. `enum action` of shim/rows.c."""
RowShape = tuple[tuple[int, tuple[int, int, int]], ...]
"""By packed encoding: who answers for reads and for writes, and the constant, or the encoding of the other register."""

PRIVATE_BASE = 0xF00_0000_0000
"""Physical address of EL2's own memory: above every guest address, inside the 44 bits of the engine's CPU."""
TABLES_OFFSET = 0x1000
"""Where in it the stage-2 tables may lie."""
PRIVATE_SIZE = 0x200_0000

TARGET_WAIT = 0x21
"""Where the guest waits for an interrupt, WFI that no level of its own traps: PC is behind it."""
TARGET_AARCH32 = 0x20
"""A trap's target level where the guest has left AArch64 state, which no presented CPU lets it."""
STORM_LIMIT = 64
"""So many exceptions in a row from inside the vector they go to: the guest can't get out of it."""
LOOP_LIMIT = 1 << 16
"""So many from one or two addresses elsewhere, with no ERET in between: it does not get out either."""


class RunEnd(Enum):
    """Why `Engine.run` returned."""

    LEFT = "the trap handler called leave()"
    STOPPED = "request_stop() was called, or the count of stop_at() reached"
    LIMIT = "the instruction limit was reached"
    YIELDED = "the guest waits for an event (WFE) or yields (YIELD), and the engine's `yields` is set"
    PAUSED = "the count of pause_at() was reached, and no other end"


class LastException(NamedTuple):
    """What was entered last, at which level: FAR is 0 where the class has none."""

    esr: int
    far: int
    elr: int
    el: int = 1


class Fault(NamedTuple):
    """An exception that was entered at `el`, and what the CPU was at: PSTATE without NZCV and DAIF, SP, X29 and X30."""

    esr: int
    far: int
    elr: int
    pstate: int
    sp: int
    x29: int
    x30: int
    el: int = 1


LOGGED_COMPARES = 256
COMPARE_WORDS = 1 + 2 * LOGGED_COMPARES


RECORD_SIZE, PLACE_SIZE = 64, 24
"""Bytes of a record of a block, and of a place where one was left, as `Record` and `Place` have their fields."""


class Record(NamedTuple):
    """One translated block: `RECORD` decodes it from an engine's memory."""

    pc: int
    """The virtual address of its first instruction."""
    physical: int
    """The physical one, all ones where it is not known."""
    executed: int
    """How often it has begun."""
    fell: int
    """How often its last instruction, a conditional branch, was not taken."""
    aborted: int
    """How often it was left before its end: by an exception, or by a handler that moved PC or ended the run."""
    instructions: int
    words: int
    """Where in `BlockRecords.words` its instructions are, by their number."""
    number: int
    """Its place among the records; 0 is the one of all blocks that there was no room for."""


class Place(NamedTuple):
    """Where a block was left: `PLACE` decodes it."""

    times: int
    record: int
    """The number of the block's record."""
    executed: int
    """How many of the block's instructions had been executed; one that took an exception counts."""


CUT, TRACED_AT_ONCE = 1 << 31, 1 << 16
"""In a trace of blocks: the mark, and how many entries come at once in a run, of which the last one just begins."""
RECORD, PLACE = "<5Q3I12x", "<Q2I8x"
"""For `struct`."""


class StateCopy(NamedTuple):
    """The registers of a state as the engine lays them out, and where those are, in bytes, that are not meant."""

    raw: bytes
    but: C.Array[C.c_int64]


def word_of(bits: int) -> memoryview:
    """A register that is zero and has these bits, any of which the engine may write itself (`SysRegTable.share`)."""
    word = memoryview(bytearray(32)).cast("Q")
    word[2] = word[3] = bits
    return word


class RegisterRows:
    """Who answers for the system registers of a vCPU, by packed encoding.

    `reads` and `writes` may be changed at any time for registers that the shape has; the shape tells the engine which.
    `words` are those of registers with the action WORD (`share` of `vcpu/sysreg.py`), and stay the same; `places` is
    where an engine has found them to lie.
    """

    __slots__ = ("places", "reads", "shape", "words", "writes")

    def __init__(self) -> None:
        self.reads: dict[int, ReadRegister] = {}
        self.writes: dict[int, WriteRegister] = {}
        self.words: dict[int, memoryview] = {}
        self.places: tuple[tuple[int, int], ...] | None = None
        self.shape: RowShape = ()


class Memory(Protocol):
    """The engine's physical memory, and the guest's addresses."""

    tables: memoryview
    """EL2's memory for stage-2 tables, at PRIVATE_BASE + TABLES_OFFSET."""

    def map_ram(self, address: int, memory: memoryview) -> None:
        """Put host memory at a physical address. Base and size are multiples of 4096 bytes."""
        ...

    def map_io(self, address: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Put a device at a physical address; its callbacks run inside the guest's access."""
        ...

    def hear_io(self, heard: Callable[[int, bool], None]) -> None:
        """Call `heard` with the physical address of each access of a device, and whether it is a read; before it."""
        ...

    def replace_io(self, address: int, read: IoRead, write: IoWrite) -> None:
        """Have other callbacks answer for the device that `map_io` has put at this address; at any time."""
        ...

    def unmap(self, address: int, size: int) -> None:
        """Take a region away; not while running."""
        ...

    def set_secure(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Have Non-secure accesses to these physical ranges, (base, size) in bytes, end in an External abort: 16."""
        ...

    def read_elsewhere(self, base: int, size: int, where: int | None) -> None:
        """Have loads and fetches of a physical range find what is at `where`; None: what is there. 4 ranges at most.

        Stores go to what is mapped at the range itself. In a callback of a device as outside.
        """
        ...

    def flush_tlb(self) -> None:
        """Forget where addresses lead, after stage-2 tables changed; in a trap handler as outside."""
        ...

    def track_dirty(self, address: int, size: int) -> None:
        """Log which pages of RAM are written from now on; a log that there was is over.

        Of `size` bytes of the host's memory, from that at `address` on: where it is mapped in several pieces, one after
        the other, each but the last has a multiple of 256 KiB or a gap up to that behind it, in host memory too.

        Pages have 4096 bytes. Written by the guest, at any level, and by the host where it says so (`code.invalidate`).
        """
        ...

    def untrack_dirty(self) -> None:
        """End the log."""
        ...

    def take_dirty(self) -> bytes:
        """A bit for each page that has been written since the last time: bit n of byte m is page 8m + n of the range.

        Whole words of 64 bits, as many as the last page that was written needs.
        A page that was written is always among them. On the engine's thread; in a trap handler as outside.
        """
        ...

    def copy_pages(self, pages: bytes, source: memoryview) -> None:
        """Have those pages of the watched RAM that a bitmap names hold what `source` has, a copy of all of that RAM.

        The bitmap is one as `take_dirty` gives it, or the first words of it; `source` is memory of the host's that can
        be written. Only bytes that differ are written, and what was translated from just those is forgotten; not while
        running.
        """
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


class SystemRegisters(Protocol):
    """System registers of the loaded state."""

    def read(self, encoding: int) -> int:
        """One by its packed encoding."""
        ...

    def write(self, encoding: int, value: int) -> None:
        """Write one; in a trap handler as outside."""
        ...

    def write_pstate(self, value: int) -> None:
        """Write PSTATE, in the layout of SPSR_ELx; the SP banks are the caller's affair (`CpuState.set_pstate`)."""
        ...

    def use(self, rows: RegisterRows) -> None:
        """Have `rows` answer the guest's MRS and MSR from now on, before the engine's own registers."""
        ...

    def present(self, identity: Sequence[int]) -> None:
        """Which instructions there are: ID_AA64ISAR0_EL1, ISAR1, PFR0, PFR1, MMFR1 and MMFR2 of the CPU shown."""
        ...


class Code(Protocol):
    """Translated code."""

    def invalidate(self, address: int | None = None, size: int = 1) -> None:
        """Forget it, after the host changed memory: a physical range, which counts as written, or all at `run`."""
        ...


class Removable(Protocol):
    """A function that is called by the engine."""

    def remove(self) -> None:
        """Call it no more; may be called twice."""
        ...


CALLS, RETURNS, JUMPS, CONDITIONAL = 1, 2, 4, 8
"""Kinds of branches, which add up: BL and BLR; RET; B and BR; B.cond, CBZ, CBNZ, TBZ and TBNZ, taken or not."""
IRQ_TAKEN, FIQ_TAKEN, RETURNED = range(3)
"""Changes of the Exception level."""


class Listen(Protocol):
    """Hearing of what the guest does by itself."""

    def hear_branches(self, kinds: int, handler: Callable[[int, int], None] | None) -> None:
        """Call `handler` with PC and instruction word before each branch of these kinds; None: nobody any more.

        There is one. The registers are those before the branch; it must not change them, nor leave. Where it fails the
        branch has not been executed, and is told again.
        """
        ...

    def hear_levels(self, handler: Callable[[int, int], None] | None) -> None:
        """Call `handler` behind each interrupt that the guest takes, and each ERET; None: nobody any more.

        It gets IRQ_TAKEN, FIQ_TAKEN or RETURNED, and the level before; PC and level are what they have become. There is
        one, and it must not change registers.
        """
        ...

    def on_code(self, handler: Callable[[int], None]) -> Removable:
        """Call `handler` with the PC before each instruction; it may change registers and PC."""
        ...

    def probe(self, address: int, handler: Callable[[int], object]) -> Removable:
        """Call `handler` with the PC before each execution of the instruction at a virtual address.

        At every level, in every address space, and nobody pays for it elsewhere. It may change registers and PC, and
        leave: the run that comes then goes on with the instruction, of which it is not told again.
        """
        ...

    def watch(
        self,
        address: int,
        size: int,
        handler: Callable[[int, int, bool], object],
        *,
        reads: bool,
        writes: bool,
        is_physical: bool = False,
    ) -> Removable:
        """Call `handler` before each access that touches a range of virtual, or of physical, addresses.

        With the virtual address, the width in bytes, and whether it is a write: those of the access as the engine makes
        it, which may be one of several of an instruction, and of an unaligned load some bytes more. PC is on the
        instruction. Where it leaves, the access has not been made.
        """
        ...

    def suspend_watches(self, is_off: bool) -> None:
        """Have accesses made unwatched for now, or watched again."""
        ...

    def on_memory(self, handler: Callable[[bool, int, int, int | None], None]) -> Removable:
        """Call `handler` on each access of the guest: is a read, virtual address, width, the value of a write."""
        ...

    def hear_exceptions(self, classes: int, el: int = 1) -> None:
        """Which exceptions to a level the trap handler gets before they are entered: a bit for each exception class."""
        ...

    def hear_semihosting(self, wanted: bool) -> None:
        """Does the trap handler get HLT #0xF000?"""
        ...

    def observe_exceptions(self, wanted: bool) -> None:
        """Does the entry handler hear of each exception that has been entered?"""
        ...


class BlockRecords(Protocol):
    """A record for each block that has been translated while somebody wanted records.

    A block ends at a branch, at another instruction that changes what code is, at the end of a page, or after 512
    instructions; it may lie inside another. Records stay where they are for the engine's life, and count on.
    """

    def begin(self) -> None:
        """Keep records, and count in them, from the next run on. Not while running."""
        ...

    def end(self) -> None:
        """One who began wants no more; the records stay. Not while running."""
        ...

    def trace(self, hear: Callable[[bytes], None]) -> None:
        """Have `hear` get, now and then, what has begun since: 32 bits for each block, in their order.

        It is the number of the block's record; or CUT and a number: the block before has been left behind so many
        instructions. `hear` is called inside of the run, and looks at no state but the count of instructions. Not while
        running.

        Raises:
            StateError: there is a trace already.
        """
        ...

    def take_trace(self) -> None:
        """Call it at once, where something has begun: between two runs, or where another state is loaded."""
        ...

    def end_trace(self) -> None:
        """Call it for the last time. Not while running."""
        ...

    def __len__(self) -> int:
        """How many there are, that of number 0 included."""
        ...

    def blocks(self) -> memoryview:
        """The memory of all records, by their numbers: what it holds changes as the guest runs.

        Not to be looked at once the engine is closed, here and below.
        """
        ...

    def places(self) -> memoryview:
        """Likewise where blocks have been left before their end, in no order."""
        ...

    def words(self) -> memoryview:
        """The instruction words of all blocks as they were translated, of 32 bits each."""
        ...


class Tally(NamedTuple):
    """How often Python was called, and for how many ns of the host's clock; by exception class, or by address."""

    runs: tuple[int, int]
    reads: tuple[int, int]
    """Of registers that Python answers."""
    writes: tuple[int, int]
    entered: tuple[int, int]
    """To hear of an exception."""
    code: tuple[int, int]
    """At addresses of code."""
    samples: tuple[int, int]
    waits: tuple[int, int]
    """WFI."""
    accesses: tuple[int, int]
    """Of memory that is watched."""
    interrupts: int
    """How many IRQs and FIQs the guest has taken."""
    traps: dict[int, tuple[int, int]]
    exceptions: dict[int, int]
    """How many the guest has taken at its own levels, by class."""
    devices: dict[int, tuple[int, int, int]]
    """Loads, stores and their ns, by where the device begins that the engine knows, or a piece of it of 512 bytes; the
    eighth piece is the rest. Of more than 63 devices the last ones are told as one."""


class Samples(Protocol):
    """Looking at the guest from time to time, and a tally of what Python is called for."""

    def begin(self, handler: Callable[[], None], *, instructions: int = 0, ns: int = 0) -> None:
        """Call `handler` at every so many instructions, which must be counted, or ns of the host's clock, in runs.

        It sees the registers as they are before a block of code, may change nothing of the guest, and may leave. By
        instructions that is the block in which the moment falls, and the run is what it is without.
        """
        ...

    def end(self) -> None:
        """Call nobody any more."""
        ...

    def frames(self, x29: int) -> tuple[Sequence[int], int]:
        """The return addresses of the chain of frame records from X29 up, and where a last one is that has none, or 0.

        At virtual addresses of the level that runs; in any handler as outside of a run.
        """
        ...

    def tally(self, *, wanted: bool) -> None:
        """Count anew from now on how often Python is called and for how long; or no more."""
        ...

    @property
    def tallied(self) -> Tally:
        """What has been counted since `tally`."""
        ...

    @property
    def run_ns(self) -> int:
        """With a tally: ns of the host's clock that runs have taken since it began, without the samples."""
        ...


class Engine(Protocol):
    """One physical CPU. Not thread-safe, but for `request_stop`."""

    state: CpuState
    """The registers of the vCPU that is loaded, in place: valid in a trap handler and outside of `run`."""
    yields: bool
    """Do WFE and YIELD end a run?"""
    rest: int
    """How many instructions are left, at most, of the block in which the guest stands; 0 between two blocks.

    Where instructions are counted. A stop inside of a block, by a probe, a watched access or a limit, changes nothing
    of what comes: the next run executes these first, as the block would have been, without an interrupt and whatever
    asks for a stop. What is due is the caller's to hold back until then. It is written where a state is loaded that was
    left so.
    """

    @property
    def memory(self) -> Memory:
        """Its physical memory."""
        ...

    @property
    def registers(self) -> SystemRegisters:
        """Its system registers."""
        ...

    @property
    def code(self) -> Code:
        """What it has translated."""
        ...

    @property
    def records(self) -> BlockRecords:
        """What has been executed, by block."""
        ...

    @property
    def listen(self) -> Listen:
        """Who hears of what it does."""
        ...

    @property
    def samples(self) -> Samples:
        """Who looks at the guest from time to time."""
        ...

    def set_trap_handler(self, handler: TrapHandler, on_entry: EntryHandler | None = None) -> None:
        """Install the one trap handler, and who hears of exceptions that have been entered."""
        ...

    highest: int
    """The highest level that is the guest's own, 1 to 3: exceptions to it and below never reach the trap handler."""

    def watch_el3(self, signalled: memoryview | None, on_cross: Callable[[], None]) -> None:
        """Call `on_cross` when EL3 is entered or left and the word at `signalled` has one of the bits 1 and 2.

        A word of 64 bits, of the CPU that is loaded; None: not.
        """
        ...

    def take_exception(self, esr: int, far: int = 0, *, el: int = 1, serror: bool = False) -> None:
        """Enter an exception, a synchronous one or an SError interrupt; in a trap handler or outside a run."""
        ...

    def take_external_abort(self, esr: int, far: int) -> None:
        """Enter a synchronous External abort at the level that it is routed to, which its class follows."""
        ...

    @property
    def took_exception(self) -> bool:
        """Has one been entered since the state was loaded?"""
        ...

    @property
    def last_exception(self) -> LastException:
        """The last exception that was entered."""
        ...

    @property
    def first_fault(self) -> Fault | None:
        """The first of the exceptions that the guest has not returned from (ERET), interrupts aside; None: from all.

        Of a guest that leaves handlers by a jump it is one of the last.
        """
        ...

    @property
    def is_endless(self) -> bool:
        """Are they STORM_LIMIT or LOOP_LIMIT in a row, so that they will never end?"""
        ...

    @property
    def fault_history(self) -> bytes:
        """What is behind those two, for a state that is to be loaded again, since `load` forgets it; empty: nothing."""
        ...

    @fault_history.setter
    def fault_history(self, history: bytes) -> None: ...

    def run(self, limit: int = 0) -> RunEnd:
        """Run the loaded state; exactly `limit` instructions at most (0: no limit)."""
        ...

    def step(self) -> None:
        """Run exactly one instruction, or take the exception that it causes."""
        ...

    def leave(self) -> None:
        """In a handler: let `run` return when the handler has returned, before the next instruction."""
        ...

    def request_stop(self) -> None:
        """From any thread: make `run` return soon; one made before the run starts is not lost."""
        ...

    def set_alarm(self, moment: int) -> bool:
        """Have `run` return at a moment, ns of CLOCK_MONOTONIC; 0: not. False where the engine has no alarm."""
        ...

    def take_alarm(self) -> bool:
        """Has an alarm ended a run since this was asked last?"""
        ...

    def begin_call(self, pc: int, sp: int) -> bool:
        """The next run is over when the guest comes to virtual address `pc` with this SP, before the instruction there.

        False where the address leads to no memory.
        """
        ...

    def end_call(self) -> None:
        """It no longer is."""
        ...

    @property
    def has_returned(self) -> bool:
        """Has the guest come there since `begin_call`?"""
        ...

    def count_edges(self, edges: memoryview | None, compares: memoryview | None = None) -> None:
        """Count how often the guest goes from one block to another, in a map of 64 KiB; None: no more.

        The byte at hash(block before) xor hash(block) is one more each time, as in AFL's map. Not while running.
        `compares` is a log of what is compared, COMPARE_WORDS of 64 bits: how many compares of different numbers there
        were, then the last of them, two words each.
        """
        ...

    @property
    def counts_edges(self) -> bool:
        """Is there a map?"""
        ...

    def forget_edge(self) -> None:
        """There is no block before the next one."""
        ...

    def set_lines(self, *, irq: bool, fiq: bool) -> None:
        """The levels of the CPU's IRQ and FIQ inputs; on the thread that runs the engine."""
        ...

    def set_virtual_lines(self, *, irq: bool, fiq: bool) -> None:
        """The levels of the virtual IRQ and FIQ, beside HCR_EL2.VI and VF; likewise."""
        ...

    @property
    def access_is_secure(self) -> bool:
        """In a callback of a device: is the access a Secure one?"""
        ...

    def set_count_origin(self, origin: int) -> None:
        """What the host's count was, 64 bits, when those of the guest's were zero whose rows have COUNT."""
        ...

    def look(self) -> bool:
        """In a callback of a device: bring `state` up to date; False where the access has no instruction."""
        ...

    def count_instructions(self) -> None:
        """Count what is executed from now on; not while running."""
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

    def pause_at(self, instructions: int | None) -> None:
        """Have runs end with PAUSED at the first block after the count, unless they end otherwise there; None: not.

        It is beside `stop_at`, for who looks at the guest there and changes nothing.
        """
        ...

    @property
    def entries(self) -> int:
        """How many exceptions and interrupts have been entered, at any level, while instructions were counted.

        A faulting instruction and the vector that it leads to have the same count of instructions: with this one every
        state of a run has a pair of its own, and both only grow.
        """
        ...

    @entries.setter
    def entries(self, value: int) -> None: ...

    def new_state(self, el: int = 1) -> CpuState:
        """A state for another vCPU, as after reset at this level; any engine of the process can load it."""
        ...

    def reset_state(self, state: CpuState, el: int = 1) -> None:
        """Put a state back to what it is after reset at this level."""
        ...

    def copy_state(self, state: CpuState, but: Sequence[int]) -> StateCopy | None:
        """All registers of a state but some, by packed encoding; None where the engine can't tell them apart."""
        ...

    def put_state(self, state: CpuState, copy: StateCopy) -> None:
        """Put a state back to what it was, but for those; loaded or not, and not while running."""
        ...

    def load(self, state: CpuState) -> None:
        """Make `state` the running one; the one before keeps its registers."""
        ...

    def close(self) -> None:
        """Free the engine; it can't be used after."""
        ...
