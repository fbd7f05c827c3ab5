"""The machine: a façade over its parts (`parts.py`), its run loop and Python's handlers.

    with Machine("guest.elf") as machine:
        @machine.on_hypercall(0xC600_0001)
        def add(vcpu): return vcpu.gpr(1) + vcpu.gpr(2)

        outcome = machine.run(timeout=10)

What is hot never comes here: devices, registered handlers and firmware services answer inside the trap. What comes out
of it goes through `running/run_loop.py`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial

from armvcpu.arch.static import TYPE_CHECKING, Self
from armvcpu.devices.device import Device
from armvcpu.errors import StateError, UsageError, kind_in, number_in
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.handlers import Handlers
from armvcpu.machine.kinds import check_limits
from armvcpu.machine.outcome import QUIT, STOPPED, Ending, Outcome
from armvcpu.machine.parts import assemble
from armvcpu.machine.running.actions import Actions
from armvcpu.machine.running.call import GuestCall
from armvcpu.machine.running.limits import RunLimits
from armvcpu.machine.running.outside import Outside
from armvcpu.machine.running.power import Power
from armvcpu.machine.running.run_loop import RunLoop
from armvcpu.vcpu.pcpu import unicorn_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
    from typing import Unpack
    from weakref import ref

    from armvcpu.debug.coverage.coverage import Coverage
    from armvcpu.debug.gdb.address import Listener
    from armvcpu.debug.gdb.serving import GdbServer
    from armvcpu.debug.monitor.monitor import Monitor
    from armvcpu.debug.profile.profile import Profile
    from armvcpu.debug.report import CrashReport, Frame
    from armvcpu.debug.tracing.blocks.writer import BlockTrace
    from armvcpu.debug.tracing.formats import Writer
    from armvcpu.debug.tracing.trace import Trace
    from armvcpu.engine.api import IoRead, IoWrite
    from armvcpu.machine.boot.loader import BootPlan
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.console.port import Console
    from armvcpu.machine.console.window import Window
    from armvcpu.machine.debugging.debugger import Debugger
    from armvcpu.machine.end_report import EndReport
    from armvcpu.machine.handlers import F
    from armvcpu.machine.history.history import History
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.option_types import MachineOptions
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.machine.running.power_lines import PowerLines
    from armvcpu.machine.snapshots.again import Mark
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.machine.watching.edges import EdgeMap
    from armvcpu.machine.watching.regimes import Walk
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.pcpu import EngineFactory
    from armvcpu.vcpu.vcpu import Aarch64VCpu, CallHandler

HISTORY_SIZE = 1 << 30
"""Bytes that a history may take, unless another size is given."""


class Machine:
    """One `virt` machine. `Machine(image, **options)`: the options are MachineConfig's fields.

    `devices` are those of `add_device`, as its arguments, for a machine that begins with a snapshot's file.

    Raises:
        UsageError, ImageError: an option or a file can't be used; nothing is left open.
    """

    def __init__(
        self,
        image: PathLike | None = None,
        *,
        console: Console | None = None,
        engine_factory: EngineFactory = unicorn_engine,
        devices: Iterable[
            tuple[Device, int] | tuple[Device, int, int | None] | tuple[Device, int, int | None, str]
        ] = (),
        patience: Patience | None = None,
        **options: Unpack[MachineOptions],
    ) -> None:
        self.config = MachineConfig.of(image, **options)
        """The options as they have been read."""
        self.console: Console = console if console is not None else MemoryConsole()
        """The other end of the UART: a MemoryConsole, which has `output` and `feed`, unless another is given."""
        self.parts = parts = assemble(self.config, self.console, engine_factory, patience)
        self.board, self.memory, self.bus, self.space = parts.board, parts.memory, parts.bus, parts.space
        self.engine, self.cpus, self.clock = parts.engine, parts.turns.cpus, parts.clock
        self.percpu = parts.pcpu.registry
        """The registry of its physical CPUs, of which there is one: CPUs take turns on it."""
        self.handlers = Handlers(parts.boot, parts.bus, parts.engine, parts.turns)
        self._power = Power(
            parts.boot, parts.board, parts.memory, parts.engine, parts.turns, parts.self_debug.reset
        )  # fmt: skip
        self._calls = GuestCall(parts.turns, parts.engine, parts.end)
        self._loop = RunLoop(
            parts.turns, parts.clock, parts.schedule, parts.attention, parts.end, parts.count,
            Outside(
                parts.console, parts.inputs, parts.feed, parts.board.console, parts.peripherals.console,
                parts.peripherals.sources, parts.attention, parts.end, _window(parts),
            ),
            Actions(parts.turns, parts.bus, parts.board, parts.space, self._power, self.config),
            (parts.page_watches, parts.self_debug, self._calls, *_power_lines(parts)), parts.engine, parts.pauses,
        )  # fmt: skip
        self._debugger: Debugger | None = None
        self._has_begun = False
        self.current_profile: Profile | None = None
        """The one that `profile` is making."""
        self._report: ref[EndReport] | None = None
        """That of the last run, while somebody has it."""
        self._monitor: Monitor | None = None
        """That of `monitor`, from its first line on."""
        self._history: History | None = None
        self._mark: Mark | None = None
        """By which it returns quickly to the snapshot that it has returned to last."""
        try:
            for each in devices:
                self._put(*each)
            self._begin()
        except BaseException:  # else files, programs and the engine would live as long as the traceback
            parts.held.close()
            raise

    def _begin(self) -> None:
        """The image in memory, or the state of a snapshot's file."""
        if self.config.semihosting:
            from armvcpu.machine.semihosting.attach import attach_semihosting

            self.parts.held.callback(attach_semihosting(self.parts).close)
        self._power.start_image()
        if self.config.snapshot is not None:
            from armvcpu.machine.snapshots.snapshot_file import load_for  # most start at power-on

            snapshot = load_for(self.parts, self.config.snapshot)
            Machine.restore(self, snapshot)  # of a subclass nothing is there yet
            snapshot.close()
            self._has_begun = True
        self.parts.inputs.begin()

    def close(self) -> None:
        """Free the engine and close files; the machine can't run after. May be called twice."""
        self._loop.forbid_running("the machine can't be closed")
        report = None if self._report is None else self._report()
        if report is not None:
            report.settle()
        with ExitStack() as closing:  # all of it, whatever one of them finds
            closing.callback(self.parts.held.close)
            if self._monitor is not None:
                closing.callback(self._monitor.close)
            closing.callback(self.end_recording)

    def end_recording(self) -> None:
        """Between two runs: nothing more is recorded, and the file is complete. Closing the machine does it, too.

        Raises:
            ImageError: the host can't write it, or could not write some of it.
        """
        self._loop.forbid_running("a recording can't be ended")
        self.parts.inputs.close(self.parts.end.last if self.can_go_on else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, timeout: float | None = None, max_instructions: int = 0) -> Outcome:
        """Run until the guest ends, `timeout` seconds of host time, or exactly `max_instructions`; 0: no limit."""
        check_limits(timeout, max_instructions)
        self._goes_on()
        outcome = self._run(timeout, max_instructions)
        is_crash = outcome.ending is Ending.CRASHED
        if not is_crash and not (outcome.may_hang and not (outcome.reason == QUIT and self.current_cpu.waiting)):
            return outcome
        from weakref import ref

        from armvcpu.machine.end_report import EndReport  # most runs end well

        report = EndReport(partial(self.crash_report, outcome.reason))
        self._report = ref(report)
        if is_crash and (details := report.details) is not None:
            outcome = outcome.replace(reason=details.cause)
        return outcome.replace(told=report)

    def _run(self, timeout: float | None, max_instructions: int) -> Outcome:
        """With those who debug, where there are any; the first one may come while the guest runs, and stops it."""
        if self._debugger is not None and self._debugger.has_client:
            return self._debugger.run(timeout, max_instructions)
        limits = RunLimits(timeout, max_instructions, self.parts.count)
        with limits:
            outcome = self._loop.run(timeout, max_instructions)
        if outcome is not STOPPED or self._debugger is None or not self._debugger.has_client:
            return outcome
        return self._debugger.run(*limits.left)

    def _goes_on(self) -> None:
        """What comes is another state than that of the last run's end, of whose report nobody may have read a word."""
        self._has_begun = True
        last, self._report = self._report, None
        report = None if last is None else last()
        if report is not None:
            report.lapse(partial(_gone_on, self.vcpu.vcpu_id, self.vcpu.state.pc, self.symbols))

    def call(self, function: str | int, *arguments: int, timeout: float = 10.0) -> int:
        """Call a function of the guest's by its symbol or virtual address, between two runs; what it returned in x0.

        Arguments are integers and addresses, at most eight; a negative one is passed as 64 bits. The CPU that is loaded
        runs it on the guest's own stack, and has its registers back after: what the function did to memory stays.

        Raises:
            UsageError: there is no such symbol, an argument can't be passed, or the CPU is off or where no code is.
            StateError: the guest runs.
            GuestCrash: it did not return within `timeout` seconds, or the guest ended or crashed, which its `outcome`
                says, with the report of a crash; the guest is where it got to.
        """
        check_limits(timeout)
        self._loop.forbid_running("a function can't be called")
        address = self.symbols.address(function) if isinstance(function, str) else function
        return self._calls.call(address, arguments, timeout, self.run)

    def step(self) -> Outcome | None:
        """Run one instruction of the CPU that is loaded, and act on its exit; an Outcome where that ends the guest."""
        self._goes_on()
        return self._loop.step()

    def end(self, outcome: Outcome) -> None:
        """From a handler in the trap: this is how the run ends, before the guest's next instruction."""
        kind_in("how a run ends", outcome, Outcome)
        self.parts.end.by_guest(outcome)
        self.engine.leave()

    def interrupt(self, signal: int) -> None:
        """From a signal handler: end the run with status 128 + `signal`."""
        self.parts.end.by_host(Outcome.by_signal(signal))

    def quit(self, reason: str = QUIT) -> None:
        """From any thread, or from a handler in the trap: end the run with status 0."""
        self.parts.end.by_host(Outcome.of(Ending.POWERED_OFF, reason))

    def reset(self) -> None:
        """SYSTEM_RESET, between two runs: devices and CPUs start anew; RAM keeps what the image does not overwrite."""
        self._loop.forbid_running("the machine can't be reset")
        self._goes_on()
        self._power.reset()

    @property
    def is_running(self) -> bool:
        """Does the guest run now?"""
        return self._loop.is_running

    @property
    def can_go_on(self) -> bool:
        """Has there been no run yet, or has the last one ended by the host: time-out, limit, signal or quit?"""
        return self.parts.end.can_go_on

    @property
    def repeats(self) -> bool:
        """Is time what has been executed, so that a run with the same input is the same?"""
        return self.clock.repeats

    @property
    def instructions(self) -> int | None:
        """How many were executed since power-on; None where a run has not been counted."""
        return self.parts.count.value

    @property
    def last_exits(self) -> Sequence[tuple[int, Exit]]:
        """(PC, exit) of the last ones."""
        return self._loop.last_exits

    # --- snapshots --------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The machine's state now, between two runs; StateError during one."""
        from armvcpu.machine.snapshots.snapshot import take

        self._loop.forbid_running("a snapshot can't be taken")
        return take(self.parts)

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a state of this machine, or of one of the same kind; UsageError where it is another."""
        from armvcpu.machine.snapshots.snapshot import restore

        self._loop.forbid_running("a snapshot can't be restored")
        self._goes_on()
        mark, self._mark = self._mark, None
        self._mark = restore(self.parts, snapshot, mark)
        if self._history is not None:
            self._history.begin_anew()
        if self._debugger is not None:
            self._debugger.restored()

    # --- debugging --------------------------------------------------------------------------------------------

    @property
    def debugger(self) -> Debugger:
        """What stops the guest between two instructions and steps it; made when it is first asked for."""
        if self._debugger is None:
            from armvcpu.machine.debugging.debugger import Debugger  # most guests are not debugged

            self._debugger = Debugger(self.parts, self._loop)
        return self._debugger

    def serve_gdb(
        self, address: str | int | Listener, *, wait: bool = False, say: Callable[[str], object] | None = None
    ) -> GdbServer:
        """Have gdb connect at `[HOST:]PORT` or `unix:PATH` from now on, until this machine is closed.

        A host is this one's loopback interface, and port 0 one that is free: the server's `address` is what gdb's
        `target remote` takes. With `wait` the next run begins when a gdb has connected, and has the guest go on. `say`
        hears one line of what a user should know.

        Raises:
            UsageError: it is no such place, or the place is taken.
        """
        from armvcpu.debug.gdb.serving import GdbServer, open_listener  # few machines have one

        listener = open_listener(address) if isinstance(address, str | int) else address
        server = GdbServer(
            self.parts, self.debugger, listener, waits=wait, monitor=self.monitor, reset=self.reset,
            history=lambda: self._history, symbols=lambda: self.symbols, say=say or _unsaid,
        )  # fmt: skip
        self.parts.held.callback(server.close)
        return server

    # --- history ----------------------------------------------------------------------------------------------

    def keep_history(self, size: int = HISTORY_SIZE) -> History:
        """From here on keep the states of the machine, between two runs; it may go back to each (`history`).

        For what they take `size` bytes of the host's memory are meant. A history that there was is forgotten.

        Raises:
            UsageError: the machine's runs do not repeat, by the host's clock say, or bring what can't come again.
            StateError: the guest runs.
        """
        from armvcpu.machine.history.history import History

        self._loop.forbid_running("a history can't begin")
        number_in("the size of a history", size, 62)
        if self._history is not None:
            self._history.close()
            self._history = None
        self._history = History(self.parts, size, self.debugger, self._goes_on)
        return self._history

    @property
    def history(self) -> History | None:
        """What `keep_history` has begun."""
        return self._history

    # --- looking in -------------------------------------------------------------------------------------------

    def dirty_pages(self) -> list[tuple[int, int]]:
        """(address, bytes) of the pages of RAM that have been written since the last call, or since power-on.

        By the guest, at any Exception level, by devices and by the host; `restore` writes what it replaces. Pages have
        4096 bytes, and neighbours are one range. In a handler as between two runs.
        """
        return self.memory.dirty.take()

    @contextmanager
    def edges(self, *, compares: bool = False) -> Iterator[EdgeMap]:
        """For a `with` block, between two runs: count how often the guest goes from one block to another.

        It gives the map in which the engine counts, as fuzzers have it (docs/fuzzing.md). Nobody else pays for that.
        With `compares` it has the numbers that the guest compares, too.

        Raises:
            StateError: the guest runs, or they are counted already.
        """
        from armvcpu.machine.watching.edges import count_edges

        self._loop.forbid_running("edges can't be counted from here on")
        with count_edges(self.engine, with_compares=compares) as edges:
            yield edges

    @contextmanager
    def profile(self, interval: int = 1000) -> Iterator[Profile]:
        """For a `with` block, between two runs: where the guest's time goes, by its call stacks, and what Python does.

        There is a sample every `interval` microseconds of the guest's time while it runs (docs/profiling.md). By the
        instruction clock the run is the same as without. Nobody else pays for it.

        Raises:
            UsageError: no such interval.
            StateError: the guest runs, or there is a profile of it already.
        """
        from armvcpu.debug.profile.profile import profiling

        self._loop.forbid_running("a profile can't begin")
        if self.current_profile is not None:
            raise StateError("a profile is being made already: one at a time")
        try:
            with profiling(self.parts, self._loop, self.symbols, interval) as profile:
                self.current_profile = profile
                yield profile
        finally:
            self.current_profile = None

    @property
    def vcpu(self) -> Aarch64VCpu:
        """The vCPU that runs, or ran last."""
        return self.parts.turns.cpu.vcpu

    @property
    def current_cpu(self) -> Cpu:
        """The CPU that the engine has loaded, or had last."""
        return self.parts.turns.cpu

    @property
    def plan(self) -> BootPlan:
        """What was put where before the first instruction."""
        return self.parts.boot.plan

    @property
    def symbols(self) -> Symbols:
        """Those of the option `symbols`, then the image's; empty where there are none."""
        return self.handlers.symbols

    def crash_report(self, reason: str) -> CrashReport:
        """What a developer wants to know where the guest can go no further, or hangs; `reason` is one line.

        Its `render()` is text, `render_short()` some lines for a hang, `as_dict()` is for JSON.
        """
        from armvcpu.debug.crash import crash_report

        return crash_report(self.parts, self.symbols, self.physical, self.last_exits, reason)

    def backtrace(self) -> list[Frame]:
        """Where the CPU is and who called whom, innermost first: (PC, symbol), by the chain of frame records."""
        from armvcpu.debug.gather import frames

        return frames(self.vcpu.state, self.read_virtual, self.symbols)

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of guest-physical memory; UsageError where there is none."""
        return self.memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write guest-physical RAM; code that was translated from it is forgotten. UsageError where there is none."""
        self.memory.write(address, data)

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """`size` bytes at a guest-virtual address as the guest would read them, or None where it could not."""
        number_in("a virtual address", address, 64)
        return self.engine.memory.read_virtual(address, size)

    def physical(self, address: int) -> int:
        """The physical address behind a virtual one, which may be physical itself where the guest maps nothing."""
        number_in("a virtual address", address, 64)
        found = self.walk(address).physical
        return address if found is None else found

    def walk(self, address: int, el: int | None = None) -> Walk:
        """A walk of the guest's tables, of both stages where it has two, for a virtual address at a level.

        UsageError for a level that the guest does not have.
        """
        from armvcpu.machine.watching.regimes import regime, walk

        number_in("a virtual address", address, 64)
        cpu, read = self.parts.turns.cpu.vcpu, self.engine.registers.read
        highest, level = self.config.el, cpu.state.el if el is None else el
        if not 0 <= number_in("an Exception level", level, 8) <= highest:
            raise UsageError(f"the guest has no EL{level}: its levels are EL0 to EL{highest}")
        return walk(address, regime(level, highest, read), read, self.memory.doubleword)

    @property
    def monitor(self) -> Monitor:
        """Commands that look into the machine: `machine.monitor("info gic")` gives what is said; see docs/monitor.md.

        Between two runs, or in a handler for those that only look. `machine.monitor.desk` is where other threads ask.
        """
        if self._monitor is None:
            from armvcpu.debug.monitor.monitor import Monitor  # few machines have one

            self._monitor = Monitor(self)
        return self._monitor

    def name_of(self, address: int) -> str:
        """The device and register at a guest-physical address, as `pl011.UARTDR`; empty where there is none."""
        return self.board.name_of(address)

    # --- who hears, and who answers ---------------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Have `observer` hear what happens, beside those that do already."""
        self.parts.observation.add(observer, self.board.gic)

    def trace(self, kinds: Collection[str], writer: Writer, filters: Iterable[str] = ()) -> Trace:
        """Have events of these kinds written, of those that `filters` keep, until the trace is closed.

        The kinds and the filters are those of --trace and --trace-filter; `writer` is one of `writer_for(name, write)`
        (armvcpu.debug.tracing.formats), or has its methods. `mmio` needs a machine with `exact_mmio`.

        Raises:
            UsageError: a kind or a filter is none, or names what is not there.
        """
        from armvcpu.debug.tracing.filters import Filters  # most machines are not traced
        from armvcpu.debug.tracing.trace import Trace

        return Trace(self.parts, self.symbols, kinds, writer, Filters(filters))

    @contextmanager
    def coverage(self, *files: PathLike) -> Iterator[Coverage]:
        """What the guest executes within this block, by line, function and branch, of the machine's programs.

        Those are its image, its firmware, and what else is loaded; and of its symbols' file and `files`, ELF files for
        AArch64. What it has can be asked for, and written, within the block and after it (docs/coverage.md).

        Raises:
            StateError: the guest runs.
            ImageError: one of `files` can't be used.
        """
        from armvcpu.debug.coverage.machine import Covering

        self._loop.forbid_running("coverage can't begin or end")
        covering = Covering(self.parts, files)
        try:
            yield covering.coverage
        finally:
            covering.end()

    def trace_blocks(self, write: Callable[[bytes], object]) -> BlockTrace:
        """Have every block that is executed written, until the trace is closed; between two runs.

        `write` gets the bytes of a file that `armvcpu trace` reads (docs/tracing.md); it is called in the run.

        Raises:
            StateError: the guest runs, or its blocks are traced already.
        """
        from armvcpu.debug.tracing.blocks.writer import BlockTrace  # most machines are not traced

        self._loop.forbid_running("blocks can't be traced from here on")
        return BlockTrace(self.parts, self.symbols, write)

    def trace_instructions(self, heard: Callable[[int], None]) -> Callable[[], None]:
        """Call `heard` with the PC of every instruction, before it executes; what ends that, between two runs."""
        return self.parts.observation.trace_instructions(heard)

    def trace_memory(self, heard: Callable[[int, bool, int, int, int | None], None]) -> Callable[[], None]:
        """Call `heard` on every access: PC, is a read, virtual address, width in bytes, the value written or None.

        Gives what ends that, between two runs.
        """
        return self.parts.observation.trace_memory(heard)

    def on_hypercall(self, number: int) -> Callable[[CallHandler], CallHandler]:
        """Answer HVC with x0 = `number` (64 bits): the function gets the vCPU and gives x0, or None to leave it.

        Of a fast call of the SMC Calling Convention (bit 31 set; DEN 0028 2.5) W0 alone counts. PC is behind the
        instruction. UsageError for a number of more bits, or with a handler.
        """
        return self.handlers.on_hypercall(number)

    def on_smc(self, number: int) -> Callable[[CallHandler], CallHandler]:
        """Answer SMC with W0 = `number` (32 bits), as `on_hypercall` does HVC.

        UsageError for a number of more bits, or with a handler.
        """
        return self.handlers.on_smc(number)

    def on_sysreg(
        self, name: str, read: Callable[[], int] | None = None, write: Callable[[int], None] | None = None
    ) -> None:
        """Answer the guest's MRS and MSR of a system register, by its Arm name or as `S3_1_C15_C2_1`, in any case.

        `read` gives what MRS reads, `write` gets what MSR writes, in place of the register. A direction without one
        stays the register's own; of a register that the CPU does not have, it is UNDEFINED.

        Raises:
            UsageError: there is no such register, or one that EL1 can't access, so that nobody would be called.
        """
        self.handlers.on_sysreg(name, read, write)

    def on_mmio(self, base: int, size: int, read: IoRead, write: IoWrite) -> None:
        """Be the device at `base`: read(offset, width) and write(offset, width, value); whole pages of 4096 bytes.

        `machine.vcpu` is up to date there, PC on the instruction, and the guest goes on with what is written to it.
        """
        self.handlers.on_mmio(base, size, read, write)

    def on_address(self, address: int) -> Callable[[F], F]:
        """Call the function with the vCPU each time the guest reaches a virtual address, before it executes."""
        return self.handlers.on_address(address)

    def on_symbol(self, name: str) -> Callable[[F], F]:
        """Call the function with the vCPU each time the guest reaches the symbol `name`, before it executes."""
        return self.handlers.on_symbol(name)

    def add_device(self, device: Device, base: int, spi: int | None = None, name: str | None = None) -> None:
        """Put a device at a guest-physical address, before the first run: its interrupt line is SPI `spi`.

        It gets its wires, is named in listings and traces after its class unless `name` says otherwise, is in the
        device tree, is reset with the board, and snapshots have its state. `machine.vcpu` is up to date in it, as in
        `on_mmio`. The image is put into memory anew, and its device tree may move.

        Raises:
            UsageError: the address, the SPI or the name is taken or none, a machine has the device already, or there
                was a run.
        """
        if self._has_begun or self.vcpu.state.pc != self.plan.entry:
            raise UsageError("add_device comes before the first run: a guest looks for devices when it starts")
        self._put(device, base, spi, name)
        self._power.start_image()

    def _put(self, device: Device, base: int, spi: int | None = None, name: str | None = None) -> None:
        kind_in("what add_device puts on the board", device, Device)
        self.bus.check_free(base, device.size)
        slot = self.board.add(device, base, spi, name)
        self.bus.attach([slot], is_users=True)
        self.parts.boot.board_changed()

    # --- the power key ----------------------------------------------------------------------------------------

    def press_power_key(self) -> None:
        """Between two runs, or from a handler: the power key goes down. Drivers debounce: release it 0.1 s later."""
        self.board.gpio.press()

    def release_power_key(self) -> None:
        """Let the power key go."""
        self.board.gpio.release()


def _unsaid(_line: str) -> None:
    """Nobody wants to know."""


def _window(parts: Parts) -> Window | None:
    """That of a virtio console on a terminal; but a run that repeats depends on no window."""
    if parts.peripherals.console is None or parts.clock.repeats:
        return None
    from armvcpu.machine.console.window import window_of

    return window_of(parts.console)


def _gone_on(vcpu_id: int, pc: int, symbols: Symbols) -> str:
    """What is left to tell of an end that nobody asked about before the guest went on."""
    name = symbols.format(pc)
    return (
        f"armvcpu: cpu{vcpu_id} was at {pc:#x}{f' in {name}' if name else ''} when the run ended\n"
        "armvcpu: it has gone on since: read the report before the next run\n"
    )


def _power_lines(parts: Parts) -> tuple[PowerLines, ...]:
    """Those of the Secure world, where the board has one."""
    if parts.config.el < 3:
        return ()
    from armvcpu.machine.board.secure import secure_gpio
    from armvcpu.machine.running.power_lines import PowerLines

    gpio = secure_gpio(parts.board)
    return () if gpio is None else (PowerLines(gpio, parts.engine),)
