"""Watching a machine and looking into it: observers, traces, memory."""

from __future__ import annotations

from functools import partial

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.observer import Observers

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.board.virt import Board
    from armvcpu.machine.running.cpus import Cpu
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class Watched:
    """That side of a machine."""

    board: Board
    memory: GuestMemory
    engine: Engine
    cpus: list[Cpu]
    _observer: Observer | None = None

    @property
    def vcpu(self) -> Aarch64VCpu:
        """The vCPU that runs, or ran last."""
        raise NotImplementedError

    def observe(self, observer: Observer) -> None:
        """Have `observer` hear what happens, beside those that do already."""
        self._observer = observer if self._observer is None else Observers(self._observer, observer)
        for cpu in self.cpus:
            cpu.vcpu.observer = self._observer
            self.board.gic.interface(cpu.index).on_interrupt = partial(self._on_interrupt, cpu, self._observer)

    @staticmethod
    def _on_interrupt(cpu: Cpu, observer: Observer, what: str, intid: int) -> None:
        observer.irq(cpu.index, cpu.vcpu.state, what, intid)

    def trace_instructions(self, heard: Callable[[int], None]) -> None:
        """Call `heard` with the PC of every instruction, before it executes."""
        self.engine.listen.on_code(1, 0, heard)

    def trace_memory(self, heard: Callable[[int, bool, int, int, int | None], None]) -> None:
        """Call `heard` on every access: PC, is a read, virtual address, width in bytes, the value written or None."""
        last_pc = [0]

        def remember(pc: int) -> None:
            last_pc[0] = pc

        def access(is_read: bool, address: int, width: int, value: int | None) -> None:
            heard(last_pc[0], is_read, address, width, value)

        self.engine.listen.on_code(1, 0, remember)
        self.engine.listen.on_memory(access)

    def name_of(self, address: int) -> str:
        """The device and register at a guest-physical address, as `pl011.UARTDR`; empty where there is none."""
        slot = self.board.find(address)
        if slot is None:
            return ""
        offset = address - slot.base
        return f"{slot.name}{slot.device.name_of(offset)}"

    # --- looking in

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of guest-physical memory; UsageError where there is none."""
        return self.memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write guest-physical memory; code that was translated from it is forgotten."""
        self.memory.write(address, data)

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """`size` bytes at a guest-virtual address as the guest would read them, or None where it could not."""
        return self.engine.memory.read_virtual(address, size)

    def physical(self, address: int) -> int:
        """The physical address behind a virtual one, which may be physical itself where the guest maps nothing."""
        found = self.engine.memory.translate(address)
        return address if found is None else found

    def _on_mmio_access(self, is_read: bool, address: int, width: int, value: int) -> None:
        if self._observer is None:
            return
        state, (_, _, pc) = self.vcpu.state, self.vcpu.last_trap
        behind = state.pc
        if behind != pc:  # an exit has stepped over the instruction that is to be told
            state.set_pc(pc)
        self._observer.mmio(0, state, is_read, address, width, value)
        if behind != pc:
            state.set_pc(behind)
