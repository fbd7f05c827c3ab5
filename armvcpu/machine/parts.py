"""The parts of a machine, and the one place where their order of assembly can be read.

    options -> clock, schedule, peripherals -> board -> boot plan -> engine, memory, bus -> watches -> CPUs -> input

Each step takes what it needs of the steps before as arguments, so no other order is possible; nobody holds a machine
that is only half there. What must be heard of in the other direction is a wire that is laid first and connected by its
later end (`Lines`), a list that the later end joins (`Turns.add`), or a schedule (`Schedule.add`).
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from armvcpu.arch.gic_icc import PMR, SRE_EL2
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.deadline import Schedule
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.devices.stream import Stream
from armvcpu.engine.api import PRIVATE_BASE, TABLES_OFFSET
from armvcpu.machine.board.bus import Bus, empty_window
from armvcpu.machine.board.clock import Clock, HostClock, InstructionClock
from armvcpu.machine.board.core_registers import core_registers
from armvcpu.machine.board.flash_banks import FlashBank
from armvcpu.machine.board.interrupts import Lines
from armvcpu.machine.board.memory import GuestMemory, new_address_space
from armvcpu.machine.board.nowhere import Nowhere
from armvcpu.machine.board.peripherals import Peripherals
from armvcpu.machine.board.ram import users_ram
from armvcpu.machine.board.virt import (
    FLASH_SIZE,
    GICD_BASE,
    INPUT_BITS,
    SEED_SIZE,
    Board,
    Wiring,
    is_covered,
    secure_ram,
    virt_board,
)
from armvcpu.machine.boot.boot import Boot
from armvcpu.machine.boot.fw_cfg_files import fill_fw_cfg
from armvcpu.machine.console.feed import ConsoleFeed
from armvcpu.machine.console.inputs import open_input
from armvcpu.machine.console.outputs import Outputs
from armvcpu.machine.console.patience import Patience
from armvcpu.machine.hal import MachineHal, MachinePower
from armvcpu.machine.held import Held
from armvcpu.machine.running.attention import Attention
from armvcpu.machine.running.count import Count
from armvcpu.machine.running.cpu import Cpu
from armvcpu.machine.running.cpu_time import CpuTime
from armvcpu.machine.running.end_request import EndRequest
from armvcpu.machine.running.pauses import Pauses
from armvcpu.machine.running.stage2 import Stage2Faults, Stage2Switch
from armvcpu.machine.running.turns import Turns
from armvcpu.machine.watching.holes import Holes
from armvcpu.machine.watching.observation import Observation
from armvcpu.machine.watching.page_watches import PageWatches
from armvcpu.machine.watching.self_debug import SelfDebug
from armvcpu.vcpu.pcpu import Aarch64PerCpu
from armvcpu.vcpu.percpu import PerCpu
from armvcpu.vcpu.psci import Psci
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.bus import Watch
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.console.inputs import Input
    from armvcpu.machine.console.port import Console
    from armvcpu.machine.layout import Ram
    from armvcpu.machine.running.cpu import Signal
    from armvcpu.vcpu.addrspace import AddressSpace
    from armvcpu.vcpu.pcpu import EngineFactory
    from armvcpu.vcpu.processor import Processor


class Parts(Row):
    """What a machine is put together from. Which parts there are never changes; their states do."""

    config: MachineConfig
    console: Console
    clock: Clock
    schedule: Schedule
    peripherals: Peripherals
    board: Board
    boot: Boot
    pcpu: Aarch64PerCpu
    """The physical CPU. CPUs take turns on the one engine that it has; its `engine` is `engine`."""
    engine: Engine
    space: AddressSpace
    memory: GuestMemory
    bus: Bus
    turns: Turns
    """The CPUs (`turns.cpus`), and which of them the engine has loaded (`turns.cpu`)."""
    stage2: Stage2Switch
    holes: Holes
    page_watches: PageWatches
    self_debug: SelfDebug
    observation: Observation
    attention: Attention
    end: EndRequest
    count: Count
    pauses: Pauses
    inputs: Input
    feed: ConsoleFeed
    outputs: Outputs
    """Where the guest's characters go: the console, and the Secure UART's file."""
    held: Held
    """What has to be given back: engine, files, programs."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


def assemble(
    config: MachineConfig, console: Console, engine_factory: EngineFactory, patience: Patience | None = None
) -> Parts:
    """Put a machine together, its first CPU loaded, its memory still empty.

    `patience` ends with its runs.

    Raises:
        UsageError, ImageError: something that the options name can't be had; nothing is left open.
        EngineUnsupported: the engine cannot do what a machine needs.
    """
    with ExitStack() as held:  # where it fails half-way; else `parts` has taken all out of it
        return _assemble(config, console, engine_factory, Patience() if patience is None else patience, held)


def _assemble(
    config: MachineConfig, console: Console, engine_factory: EngineFactory, patience: Patience, held: ExitStack
) -> Parts:
    clock: Clock = InstructionClock() if config.clock == "instructions" else HostClock()
    schedule, lines = Schedule(), Lines(config.cpus, config.el)
    more = users_ram(config)
    memory, banks = _memory(config, more, held)
    outputs = Outputs(console.write, _secure_output(config, patience, held), repeats=clock.repeats)
    stream = Stream(outputs.write)
    peripherals = Peripherals(config, stream, clock.random, patience.waiting)
    held.callback(peripherals.close)
    wiring = Wiring(
        stream, banks, lines, schedule, clock, memory, peripherals.virtio, config.virtio_version, config.gic, config.el,
        None if outputs.write_secure is None else Stream(outputs.write_secure),
    )  # fmt: skip
    board = _board(config, wiring, more)
    boot = Boot(config, board, clock.random(32), clock.random(SEED_SIZE) if config.el == 3 else b"")
    fill_fw_cfg(board.fw_cfg, config, boot.plan.fw_cfg)
    memory.load_flash(list(boot.plan.writes), list(boot.plan.zeroes))

    pcpu = _physical_cpu(engine_factory, held)
    engine = pcpu.engine
    lines.connect(engine)
    clock.attach(engine)
    turns = Turns(engine, clock, schedule)
    observation = Observation(engine, turns)
    space = new_address_space(engine, PRIVATE_BASE + TABLES_OFFSET)
    exact, is_lazy = config.exact_mmio, not clock.repeats  # a fault more would be another run
    is_guests = config.el > 1
    memory.attach(engine, space, exact_mmio=exact, is_lazy=is_lazy, has_stage2=not is_guests)
    bus = _bus(engine, space, board, memory, observation.on_device_access if exact else None, is_lazy=is_lazy)
    stage2 = Stage2Switch(turns.cpus, always=not boot.plan.is_linux or exact, is_guests=is_guests)
    if not stage2.always:
        pieces = [(piece.base, piece.size) for piece in memory.layout.pieces]
        bus.show_everything(pieces, 1 << INPUT_BITS, Nowhere(engine).abort if is_guests else None)
    bus.open_empty()
    holes, page_watches = Holes(memory, space, pcpu, stage2), PageWatches(engine, memory, turns)
    self_debug = SelfDebug(config.cpus, engine, turns)

    faults = Stage2Faults(memory, bus, space)
    hal, psci = MachineHal(board.gic), Psci(MachinePower(turns.cpus, memory))
    for index, mpidr in enumerate(board.mpidrs):
        vcpu = _new_vcpu(index, mpidr, boot.plan.x0, config, hal, lines.processors[index])
        if not is_guests:
            vcpu.set_ept_root(space.root, space.vtcr, faults.handle)
        stage2.attach(vcpu)
        self_debug.attach(vcpu)
        psci.register(vcpu.services)
        signal = _have_interface(vcpu, board.gic, index)
        time = CpuTime(vcpu, clock, schedule, partial(board.gic.ppi_line, index))
        turns.add(Cpu(index, vcpu, pcpu, time, lines, turns, signal))
    held.callback(turns.unload)
    turns.load(0)

    attention = Attention(engine)
    inputs = open_input(config, console, clock, patience)
    feed = ConsoleFeed(inputs, board.console, peripherals.console, schedule)
    whole = Held()
    whole.callback(held.pop_all().close)
    return Parts(
        config, console, clock, schedule, peripherals, board, boot, pcpu, engine, space, memory, bus, turns, stage2,
        holes, page_watches, self_debug, observation, attention, EndRequest(attention, patience), Count(engine),
        Pauses(engine), inputs, feed, outputs, whole,
    )  # fmt: skip


def _have_interface(vcpu: Aarch64VCpu, gic: Gicv2 | Gicv3, index: int) -> Signal | None:
    """Give a CPU the registers of its interface, and itself what the interface has to hear of it."""
    if not isinstance(gic, Gicv3):
        return None
    interface = gic.interface(index)
    vcpu.sysregs.add_all(interface.registers())
    if vcpu.config.el == 1:  # else it means the virtual interface's too
        vcpu.sysregs.share(PMR, interface.mask_words)
    else:  # whose hypervisor writes it at each switch
        vcpu.sysregs.fix(SRE_EL2)
    return None if interface.signal_words is None else (interface.signal_words, interface.refresh)


def _physical_cpu(engine_factory: EngineFactory, held: ExitStack) -> Aarch64PerCpu:
    """The one that there is, enabled."""
    (pcpu,) = Aarch64PerCpu.register(PerCpu(), engine_factory)
    pcpu.hardware_enable()
    held.callback(pcpu.hardware_disable)
    return pcpu


def _memory(
    config: MachineConfig, more: tuple[Ram, ...], held: ExitStack
) -> tuple[GuestMemory, tuple[FlashBank, FlashBank]]:
    """RAM with the flash banks that the user's RAM does not cover; and both banks, for the chips that program them."""
    banks = FlashBank(0), FlashBank(1, config.vars)
    held.callback(banks[1].close)
    there = tuple(bank for bank in banks if not is_covered(bank.base, FLASH_SIZE, more))
    return GuestMemory(config.memory, there, more, secure_ram(config.el)), banks


def _secure_output(config: MachineConfig, patience: Patience, held: ExitStack) -> Callable[[int], None] | None:
    """Where the Secure UART's characters go, if not to the console."""
    if config.secure_console is None:
        return None
    from armvcpu.machine.console.secure_output import SecureOutput  # most machines have none

    output = SecureOutput(config.secure_console, patience)
    held.callback(output.close)
    return output.put


def _board(config: MachineConfig, wiring: Wiring, more: tuple[Ram, ...]) -> Board:
    """The board with the devices that the user has put there."""
    board = virt_board(config.memory, wiring, config.cpu_model, more)
    if config.board_devices:
        from armvcpu.machine.board.users_devices import add_devices  # most boards have their own only

        add_devices(board, config)
    return board


def _bus(
    engine: Engine, space: AddressSpace, board: Board, memory: GuestMemory, watch: Watch | None, *, is_lazy: bool
) -> Bus:
    """The bus with the board's devices, and PCIe's windows, which are empty; who reaches what is Secure."""
    empty = [empty_window(window.cpu_addr, window.size) for window in board.pcie_windows]
    bus = Bus(engine, space, watch, is_lazy=is_lazy, empty=empty)
    bus.attach(board.slots)
    for bank in memory.flash:
        if bank.shows_device and (window := bus.find(bank.base)):
            bus.map(window)
    if board.secure_ranges:
        engine.memory.set_secure(board.secure_ranges)
    return bus


def _new_vcpu(index: int, mpidr: int, x0: int, config: MachineConfig, hal: Any, processor: Processor) -> Aarch64VCpu:
    create = Aarch64VCpuCreateConfig(
        mpidr_el1=mpidr, dtb_addr=x0, cpu_model=config.cpu_model, el=config.el, gicv3=config.gic == 3, pmu=True
    )
    vcpu = Aarch64VCpu(0, index, create, hal=hal, processor=processor)
    vcpu.setup(Aarch64VCpuSetupConfig(passthrough_interrupt=True))  # by the board's own interrupt controller
    vcpu.sysregs.add_all(core_registers(config.cpus, GICD_BASE))
    return vcpu
