"""The machine as the host of its vCPUs: what the vCPU layer asks for (`Hal`, `PsciHost`)."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.devices.pl011_registers import INT
from armvcpu.errors import InternalError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from armvcpu.arch.psci import AffinityState
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.board.peripherals import Peripherals
    from armvcpu.machine.board.virt import Board
    from armvcpu.machine.running.cpus import Cpu
    from armvcpu.vcpu.addrspace import AddressSpace
    from armvcpu.vcpu.exits import SendIPI
    from armvcpu.vcpu.vcpu import Aarch64VCpu

ISPENDR, SGI_BASE = 0x200, 0x1_0000


class Host:
    """That side of a machine."""

    board: Board
    space: AddressSpace
    memory: GuestMemory
    peripherals: Peripherals
    cpus: list[Cpu]

    def translate(self, guest_physical: int) -> int | None:
        """Host-physical address by the stage-2 tables."""
        found = self.space.translate(guest_physical)
        return None if found is None else found.hpa

    def irq_fetch(self) -> int:
        """One interrupt: somebody wants the machine's attention."""
        return 0

    def irq_handler(self, vector: int) -> None:
        """Nothing: the run loop looks after what the machine has to do (`RunLoop._service`)."""

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """Make an interrupt pending, as a write of GICD_ISPENDR or GICR_ISPENDR0 does (IHI 0069 12.9.22)."""
        gic, bit = self.board.gic, 1 << vector % 32
        if vector >= 32:
            gic.distributor.write(ISPENDR + vector // 32 * 4, 4, bit)
        elif isinstance(gic, Gicv3):
            gic.redistributor(vcpu.vcpu_id).write(SGI_BASE + ISPENDR, 4, bit)
        else:
            gic.distributor.write(ISPENDR, 4, bit)
        return True

    def set_timer(self, moment: int | None, ring: Callable[[], None]) -> None:
        """Not for this machine: its CPUs' timers are its own (`cpu_time.py`)."""
        raise InternalError(f"a vCPU asked for a timer of its own: {moment}, {ring}")

    def input_can_interrupt(self) -> bool:
        """Could what a user types, or a frame, end a WFI?"""
        console = self.peripherals.console
        return bool(
            self.board.uart.UARTIMSC & (INT.RX | INT.RT)
            or (console is not None and console.is_in_use)
            or self.peripherals.sources
        )

    def send_sgi(self, sender: Cpu, request: SendIPI) -> None:
        """Not for this machine: its interrupt controller hears of an SGI inside the trap."""
        raise InternalError(f"CPU {sender.index} made an exit of an SGI: {request}")

    def cpu_states(self) -> Mapping[int, AffinityState]:
        """Every CPU of the board."""
        return {cpu.mpidr: cpu.power for cpu in self.cpus}

    def is_entry_point(self, address: int) -> bool:
        """RAM, or flash."""
        return self.memory.holds(address)
