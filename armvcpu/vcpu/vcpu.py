"""A virtual CPU: what it is, `run()`, which gives one exit at a time, and what the caller does with the exit.

pcpu = Aarch64PerCpu(); pcpu.hardware_enable()
vcpu = Aarch64VCpu(vm_id=0, vcpu_id=0, config=Aarch64VCpuCreateConfig(mpidr_el1=0, dtb_addr=0x4000_0000))
vcpu.setup(Aarch64VCpuSetupConfig()); vcpu.set_entry(0x4008_0000); vcpu.bind(pcpu)
match vcpu.run(): ...
"""

from __future__ import annotations

from collections.abc import Callable

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.esr import ExceptionClass, has_far
from armvcpu.arch.idregs import model as cpu_model
from armvcpu.arch.idregs import translated_features
from armvcpu.arch.registers import by_name
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.api import RunEnd
from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.exits import AccessFlags, Exit, ExternalInterrupt, Nothing
from armvcpu.vcpu.hal import BareHal
from armvcpu.vcpu.smc import SmcServices
from armvcpu.vcpu.sysreg import SysRegTable
from armvcpu.vcpu.traps.exception import ExceptionLayer, TrapHandlers
from armvcpu.vcpu.traps.registers import UNDEFINED_ESR
from armvcpu.vcpu.traps.setup import Aarch64VCpuSetupConfig, set_up_traps
from armvcpu.vcpu.vcpu_life import VCpuLife, VCpuState

if TYPE_CHECKING:
    from armvcpu.vcpu.hal import Hal
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.sysreg import ReadRegister, WriteRegister

__all__ = ["Aarch64VCpu", "Aarch64VCpuCreateConfig", "Aarch64VCpuSetupConfig", "VCpuState"]

PageFaultHandler = Callable[[int, AccessFlags], bool]
"""Asked on every stage-2 fault with the IPA and the access: True when memory is there now, and to try again."""

_HCR = by_name["HCR_EL2"].encoding


class Aarch64VCpuCreateConfig(Row):
    """What a vCPU is: its affinity (MPIDR_EL1, 64 bits), where its device tree lies, which CPU it shows."""

    mpidr_el1: int = 0
    dtb_addr: int = 0
    cpu_model: str = "a72"
    gicv3: bool = True
    """Does the CPU have the GICv3 system register interface (ID_AA64PFR0_EL1.GIC)?"""
    pmu: bool = False
    """Does it have Performance Monitors (ID_AA64DFR0_EL1.PMUVer)? Whoever says so adds a `Pmu` to `sysregs`."""


class Aarch64VCpu(VCpuLife):
    """One virtual CPU of a VM. Every method that is not allowed in the present state raises StateError."""

    def __init__(self, vm_id: int, vcpu_id: int, config: Aarch64VCpuCreateConfig, hal: Hal | None = None) -> None:
        super().__init__(vcpu_id)
        self.vm_id, self.config = vm_id, config
        self.hal: Hal = hal or BareHal()
        self.model = cpu_model(config.cpu_model)
        self._features = translated_features(self.model)
        self.handlers, self.services = TrapHandlers(), SmcServices()
        self.sysregs = SysRegTable(self.model, gicv3=config.gicv3, pmu=config.pmu)
        self.handle_page_fault: PageFaultHandler = lambda _ipa, _access: False
        self.uses_stage2 = False
        self._observer: Observer | None = None
        self.last_trap = (0, 0, 0)
        """(ESR, FAR, PC) of the last trap that became an exit."""
        self.yielded = False
        """Did the last run end because the guest waits for an event, or yields?"""
        self._exceptions = ExceptionLayer(self)
        self._exit: Exit | None = None
        self.trap_frame.set_argument(config.dtb_addr)

    # --- set-up -----------------------------------------------------------------------------------------------

    def setup(self, config: Aarch64VCpuSetupConfig) -> None:
        """Choose what is trapped: HCR_EL2, CNTHCTL_EL2, VMPIDR_EL2, VPIDR_EL2. CREATED becomes FREE."""
        self._require("setup", VCpuState.CREATED)
        set_up_traps(self, config)
        self.life = VCpuState.FREE

    def set_entry(self, address: int) -> None:
        """Where the vCPU starts: a guest-physical address, a multiple of 4."""
        self._forbid_running("set_entry")
        if address % 4 or not 0 <= address < 1 << 52:
            raise UsageError(f"entry {address:#x} is no address of an instruction: a multiple of 4 below 2^52")
        self.trap_frame.start_at(address)

    def set_ept_root(self, root: int, vtcr: int, handle_page_fault: PageFaultHandler | None = None) -> None:
        """Translate guest-physical addresses by the stage-2 tables at `root` (VTTBR_EL2), as `vtcr` describes them."""
        self._forbid_running("set_ept_root")
        registers = self.system_registers
        registers.vtcr_el2, registers.vttbr_el2 = vtcr, root
        registers.hcr_el2 |= HCR_EL2.VM.mask
        self.uses_stage2 = True
        if handle_page_fault is not None:
            self.handle_page_fault = handle_page_fault

    def use_stage2(self, enabled: bool) -> None:
        """Switch stage 2 on or off (HCR_EL2.VM); off, IPAs are physical addresses and no hole is an exit."""
        hcr = self.system_registers.read(_HCR)
        wanted = hcr | HCR_EL2.VM.mask if enabled else hcr & ~HCR_EL2.VM.mask
        self.uses_stage2 = enabled
        if wanted != hcr:
            self.system_registers.write(_HCR, wanted)

    # --- who hears ---------------------------------------------------------------------------------------------

    @property
    def observer(self) -> Observer | None:
        """Who hears what the vCPU does; nothing is told, and nothing costs, without one."""
        return self._observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self._observer = observer
        self.sysregs.observe(None if observer is None else self._tell_sysreg)
        self.settle_listeners()

    def _tell_sysreg(self, encoding: int, is_read: bool, value: int) -> None:
        assert self._observer is not None
        self._observer.sysreg(self.vcpu_id, self.state, encoding, is_read, value)

    def hear_semihosting(self, handler: Callable[[Aarch64VCpu], None] | None) -> None:
        """Have `handler` answer HLT #0xF000, with PC on it; nobody: it is UNDEFINED."""
        self.handlers.semihosting = handler
        self.settle_listeners()

    def hear_breakpoints(self, handler: Callable[[Aarch64VCpu, int], bool] | None) -> None:
        """Ask `handler` at each BRK, with its immediate, whether it is a debugger's; if so it has ended the run."""
        self.handlers.breakpoint = handler
        self.settle_listeners()

    def answer_sysreg(self, encoding: int, read: ReadRegister | None, write: WriteRegister | None) -> None:
        """Answer MRS and MSR of a register, by its packed encoding, in place of the engine."""
        self.sysregs.add(encoding, read, write)
        self.settle_listeners()

    @property
    def last_exception(self) -> tuple[int, int | None, int] | None:
        """(ESR, FAR where the exception has one, ELR) of the guest's own last exception; None where it took none."""
        last = self._pcpu.engine.last_exception if self._pcpu else None
        if last is None or (not last.elr and not last.esr):
            return self._last_exception
        return last.esr, last.far if has_far(last.esr) else None, last.elr

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, max_instructions: int = 0) -> Exit:
        """Run the guest until something needs the caller. READY before and after.

        `max_instructions` ends in `Nothing`, `request_stop` of the engine in ExternalInterrupt. GuestCrash and
        Unmodelled are raised where the guest cannot go on.
        """
        if self.life is not VCpuState.READY:
            self._require("run", VCpuState.READY)
        assert self._pcpu is not None
        self.life, self._exit, self.yielded = VCpuState.RUNNING, None, False
        try:
            end = self._pcpu.engine.run(max_instructions)
        finally:
            self.life = VCpuState.READY
        if end is RunEnd.LEFT:
            return self._taken_exit()
        if end is RunEnd.STOPPED:
            return ExternalInterrupt(self.hal.irq_fetch())
        self.yielded = end is RunEnd.YIELDED
        return Nothing()

    def step(self) -> Exit:
        """Run one instruction; `Nothing` unless it made an exit."""
        self._require("step", VCpuState.READY)
        self.life, self._exit = VCpuState.RUNNING, None
        try:
            self.engine.step()
        finally:
            self.life = VCpuState.READY
        return self._taken_exit()

    def exit(self, reason: Exit) -> None:
        """From a handler in the trap: have `run()` return `reason`."""
        if self._observer is not None:
            self._observer.exit(self.vcpu_id, self.state, reason)
        self._exit = reason
        self.engine.leave()

    # --- what the caller does with an exit --------------------------------------------------------------------

    def gpr(self, index: int) -> int:
        """Xn; 31 is XZR."""
        return self.state.frame[index] if 0 <= index < 31 and self._pcpu else self.trap_frame.gpr(index)

    def set_gpr(self, index: int, value: int) -> None:
        """Write Xn; 31 is XZR."""
        self.trap_frame.set_gpr(index, value)

    def set_return_value(self, value: int) -> None:
        """Write x0, the answer to a hypercall."""
        self.trap_frame.set_gpr(0, value)

    def inject_interrupt(self, vector: int) -> None:
        """Make interrupt `vector` (an INTID) pending: by the host's interrupt controller or the virtual interface."""
        if self.life is VCpuState.CREATED:
            raise StateError(f"vCPU {self.vcpu_id}: inject_interrupt is not allowed before setup")
        if self.hal.inject(self, vector):
            return
        if self.interrupts is None:
            raise StateError(f"vCPU {self.vcpu_id} has its interrupts passed through: there is nothing to inject into")
        self.interrupts.inject(vector)

    def inject_undefined(self) -> None:
        """Answer a SysRegRead or SysRegWrite exit: the register is UNDEFINED."""
        self._require_exit("inject_undefined", ExceptionClass.UNKNOWN)
        self.state.set_pc(self.last_trap[2])
        self.engine.take_exception(UNDEFINED_ESR)

    def inject_external_abort(self) -> None:
        """Answer an MMIO or NestedPageFault exit: nothing is there."""
        self._require_exit("inject_external_abort", ExceptionClass.IABT_LOWER, ExceptionClass.DABT_LOWER)
        self._exceptions.aborts.take_external_abort()

    def take_serror(self, iss: int = 0) -> None:
        """While it does not run: enter an SError interrupt at EL1, whatever PSTATE.A says (DDI 0487 D1.3.4).

        The engine delivers no virtual SError (HCR_EL2.VSE), so it is entered from here.
        """
        self._require("take_serror", VCpuState.READY)
        self.engine.take_exception(int(ExceptionClass.SERROR) << 26 | 1 << 25 | iss & 0x1FF_FFFF, serror=True)

    def take_debug_exception(self, exception_class: ExceptionClass, iss: int, far: int) -> None:
        """While it does not run: enter a debug exception at EL1 (DDI 0487 D2.4); FAR_EL1 is a watchpoint's only."""
        self._require("take_debug_exception", VCpuState.READY)
        self.engine.take_exception(int(exception_class) << 26 | 1 << 25 | iss, far)

    def fetch_word(self) -> int | None:
        """The instruction word at PC, or None where it cannot be read."""
        return self.engine.memory.fetch_word(self.state.pc)

    # --- private ----------------------------------------------------------------------------------------------

    def _taken_exit(self) -> Exit:
        return Nothing() if self._exit is None else self._exit

    def _require_exit(self, what: str, *classes: ExceptionClass) -> None:
        """The vCPU is bound, and its last exit came from a trap of one of these classes."""
        if self._pcpu is None or not self.last_trap[0] or self.last_trap[0] >> 26 not in classes:
            raise StateError(f"vCPU {self.vcpu_id}: {what} is not allowed: there is no exit that it answers")
