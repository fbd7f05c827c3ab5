"""What the program around a vCPU supplies: its side of interrupts and of guest memory."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class Hal(Protocol):
    """The host integration of a vCPU layer. `armvcpu.machine` is one implementation, a script's class another."""

    def translate(self, guest_physical: int) -> int | None:
        """The host-physical address behind a guest-physical one, or None where nothing is mapped."""
        ...

    def irq_fetch(self) -> int:
        """The number of the physical interrupt that ended a run: `ExternalInterrupt.vector`."""
        ...

    def irq_handler(self, vector: int) -> None:
        """Handle a physical interrupt that was fetched."""
        ...

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """Deliver a virtual interrupt through the machine's interrupt controller; False: the vCPU's own interface."""
        ...


class BareHal:
    """A host without interrupts of its own and with guest memory at the same addresses."""

    def translate(self, guest_physical: int) -> int | None:
        """Identity."""
        return guest_physical

    def irq_fetch(self) -> int:
        """The one interrupt there is: a request to stop."""
        return 0

    def irq_handler(self, vector: int) -> None:
        """Nothing to do."""

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """No interrupt controller."""
        del vcpu, vector
        return False
