"""The machine as the host of its vCPUs: what the vCPU layer asks for (`Hal`, `PsciHost`)."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from armvcpu.arch.psci import AffinityState
    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class MachineHal:
    """Interrupts go through the board's interrupt controller, and time is the machine's."""

    def __init__(self, gic: Gicv2 | Gicv3) -> None:
        self._gic = gic

    def irq_fetch(self) -> int:
        """The one interrupt of the host's: a call for the run loop's attention."""
        return 0

    def irq_handler(self, vector: int) -> None:
        """Nothing: the run loop looks after what there is (`RunLoop.attend`)."""

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """Make an interrupt pending, UsageError where the machine has none of that number."""
        self._gic.pend(vector, vcpu.vcpu_id)
        return True

    def set_timer(self, moment: int | None, ring: Callable[[], None]) -> None:
        """Not for this machine: its CPUs' timers are the board's (`running/cpu_time.py`)."""
        raise InternalError(f"a vCPU asked for a timer of its own: {moment}, {ring}")


class MachinePower:
    """What PSCI asks about the CPUs of a machine, of which there may be more to come."""

    def __init__(self, cpus: Sequence[Cpu], memory: GuestMemory) -> None:
        self._cpus, self._memory = cpus, memory

    def cpu_states(self) -> Mapping[int, AffinityState]:
        """Every CPU of the board."""
        return {cpu.mpidr: cpu.power for cpu in self._cpus}

    def is_entry_point(self, address: int) -> bool:
        """RAM, or flash."""
        return self._memory.holds(address)
