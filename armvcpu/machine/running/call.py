"""Calling a function of the guest's from the host, by the Procedure Call Standard for AArch64 (IHI 0055).

The CPU that is loaded goes from where it is into the function, and comes back by its return address, the place where
it was: there stands a BRK meanwhile. Its registers are then those of before. What the function did to memory, to
system registers and to devices stays, and while it runs so do interrupts and the other CPUs. A CPU that waits in WFI
waits again after.
"""

from __future__ import annotations

from armvcpu.arch.instructions import brk
from armvcpu.arch.psci import AffinityState
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import GuestCrash, UsageError, number_in
from armvcpu.machine.outcome import Ending, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.vcpu import Aarch64VCpu

IMMEDIATE = 0xCA11
BRK = brk(IMMEDIATE)
MOST_ARGUMENTS = 8
"""What goes in registers (IHI 0055 6.4.2); more would be on the stack."""
RETURNED = Outcome.of(Ending.STOPPED, "the function has returned")
_U64 = 0xFFFF_FFFF_FFFF_FFFF


class GuestCall:
    """Calls functions of one machine's guest; `run` runs it, `end` ends a run from a trap."""

    def __init__(
        self, turns: Turns, memory: GuestMemory, run: Callable[[float], Outcome], end: Callable[[Outcome], None]
    ) -> None:
        self._turns, self._memory, self._run, self._end = turns, memory, run, end

    def call(self, address: int, arguments: Sequence[int], timeout: float) -> int:
        """See `Machine.call`."""
        number_in("a function's address", address, 64)
        if address % 4:
            raise UsageError(f"{address:#x} is no address of a function: a multiple of 4")
        if len(arguments) > MOST_ARGUMENTS:
            raise UsageError(f"{len(arguments)} arguments: a call has {MOST_ARGUMENTS} at most, which go in registers")
        for value in arguments:
            if type(value) is not int or not -(1 << 63) <= value <= _U64:
                raise UsageError(f"argument {value!r} is no number of 64 bits")
        cpu = self._turns.cpu
        if cpu.power is not AffinityState.ON:
            raise UsageError(f"CPU {cpu.index} is off: it can call nothing")
        vcpu = cpu.vcpu
        back = vcpu.state.pc
        place = vcpu.engine.memory.translate(back)
        if place is None or not self._memory.is_ram(place, 4):
            raise UsageError(f"the guest is at {back:#x}, which is no RAM: run it to where it has some code in RAM")
        before = {name: vcpu.registers[name] for name in _kept(vcpu)}
        word, handler = self._memory.read(place, 4), vcpu.handlers.breakpoint
        registers = vcpu.registers
        for number, value in enumerate(arguments):
            registers[f"X{number}"] = value & _U64
        registers["X30"], registers["PC"], registers["SP"] = back, address, registers["SP"] & -16
        self._memory.write(place, BRK.to_bytes(4, "little"))
        vcpu.hear_breakpoints(lambda at, immediate: self._hear(at, immediate, vcpu, back, handler))
        wait = cpu.leave_wait()
        try:
            outcome = self._run(timeout)
            if outcome is not RETURNED:
                raise GuestCrash(f"the function at {address:#x} did not return: {outcome.reason}")
            result = vcpu.registers["X0"]
            for name, value in before.items():
                registers[name] = value
            cpu.enter_wait(wait)
        finally:
            vcpu.hear_breakpoints(handler)
            self._memory.write(place, word)
        return result

    def _hear(
        self, at: Aarch64VCpu, immediate: int, vcpu: Aarch64VCpu, back: int,
        handler: Callable[[Aarch64VCpu, int], bool] | None,
    ) -> bool:  # fmt: skip
        if at is vcpu and immediate == IMMEDIATE and vcpu.state.pc == back:
            self._end(RETURNED)
            return True
        return handler is not None and handler(at, immediate)


def _kept(vcpu: Aarch64VCpu) -> list[str]:
    """All general and FP registers: a function keeps only some, and is called between any two instructions."""
    return ["PSTATE", "SP", "PC", *[r.name for r in vcpu.registers if r.name[:1] in "XV" and r.name[1:].isdigit()]]
