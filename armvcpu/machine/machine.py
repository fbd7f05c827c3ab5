"""The machine: a board, its memory, its CPUs and Python's handlers, put together.

    with Machine("guest.elf") as machine:
        @machine.on_hypercall(0xC600_0001)
        def add(vcpu): return vcpu.gpr(1) + vcpu.gpr(2)

        outcome = machine.run(timeout=10)

What is hot never comes here: devices, registered handlers and firmware services answer inside the trap. What comes out
of it goes through `run_loop.py`.
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING, Any, Self
from armvcpu.engine.api import PRIVATE_BASE, TABLES_OFFSET
from armvcpu.machine.board.bus import Bus
from armvcpu.machine.board.flash_banks import FlashBank
from armvcpu.machine.board.interrupts import Lines, connect_gic
from armvcpu.machine.board.memory import GuestMemory, new_address_space
from armvcpu.machine.board.peripherals import Peripherals
from armvcpu.machine.board.virt import RAM_BASE, Wiring, virt_board
from armvcpu.machine.boot.loader import BootRequest, plan_boot
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.feed import ConsoleInput
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.handlers import Handlers
from armvcpu.machine.host import Host
from armvcpu.machine.running.clock import HostClock, InstructionClock
from armvcpu.machine.running.cpus import Cpu
from armvcpu.machine.running.inputs import open_input
from armvcpu.machine.running.run_loop import RunLoop
from armvcpu.machine.running.stage2 import Stage2
from armvcpu.machine.watched import Watched
from armvcpu.machine.watching.guards import Guards
from armvcpu.machine.watching.self_debug import SelfDebug
from armvcpu.vcpu.exits import Nothing
from armvcpu.vcpu.pcpu import Aarch64PerCpu, unicorn_engine
from armvcpu.vcpu.psci import Psci
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.machine.console.port import Console
    from armvcpu.machine.running.clock import Clock
    from armvcpu.machine.running.outcome import Outcome
    from armvcpu.machine.running.turns import Turns
    from armvcpu.machine.semihosting.operations import Semihosting
    from armvcpu.machine.snapshots.snapshot import Snapshot
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.pcpu import EngineFactory


class Machine(Host, Watched, Handlers):
    """One `virt` machine. `Machine(image, **options)`: the options are MachineConfig's fields."""

    def __init__(
        self,
        image: Any = None,
        *,
        console: Console | None = None,
        engine_factory: EngineFactory = unicorn_engine,
        **options: Any,
    ) -> None:
        self.config = MachineConfig(image=image, **options)
        self.config.check()
        self.console: Console = console if console is not None else MemoryConsole()
        self.memory = GuestMemory(self.config.memory, (FlashBank(0), FlashBank(1, self.config.vars)))
        lines = Lines(self.config.cpus)
        self.clock: Clock = InstructionClock() if self.config.clock == "instructions" else HostClock()
        self.pcpu, self.cpus = Aarch64PerCpu(0, engine_factory), list[Cpu]()
        self._semihosting: Semihosting | None = None
        self.peripherals = Peripherals(self.config, self.console.write, self.clock.random)
        try:
            self._assemble(lines)
        except BaseException:  # else files, programs and the engine would live as long as the traceback
            self._release()
            raise

    # --- construction -----------------------------------------------------------------------------------------

    def _assemble(self, lines: Lines) -> None:
        """The board, the engine and the CPUs around the peripherals, and the image in memory."""
        wiring = Wiring(
            self.console.write, self.memory.flash, lines, self.memory,
            self.peripherals.virtio, self.config.virtio_version, self.clock.unix, self.config.gic,
        )  # fmt: skip
        self.board = virt_board(self.config.memory, wiring, self.config.cpu_model)
        self.plan = plan_boot(self._boot_request())
        self.board.fw_cfg.add_boot(self.plan.fw_cfg)
        for address, data in self.plan.writes:
            if address < RAM_BASE:
                self.memory.flash[0].load(data)
        self.pcpu.hardware_enable()
        self.engine = self.pcpu.engine
        self.space = new_address_space(self.engine, PRIVATE_BASE + TABLES_OFFSET)
        exact, is_lazy = self.config.exact_mmio, not self.clock.repeats  # a fault more would be another run
        self.memory.attach(self.engine, self.space, exact_mmio=exact, is_lazy=is_lazy)
        self.bus = Bus(self.engine, self.space, self._on_mmio_access if exact else None, is_lazy=is_lazy)
        self.bus.attach(self.board.slots)
        for flash, bank in zip(self.board.flash, self.memory.flash, strict=True):
            flash.on_array = bank.show
            if bank.shows_device and (window := self.bus.find(bank.base)):
                self.bus.map(window)
        self.guards, self.self_debug = Guards(self), SelfDebug(self)
        self.stage2 = Stage2(self)
        self.cpus += (
            Cpu(index, self._new_vcpu(index, mpidr), self.pcpu, self.clock)
            for index, mpidr in enumerate(self.board.mpidrs)
        )
        snapshot = self._open_snapshot()
        self.inputs = open_input(self.config, self.console, self.clock)  # a recording begins when the rest can be had
        self.console_input = ConsoleInput(self.inputs, self.board.uart, self.peripherals.console)
        self.clock.attach(self.engine)
        connect_gic(self.board.gic, self.cpus)
        lines.connect(self.cpus)
        self.cpus[0].bind()
        self._loop = RunLoop(self)
        if self.clock.repeats:
            for cpu in self.cpus:
                cpu.answer_counts(self._loop.note_count_read)
        if self.config.semihosting:
            from armvcpu.machine.semihosting.attach import attach_semihosting  # noqa: PLC0415  for a fast start

            self._semihosting = attach_semihosting(self)
        self._start_image()
        if snapshot is not None:
            Machine.restore(self, snapshot)  # of a subclass nothing is there yet
            snapshot.close()

    def _open_snapshot(self) -> Snapshot | None:
        if self.config.snapshot is None:
            return None
        from armvcpu.machine.snapshots.snapshot_file import load_for  # noqa: PLC0415  most machines start at power-on

        return load_for(self, self.config.snapshot)

    def _boot_request(self) -> BootRequest:
        config = self.config
        return BootRequest(
            self.board.memory_map(), self.board.device_tree(), image=config.image, firmware=config.firmware,
            initrd=config.initrd, dtb=config.dtb, append=config.append, load_address=config.load_address,
            chosen={"rng-seed": self.clock.random(32)},
        )  # fmt: skip

    def _new_vcpu(self, index: int, mpidr: int) -> Aarch64VCpu:
        config = Aarch64VCpuCreateConfig(
            mpidr_el1=mpidr, dtb_addr=self.plan.x0, cpu_model=self.config.cpu_model, gicv3=self.config.gic == 3,
            pmu=True,
        )  # fmt: skip
        vcpu = Aarch64VCpu(0, index, config, hal=self)
        vcpu.setup(Aarch64VCpuSetupConfig(passthrough_interrupt=True))  # by the board's own interrupt controller
        vcpu.set_ept_root(self.space.root, self.space.vtcr, self.stage2.handle_fault)
        self.stage2.attach(vcpu)
        self.self_debug.attach(vcpu)
        Psci(self).register(vcpu.services)
        return vcpu

    @property
    def vcpu(self) -> Aarch64VCpu:
        """The vCPU that runs, or ran last."""
        return self._loop.cpu.vcpu

    def _start_image(self) -> None:
        """Memory and registers as the boot plan wants them."""
        for address, data in self.plan.writes:
            if address >= RAM_BASE:
                self.memory.write(address, data)
        for address, size in self.plan.zeroes:
            self.memory.write(address, bytes(size))
        self.engine.code.invalidate()
        self.vcpu.set_entry(self.plan.entry)
        self.vcpu.set_gpr(0, self.plan.x0)

    def close(self) -> None:
        """Free the engine; the machine can't run after."""
        self.inputs.close(self._loop.last_outcome if self.can_go_on else None)
        self._release()

    def _release(self) -> None:
        """What there is of the machine, however far it was put together."""
        self.peripherals.close()
        if self._semihosting is not None:
            self._semihosting.close()
        for cpu in self.cpus:
            if cpu.is_bound:
                cpu.vcpu.unbind()
        if self.pcpu.is_enabled():
            self.pcpu.hardware_disable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, timeout: float | None = None, max_instructions: int = 0) -> Outcome:
        """Run until the guest ends, `timeout` seconds of host time, or exactly `max_instructions`."""
        return self._loop.run(timeout, max_instructions)

    def step(self) -> Outcome | None:
        """Run one instruction of the CPU that is loaded, and act on its exit; an Outcome where that ends the guest."""
        self._loop.outcome = None
        reason = self.vcpu.step()
        return self._loop.act_on(self.self_debug.serve() if isinstance(reason, Nothing) else reason)

    @property
    def wanted_end(self) -> Outcome | None:
        """How a handler wants the run to end."""
        return self._loop.outcome

    @property
    def repeats(self) -> bool:
        """Is time what has been executed, so that a run with the same input is the same?"""
        return self.clock.repeats

    @property
    def instructions(self) -> int | None:
        """How many were executed since power-on; None where a run has not been counted."""
        return self._loop.instructions

    @property
    def last_exits(self) -> Sequence[tuple[int, Exit]]:
        """(PC, exit) of the last ones."""
        return self._loop.last_exits

    # --- snapshots

    def snapshot(self) -> Snapshot:
        """The machine's state now, between two runs."""
        from armvcpu.machine.snapshots.snapshot import take  # noqa: PLC0415  for a fast start

        return take(self)

    def restore(self, snapshot: Snapshot) -> None:
        """Return to a state of this machine, or of one of the same kind; UsageError where it is another."""
        from armvcpu.machine.snapshots.snapshot import restore  # noqa: PLC0415

        restore(self, snapshot)
        self.stage2.settle()

    def dirty_pages(self) -> list[tuple[int, int]]:
        """(address, bytes) of the pages of RAM that have been written since the last call, or since power-on.

        By the guest, at any Exception level, by devices and by the host; `restore` writes what it replaces. Pages have
        4096 bytes, and neighbours are one range. In a handler as between two runs.
        """
        return self.memory.dirty.take()

    @property
    def can_go_on(self) -> bool:
        """Has there been no run yet, or has the last one ended by the host: time-out, limit, signal or quit?"""
        return self._loop.can_go_on

    @property
    def is_running(self) -> bool:
        """Does the guest run now?"""
        return self._loop.is_running

    @property
    def current_cpu(self) -> Cpu:
        """The CPU that the engine has loaded, or had last."""
        return self._loop.cpu

    @property
    def turns(self) -> Turns:
        """Which CPU has the engine."""
        return self._loop.turns

    def restart_count(self, instructions: int | None) -> None:
        """Go on counting from here."""
        self._loop.restart_count(instructions)

    def reset(self) -> None:
        """SYSTEM_RESET: devices and CPUs start anew, RAM keeps what the image does not overwrite."""
        for slot in self.board.slots:
            slot.device.reset()
        self.board.gic.reset()
        for cpu in self.cpus:
            cpu.reset()
        self.self_debug.reset()
        self._loop.turns.switch_to(self.cpus[0])
        self._start_image()

    def end(self, outcome: Outcome) -> None:
        """From a handler in the trap that makes an exit: this is how the run ends."""
        self._loop.outcome = outcome

    def interrupt(self, signal: int) -> None:
        """From a signal handler: end the run with status 128 + `signal`."""
        self._loop.signal = signal
        self._loop.attend()

    def quit(self, reason: str = "ended from the console") -> None:
        """From any thread, or from a handler in the trap: end the run with status 0."""
        self._loop.quit_reason = reason
        self._loop.attend()

    def press_power_key(self) -> None:
        """Between two runs, or from a handler: the power key goes down. Drivers debounce: release it 0.1 s later."""
        self.board.gpio.press()

    def release_power_key(self) -> None:
        """Let the power key go."""
        self.board.gpio.release()
