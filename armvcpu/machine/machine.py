"""The machine: a board, its memory and one virtual CPU, and the run loop with the one `match` over exits.

    with Machine("guest.elf") as machine:
        @machine.on_hypercall(0xC600_0001)
        def add(vcpu): return vcpu.gpr(1) + vcpu.gpr(2)

        outcome = machine.run(timeout=10)

What is hot never comes here: devices, registered handlers and firmware services answer inside the trap.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Self, TypeVar, assert_never

from armvcpu.arch.psci import AffinityState, PsciStatus
from armvcpu.engine.api import PRIVATE_BASE, TABLES_OFFSET
from armvcpu.errors import GuestCrash, Unmodelled
from armvcpu.machine.board import RAM_BASE, virt_board
from armvcpu.machine.bus import Bus
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console import MemoryConsole
from armvcpu.machine.handlers import Handlers
from armvcpu.machine.loader import BootRequest, plan_boot
from armvcpu.machine.memory import GuestMemory, new_address_space
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.machine.wake import Waker
from armvcpu.vcpu.exception import read_result
from armvcpu.vcpu.exits import (
    AccessFlags,
    CpuDown,
    CpuUp,
    Exit,
    ExternalInterrupt,
    FailEntry,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    SendIPI,
    SysRegRead,
    SysRegWrite,
    SystemDown,
    SystemReset,
)
from armvcpu.vcpu.mapping import MappingFlags
from armvcpu.vcpu.observer import Observers
from armvcpu.vcpu.pcpu import Aarch64PerCpu, unicorn_engine
from armvcpu.vcpu.psci import Psci
from armvcpu.vcpu.vcpu import Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from armvcpu.machine.console import Console
    from armvcpu.machine.semihosting import Semihosting
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.pcpu import EngineFactory

    F = TypeVar("F", bound=Callable[..., Any])

FIRST_SLICE, LAST_SLICE = 20_000, 2_000_000
"""Instructions between two looks at the world in the counting mode: more while they take less than SLICE_TIME."""
SLICE_TIME = 0.01
NEVER = 1e9
"""Seconds: a longer time-out is none."""
KEPT_EXITS = 16


class Machine(Handlers):
    """One `virt` machine with one CPU. `Machine(image, **options)`: the options are MachineConfig's fields."""

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
        self.memory = GuestMemory(self.config.memory)
        self.board = virt_board(
            self.config.memory, self.console.write, (self.memory.flash_bank(0), self.memory.flash_bank(1)),
            self.config.cpu_model,
        )  # fmt: skip
        self.plan = plan_boot(self._boot_request())
        self._load_flash()
        self.last_exits: deque[tuple[int, Exit]] = deque(maxlen=KEPT_EXITS)
        """(PC, exit) of the last ones."""
        self.instructions: int | None = 0
        """How many were executed; None where that is not known: not counted, or since the guest ended or was reset."""
        self._signal, self._quit = 0, ""
        self._outcome: Outcome | None = None
        self._observer: Observer | None = None
        self.pcpu = Aarch64PerCpu(0, engine_factory)
        self.pcpu.hardware_enable()
        self.engine = self.pcpu.engine
        self.space = new_address_space(self.engine, PRIVATE_BASE + TABLES_OFFSET)
        self.memory.attach(self.engine, self.space)
        self.bus = Bus(self.engine, self.space, self._on_mmio_access if self.config.exact_mmio else None)
        self.bus.attach(self.board.slots)
        self.board.uart.on_space = self._feed_uart
        self.vcpu = self._new_vcpu()
        self._semihosting: Semihosting | None = None
        if self.config.semihosting:
            from armvcpu.machine.semihost import attach_semihosting  # noqa: PLC0415  for a fast start

            self._semihosting = attach_semihosting(self)
        self._start_image()

    # --- construction -----------------------------------------------------------------------------------------

    def _boot_request(self) -> BootRequest:
        config = self.config
        return BootRequest(
            self.board.memory_map(), self.board.device_tree(), image=config.image, firmware=config.firmware,
            initrd=config.initrd, dtb=config.dtb, append=config.append, load_address=config.load_address,
        )  # fmt: skip

    def _new_vcpu(self) -> Aarch64VCpu:
        config = Aarch64VCpuCreateConfig(mpidr_el1=0, dtb_addr=self.plan.x0, cpu_model=self.config.cpu_model)
        vcpu = Aarch64VCpu(0, 0, config, hal=self)
        vcpu.setup(Aarch64VCpuSetupConfig())
        vcpu.set_ept_root(self.space.root, self.space.vtcr, self._handle_page_fault)
        Psci(self).register(vcpu.services)
        vcpu.bind(self.pcpu)
        return vcpu

    def _start_image(self) -> None:
        """Memory and registers as the boot plan wants them."""
        for address, data in self.plan.writes:
            if address >= RAM_BASE:
                self.memory.write(address, data)
        for address, size in self.plan.zeroes:
            self.memory.write(address, bytes(size))
        self.engine.invalidate_code()
        self.vcpu.set_entry(self.plan.entry)
        self.vcpu.set_gpr(0, self.plan.x0)

    def close(self) -> None:
        """Free the engine; the machine can't run after."""
        if self._semihosting is not None:
            self._semihosting.close()
        if self.pcpu.is_enabled():
            self.vcpu.unbind()
            self.pcpu.hardware_disable()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, timeout: float | None = None, max_instructions: int = 0) -> Outcome:
        """Run until the guest ends, `timeout` seconds of host time, or exactly `max_instructions`."""
        counting = bool(max_instructions) or self.config.clock == "instructions"
        self.engine.set_counting(counting)
        if not counting:
            self.instructions = None
        self.vcpu.exit_filter = self._deal_in_trap if counting else None
        self._outcome = None
        with Waker(self.engine.request_stop) as waker:
            self._waker = waker
            waker.set_deadline(None if timeout is None or timeout > NEVER else time.monotonic() + timeout)
            self.console.on_input = self.engine.request_stop
            try:
                self._feed_uart()
                return self._loop(max_instructions, counting)
            except (GuestCrash, Unmodelled) as stop:
                return Outcome.of(Ending.CRASHED, str(stop))
            finally:
                self.console.on_input = _nothing
                self.console.flush()

    def _loop(self, max_instructions: int, counting: bool) -> Outcome:
        left, size, piece = max_instructions, FIRST_SLICE, 0
        while True:
            if counting:
                piece, start = min(left, size) if max_instructions else size, time.monotonic()
            reason = self.vcpu.run(piece)
            if counting:
                left -= self._count(reason, piece)
                if max_instructions and left <= 0:
                    return Outcome.of(Ending.LIMIT, f"instruction limit: {max_instructions} executed")
                slow = time.monotonic() - start > SLICE_TIME
                size = max(size // 2, FIRST_SLICE) if slow else min(size * 2, LAST_SLICE)
            outcome = self._outcome or self._deal(reason)
            if outcome is not None:
                return outcome

    def _count(self, reason: Exit, piece: int) -> int:
        """Instructions of a slice that ended with `reason`; one where Unicorn does not tell, so that a limit comes."""
        if isinstance(reason, ExternalInterrupt):  # before the slice began
            return 0
        if isinstance(reason, Nothing):
            if self.instructions is not None:
                self.instructions += piece
            return piece
        self.instructions = None
        return 1

    def _deal_in_trap(self, reason: Exit) -> bool:
        """Counting mode: an exit is dealt with inside the trap where it can be, so that the count stays exact."""
        if isinstance(reason, SystemReset) or (isinstance(reason, NestedPageFault) and self.config.exact_mmio):
            return False
        self._outcome = self._deal(reason)
        return self._outcome is None

    def _deal(self, reason: Exit) -> Outcome | None:  # noqa: C901, PLR0911, PLR0912  the one match over exits
        """Act on an exit; an Outcome ends the run."""
        vcpu = self.vcpu
        if not isinstance(reason, ExternalInterrupt | Nothing):
            self.last_exits.append((vcpu.state.pc, reason))
        match reason:
            case ExternalInterrupt() | Nothing():
                return self._after_interrupt()
            case MmioRead(address, width):
                window = self.bus.find(address)
                if window is None:
                    vcpu.inject_external_abort()
                else:
                    vcpu.set_gpr(reason.reg, read_result(reason, window.read(address - window.base, width)))
            case MmioWrite(address, width, data):
                window = self.bus.find(address)
                if window is None:
                    vcpu.inject_external_abort()
                else:
                    window.write(address - window.base, width, data)
            case NestedPageFault(address, access):
                self._deal_with_fault(address, access)
            case Hypercall():
                vcpu.set_return_value(PsciStatus.NOT_SUPPORTED)
            case SysRegRead() | SysRegWrite():
                vcpu.inject_undefined()
            case Halt():
                if vcpu.interrupts is None or not vcpu.interrupts.pending:
                    what = "waits for an interrupt (WFI)" if reason.entry_point is None else "suspended its only CPU"
                    return Outcome.of(Ending.CRASHED, f"the guest {what}, and nothing on this machine can wake it")
            case CpuUp():
                vcpu.set_return_value(PsciStatus.INVALID_PARAMETERS)
            case CpuDown():
                return Outcome.of(Ending.CRASHED, "the guest switched its only CPU off (PSCI CPU_OFF)")
            case SystemDown():
                return Outcome.of(Ending.POWERED_OFF, "the guest powered off")
            case SystemReset():
                if not self.config.reboot:
                    return Outcome.of(Ending.POWERED_OFF, "the guest asked for a reset (--no-reboot)")
                self.reset()
            case SendIPI():
                pass  # to another CPU: there is none
            case FailEntry(code):
                return Outcome.of(Ending.CRASHED, f"the guest could not be entered: {code}")
            case _:
                assert_never(reason)
        return None

    def _deal_with_fault(self, address: int, access: AccessFlags) -> None:
        """A stage-2 abort without a register to serve: a watched device is shown for one instruction."""
        window = self.bus.find(address)
        if window is None or not window.io or access is AccessFlags.EXECUTE or not self.config.exact_mmio:
            self.vcpu.inject_external_abort()
            return
        self.bus.show(window)
        try:
            self.vcpu.step()
        finally:
            self.bus.hide(window)

    def _after_interrupt(self) -> Outcome | None:
        self._feed_uart()
        if self._signal:
            signal, self._signal = self._signal, 0
            return Outcome.of(Ending.LIMIT, f"ended by signal {signal}", 128 + signal)
        if self._quit:
            reason, self._quit = self._quit, ""
            return Outcome.of(Ending.POWERED_OFF, reason)
        if self._waker.expired:
            return Outcome.of(Ending.LIMIT, "time-out")
        return None

    def reset(self) -> None:
        """SYSTEM_RESET: the devices and the CPU start anew, RAM keeps what the image does not overwrite."""
        for slot in self.board.slots:
            slot.device.reset()
        self.vcpu.reset()
        self._start_image()

    def end(self, outcome: Outcome) -> None:
        """From a handler in the trap that makes an exit: this is how the run ends."""
        self._outcome = outcome

    def interrupt(self, signal: int) -> None:
        """From a signal handler: end the run with status 128 + `signal`."""
        self._signal = signal
        self.engine.request_stop()

    def quit(self, reason: str = "ended from the console") -> None:
        """From any thread, or from a handler in the trap: end the run with status 0."""
        self._quit = reason
        self.engine.request_stop()

    # --- console ----------------------------------------------------------------------------------------------

    def _feed_uart(self) -> None:
        """Give the UART what it has room for, and lose nothing."""
        data = self.console.take(16)
        if data:
            accepted = self.board.uart.receive(data)
            if accepted < len(data):
                self.console.put_back(data[accepted:])

    # --- the vCPU layer's host (Hal, PsciHost) ----------------------------------------------------------------

    def translate(self, guest_physical: int) -> int | None:
        """Host-physical address by the stage-2 tables."""
        found = self.space.translate(guest_physical)
        return None if found is None else found.hpa

    def irq_fetch(self) -> int:
        """One interrupt: somebody wants the machine's attention."""
        return 0

    def irq_handler(self, vector: int) -> None:
        """What `_after_interrupt` does."""

    def inject(self, vcpu: Aarch64VCpu, vector: int) -> bool:
        """No interrupt controller on this board yet: the vCPU's own interface takes it."""
        del vcpu, vector
        return False

    def cpu_states(self) -> Mapping[int, AffinityState]:
        """One CPU, and it is on."""
        return {0: AffinityState.ON}

    def is_entry_point(self, address: int) -> bool:
        """RAM, or flash."""
        found = self.space.translate(address)
        return found is not None and not found.flags & MappingFlags.DEVICE

    def _handle_page_fault(self, address: int, access: AccessFlags) -> bool:
        return self.space.handle_page_fault(address, MappingFlags(access.value))

    def _on_mmio_access(self, is_read: bool, address: int, width: int, value: int) -> None:
        if self._observer is not None:
            self._observer.mmio(0, self.vcpu.state, is_read, address, width, value)

    def _load_flash(self) -> None:
        for address, data in self.plan.writes:
            if address < RAM_BASE:
                self.memory.load_flash(address, data)

    # --- being watched ----------------------------------------------------------------------------------------

    def observe(self, observer: Observer) -> None:
        """Have `observer` hear what happens, beside those that do already."""
        self._observer = observer if self._observer is None else Observers(self._observer, observer)
        self.vcpu.observer = self._observer

    def trace_instructions(self, heard: Callable[[int], None]) -> None:
        """Call `heard` with the PC of every instruction, before it executes."""
        self.engine.on_code(1, 0, heard)

    def trace_memory(self, heard: Callable[[int, bool, int, int, int | None], None]) -> None:
        """Call `heard` on every access: PC, is a read, virtual address, width in bytes, the value written or None."""
        last_pc = [0]

        def remember(pc: int) -> None:
            last_pc[0] = pc

        def access(is_read: bool, address: int, width: int, value: int | None) -> None:
            heard(last_pc[0], is_read, address, width, value)

        self.engine.on_code(1, 0, remember)
        self.engine.on_memory(access)

    def name_of(self, address: int) -> str:
        """The device and register at a guest-physical address, as `pl011.UARTDR`; empty where there is none."""
        slot = self.board.find(address)
        if slot is None:
            return ""
        offset = address - slot.base
        return f"{slot.name}{slot.device.name_of(offset)}"

    # --- looking in -------------------------------------------------------------------------------------------

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes of guest-physical memory; UsageError where there is none."""
        return self.memory.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        """Write guest-physical memory; code that was translated from it is forgotten."""
        self.memory.write(address, data)
        self.engine.invalidate_code()

    def read_virtual(self, address: int, size: int) -> bytes | None:
        """`size` bytes at a guest-virtual address as the guest would read them, or None where it could not."""
        return self.engine.read_virtual(address, size)


def _nothing() -> None:
    """Nobody waits for input."""
