"""A virtual CPU: its registers, its life cycle, and `run()`, which gives one exit at a time.

pcpu = Aarch64PerCpu(); pcpu.hardware_enable()
vcpu = Aarch64VCpu(vm_id=0, vcpu_id=0, config=Aarch64VCpuCreateConfig(mpidr_el1=0, dtb_addr=0x4000_0000))
vcpu.setup(Aarch64VCpuSetupConfig()); vcpu.set_entry(0x4008_0000); vcpu.bind(pcpu)
match vcpu.run(): ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from armvcpu.arch.controls import CNTHCTL_EL2, CPTR_EL2, HCR_EL2
from armvcpu.arch.esr import ExceptionClass
from armvcpu.arch.idregs import model as cpu_model
from armvcpu.arch.registers import by_name
from armvcpu.engine.api import RunEnd
from armvcpu.errors import StateError, UsageError
from armvcpu.vcpu.context_frame import GuestSystemRegisters, TrapFrame
from armvcpu.vcpu.entry import EntryFeatures
from armvcpu.vcpu.exception import ExceptionLayer
from armvcpu.vcpu.exits import AccessFlags, Exit, ExternalInterrupt, Nothing, SendIPI
from armvcpu.vcpu.hal import BareHal
from armvcpu.vcpu.icv import VirtualCpuInterface
from armvcpu.vcpu.smc import SmcServices
from armvcpu.vcpu.sysreg import CPACR_EL1, MPIDR_EL1, SysRegTable
from armvcpu.vcpu.timer import PhysicalTimer

if TYPE_CHECKING:
    from armvcpu.engine.api import Engine
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.hal import Hal
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.pcpu import Aarch64PerCpu

CallHandler = Callable[["Aarch64VCpu"], "int | None"]
"""Answers a call inside the trap: gets the vCPU (arguments in its registers), gives x0, or None to leave it."""
PageFaultHandler = Callable[[int, AccessFlags], bool]
"""Asked on every stage-2 fault with the IPA and the access: True when memory is there now, and to try again."""


@dataclass(frozen=True, slots=True)
class Aarch64VCpuCreateConfig:
    """What a vCPU is: its affinity (MPIDR_EL1, 64 bits), where its device tree lies, which CPU it shows."""

    mpidr_el1: int = 0
    dtb_addr: int = 0
    cpu_model: str = "a72"
    gicv3: bool = True
    """Does the CPU have the GICv3 system register interface (ID_AA64PFR0_EL1.GIC)?"""


@dataclass(frozen=True, slots=True)
class Aarch64VCpuSetupConfig:
    """What the guest has to itself: interrupts (HCR_EL2.IMO clear), the physical timer (CNTHCTL_EL2)."""

    passthrough_interrupt: bool = False
    passthrough_timer: bool = True


class VCpuState(Enum):
    """The life cycle. `setup` leads from CREATED to FREE, `bind` to READY, `run` to RUNNING and back."""

    CREATED = "created"
    FREE = "free"
    READY = "ready"
    RUNNING = "running"
    BLOCKED = "blocked"


@dataclass(slots=True)
class TrapHandlers:
    """Python that answers inside the trap, by number: no exit, some 2 µs instead of 5."""

    hypercalls: dict[int, CallHandler] = field(default_factory=dict)
    smc: dict[int, CallHandler] = field(default_factory=dict)
    semihosting: Callable[[Aarch64VCpu], None] | None = None
    breakpoint: Callable[[Aarch64VCpu, int], bool] | None = None
    """Asked at each BRK, with its immediate, whether it is a debugger's; if so it has ended the run."""


class Aarch64VCpu:
    """One virtual CPU of a VM. Every method that is not allowed in the present state raises StateError."""

    def __init__(self, vm_id: int, vcpu_id: int, config: Aarch64VCpuCreateConfig, hal: Hal | None = None) -> None:
        self.vm_id, self.vcpu_id, self.config = vm_id, vcpu_id, config
        self.hal: Hal = hal or BareHal()
        self.model = cpu_model(config.cpu_model)
        self.life = VCpuState.CREATED
        self.trap_frame, self.system_registers = TrapFrame(), GuestSystemRegisters()
        self.handlers, self.services = TrapHandlers(), SmcServices()
        self.sysregs = SysRegTable(self.model, gicv3=config.gicv3)
        self.handle_page_fault: PageFaultHandler = lambda _ipa, _access: False
        self.uses_stage2 = False
        self.may_execute: Callable[[int], bool] = lambda _physical: True
        """May there be translated code of this page? Asked with physical addresses behind stage 2."""
        self.observer: Observer | None = None
        self.last_trap = (0, 0, 0)
        """(ESR, FAR, PC) of the last trap that became an exit."""
        self.last_exception: tuple[int, int | None, int] | None = None
        """(ESR, FAR where the exception has one, ELR) of the guest's own last exception."""
        has_pan = bool(self.model.ID_AA64MMFR1_EL1.PAN)
        self.features = EntryFeatures(pan=has_pan)
        self.interrupts: VirtualCpuInterface | None = None
        self._exceptions = ExceptionLayer(self)
        self._pcpu: Aarch64PerCpu | None = None
        self.state: CpuState
        """The saved CPU behind the trap frame, from the first `bind` on."""
        self._exit: Exit | None = None
        self._virtual = 0
        self.trap_frame.set_argument(config.dtb_addr)

    # --- set-up -----------------------------------------------------------------------------------------------

    def setup(self, config: Aarch64VCpuSetupConfig) -> None:
        """Choose what is trapped: HCR_EL2, CNTHCTL_EL2, VMPIDR_EL2, VPIDR_EL2. CREATED becomes FREE."""
        self._require("setup", VCpuState.CREATED)
        registers = self.system_registers
        registers.hcr_el2 |= HCR_EL2.of(  # VM is set already where set_ept_root came first
            RW=1, TPU=1, TSC=1, TID2=1, TID3=1, TWI=1, TWE=1, AMO=1,
            IMO=not config.passthrough_interrupt, FMO=not config.passthrough_interrupt,
        )  # fmt: skip
        registers.cnthctl_el2 = CNTHCTL_EL2.of(EL1PCTEN=config.passthrough_timer, EL1PCEN=config.passthrough_timer)
        registers.cptr_el2 = CPTR_EL2.of(TCPAC=1) | _CPTR_RES1
        registers.cntvoff_el2 = 0
        registers.vmpidr_el2 = 1 << 31 | self.config.mpidr_el1
        registers.vpidr_el2 = self.model.MIDR_EL1
        self.sysregs.add(MPIDR_EL1, lambda: 1 << 31 | self.config.mpidr_el1, None)
        self.sysregs.add(CPACR_EL1, self._read_cpacr, self._write_cpacr)
        self.sysregs.add_instruction_cache(self._invalidate_instruction_cache)
        if self.config.gicv3 and not config.passthrough_interrupt:
            self.interrupts = VirtualCpuInterface(self._set_virtual_irq, self._send_sgi)
            self.sysregs.add_interface(self.interrupts)
        if not config.passthrough_timer:
            self.sysregs.add_physical_timer(PhysicalTimer(self._count))
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

    # --- binding ----------------------------------------------------------------------------------------------

    def bind(self, pcpu: Aarch64PerCpu) -> None:
        """Load the vCPU onto a physical CPU: FREE becomes READY."""
        self._require("bind", VCpuState.FREE)
        engine = pcpu.engine
        if pcpu.bound is not None:
            raise StateError(f"physical CPU {pcpu.cpu_id} has another vCPU bound: unbind that first")
        fresh = not hasattr(self, "state")
        if fresh:
            self.state = engine.new_state()
        engine.load(self.state)
        self.system_registers.attach(pcpu, self.state)
        self.trap_frame.attach(self.state)
        if fresh:
            self.system_registers.configure()
            self.trap_frame.configure()
            engine.store()
        engine.set_trap_handler(self._exceptions.on_trap)
        pcpu.bound = self
        self._pcpu = pcpu
        self._show_virtual_interrupts()
        self.life = VCpuState.READY

    def unbind(self) -> None:
        """Save the vCPU's registers and leave the physical CPU: READY becomes FREE."""
        self._require("unbind", VCpuState.READY)
        assert self._pcpu is not None
        self._pcpu.engine.store()
        self._pcpu.forget_state()
        self._pcpu.bound = None
        self._pcpu = None
        self.life = VCpuState.FREE

    def reset(self) -> None:
        """Start anew as after `bind`: registers as after reset, configuration kept, x0 the device tree. READY stays."""
        self._require("reset", VCpuState.READY)
        engine = self.engine
        configuration = self.system_registers.configuration()
        engine.reset_state(self.state)
        for encoding, value in configuration:
            engine.write_sysreg(encoding, value)
        self.trap_frame.configure()
        engine.store()
        if self.interrupts is not None:
            self.interrupts.reset()

    def load_registers(self, registers: bytes) -> None:
        """Return to registers that `state.raw` had; FREE before and after."""
        self._require("load_registers", VCpuState.FREE)
        if not hasattr(self, "state"):
            raise StateError(f"vCPU {self.vcpu_id} has not been bound yet: it has no registers")
        self.state.load(registers)

    def block(self) -> None:
        """READY becomes BLOCKED: the vCPU waits (WFI, CPU_OFF) and may not run."""
        self._require("block", VCpuState.READY)
        self.life = VCpuState.BLOCKED

    def unblock(self) -> None:
        """BLOCKED becomes READY."""
        self._require("unblock", VCpuState.BLOCKED)
        self.life = VCpuState.READY

    @property
    def engine(self) -> Engine:
        """The engine of the physical CPU that this vCPU is bound to."""
        if self._pcpu is None:
            raise StateError(f"vCPU {self.vcpu_id} is not bound to a physical CPU")
        return self._pcpu.engine

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, max_instructions: int = 0) -> Exit:
        """Run the guest until something needs the caller. READY before and after.

        `max_instructions` needs an engine that counts them, and ends in `Nothing`; `request_stop` of the engine in
        ExternalInterrupt. GuestCrash and Unmodelled are raised where the guest cannot go on.
        """
        if self.life is not VCpuState.READY:
            self._require("run", VCpuState.READY)
        self.life, self._exit = VCpuState.RUNNING, None
        try:
            end = self.engine.run(max_instructions)
        finally:
            self.life = VCpuState.READY
        if end is RunEnd.STOPPED:
            return ExternalInterrupt(self.hal.irq_fetch())
        return self._taken_exit() if end is RunEnd.LEFT else Nothing()

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
        if self.observer is not None:
            self.observer.exit(self.vcpu_id, self.state, reason)
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

    def use_stage2(self, enabled: bool) -> None:
        """Switch stage 2 on or off (HCR_EL2.VM); off, IPAs are physical addresses and no hole is an exit."""
        hcr = self.system_registers.read(_HCR)
        wanted = hcr | HCR_EL2.VM.mask if enabled else hcr & ~HCR_EL2.VM.mask
        self.uses_stage2 = enabled
        if wanted != hcr:
            self.system_registers.write(_HCR, wanted)

    def set_virtual_interrupts(self, *, irq: bool, fiq: bool = False) -> None:
        """The level of HCR_EL2.VI and VF; of a vCPU that is not bound, it holds from its next `bind` on."""
        self._virtual = (_HCR_VI if irq else 0) | (_HCR_VF if fiq else 0)
        if self._pcpu is not None:
            self._show_virtual_interrupts()

    def _show_virtual_interrupts(self) -> None:
        hcr = self.engine.read_sysreg(_HCR)
        if hcr & (_HCR_VI | _HCR_VF) != self._virtual:
            self.engine.write_sysreg(_HCR, hcr & ~(_HCR_VI | _HCR_VF) | self._virtual)

    def inject_undefined(self) -> None:
        """Answer a SysRegRead or SysRegWrite exit: the register is UNDEFINED."""
        self._require_exit("inject_undefined", ExceptionClass.UNKNOWN)
        self.state.set_pc(self.last_trap[2])
        self._exceptions.undefined()

    def inject_external_abort(self) -> None:
        """Answer an MMIO or NestedPageFault exit: nothing is there."""
        self._require_exit("inject_external_abort", ExceptionClass.IABT_LOWER, ExceptionClass.DABT_LOWER)
        self._exceptions.external_abort()

    def take_serror(self, iss: int = 0) -> None:
        """While it does not run: enter an SError interrupt at EL1, whatever PSTATE.A says (DDI 0487 D1.3.4).

        The engine delivers no virtual SError (HCR_EL2.VSE), so its entry is made here.
        """
        self._require("take_serror", VCpuState.READY)
        self._exceptions.take_serror(iss)
        self.engine.store()

    def fetch_word(self) -> int | None:
        """The instruction word at PC, or None where it cannot be read."""
        return self.engine.fetch_word(self.state.pc)

    # --- private ----------------------------------------------------------------------------------------------

    def _send_sgi(self, value: int) -> None:
        """ICC_SGI1R_EL1 (IHI 0069 12.2.21): an exit, since the machine knows the other CPUs."""
        to_all = bool(value >> 40 & 1)
        affinity = (value >> 48 & 0xFF) << 32 | (value >> 32 & 0xFF) << 16 | (value >> 16 & 0xFF) << 8
        self.exit(SendIPI(affinity, value & 0xFFFF, to_all, False, value >> 24 & 0xF))

    def _taken_exit(self) -> Exit:
        return Nothing() if self._exit is None else self._exit

    def _set_virtual_irq(self, level: bool) -> None:
        self.set_virtual_interrupts(irq=level)

    def _read_cpacr(self) -> int:
        return self.engine.read_cpacr()

    def _write_cpacr(self, value: int) -> None:
        self.engine.write_cpacr(value)

    def _invalidate_instruction_cache(self, address: int | None) -> None:
        """IC: a page that stage 2 has never let the guest execute holds no code to forget."""
        if address is not None and self.uses_stage2:
            physical = self.engine.translate(address)
            if physical is not None and not self.may_execute(physical):
                return
        self.engine.invalidate_instruction_cache(address)

    def _count(self) -> int:
        return self.engine.read_sysreg(by_name["CNTPCT_EL0"].encoding)

    def _require(self, what: str, state: VCpuState) -> None:
        if self.life is not state:
            raise StateError(
                f"vCPU {self.vcpu_id}: {what} is not allowed while {self.life.value}, only while {state.value}"
            )

    def _require_exit(self, what: str, *classes: ExceptionClass) -> None:
        """The vCPU is bound, and its last exit came from a trap of one of these classes."""
        if self._pcpu is None or not self.last_trap[0] or self.last_trap[0] >> 26 not in classes:
            raise StateError(f"vCPU {self.vcpu_id}: {what} is not allowed: there is no exit that it answers")

    def _forbid_running(self, what: str) -> None:
        if self.life is VCpuState.RUNNING:
            raise StateError(f"vCPU {self.vcpu_id}: {what} is not allowed while running")


_CPTR_RES1 = 0x32FF  # DDI 0487 D17.2.31, bits that are RES1 without SVE
_HCR = by_name["HCR_EL2"].encoding
_HCR_VI, _HCR_VF = HCR_EL2.VI.mask, HCR_EL2.VF.mask
