"""Packets that have the guest go on: c, s, vCont and their like; bs and bc, backwards; and those by which gdb leaves.

None of them is answered at once: what they ask for is told to whoever has the machine (`client.py`), and the reply is
the next stop. GDB manual, appendix E.2 (vCont, bs, bc, D, k, vKill, vRun).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.gdb.guest import Refused
from armvcpu.debug.gdb.state import Malformed, address_in, number, numbers

if TYPE_CHECKING:
    from armvcpu.debug.gdb.state import State

_SIGNALLED = {b"C": b"c", b"S": b"s"}
"""Actions that deliver a signal, which a machine has none of."""


class How(Enum):
    """How the guest goes on."""

    GO = "until something stops it"
    STEP = "one instruction of one CPU"
    RANGE = "by steps of one CPU, as long as it is at these addresses"
    BACK_STEP = "one instruction back"
    BACK_GO = "back to the last breakpoint or watchpoint before"
    RESTART = "not; it has been switched off and on, and stands at its first instruction"


class Resume(NamedTuple):
    """The guest goes on; `cpu` is the one that steps, `begin` and `end` are a range's.

    `only` is the CPU that goes on where the others are to stand.
    """

    how: How
    cpu: int = 0
    begin: int = 0
    end: int = 0
    only: int | None = None


class Parting(Enum):
    """gdb takes its leave."""

    DETACH = "the guest goes on without it"
    KILL = "and the run ends"


class ResumePackets:
    """Those of one session."""

    def __init__(self, state: State) -> None:
        self._state, self._guest = state, state.guest
        self.packets = {
            b"c": self._go,
            b"C": self._go_with_signal,
            b"s": self._step,
            b"S": self._step_with_signal,
            b"b": self._back,
            b"vCont": self._continue,
            b"D": lambda _rest: Parting.DETACH,
            b"k": lambda _rest: Parting.KILL,
            b"vKill": lambda _rest: Parting.KILL,
            b"vRun": self._run,
            b"!": self._extend,
            b"vAttach": lambda _rest: b"E.a machine has no processes to attach to",
        }

    def _go(self, rest: bytes) -> Resume:
        self._set_pc(rest)
        return Resume(How.GO)

    def _step(self, rest: bytes) -> Resume:
        self._set_pc(rest)
        return Resume(How.STEP, self._state.continued)

    def _go_with_signal(self, rest: bytes) -> Resume:
        return self._go(_behind_signal(rest))

    def _step_with_signal(self, rest: bytes) -> Resume:
        return self._step(_behind_signal(rest))

    def _set_pc(self, text: bytes) -> None:
        if text:
            pc = self._guest.description.registers[_PC]
            self._guest.write_register(self._state.continued, pc, address_in(text))

    def _back(self, rest: bytes) -> Resume | bytes:
        if rest not in {b"s", b"c"}:
            return b""
        if not self._guest.keeps_history:
            raise Refused("nothing is kept to go back to: start the run with --history SIZE")
        return Resume(How.BACK_STEP if rest == b"s" else How.BACK_GO, self._state.continued)

    # --- vCont ------------------------------------------------------------------------------------------------

    def _continue(self, rest: bytes) -> Resume | bytes:
        """Of several actions the first that a thread is named in, or none is named in, is the thread's."""
        if rest == b"?":
            return b"vCont;c;C;s;S;r"
        actions = [_action(each) for each in rest.split(b";")]
        for action, thread in actions:
            cpu = None if thread is None else self._state.cpu(thread)
            if action.startswith(b"s"):
                return Resume(How.STEP, self._state.continued if cpu is None else cpu)
            if action.startswith(b"r"):
                begin, end = numbers(action[1:], 2)
                return Resume(How.RANGE, self._state.continued if cpu is None else cpu, begin, end)
        named = {None if thread is None else self._state.cpu(thread) for _, thread in actions}
        return Resume(How.GO, only=named.pop() if len(named) == 1 else None)

    # --- leaving ----------------------------------------------------------------------------------------------

    def _extend(self, _rest: bytes) -> bytes:
        self._state.is_extended = True
        return b"OK"

    def _run(self, _rest: bytes) -> Resume:
        """The program that gdb names is the one that the machine has, and its arguments are --append's."""
        self._guest.restart()
        return Resume(How.RESTART)


_PC = 32
"""By gdb's numbers."""


def _behind_signal(text: bytes) -> bytes:
    signal, _, rest = text.partition(b";")
    number(signal)
    return rest


def _action(text: bytes) -> tuple[bytes, bytes | None]:
    """What to do, and for which thread; signals are left out."""
    action, colon, thread = text.partition(b":")
    kind = action[:1]
    if kind in _SIGNALLED:
        number(action[1:])
        action = _SIGNALLED[kind]
    elif kind not in {b"c", b"s", b"r"} or (kind in {b"c", b"s"} and len(action) > 1):
        raise Malformed
    return action, thread if colon else None
