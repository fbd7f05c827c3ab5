"""What the machine does about an exit: the one `match` over them."""

from __future__ import annotations

from armvcpu.arch.psci import PsciStatus
from armvcpu.arch.static import TYPE_CHECKING, assert_never
from armvcpu.machine.running.outcome import Ending, Outcome
from armvcpu.machine.running.turns import TURN_NS
from armvcpu.vcpu.exits import (
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
from armvcpu.vcpu.stage2.mapping import MappingFlags
from armvcpu.vcpu.traps.aborts import read_result

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.machine import Machine
    from armvcpu.machine.running.turns import Turns


class Actions:
    """Deals with the exits of one machine; `service` is what an interrupt of the host's asks for."""

    def __init__(self, machine: Machine, turns: Turns, service: Callable[[], Outcome | None]) -> None:
        self._machine, self._turns, self._service = machine, turns, service

    def deal(self, reason: Exit) -> Outcome | None:  # noqa: C901, PLR0911, PLR0912  the one match over exits
        """Act on an exit; an Outcome ends the run."""
        cpu = self._turns.cpu
        vcpu = cpu.vcpu
        match reason:
            case ExternalInterrupt() | Nothing():
                made = self._machine.self_debug.serve()
                if not isinstance(made, Nothing):
                    return self.deal(made)
                return self._machine.wanted_end or self._service()
            case MmioRead() | MmioWrite():
                self._deal_with_access(reason)
            case NestedPageFault(address, access):
                self._deal_with_fault(address, access)
                return self._service()  # a step takes a stop that was meant for the run
            case Hypercall():
                vcpu.set_return_value(PsciStatus.NOT_SUPPORTED)
            case SysRegRead() | SysRegWrite():
                vcpu.inject_undefined()
            case Halt(entry_point, argument):
                cpu.wait(entry_point, argument)
            case CpuUp(target, entry_point, argument):
                self._start_cpu(target, entry_point, argument)
            case CpuDown():
                cpu.stop()
            case SystemDown():
                return Outcome.of(Ending.POWERED_OFF, "the guest powered off")
            case SystemReset():
                if not self._machine.config.reboot:
                    return Outcome.of(Ending.POWERED_OFF, "the guest asked for a reset (--no-reboot)")
                self._machine.reset()
            case SendIPI():
                self._machine.send_sgi(cpu, reason)
            case FailEntry(why):
                return Outcome.of(Ending.CRASHED, f"the guest could not be entered: {why}")
            case _:
                assert_never(reason)
        return None

    def _deal_with_access(self, reason: MmioRead | MmioWrite) -> None:
        """A device that is served from here, or nothing at all: an external abort."""
        vcpu, window = self._turns.cpu.vcpu, self._machine.bus.find(reason.addr)
        if window is None:
            vcpu.inject_external_abort()
        elif isinstance(reason, MmioRead):
            vcpu.set_gpr(reason.reg, read_result(reason, window.read(reason.addr - window.base, reason.width)))
        else:
            window.write(reason.addr - window.base, reason.width, reason.data)

    def _deal_with_fault(self, address: int, access: MappingFlags) -> None:
        """A stage-2 abort without a register to serve: the device is shown for one instruction."""
        machine = self._machine
        window = machine.bus.find(address)
        flash = None if window is None else machine.board.flash_at(window.base)
        if flash is not None and access is not MappingFlags.WRITE and flash.show_array():
            return  # the guest tries again, and reads memory
        if window is None or access is MappingFlags.EXECUTE or not (flash or machine.config.exact_mmio):
            self._turns.cpu.vcpu.inject_external_abort()
            return
        if flash is not None:
            flash.hide_array()
            if machine.space.translate(window.base) is not None:
                return  # the device is there now
        machine.bus.show(window)
        try:
            self._turns.cpu.vcpu.step()
        finally:
            machine.bus.hide(window)

    def _start_cpu(self, target: int, entry_point: int, argument: int) -> None:
        """PSCI CPU_ON, which PSCI itself has checked: the new CPU gets its turn soon."""
        cpu = next(cpu for cpu in self._machine.cpus if cpu.mpidr == target)
        self._machine.board.gic.interface(cpu.index).reset()
        cpu.start(entry_point, argument)
        self._turns.end_within(TURN_NS)
