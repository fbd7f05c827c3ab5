"""Calling a function of the guest's from the host, by the Procedure Call Standard for AArch64 (IHI 0055).

The CPU that is loaded goes from where it is into the function, and comes back by its return address, the place where it
was: there the engine looks whether it has (`Engine.begin_call`), and nothing is written to memory for that. Its
registers are then those of before. What the function did to memory, to system registers and to devices stays, and while
it runs so do interrupts and the other CPUs. A CPU that waits in WFI waits again after.
"""

from __future__ import annotations

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.state import FRAME_PC, FRAME_SP
from armvcpu.errors import GuestCrash, UsageError, number_in
from armvcpu.machine.outcome import Ending, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.api import Engine
    from armvcpu.machine.running.end_request import EndRequest
    from armvcpu.machine.running.turns import Turns

MOST_ARGUMENTS = 8
"""What goes in registers (IHI 0055 6.4.2); more would be on the stack."""
RETURNED = Outcome.of(Ending.STOPPED, "the function has returned")
LINK = 30
_U64 = 0xFFFF_FFFF_FFFF_FFFF


class GuestCall:
    """Calls functions of one machine's guest; an attendant of its run loop, which hears of their return."""

    def __init__(self, turns: Turns, engine: Engine, end: EndRequest) -> None:
        self._turns, self._engine, self._end = turns, engine, end

    def attend(self) -> None:
        """End the run where the function has returned."""
        if self._engine.has_returned:
            self._engine.end_call()
            self._end.by_guest(RETURNED)

    def call(self, address: int, arguments: Sequence[int], timeout: float, run: Callable[[float], Outcome]) -> int:
        """See `Machine.call`; `run` runs the machine."""
        _check(address, arguments)
        cpu = self._turns.cpu
        if cpu.power is not AffinityState.ON:
            raise UsageError(f"CPU {cpu.index} is off: it can call nothing")
        engine, state = self._engine, cpu.vcpu.state
        before, frame = state.save_general(), state.frame
        frame[LINK] = self._begin(state.pc, address, frame)
        for number, value in enumerate(arguments):
            frame[number] = value & _U64
        frame[FRAME_SP], frame[FRAME_PC] = frame[FRAME_SP] & -16, address
        wait = cpu.leave_wait()
        try:
            outcome = run(timeout)
            if outcome is not RETURNED:
                raise GuestCrash(f"the function at {address:#x} did not return: {outcome.reason}", outcome=outcome)
            result = frame[0]
            if state.load_general(before):
                engine.registers.write_pstate(state.pstate)
            cpu.enter_wait(wait)
        finally:
            engine.end_call()
        return result

    def _begin(self, pc: int, address: int, frame: memoryview) -> int:
        """Choose where it returns to: the place where the guest is, or its caller where that is the function itself."""
        back = frame[LINK] if pc == address else pc
        if back % 4 or back == address or not self._engine.begin_call(back, frame[FRAME_SP] & -16):
            raise UsageError(f"the guest is at {pc:#x}, and nothing can return there: run it to where it has some code")
        return back


def _check(address: int, arguments: Sequence[int]) -> None:
    """UsageError for what can't be called, and for what can't be passed."""
    number_in("a function's address", address, 64)
    if address % 4:
        raise UsageError(f"{address:#x} is no address of a function: a multiple of 4")
    if len(arguments) > MOST_ARGUMENTS:
        raise UsageError(f"{len(arguments)} arguments: a call has {MOST_ARGUMENTS} at most, which go in registers")
    for value in arguments:
        if type(value) is not int or not -(1 << 63) <= value <= _U64:
            raise UsageError(f"argument {value!r} is no number of 64 bits")
