"""A vCPU on a scripted engine, for the tests of this directory, and an observer that writes down what it hears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.engine.fake import LimitReached, ScriptedEngine
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.engine.fake import Entry
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.hal import Hal

RAM, RAM_SIZE = 0x4008_0000, 0x1000
"""One page of RAM; the vCPU starts at its first byte."""
DTB = 0x4000_0000


class Bench:
    """One vCPU, set up, bound to a physical CPU whose engine plays what `play` is given."""

    def __init__(self, *, hal: Hal | None = None, cpu_model: str = "a72", mpidr: int = 0, **setup: bool) -> None:
        self.engine = ScriptedEngine()
        self.ram = bytearray(RAM_SIZE)
        self.engine.memory.map_ram(RAM, memoryview(self.ram))
        self.pcpu = Aarch64PerCpu(0, lambda: self.engine)
        self.pcpu.hardware_enable()
        self.vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig(mpidr, DTB, cpu_model), hal)
        self.vcpu.setup(Aarch64VCpuSetupConfig(**setup))
        self.vcpu.set_entry(RAM)
        self.vcpu.bind(self.pcpu)

    def play(self, *entries: Entry) -> Exit:
        """Run the vCPU through these traps; `Nothing` where none of them ends the run."""
        self.engine.script.clear()
        self.engine.script.extend((*entries, LimitReached()))
        return self.vcpu.run()

    def put(self, word: int) -> None:
        """The instruction at the vCPU's first address."""
        self.ram[:4] = word.to_bytes(4, "little")

    @property
    def pc(self) -> int:
        """Where the guest goes on, relative to RAM."""
        return self.vcpu.state.pc - RAM


class Heard:
    """An observer that keeps each event as a tuple, without the state."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        self.events.append(("exception", elr, target_el, esr, far, vector))

    def sysreg(self, vcpu_id: int, state: CpuState, encoding: int, is_read: bool, value: int) -> None:
        self.events.append(("sysreg", state.pc, encoding, is_read, value))

    def call(
        self, vcpu_id: int, state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        self.events.append(("call", state.pc, conduit, function_id, tuple(args), result))

    def mmio(self, vcpu_id: int, state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        self.events.append(("mmio", state.pc, is_read, address, width, value))

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        self.events.append(("irq", state.pc, what, intid))

    def exit(self, vcpu_id: int, state: CpuState, reason: Exit) -> None:
        self.events.append(("exit", state.pc, reason))
