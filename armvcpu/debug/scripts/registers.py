"""System registers that scripts look at: one who answers for each of them, and asks whoever did before.

Of a read a function hears what the register gives, of a write what is written; what it returns is taken in place of
that. A register that the CPU does not have reads as zero here.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from armvcpu.debug.scripts.hook import IGNORE

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.scripts.hook import Remove
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.sysreg import Answers
    from armvcpu.vcpu.vcpu import Aarch64VCpu

    Look = Callable[[Aarch64VCpu, bool, int], Any]
    """look(vcpu, is a write, value): another value, IGNORE for a write, or None."""


class Registers:
    """Of one machine."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._looks: dict[int, list[Look]] = {}
        self._before: dict[int, list[Answers]] = {}

    def add(self, encoding: int, look: Look) -> Remove:
        """Have `look` called at each access of a register."""
        looks = self._looks.setdefault(encoding, [])
        looks.append(look)
        if len(looks) == 1:
            self._begin(encoding, looks)
        return partial(self._remove, encoding, look)

    def _begin(self, encoding: int, looks: list[Look]) -> None:
        self._before[encoding] = []
        for cpu in self._turns.cpus:
            before = cpu.vcpu.sysregs.answers(encoding)
            self._before[encoding].append(before)
            answer = _Answer(cpu.vcpu, encoding, before, looks)
            cpu.vcpu.answer_sysreg(encoding, answer.read, answer.write)

    def _remove(self, encoding: int, look: Look) -> None:
        looks = self._looks[encoding]
        looks.remove(look)
        if looks:
            return
        del self._looks[encoding]
        for cpu, before in zip(self._turns.cpus, self._before.pop(encoding), strict=True):
            cpu.vcpu.sysregs.put_back(encoding, before)
            cpu.vcpu.settle_listeners()


class _Answer:
    """Who answers for one register of one vCPU."""

    def __init__(self, vcpu: Aarch64VCpu, encoding: int, before: Answers, looks: list[Look]) -> None:
        self._vcpu, self._encoding, self._before, self._looks = vcpu, encoding, before, looks

    def read(self) -> int:
        """MRS."""
        before = self._before
        value = 0
        if before.read is not None:
            value = before.read()
        elif not before.is_undefined:
            value = self._vcpu.engine.registers.read(self._encoding)
        for look in self._looks:
            changed = look(self._vcpu, False, value)
            if changed is not None:
                value = changed
        return value

    def write(self, value: int) -> None:
        """MSR."""
        for look in self._looks:
            changed = look(self._vcpu, True, value)
            if changed is IGNORE:
                return
            if changed is not None:
                value = changed
        self._pass_on(value)

    def _pass_on(self, value: int) -> None:
        before = self._before
        if before.write is not None:
            before.write(value)
            return
        if before.is_undefined:
            return
        if before.listener is not None:
            value = before.listener(value)
        if before.follower is not None:
            before.follower(value)
        self._vcpu.engine.registers.write(self._encoding, value)
