"""A machine under test: a `Machine` with expect and send, assertions on what the guest did, and faults to inject.

with Target("image.elf") as target:
    target.expect_exact("=> ")
    target.sendline("version")
    target.run_until(symbol="panic", timeout=5)
    assert target.symbol("counter").u32 == 3
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from armvcpu.arch.registers import by_name
from armvcpu.debug.crash import crash_report
from armvcpu.errors import UsageError
from armvcpu.machine.machine import Machine
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.testing.breakpoints import IMMEDIATE, Breakpoint
from armvcpu.testing.expect import TIMER_HZ, Conversation, ExpectConsole
from armvcpu.testing.memory_view import GuestValue
from armvcpu.testing.recorder import Access, Call, Recorder, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.snapshot import Snapshot
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.vcpu import Aarch64VCpu

TIMEOUT = 30.0
REACHED, EXITED = "reached", "made the exit that was waited for"
PSTATE_A = 1 << 8


class NotReachedError(AssertionError):
    """The guest did not get where `run_until` wanted it."""


class Target(Machine):
    """The machine; `timeout` is the patience of `expect` and `run_until`, seconds, unless they are given another.

    `record` keeps exits, calls and exceptions for assertions; a guest pays a few per cent for it.
    """

    def __init__(self, image: Any = None, *, record: bool = True, timeout: float = TIMEOUT, **options: Any) -> None:
        self.typed = ExpectConsole()
        super().__init__(image, console=self.typed, **options)
        self.timeout = timeout
        self.talk = Conversation(self, self.typed, timeout)
        self.recorder = Recorder(self.name_of, self._hear_exit)
        if record:
            self.observe(self.recorder)
        self._stops: set[int] = set()
        self._awaited: str | None = None
        for cpu in self.cpus:
            cpu.vcpu.handlers.breakpoint = self._on_breakpoint
        self.expect, self.expect_exact, self.ask = self.talk.expect, self.talk.expect_exact, self.talk.ask
        self.send, self.sendline, self.sendcontrol = self.talk.send, self.talk.sendline, self.talk.sendcontrol

    # --- what the guest says

    @property
    def output(self) -> str:
        """All that it has printed."""
        return self.typed.output.decode(errors="replace").replace("\r", "")

    @property
    def before(self) -> str:
        """What it printed before the last match."""
        return str(self.talk.before).replace("\r", "")

    def guest_seconds(self) -> float:
        """The guest's own time: CNTVCT_EL0 in seconds."""
        return self.cpus[0].virtual_count() / TIMER_HZ

    def finish(self, timeout: float | None = None) -> Outcome:
        """Run to the guest's end; NotReachedError where it does not end."""
        if self.talk.outcome is None:
            outcome = self.run(timeout=self.timeout if timeout is None else timeout)
            if outcome.ending is Ending.LIMIT:
                raise NotReachedError(f"the guest did not end: {outcome.reason}\n{self.talk}")
            self.talk.outcome = outcome
        return self.talk.outcome

    def describe_end(self, outcome: Outcome) -> str:
        """How the guest ended, with the crash report where it crashed."""
        if outcome.ending is Ending.CRASHED:
            return f"{outcome.reason}\n{crash_report(self, outcome.reason).render()}"
        return outcome.reason

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a state; what was said and recorded since is past."""
        super().restore(snapshot)
        self.typed.new_output()
        self.talk = Conversation(self, self.typed, self.timeout)
        self.expect, self.expect_exact, self.ask = self.talk.expect, self.talk.expect_exact, self.talk.ask
        self.send, self.sendline, self.sendcontrol = self.talk.send, self.talk.sendline, self.talk.sendcontrol

    # --- registers and memory

    def symbol(self, name: str) -> GuestValue:
        """The variable or function of this name; UsageError, with names like it, where there is none."""
        return GuestValue(self, self.symbols.address(name), name)

    def at(self, address: int) -> GuestValue:
        """Memory at an address."""
        return GuestValue(self, address)

    def register(self, name: str) -> int:
        """x0 to x30, sp, pc, pstate, or a system register by its Arm name, 64 bits."""
        state = self.vcpu.state
        if name[:1] == "x" and name[1:].isdecimal() and int(name[1:]) < 31:
            return state.frame[int(name[1:])]
        if name in {"sp", "pc", "pstate"}:
            return {"sp": state.frame[31], "pc": state.pc, "pstate": state.pstate}[name]
        row = by_name.get(name.upper())
        if row is None:
            raise UsageError(f"no register {name!r}: x0 to x30, sp, pc, pstate, or a system register's Arm name")
        return self.engine.read_sysreg(row.encoding)

    def set_register(self, name: str, value: int) -> None:
        """Write x0 to x30, pc, or a system register."""
        if name[:1] == "x" and name[1:].isdecimal() and int(name[1:]) < 31:
            self.vcpu.state.set_gpr(int(name[1:]), value)
        elif name == "pc":
            self.vcpu.state.set_pc(value)
        elif name.upper() in by_name:
            self.engine.write_sysreg(by_name[name.upper()].encoding, value)
        else:
            raise UsageError(f"no register {name!r} that can be written: x0 to x30, pc, or a system register")

    # --- what it did

    def exceptions_at(self, symbol: str) -> list[Taken]:
        """The exceptions that the guest took inside a function."""
        return [taken for taken in self.recorder.exceptions if self.symbols.format(taken.elr).split("+")[0] == symbol]

    def calls(self, function_id: int) -> list[Call]:
        """The HVCs and SMCs with this function identifier."""
        return [call for call in self.recorder.calls if call.function_id == function_id]

    def mmio(self, device: str) -> list[Access]:
        """The accesses of a device, as `pl011`; of a machine with `exact_mmio`."""
        if not self.config.exact_mmio:
            raise UsageError("device accesses are heard of with exact_mmio=True only, since they cost much")
        return [access for access in self.recorder.accesses if access.name.split(".")[0] == device]

    # --- running to a place

    def run_until(
        self,
        *,
        symbol: str | None = None,
        address: int | None = None,
        exit: str | None = None,  # noqa: A002  the word for it
        count: int = 1,
        timeout: float | None = None,
    ) -> None:
        """Run until a place has been reached, or an exit of a kind made, `count` times; NotReachedError otherwise.

        At a symbol or address the instruction there has not been executed. `exit` is the name of a class in
        `vcpu.exits`, as `Halt` or `MmioWrite`.
        """
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        if (symbol is not None) + (address is not None) + (exit is not None) != 1:
            raise UsageError("run_until needs one of symbol, address and exit")
        where = self.symbols.address(symbol) if symbol is not None else address
        for _ in range(count):
            if where is not None:
                self._run_to(where, end, symbol or f"{where:#x}")
            else:
                self._run_to_exit(str(exit), end)

    def _run_to(self, address: int, end: float, name: str) -> None:
        if self.vcpu.state.pc == address:
            self.vcpu.step()
        with ExitStack() as stack:
            stack.enter_context(Breakpoint(self, address))
            self._stops.add(address)
            stack.callback(self._stops.discard, address)
            self._run_to_end(end, Ending.STOPPED, REACHED, name)

    def _run_to_exit(self, kind: str, end: float) -> None:
        self._awaited = kind
        try:
            self._run_to_end(end, Ending.POWERED_OFF, EXITED, f"an exit {kind}")
        finally:
            self._awaited = None

    def _run_to_end(self, end: float, ending: Ending, reason: str, name: str) -> None:
        outcome = self.run(timeout=max(0.001, end - time.monotonic()))
        if (outcome.ending, outcome.reason) == (ending, reason):
            return
        if outcome.ending is not Ending.LIMIT:
            self.talk.outcome = outcome
        raise NotReachedError(f"{name} was not reached: {outcome.reason}\n{self.talk}")

    def _on_breakpoint(self, vcpu: Aarch64VCpu, immediate: int) -> bool:
        if immediate != IMMEDIATE or vcpu.state.pc not in self._stops:
            return False
        self.end(Outcome.of(Ending.STOPPED, REACHED))
        self.engine.leave()
        return True

    def _hear_exit(self, reason: Exit) -> None:
        if self._awaited == type(reason).__name__:
            self.quit(EXITED)

    def count_instructions(self, start: str, end: str, timeout: float | None = None) -> int:
        """How many the guest executes from its next arrival at the symbol `start` to that at `end`, exactly."""
        executed = 0

        def heard(_pc: int) -> None:
            nonlocal executed
            executed += 1

        self.run_until(symbol=start, timeout=timeout)
        self.trace_instructions(heard)
        self.run_until(symbol=end, timeout=timeout)
        return executed - 1  # the BRK that ended it

    # --- faults

    def inject_serror(self, iss: int = 0, timeout: float = 1.0) -> None:
        """A physical SError (EC 0x2F), taken as soon as PSTATE.A is clear; NotReachedError where it stays set."""
        end = time.monotonic() + timeout
        while self.vcpu.state.pstate & PSTATE_A:
            if time.monotonic() > end:
                raise NotReachedError(f"PSTATE.A has been set for {timeout} s: the SError stays pending")
            self.run(timeout=0.001)
        self.vcpu.take_serror(iss)

    def flip_register_bit(self, name: str, bit: int) -> None:
        """A fault in a register."""
        self.set_register(name, self.register(name) ^ 1 << bit)

    def poison(self, address: int) -> Callable[[], None]:
        """Have accesses of a page of RAM end in external aborts, until the function that is returned is called.

        Without effect on a Linux kernel that armvcpu enters itself: it runs without stage 2.
        """
        page = address & -4096
        self.memory.hide_page(self.space, page)
        return lambda: self.memory.show_page(self.space, page)

    def power_cut(self) -> None:
        """The end without any warning: disks keep exactly what the guest has written."""
        self.close()
