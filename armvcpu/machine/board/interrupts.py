"""The wires between the interrupt controller and the CPUs, which are made after it.

Lines, not polling: a device calls its line when the level changes, the controller calls a CPU's input when its output
does, and the CPU's input tells the CPU.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.processor import Processor

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine


class CpuInputs:
    """The IRQ and FIQ inputs of one CPU, physical and virtual: levels, driven by the interrupt controller."""

    __slots__ = ("_changed", "_virtual_changed", "fiq", "irq", "vfiq", "virq")

    def __init__(self) -> None:
        self.irq = self.fiq = self.virq = self.vfiq = False
        self._changed: Callable[[], None] = _nobody
        self._virtual_changed: Callable[[], None] = _nobody

    def connect(self, changed: Callable[[], None], virtual_changed: Callable[[], None]) -> None:
        """The CPU is there: it is told when a level has changed."""
        self._changed, self._virtual_changed = changed, virtual_changed

    def set_irq(self, level: bool) -> None:
        """Drive the IRQ input."""
        self.irq = level
        self._changed()

    def set_fiq(self, level: bool) -> None:
        """Drive the FIQ input."""
        self.fiq = level
        self._changed()

    def set_virq(self, level: bool) -> None:
        """Drive the virtual IRQ input, which is that of a guest of the guest's."""
        self.virq = level
        self._virtual_changed()

    def set_vfiq(self, level: bool) -> None:
        """Drive the virtual FIQ input."""
        self.vfiq = level
        self._virtual_changed()


class Lines:
    """The inputs of all CPUs of a machine, what they tell of themselves, and whose access is on the bus."""

    _engine: Engine

    def __init__(self, count: int, el: int = 1) -> None:
        self.inputs = tuple(CpuInputs() for _ in range(count))
        self.processors = tuple(Processor(el) for _ in range(count))
        self.master = 0
        """The index of the CPU that the engine has loaded, whose accesses devices see."""

    def connect(self, engine: Engine) -> None:
        """The engine is there."""
        self._engine = engine

    def access_is_secure(self) -> bool:
        """Is the access that is being served a Secure one?"""
        return self._engine.access_is_secure

    def current_cpu(self) -> int:
        """The index of the CPU whose access is being served."""
        return self.master


def _nobody() -> None:
    """The CPU is not there yet."""
