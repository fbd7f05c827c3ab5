"""Finds the end of a call: the instruction behind it, reached with the stack pointer that the call was made with.

A function that calls itself has another stack pointer each time. A thread of the guest's may come back on another CPU
than it has called on, with its own stack: so a call is looked for on the CPU first, then on all. One that never comes
back (longjmp, a thread that ends) is forgotten when the same function is entered with the same stack again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Listen, Removable
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Then = Callable[[Aarch64VCpu, Any], None]

MOST_CALLS = 1 << 16
"""That are waited for at a time; the oldest is forgotten."""
_SP, _X30 = 31, 30


class Returns:
    """The calls of one machine that have not come back yet."""

    def __init__(self, listen: Listen, turns: Turns) -> None:
        self._listen, self._turns = listen, turns
        self._waiting: dict[tuple[int, int], dict[tuple[object, int], tuple[Then, Any]]] = {}
        """By (SP, return address): by (whose it is, CPU): what is called, and with what."""
        self._probes: dict[int, Removable] = {}

    def expect(self, vcpu: Aarch64VCpu, whose: object, then: Then, kept: Any) -> None:
        """On a function's first instruction: call `then` with the vCPU and `kept` when it has returned."""
        frame = vcpu.state.frame
        back = frame[_X30]
        place = frame[_SP], back
        calls = self._waiting.get(place)
        if calls is None:
            if len(self._waiting) >= MOST_CALLS:
                del self._waiting[next(iter(self._waiting))]
            calls = self._waiting[place] = {}
            if back not in self._probes:
                self._probes[back] = self._listen.probe(back, self._reached)
        calls[whose, self._turns.cpu.index] = then, kept

    def _reached(self, pc: int) -> None:
        cpu = self._turns.cpu
        vcpu = cpu.vcpu
        place = vcpu.state.frame[_SP], pc
        calls = self._waiting.get(place)
        if calls is None:
            return
        here = [key for key in calls if key[1] == cpu.index] or list(calls)
        ended = [calls.pop(key) for key in here]
        if not calls:
            del self._waiting[place]
        for then, kept in reversed(ended):
            then(vcpu, kept)

    def forget(self, whose: object) -> None:
        """Wait for none of these calls; and look nowhere any more where nobody waits."""
        for place, calls in list(self._waiting.items()):
            for key in [key for key in calls if key[0] is whose]:
                del calls[key]
            if not calls:
                del self._waiting[place]
        wanted = {back for _, back in self._waiting}
        for back in [back for back in self._probes if back not in wanted]:
            self._probes.pop(back).remove()
