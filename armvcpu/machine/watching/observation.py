"""Who hears what a machine's CPUs, devices and interrupt controller do: observers and traces."""

from __future__ import annotations

from functools import partial

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import callable_in
from armvcpu.machine.watching.flow import Flow
from armvcpu.vcpu.observer import Observers, check_observer

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.engine.api import Engine
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.observer import Observer


class Observation:
    """The observers of one machine; none at first, and then nothing is told and nothing costs."""

    def __init__(self, engine: Engine, turns: Turns) -> None:
        self._engine, self._turns = engine, turns
        self.flow = Flow(engine)
        """Branches, levels, requests."""
        self._observers: list[Observer] = []
        self._observer: Observers | None = None

    def add(self, observer: Observer, gic: Gicv2 | Gicv3) -> None:
        """Have `observer` hear what happens, beside those that do already."""
        check_observer(observer)
        self._tell([*self._observers, observer], gic)

    def remove(self, observer: Observer, gic: Gicv2 | Gicv3) -> None:
        """It hears no more; one that is not there is none the less gone."""
        self._tell([each for each in self._observers if each is not observer], gic)

    def _tell(self, observers: list[Observer], gic: Gicv2 | Gicv3) -> None:
        self._observers = observers
        self._observer = together = Observers(observers) if observers else None
        for cpu in self._turns.cpus:
            cpu.vcpu.observer = together
            hears = together is not None and "irq" in together.events
            gic.interface(cpu.index).observe(partial(self._on_interrupt, cpu) if hears else None)

    def _on_interrupt(self, cpu: Cpu, what: str, intid: int) -> None:
        assert self._observer is not None
        config = cpu.vcpu.config
        if config.el > 1 and not config.gicv3:  # in memory, where no trap has brought the state up to date
            self._engine.look()
        self._observer.irq(cpu.index, cpu.vcpu.state, what, intid)

    def on_device_access(self, is_read: bool, address: int, width: int, value: int) -> None:
        """The bus of a machine with `exact_mmio` has served an access."""
        if self._observer is None:
            return
        cpu = self._turns.cpu
        if cpu.vcpu.config.el > 1:  # there is no stage-2 abort of ours before it
            self._engine.look()
            self._observer.mmio(cpu.index, cpu.vcpu.state, is_read, address, width, value)
            return
        state, (_, _, pc) = cpu.vcpu.state, cpu.vcpu.last_trap
        behind = state.pc
        if behind != pc:  # an exit has stepped over the instruction that is to be told
            state.set_pc(pc)
        self._observer.mmio(cpu.index, state, is_read, address, width, value)
        if behind != pc:
            state.set_pc(behind)

    def trace_instructions(self, heard: Callable[[int], None]) -> Callable[[], None]:
        """Call `heard` with the PC of every instruction, before it executes; what ends that."""
        callable_in("who hears", heard, 1)
        return self._engine.listen.on_code(heard).remove

    def trace_memory(self, heard: Callable[[int, bool, int, int, int | None], None]) -> Callable[[], None]:
        """Call `heard` on every access: PC, is a read, virtual address, width in bytes, the value written or None.

        Gives what ends that.
        """
        callable_in("who hears", heard, 5)
        last_pc = [0]

        def remember(pc: int) -> None:
            last_pc[0] = pc

        def access(is_read: bool, address: int, width: int, value: int | None) -> None:
            heard(last_pc[0], is_read, address, width, value)

        ends = self._engine.listen.on_code(remember).remove, self._engine.listen.on_memory(access).remove

        def end() -> None:
            for each in ends:
                each()

        return end
