"""Has somebody changed the guest while it stood still? Then what it did after that is not what it does now.

A debugger, a monitor and a script write registers and memory in many ways. So nobody is asked: what the guest is when
it goes on is compared with what it was when it stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from armvcpu.machine.parts import Parts


class Changes:
    """Of the registers, of what is remembered of a CPU beside them, and of RAM."""

    def __init__(self, parts: Parts) -> None:
        self._parts, self._log = parts, parts.memory.dirty.new_log()
        self._then: Any = None

    def close(self) -> None:
        """Give up the log."""
        self._parts.memory.dirty.drop_log(self._log)

    def note(self) -> None:
        """It stands still."""
        self._log.take()
        self._then = self._now()

    def found(self) -> bool:
        """Is it another than it was when it was noted?"""
        return self._then is not None and bool(self._log.take() or self._now() != self._then)

    def _now(self) -> Any:
        """What belongs to the CPUs, and how many instructions there were."""
        cpus = self._parts.turns.cpus
        registers = [cpu.vcpu.copy_registers(whole=True) if cpu.vcpu.has_state else None for cpu in cpus]
        others = [(int(cpu.power), cpu.waiting, cpu.pending_start) for cpu in cpus]
        kept = [None if each is None else ([value for _, value in each.kept], each.state.raw) for each in registers]
        return self._parts.engine.instructions, kept, others
