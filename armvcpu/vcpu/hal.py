"""What the program around a vCPU supplies: its side of interrupts and of time."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.vcpu.vcpu import Aarch64VCpu


class Hal(Protocol):
    """The host integration of a vCPU layer. `armvcpu.machine` is one implementation, a script's class another."""

    def irq_fetch(self) -> int:
        """The INTID of the physical interrupt that ended a run: `ExternalInterrupt.vector`."""
        ...

    def irq_handler(self, vector: int) -> None:
        """Handle a physical interrupt that was fetched, on a CPU that has no `Aarch64PerCpu.irq_handler` of its own.

        Called before `run` returns the ExternalInterrupt.
        """
        ...

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """Deliver a virtual interrupt through the machine's interrupt controller; False: the vCPU's own interface."""
        ...

    def set_timer(self, moment: int | None, ring: Callable[[], None]) -> None:
        """Call `ring` once, from any thread, at `moment` (ns of CLOCK_MONOTONIC) in place of the moment before.

        None: no longer. Asked of hosts that leave a vCPU's timers to the vCPU (`passthrough_interrupt` false).
        """
        ...


class BareHal:
    """A host without interrupts of its own."""

    def irq_fetch(self) -> int:
        """The one interrupt there is: a request to stop."""
        return 0

    def irq_handler(self, vector: int) -> None:
        """Nothing to do."""

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """No interrupt controller."""
        del vcpu, vector
        return False

    def set_timer(self, moment: int | None, ring: Callable[[], None]) -> None:
        """By the process's own alarms."""
        from armvcpu.vcpu.alarms import ALARMS  # only of a vCPU whose guest sets a timer

        ALARMS.set(moment, ring)
