"""Hearing of what the guest does by itself: instructions, accesses, exceptions. Off, and free, until asked for."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine import native
from armvcpu.engine.library import HOOK_MEM_READ, HOOK_MEM_WRITE, MEM_CALLBACK, MEM_WRITE
from armvcpu.engine.memory import PAGE
from armvcpu.engine.probes import Probes, Watches
from armvcpu.engine.state import FRAME_SP

if TYPE_CHECKING:
    from collections.abc import Callable

    BranchHandler = Callable[[int, int], None]
    LevelHandler = Callable[[int, int], None]
    from armvcpu.engine.code import Code
    from armvcpu.engine.handle import Handle
    from armvcpu.engine.memory import EngineMemory
    from armvcpu.engine.probes import Probe, Watched, WatchHandler
    from armvcpu.engine.state import CpuState

    CodeHandler = Callable[[int], object]
    MemoryHandler = Callable[[bool, int, int, int | None], None]
    ExceptionHandler = Callable[[int], None]


class Listen:
    """The listeners of one engine."""

    def __init__(self, handle: Handle, code: Code, memory: EngineMemory, state: Callable[[], CpuState]) -> None:
        self._handle, self._code, self._memory, self._state = handle, code, memory, state
        self._on_code: tuple[Hearing, ...] = ()
        self._on_memory: tuple[Hearing, ...] = ()
        self._memory_callback: object = None
        self._memory_hook = 0
        self.on_code_reached = native.CODE(self._reached)
        self._branched: BranchHandler | None = None
        self._changed: LevelHandler | None = None
        self.on_branch, self.on_level = native.BRANCH(self._branch), native.LEVEL(self._level)
        self.probes, self.watches = Probes(handle), Watches(handle, memory.translate)

    def probe(self, address: int, handler: CodeHandler) -> Probe:
        """Call `handler` with the PC before each execution of the instruction at a virtual address."""
        return self.probes.add(address, handler)

    def watch(
        self, address: int, size: int, handler: WatchHandler, *, reads: bool, writes: bool, is_physical: bool = False
    ) -> Watched:
        """Call `handler` before each access that touches a range, of virtual addresses or of physical ones."""
        return self.watches.add(address, size, handler, reads=reads, writes=writes, is_physical=is_physical)

    def suspend_watches(self, is_off: bool) -> None:
        """Have accesses made unwatched for now, or watched again."""
        self.watches.suspend(is_off)

    def on_code(self, handler: CodeHandler) -> Hearing:
        """Call `handler` with the PC before each instruction.

        It sees the registers as they are there, may change them and PC, and may leave.
        """
        hearing = Hearing(handler, lambda one: self._hear_code(without(one, self._on_code)))
        self._hear_code((*self._on_code, hearing))
        return hearing

    def _hear_code(self, hearing: tuple[Hearing, ...]) -> None:
        is_news, self._on_code = bool(hearing) != bool(self._on_code), hearing
        if is_news and self._handle.is_open:
            self._handle.shim.hear_code(self._handle.engine, bool(hearing))
            self._code.invalidate()  # blocks that are translated already don't have the call, or have it still

    def on_memory(self, handler: MemoryHandler) -> Hearing:
        """Call `handler` on each access: is a read, virtual address, width, the value of a write."""
        hearing = Hearing(handler, lambda one: self._hear_memory(without(one, self._on_memory)))
        self._hear_memory((*self._on_memory, hearing))
        return hearing

    def _hear_memory(self, hearing: tuple[Hearing, ...]) -> None:
        is_news, self._on_memory = bool(hearing) != bool(self._on_memory), hearing
        if not is_news or not self._handle.is_open:
            return
        unicorn, uc = self._handle.unicorn, self._handle.uc
        if hearing:
            self._memory_callback = self._memory_callback or MEM_CALLBACK(self._accessed)
            self._memory_hook = unicorn.add_hook(uc, HOOK_MEM_READ | HOOK_MEM_WRITE, self._memory_callback)
        else:
            unicorn.remove_hook(uc, self._memory_hook)
        self._code.invalidate()
        self._memory.flush_tlb()  # with a hook every store is looked at in full, also where one came before

    def _accessed(self, _uc: int, kind: int, physical: int, width: int, value: int, _data: int) -> None:
        """In Unicorn's hook."""
        try:
            address = self._virtual(physical)
            written = value & (1 << 8 * width) - 1 if kind == MEM_WRITE else None
            for hearing in self._on_memory:
                hearing.handler(kind != MEM_WRITE, address, width, written)
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)
        if self._handle.shared[native.LEFT]:
            self._handle.shim.end_run(self._handle.engine)

    def _virtual(self, physical: int) -> int:
        """The virtual address of an access of the instruction at PC."""
        from armvcpu.arch.accesses import memory_access  # most runs hear of no accesses

        state = self._state()
        word = self._memory.fetch_word(state.pc)
        access = None if word is None else memory_access(word, state.pc, state.gpr, state.frame[FRAME_SP])
        if access is None:
            return physical
        address = access.address & ~(PAGE - 1) | physical & PAGE - 1
        return address if address >= access.address else address + PAGE & 0xFFFF_FFFF_FFFF_FFFF

    def hear_branches(self, kinds: int, handler: BranchHandler | None) -> None:
        """Call `handler` with PC and word before each branch of these kinds; none: no more."""
        self._branched = handler
        self._handle.shim.hear_branches(self._handle.engine, kinds if handler is not None else 0)
        self._code.invalidate()

    def hear_levels(self, handler: LevelHandler | None) -> None:
        """Call `handler` when an interrupt has been taken, and when the guest has returned from an exception."""
        self._changed = handler
        self._handle.shim.hear_levels(self._handle.engine, handler is not None)

    def _branch(self, pc: int, word: int) -> None:
        try:
            if self._branched is not None:
                self._branched(pc, word)
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)

    def _level(self, what: int, before: int) -> None:
        try:
            if self._changed is not None:
                self._changed(what, before)
        except BaseException as failure:
            self._handle.fail(failure)

    def hear_exceptions(self, classes: int, el: int = 1) -> None:
        """Which exceptions to a level the trap handler gets before they are entered: a bit for each exception class."""
        self._handle.shared[native.HEAR + el - 1] = classes - (1 << 64) if classes >> 63 else classes

    def hear_semihosting(self, wanted: bool) -> None:
        """Does the trap handler get HLT #0xF000?"""
        self._handle.shared[native.SEMIHOSTING] = wanted

    def observe_exceptions(self, wanted: bool) -> None:
        """Does the entry handler hear of each exception that has been entered?"""
        self._handle.shared[native.OBSERVE] = wanted

    def _reached(self, pc: int) -> None:
        try:
            for hearing in self._on_code:
                hearing.handler(pc)
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)


class Hearing:
    """A function that is called; `remove` ends that, and may be called twice."""

    __slots__ = ("_end", "handler")

    def __init__(self, handler: Callable[..., object], end: Callable[[Hearing], None]) -> None:
        self.handler, self._end = handler, end

    def remove(self) -> None:
        """Call it no more."""
        self._end(self)


def without(one: Hearing, all_: tuple[Hearing, ...]) -> tuple[Hearing, ...]:
    """The others."""
    return tuple(each for each in all_ if each is not one)
