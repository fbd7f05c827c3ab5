"""The debugger of one machine: what stops its guest, and who decides then.

A run with a client is a row of runs of the engine. Each ends at a stop, between two of the guest's instructions, where
the client is called on the run's own thread: it looks, writes, steps, goes back in history, and returns to have the
guest go on. By the host's clock the guest's time stands still meanwhile; by the instruction clock a stop changes
nothing of what comes (engine/shim/cuts.c).

A watchpoint stops before the access is made, as Arm's own do (DDI 0487 D2.10). What the engine tells of is an access as
it makes it; whether the instruction really touches what is watched is looked up in its encoding.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Protocol
from armvcpu.errors import GuestCrash, Unmodelled
from armvcpu.machine.board.memory import page_pieces
from armvcpu.machine.debugging.points import Breakpoint, Breakpoints, Watchpoint, Watchpoints
from armvcpu.machine.debugging.standing import Standing
from armvcpu.machine.debugging.stop import Stop, StopKind
from armvcpu.machine.outcome import STOPPED, Ending, Outcome
from armvcpu.machine.running.limits import RunLimits
from armvcpu.machine.watching.touched import touched

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.run_loop import RunLoop


class Client(Protocol):
    """Who debugs: called on the thread of the run, while the guest stands still."""

    def stopped(self, stop: Stop) -> None:
        """Return to have the guest go on; `Machine.quit` and the like end the run then."""

    def ended(self, outcome: Outcome) -> bool:
        """The guest has ended, crashed or reached a limit; True where it is to go on, having been taken back."""


class Debugger:
    """Stops the guest of a machine, and steps it.

    `breakpoints` and `watchpoints` have `add` and `remove`, at any time, in a condition or another handler too.
    """

    def __init__(self, parts: Parts, loop: RunLoop) -> None:
        self._loop, self._turns, self._engine, self._end = loop, parts.turns, parts.engine, parts.end
        self._clock, self._count = parts.clock, parts.count
        self._standing = Standing(parts.turns.cpus, parts.clock)
        self.breakpoints = Breakpoints(parts.engine, self._on_breakpoint)
        self.watchpoints = Watchpoints(parts.engine, self._on_watchpoint)
        self._clients: list[Client] = []
        self.asks_clients = False
        """Do clients decide at this moment? The guest goes on when they have."""
        self._stop: Stop | None = None
        self.last: Stop | None = None
        """Where the guest stands; None while it runs, and before somebody has stopped it."""
        self._is_passing = self._is_paused = False
        self._passes_accesses = True
        """While it passes: are accesses not looked at either?"""
        self._outcome: Outcome | None = None
        """What a step has ended the guest with that a client has made."""
        self._passed: int | None = None
        """PC of a breakpoint at which the guest stands already, so that going on does not stop there at once."""
        self._hears: Callable[[Stop], object] | None = None
        self.only: int | None = None
        """The one CPU that runs until the next stop, where a client wants that; where runs repeat the others do, too,
        since all of them are to come as they come, and stop for nothing."""

    # --- who decides ------------------------------------------------------------------------------------------

    def attach(self, client: Client, *, at_start: bool = False) -> None:
        """Have `client` decide at each stop from now on, too; `at_start`: the next run begins with one.

        Of several each is asked in turn, and the guest goes on when all have returned. A stop that is not for it, as at
        somebody else's breakpoint, a client returns from at once.
        """
        if client not in self._clients:
            self._clients.append(client)
        self._is_paused = self._is_paused or at_start

    def detach(self, client: Client) -> None:
        """It decides no more, and the guest is not stopped for it; one that is not attached is fine."""
        if client in self._clients:
            self._clients.remove(client)

    @property
    def has_client(self) -> bool:
        """Is there somebody to decide?"""
        return bool(self._clients)

    def pause(self) -> None:
        """From any thread: stop the guest soon, or when it next runs."""
        self._is_paused = True
        self._end.by_host(STOPPED)

    def run(self, timeout: float | None, max_instructions: int) -> Outcome:
        """`Machine.run` with a client."""
        limits = RunLimits(timeout, max_instructions, self._count)
        what: Stop | Outcome | None = None
        if self._is_paused:
            what = self._here(StopKind.START if self.last is None else StopKind.PAUSED)
        while True:
            if what is None:
                with limits:
                    what = limits.ended() or self.go(*limits.left)
            if isinstance(what, Stop):
                what = self._decided(what)
                continue
            if what.status == Ending.LIMIT.value:
                what = limits.ended() or what  # of the whole run, and not of its last piece
            if not self._has_been_taken_back(what):
                return what
            what = self._take_outcome()

    def _decided(self, stop: Stop) -> Stop | Outcome | None:
        """Clients have decided at a stop; the end that a step of theirs has made, the next stop, or None: go on."""
        self._tell(stop)
        outcome = self._take_outcome()
        if outcome is None and self._is_paused:  # somebody has asked while they had the guest make steps, or go back
            return self._here(StopKind.PAUSED)
        return outcome

    def _take_outcome(self) -> Outcome | None:
        outcome, self._outcome = self._outcome, None
        return outcome

    def _tell(self, stop: Stop) -> None:
        self._is_paused, self.only, self.asks_clients = False, None, True
        try:
            with self._standing:
                for client in tuple(self._clients):
                    client.stopped(stop)
        finally:
            self.asks_clients = False

    def _has_been_taken_back(self, outcome: Outcome) -> bool:
        with self._standing:
            answers = [client.ended(outcome) for client in tuple(self._clients)]
        return any(answers)

    # --- running ----------------------------------------------------------------------------------------------

    def go(
        self,
        timeout: float | None = None,
        max_instructions: int = 0,
        *,
        hear: Callable[[Stop], object] | None = None,
    ) -> Stop | Outcome:
        """Between two runs: run to the next stop, or to what ends a run.

        With `hear`, it is called with each stop in the guest, which goes on unless that gives something true: for a
        look through what happens.
        """
        self._hears = hear
        try:
            return self._go(timeout, max_instructions)
        finally:
            self._hears = None

    def _go(self, timeout: float | None, max_instructions: int) -> Stop | Outcome:
        passes = self.last is not None and self.last.kind is StopKind.WATCHPOINT
        if passes and self.last is not None and self._turns.cpu.vcpu.state.pc == self.last.pc:
            self._stop = None
            outcome = self._pass()  # the access that it stands before
            if outcome is STOPPED:
                return self._arrive(self._why())
            if outcome is not None or max_instructions == 1:
                return outcome or Outcome.of(Ending.LIMIT, "instruction limit: 1 executed")
            max_instructions -= max_instructions > 0
        pc = self._turns.cpu.vcpu.state.pc
        self._passed = pc if self.last is not None and self.breakpoints.at(pc) else None
        self._stop = self.last = None
        if self.only is not None and not self._clock.repeats:
            self._turns.switch_to(self._turns.cpus[self.only])
            self._turns.is_alone = True
        try:
            outcome = self._loop.run(timeout, max_instructions)
        finally:
            self._turns.is_alone = False
        return outcome if outcome is not STOPPED else self._arrive(self._why())

    def _why(self) -> Stop:
        return self._here(StopKind.PAUSED) if self._stop is None else self._stop

    def step(self, cpu: int | None = None) -> Stop | Outcome:
        """Between two runs: until a CPU, the one that is loaded if None, has executed an instruction.

        Others run before where it is not its turn: a CPU that waits keeps a step waiting, until `pause`. A watchpoint
        stops it before the access, unless it is the one at which the guest stands. By the host's clock the CPU takes no
        interrupt in it, as on QEMU: there is always one by then.
        """
        wanted = self._turns.cpu.index if cpu is None else cpu
        if not self._clock.repeats and self._turns.cpus[wanted].runnable:
            self._turns.switch_to(self._turns.cpus[wanted])
        last, self._stop = self.last, None
        stands = last is not None and last.kind is StopKind.WATCHPOINT and self._turns.cpu.vcpu.state.pc == last.pc
        self._standing.interrupt()
        try:
            return self._step(wanted, passes_accesses=stands)
        finally:
            self._standing.begin_anew()

    def _step(self, wanted: int, *, passes_accesses: bool) -> Stop | Outcome:
        was_asked = False  # for a stop, by somebody: that is for when the guest goes on
        try:
            while True:
                before = self._moment
                outcome = self._pass(passes_accesses=passes_accesses)
                if outcome is not None and outcome is not STOPPED:
                    self._outcome = outcome if self._standing.is_entered else None
                    return outcome
                if self._stop is not None:
                    return self._arrive(self._stop)
                was_asked |= outcome is STOPPED
                cpu, has_executed = self._turns.cpu, not self._clock.repeats or self._moment != before
                if has_executed and cpu.index == wanted:
                    return self._arrive(self._here(StopKind.STEP))
                if not has_executed and cpu.runnable:
                    continue
                if self._is_paused or self._end.is_wanted:
                    was_asked = False
                    return self._arrive(self._here(StopKind.PAUSED))
        finally:
            if was_asked:
                self._end.by_host(STOPPED)

    @property
    def _moment(self) -> tuple[int, int, int]:
        """What every instruction changes, and every exception, in a run that repeats."""
        return self._turns.cpu.index, self._engine.instructions, self._engine.entries

    def run_past(self, max_instructions: int) -> Outcome:
        """Between two runs: run so many instructions, whatever breakpoints and watchpoints there are."""
        self._is_passing, self._stop, self.last = True, None, None
        try:
            return self._loop.run(None, max_instructions)
        finally:
            self._is_passing = False

    def _pass(self, *, passes_accesses: bool = True) -> Outcome | None:
        """One instruction, for which nobody stops."""
        self._is_passing, self._passes_accesses = True, passes_accesses
        try:
            return self._loop.step(takes_interrupts=False)
        except (GuestCrash, Unmodelled) as stop:
            return self._end.note(Outcome.of(Ending.CRASHED, str(stop)))
        finally:
            self._is_passing, self._passes_accesses = False, True

    def _here(self, kind: StopKind) -> Stop:
        cpu = self._turns.cpu
        return Stop(kind, cpu.index, cpu.vcpu.state.pc)

    def _arrive(self, stop: Stop) -> Stop:
        self.last = stop
        return stop

    def require_still(self, what: str) -> None:
        """StateError while the guest runs."""
        self._loop.forbid_running(what)

    def restored(self) -> None:
        """The guest has been taken to another state."""
        self._standing.begin_anew()
        self.last = None

    def moved(self, kind: StopKind) -> Stop:
        """The guest has been taken to another moment, where it stands now."""
        self._standing.begin_anew()
        return self._arrive(self._here(kind))

    # --- what stops it ----------------------------------------------------------------------------------------

    @property
    def _is_anothers(self) -> bool:
        """Is it not for the CPU that runs to stop?"""
        return self.only is not None and self.only != self._turns.cpu.index

    def _on_breakpoint(self, breakpoint: Breakpoint) -> None:
        passed, self._passed = self._passed, None
        if self._is_passing or breakpoint.address == passed or self._stop is not None or self._is_anothers:
            return
        if breakpoint.condition is None or breakpoint.condition(self._turns.cpu.vcpu):
            self._hit(self._here(StopKind.BREAKPOINT))

    def _on_watchpoint(self, watchpoint: Watchpoint, address: int, width: int, is_write: bool) -> None:
        if (self._is_passing and self._passes_accesses) or self._stop is not None or self._is_anothers:
            return
        touched = self._touched(watchpoint, address, width, is_write=is_write)
        if touched is not None:
            cpu = self._turns.cpu
            self._hit(Stop(StopKind.WATCHPOINT, cpu.index, cpu.vcpu.state.pc, touched, is_write))

    def _hit(self, stop: Stop) -> None:
        if self._hears is not None and not self._hears(stop):
            return
        self._stop = stop
        self._end.by_guest(STOPPED)
        self._engine.leave()

    def _touched(self, watchpoint: Watchpoint, address: int, width: int, *, is_write: bool) -> int | None:
        """The first address of what the instruction touches and the watchpoint watches; None: nothing."""
        accessed = touched(self._engine, address, width, is_write=is_write)
        for at, size in () if accessed is None else page_pieces(*accessed):
            begin = self._engine.memory.translate(at) if watchpoint.physical else at
            if begin is not None:
                first = max(begin, watchpoint.address)
                if first < min(begin + size, watchpoint.address + watchpoint.size):
                    return at + first - begin
        return None
