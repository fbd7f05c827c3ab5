"""What the machine does about an exit: the one `match` over them."""

from __future__ import annotations

from armvcpu.arch.psci import PsciStatus
from armvcpu.arch.static import TYPE_CHECKING, assert_never
from armvcpu.errors import InternalError
from armvcpu.machine.outcome import Ending, Outcome
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
    from armvcpu.machine.board.bus import Bus
    from armvcpu.machine.board.virt import Board
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.running.power import Power
    from armvcpu.machine.running.turns import Turns
    from armvcpu.vcpu.addrspace import AddressSpace


class Actions:
    """Deals with the exits of one machine."""

    def __init__(
        self, turns: Turns, bus: Bus, board: Board, space: AddressSpace, power: Power, config: MachineConfig
    ) -> None:
        self._turns, self._bus, self._board, self._space, self._power = turns, bus, board, space, power
        self._reboots, self._exact_mmio = config.reboot, config.exact_mmio

    def deal(self, reason: Exit) -> Outcome | None:  # noqa: C901, PLR0912  the one match over exits
        """Act on an exit; an Outcome ends the run."""
        cpu = self._turns.cpu
        vcpu = cpu.vcpu
        match reason:
            case ExternalInterrupt() | Nothing():
                pass  # stops without an exit: the run loop asks its attendants
            case MmioRead() | MmioWrite():
                self._deal_with_access(reason)
            case NestedPageFault(address, access):
                self._deal_with_fault(address, access)
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
                if not self._reboots:
                    return Outcome.of(Ending.POWERED_OFF, "the guest asked for a reset (--no-reboot)")
                self._power.reset()
            case SendIPI():  # the interrupt controller hears of an SGI inside the trap
                raise InternalError(f"CPU {cpu.index} made an exit of an SGI: {reason}")
            case FailEntry(why):
                return Outcome.of(Ending.CRASHED, f"the guest could not be entered: {why}")
            case _:
                assert_never(reason)
        return None

    def _deal_with_access(self, reason: MmioRead | MmioWrite) -> None:
        """A device that is served from here, or nothing at all: an external abort."""
        vcpu, window = self._turns.cpu.vcpu, self._bus.find(reason.addr)
        if window is None:
            vcpu.inject_external_abort()
            return
        state, pc = vcpu.state, vcpu.last_trap[2]
        behind = state.pc
        state.set_pc(pc)  # for who serves it, PC is on the instruction
        if isinstance(reason, MmioRead):
            vcpu.set_gpr(reason.reg, read_result(reason, window.read(reason.addr - window.base, reason.width)))
        else:
            window.write(reason.addr - window.base, reason.width, reason.data)
        if state.pc == pc:
            state.set_pc(behind)

    def _deal_with_fault(self, address: int, access: MappingFlags) -> None:
        """A stage-2 abort without a register to serve: the device is shown for one instruction."""
        window = self._bus.find(address)
        flash = None if window is None else self._board.flash_at(window.base)
        if flash is not None and access is not MappingFlags.WRITE and flash.show_array():
            return  # the guest tries again, and reads memory
        is_shown = flash is not None or (self._exact_mmio and window not in self._bus.empty)
        if window is None or access is MappingFlags.EXECUTE or not is_shown:
            self._turns.cpu.vcpu.inject_external_abort()
            return
        if flash is not None:
            flash.hide_array()
            if self._space.translate(window.base) is not None:
                return  # the device is there now
        self._bus.show(window)
        try:
            reason = self._turns.cpu.vcpu.step()
            if isinstance(reason, NestedPageFault) and self._bus.find(reason.addr) is not window:
                # it reaches over the window's end: what comes there is shown, too, or aborts the access
                self._deal_with_fault(reason.addr, reason.access_flags)
        finally:
            self._bus.hide(window)

    def _start_cpu(self, target: int, entry_point: int, argument: int) -> None:
        """PSCI CPU_ON, which PSCI itself has checked: the new CPU gets its turn soon."""
        cpu = next(cpu for cpu in self._turns.cpus if cpu.mpidr == target)
        self._board.gic.interface(cpu.index).reset()
        cpu.start(entry_point, argument)
        self._turns.end_within(TURN_NS)
