"""What observers hear (`vcpu/observer.py`), for scripts: exceptions, calls, interrupts.

There is an observer for each, while somebody wants it, since a machine tells an observer of nothing but what it wants.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from armvcpu.vcpu.observer import Observer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.engine.state import CpuState
    from armvcpu.machine.running.turns import Turns
    from armvcpu.machine.watching.observation import Observation
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Heard = Callable[[Aarch64VCpu, tuple[Any, ...]], object]


class Hearing:
    """Of one machine."""

    def __init__(self, observation: Observation, gic: Gicv2 | Gicv3, turns: Turns) -> None:
        self._observation, self._gic = observation, gic
        self._exceptions = _Exceptions(turns)  # type: ignore[abstract]  # it hears of nothing else
        self._calls = _Calls(turns)  # type: ignore[abstract]
        self._interrupts = _Interrupts(turns)  # type: ignore[abstract]

    def on_exception(self, classes: frozenset[int] | None, heard: Heard) -> Remove:
        """(esr, far, elr, target_el, vector) of each exception of these classes; None: all."""
        return self._add(self._exceptions, self._exceptions.wanted, (classes, heard))

    def on_call(self, heard: Heard) -> Remove:
        """(conduit, number, args, result) of each HVC and SMC, when it has been answered."""
        return self._add(self._calls, self._calls.wanted, heard)

    def on_interrupt(self, heard: Heard) -> Remove:
        """(what, intid) of each interrupt that is acknowledged or ended."""
        return self._add(self._interrupts, self._interrupts.wanted, heard)

    def _add(self, observer: Observer, wanted: list[Any], what: object) -> Remove:
        if not wanted:
            self._observation.add(observer, self._gic)
        wanted.append(what)
        return partial(self._remove, observer, wanted, what)

    def _remove(self, observer: Observer, wanted: list[Any], what: object) -> None:
        wanted.remove(what)
        if not wanted:
            self._observation.remove(observer, self._gic)


class _Exceptions(Observer):
    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.wanted: list[tuple[frozenset[int] | None, Heard]] = []

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        for classes, heard in self.wanted:
            if classes is None or esr >> 26 & 0x3F in classes:
                heard(self._turns.cpu.vcpu, (esr, far, elr, target_el, vector))


class _Calls(Observer):
    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.wanted: list[Heard] = []

    def call(
        self, vcpu_id: int, state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        for heard in self.wanted:
            heard(self._turns.cpu.vcpu, (conduit, function_id, args, result))


class _Interrupts(Observer):
    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.wanted: list[Heard] = []

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        for heard in self.wanted:
            heard(self._turns.cpu.vcpu, (what, intid))
