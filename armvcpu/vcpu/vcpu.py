"""A virtual CPU: what it is, `run()`, which gives one exit at a time, and what the caller does with the exit.

percpu = PerCpu(); (pcpu,) = Aarch64PerCpu.register(percpu); percpu.enable_all()
vcpu = Aarch64VCpu(vm_id=0, vcpu_id=0, config=Aarch64VCpuCreateConfig(mpidr_el1=0, dtb_addr=0x4000_0000))
vcpu.setup(Aarch64VCpuSetupConfig()); vcpu.set_entry(0x4008_0000); vcpu.bind(pcpu)
match vcpu.run(): ...

It is made of parts: `life.py` says what is allowed when, `context_frame.py` has its registers, `sysreg.py` who answers
for them, `traps/` what EL2 does with a trap, `mailbox.py` what other threads want of it. This module is what they are
together: a vCPU on a physical CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import get_ident

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.esr import ExceptionClass
from armvcpu.arch.idregs import model as cpu_model
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING, NamedTuple
from armvcpu.engine.api import RunEnd
from armvcpu.errors import StateError, UsageError, callable_in, kind_in, number_in
from armvcpu.vcpu.config import Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from armvcpu.vcpu.context_frame import no_register
from armvcpu.vcpu.exits import (
    CpuDown,
    Exit,
    ExternalInterrupt,
    FailEntry,
    Halt,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    SysRegRead,
    SysRegWrite,
)
from armvcpu.vcpu.hal import BareHal
from armvcpu.vcpu.interrupts import VCpuInterrupts
from armvcpu.vcpu.life import LifeCycle, VCpuState
from armvcpu.vcpu.listeners import Listeners
from armvcpu.vcpu.mailbox import Mailbox
from armvcpu.vcpu.place import Place, no_state
from armvcpu.vcpu.processor import Processor
from armvcpu.vcpu.setup import set_up_traps
from armvcpu.vcpu.smc import SmcServices
from armvcpu.vcpu.stage2.mapping import MappingFlags
from armvcpu.vcpu.stage2.root import vttbr_el2
from armvcpu.vcpu.sysreg import SysRegTable
from armvcpu.vcpu.traps.exception import ExceptionLayer

if TYPE_CHECKING:
    from types import UnionType

    from armvcpu.engine.api import Engine, Fault, StateCopy
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.hal import Hal
    from armvcpu.vcpu.icv import VirtualCpuInterface
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.registers import Registers
    from armvcpu.vcpu.sysreg import ReadRegister, WriteRegister
    from armvcpu.vcpu.vm import VirtualMachine

__all__ = ["Aarch64VCpu", "Aarch64VCpuCreateConfig", "Aarch64VCpuSetupConfig", "VCpuState"]

CallHandler = Callable[["Aarch64VCpu"], "int | None"]
"""Answers a call inside the trap: gets the vCPU (arguments in its registers), gives x0, or None to leave it."""
PageFaultHandler = Callable[[int, MappingFlags], bool]
"""Asked on every stage-2 fault with the IPA and the access: True when memory is there now, and to try again."""


class RegisterCopy(NamedTuple):
    """The registers of one vCPU: those of the engine's, and those that its own table keeps, with who writes them."""

    state: StateCopy
    kept: list[tuple[WriteRegister, int]]


_STAGE2_EXITS = MmioRead | MmioWrite | NestedPageFault
_NO_TRAP = (0, 0, 0)
_HCR = by_name["HCR_EL2"].encoding
_FREE, _READY, _RUNNING, _LEFT = VCpuState.FREE, VCpuState.READY, VCpuState.RUNNING, RunEnd.LEFT


class Aarch64VCpu:
    """One virtual CPU of a VM. Every method that is not allowed in the present state raises StateError."""

    def __init__(
        self,
        vm_id: int,
        vcpu_id: int,
        config: Aarch64VCpuCreateConfig,
        hal: Hal | None = None,
        vm: VirtualMachine | None = None,
        processor: Processor | None = None,
    ) -> None:
        """`processor` is what an interrupt controller that was there before has of it."""
        kind_in("what a vCPU is made with", config, Aarch64VCpuCreateConfig)
        self.vm_id, self.vcpu_id, self.config, self.vm = vm_id, vcpu_id, config, vm
        self.hal: Hal = hal or BareHal()
        self.model = cpu_model(config.cpu_model)
        self._life, self._place = LifeCycle(vcpu_id), Place(vcpu_id, self.model, config.el)
        self.trap_frame, self.system_registers = self._place.trap_frame, self._place.system_registers
        self.state: CpuState = no_state(vcpu_id)
        """The saved CPU behind the trap frame, from the first `bind` on; before it, whatever is asked is StateError."""
        self.services = SmcServices(config.smccc_version)
        self.sysregs = SysRegTable(self.model, el=config.el, gicv3=config.gicv3, pmu=config.pmu)
        self.listeners = Listeners(self.sysregs, config.el)
        self.handlers = self.listeners.handlers
        self.handle_page_fault: PageFaultHandler = lambda _ipa, _access: False
        self.uses_stage2 = False
        self.last_trap = _NO_TRAP
        """(ESR, FAR, PC) of the last trap that became an exit."""
        self.refused_smc: tuple[int, int] | None = None
        """(number in x0, PC behind it) of the last SMC that nobody answered."""
        self.yielded = False
        """Did the last run end because the guest waits for an event, or yields?"""
        self.paused = False
        """Did it end at the count that the engine's `pause_at` has, and for nothing else?"""
        self._registers: Registers | None = None
        self._mailbox = Mailbox(self._kick)
        self._interrupts = VCpuInterrupts(self._mailbox, self._show_virtual_interrupts)
        self._has_state = False
        self._exceptions = ExceptionLayer(self, config.el)
        self.processor = Processor(config.el) if processor is None else processor
        self.processor.attach(self)
        self._exit: Exit | None = None
        self._can_enter = False
        self._start: tuple[int, int] | None = None
        self.trap_frame.set_argument(config.dtb_addr)

    # --- set-up -----------------------------------------------------------------------------------------------

    def setup(self, config: Aarch64VCpuSetupConfig) -> None:
        """Choose what is trapped: HCR_EL2, CNTHCTL_EL2, VMPIDR_EL2, VPIDR_EL2. CREATED becomes FREE."""
        self._life.require("setup")
        kind_in("what a vCPU is set up with", config, Aarch64VCpuSetupConfig)
        set_up_traps(self, config, self._interrupts)
        self._life.take("setup")

    def set_entry(self, address: int) -> None:
        """Where the vCPU starts: a guest-physical address, a multiple of 4."""
        self._life.forbid_running("set_entry")
        if number_in("an entry point", address, 64, signed=True) % 4 or not 0 <= address < 1 << 52:
            raise UsageError(f"entry {address:#x} is no address of an instruction: a multiple of 4 below 2^52")
        self.trap_frame.start_at(address)

    def set_ept_root(
        self, root: int, vtcr: int, handle_page_fault: PageFaultHandler | None = None, *, vmid: int = 0
    ) -> None:
        """Translate guest-physical addresses by the stage-2 tables at `root`, as `vtcr` describes them, for `vmid`.

        UsageError for a root, VTCR_EL2 or VMID that can't be; `stage2/root.py` says which can.
        """
        self._life.forbid_running("set_ept_root")
        self._require_stage2("set_ept_root")
        for what, value in (("the stage-2 root", root), ("VTCR_EL2", vtcr), ("a VMID", vmid)):
            number_in(what, value, 64, signed=True)
        if handle_page_fault is not None:
            callable_in("who is asked of page faults", handle_page_fault)
        vttbr = vttbr_el2(root, vtcr, vmid)
        registers = self.system_registers
        registers.vtcr_el2, registers.vttbr_el2 = vtcr, vttbr
        registers.hcr_el2 |= HCR_EL2.VM.mask
        self.uses_stage2 = True
        if handle_page_fault is not None:
            self.handle_page_fault = handle_page_fault

    def use_stage2(self, enabled: bool) -> None:
        """Switch stage 2 on or off (HCR_EL2.VM); off, IPAs are physical addresses and no hole is an exit."""
        if enabled:
            self._require_stage2("use_stage2")
        elif self.config.el > 1:
            return
        hcr = self.system_registers.read(_HCR)
        wanted = hcr | HCR_EL2.VM.mask if enabled else hcr & ~HCR_EL2.VM.mask
        self.uses_stage2 = enabled
        if wanted != hcr:
            self.system_registers.write(_HCR, wanted)

    # --- life -------------------------------------------------------------------------------------------------

    @property
    def life(self) -> VCpuState:
        """Where it is in its life cycle (`life.py`)."""
        return self._life.state

    def bind(self, pcpu: Aarch64PerCpu) -> None:
        """Load the vCPU onto a physical CPU, which belongs to the calling thread now: FREE becomes READY."""
        self._life.require("bind")
        try:
            pcpu.require_free()
        except AttributeError:
            raise UsageError(f"a vCPU is bound to an Aarch64PerCpu, not to {pcpu!r}") from None
        if self.vm is not None:
            self.vm.entering(pcpu, self)
        self._mailbox.claim()
        engine, is_fresh = pcpu.engine, not self._has_state
        self.state = self._place.load(pcpu, engine)
        self._has_state = True
        pcpu.bound = self
        engine.set_trap_handler(pcpu.counting(self._exceptions.on_trap), self._exceptions.on_entry)
        self.listeners.settle(engine)
        if is_fresh:
            self._place.configure()
            if self._registers is not None:
                self._registers.configure()
        if self._interrupts.are_stale:
            self._show_virtual_interrupts()
        self._life.state = _READY
        if self._start is not None:
            self.start(*self._start)

    def unbind(self) -> None:
        """Leave the physical CPU: READY becomes FREE. Its registers stay there until another vCPU needs the place."""
        self._life.require("unbind")
        pcpu = self._place.pcpu
        assert pcpu is not None
        self._place.leave()
        pcpu.bound = None
        self._life.state = _FREE
        self._mailbox.release()
        if self.vm is not None:
            self.vm.left(self, waits=isinstance(self._exit, Halt | CpuDown))

    def count_traps(self) -> None:
        """The physical CPU that it is bound to has counters from now on: the engine calls them first."""
        pcpu = self._place.pcpu
        assert pcpu is not None
        pcpu.engine.set_trap_handler(pcpu.counting(self._exceptions.on_trap), self._exceptions.on_entry)

    @property
    def engine(self) -> Engine:
        """The engine of the physical CPU that this vCPU is bound to."""
        pcpu = self._place.pcpu
        return self._place.engine if pcpu is None else pcpu.engine

    @property
    def pcpu(self) -> Aarch64PerCpu | None:
        """The physical CPU that it is bound to."""
        return self._place.pcpu

    def runs_on(self, thread: int) -> bool:
        """Does it run now, in the thread with this identifier?"""
        return self._life.state is _RUNNING and self._mailbox.owner == thread

    def reset(self) -> None:
        """Start anew as after `bind`: registers as after reset, configuration kept, x0 the device tree. READY stays."""
        self._life.require("reset")
        self._exit = None
        self._place.reset()
        self._interrupts.reset()

    def start(self, entry: int, argument: int = 0) -> None:
        """As PSCI CPU_ON does it: from its reset state at `entry`, x0 = `argument`; if unbound, at its next `bind`."""
        self._life.forbid_running("start")
        number_in("the argument of a vCPU that starts", argument, 64)
        self.set_entry(entry)
        self._start = (entry, argument)
        if self._life.state is _READY:
            self._start = None
            self.reset()
            self.trap_frame.set_argument(argument)

    @property
    def has_state(self) -> bool:
        """Has it been bound, and has a saved CPU since?"""
        return self._has_state

    @property
    def registers(self) -> Registers:
        """Every register by its name."""
        if self._registers is None:
            from armvcpu.vcpu.registers import Registers  # most runs name none

            self._registers = Registers(self)
        return self._registers

    def load_registers(self, registers: Mapping[str, int]) -> None:
        """Return to what `registers.save()` gave; FREE before and after."""
        self._life.require("load_registers")
        kind_in("what `registers.save()` gave", registers, Mapping)
        if not self.has_state:
            raise StateError(f"vCPU {self.vcpu_id} has not been bound yet: it has no registers")
        self.registers.check(registers)
        self._exit = None
        self.registers.load(registers)
        self._place.forget_exception()
        self._interrupts.forget_shown()  # they have their own HCR_EL2.VI

    def copy_registers(self, *, whole: bool = False) -> RegisterCopy | None:
        """What `put_registers` returns to, on this vCPU only; None where the engine can't tell its registers apart.

        `whole`: with those of the levels above the guest's, which are its configuration.
        """
        engine, but = self._place.last_engine, () if whole else self.system_registers.configured()
        copy = None if engine is None else engine.copy_state(self.state, but)
        kept = [(write, read()) for read, write in self.sysregs.kept.values()]
        return None if copy is None else RegisterCopy(copy, kept)

    def put_registers(self, copy: RegisterCopy) -> None:
        """Return to them, as `load_registers` does to what `save` gave; loaded or not, and not while it runs."""
        self._life.forbid_running("put_registers")
        engine = self._place.last_engine
        assert engine is not None
        self._exit = None
        engine.put_state(self.state, copy.state)
        for write, value in copy.kept:
            write(value)
        self._place.forget_exception()
        self._interrupts.forget_shown()

    def block(self) -> None:
        """READY becomes BLOCKED: the vCPU waits (WFI, CPU_OFF) and may not run."""
        self._life.take("block")

    def unblock(self) -> None:
        """BLOCKED becomes READY."""
        self._life.take("unblock")

    # --- who hears ---------------------------------------------------------------------------------------------

    @property
    def observer(self) -> Observer | None:
        """Who hears what the vCPU does; nothing is told, and nothing costs, without one.

        UsageError for an object that lacks a method of `Observer`.
        """
        return self.listeners.observer

    @observer.setter
    def observer(self, observer: Observer | None) -> None:
        self.listeners.observe(observer, self._tell_sysreg)
        self.settle_listeners()

    def _tell_sysreg(self, encoding: int, is_read: bool, value: int) -> None:
        assert self.observer is not None
        self.observer.sysreg(self.vcpu_id, self.state, encoding, is_read, value)

    def hear_semihosting(self, handler: Callable[[Aarch64VCpu], None] | None) -> None:
        """Have `handler` answer HLT #0xF000, with PC on it; nobody: it is UNDEFINED."""
        if handler is not None:
            callable_in("what answers semihosting calls", handler)
        self.handlers.semihosting = handler
        self.settle_listeners()

    def answer_sysreg(self, encoding: int, read: ReadRegister | None, write: WriteRegister | None) -> None:
        """Answer MRS and MSR of a register, by its packed encoding (16 bits), in place of the engine.

        UsageError for an encoding that is none, and for what can't be called.
        """
        number_in("the encoding of a register", encoding, 16)
        for function in (read, write):
            if function is not None:
                callable_in("what answers for a register", function)
        self.sysregs.add(encoding, read, write)
        self.settle_listeners()

    def settle_listeners(self) -> None:
        """Who answers for registers and hears of exceptions may have changed: so it is in the engine."""
        if self._place.pcpu is not None:
            self.listeners.settle(self._place.pcpu.engine)

    @property
    def last_exception(self) -> tuple[int, int | None, int] | None:
        """(ESR, FAR where the exception has one, ELR) of the guest's own last exception; None where it took none."""
        return self._place.last_exception

    @property
    def first_fault(self) -> Fault | None:
        """The first of the exceptions that the guest has not returned from (ERET), of a vCPU that is bound; or None."""
        return self._place.first_fault

    @property
    def past(self) -> tuple[tuple[int, int | None, int] | None, bytes]:
        """What is remembered of its exceptions, beside its registers; may be set while it is not bound."""
        return self._place.past

    @past.setter
    def past(self, past: tuple[tuple[int, int | None, int] | None, bytes]) -> None:
        self._place.past = past

    def keep_last_exception(self) -> None:
        """The engine is about to have another state, and forgets it."""
        self._place.keep_last_exception()

    # --- running ----------------------------------------------------------------------------------------------

    def run(self, max_instructions: int = 0) -> Exit:
        """Run the guest until something needs the caller. READY before and after.

        `max_instructions` (63 bits; 0: no limit) ends in `Nothing`. ExternalInterrupt: `request_stop` of the engine, a
        timer (27, 30), or another thread's `inject_interrupt`, which has been done. FailEntry: nothing was run.
        GuestCrash and Unmodelled are raised where the guest cannot go on.
        """
        life, pcpu, mailbox = self._life, self._place.pcpu, self._mailbox
        if life.state is not _READY:
            life.require("run")
        if max_instructions != 0:
            number_in("max_instructions", max_instructions, 63)
        assert pcpu is not None
        if mailbox.owner != get_ident():
            mailbox.claim()
        if not self._can_enter and (problem := self._why_not_enter()):
            return FailEntry(problem)
        life.state, self._exit, self.yielded, self.paused = _RUNNING, None, False, False
        waiting = mailbox.waiting
        try:
            if waiting:
                mailbox.collect()
            end = pcpu.engine.run(max_instructions)
        finally:
            life.state = _READY
            if waiting:
                mailbox.collect()
        if end is _LEFT:
            return self._taken_exit()
        if end is RunEnd.STOPPED:
            return self._take_physical_interrupt(pcpu)
        self.yielded, self.paused = end is RunEnd.YIELDED, end is RunEnd.PAUSED
        return Nothing()

    def step(self) -> Exit:
        """Run one instruction; `Nothing` unless it made an exit. What other threads want is done as `run` does it."""
        mailbox = self._mailbox
        self._life.require("step")
        if mailbox.owner != get_ident():
            mailbox.claim()
        self._life.state, self._exit = _RUNNING, None
        try:
            mailbox.collect()
            self.engine.step()
        finally:
            self._life.state = _READY
            mailbox.collect()
        return self._taken_exit()

    def exit(self, reason: Exit) -> None:
        """From a handler of the caller's, in the trap: have `run()` return `reason`; UsageError where it is no exit."""
        if not isinstance(reason, Exit):
            raise UsageError(f"{reason!r} is no exit: give one of those in armvcpu.vcpu.exits")
        self.last_trap = _NO_TRAP
        self.leave(reason)

    def leave(self, reason: Exit) -> None:
        """From the exception layer: have `run()` return `reason`."""
        observer = self.listeners.observer
        if observer is not None:
            observer.exit(self.vcpu_id, self.state, reason)
        self._exit = reason
        pcpu = self._place.pcpu
        assert pcpu is not None
        pcpu.engine.leave()

    def post(self, work: Callable[[], object]) -> None:
        """From any thread: have `work` done by the thread that has this vCPU's CPU, at once or before it runs on."""
        callable_in("what is posted", work)
        self._mailbox.post(work)

    def serve(self) -> None:
        """On the thread that runs it, in a handler that waits for another thread: do what has been posted."""
        self._mailbox.collect()

    # --- what the caller does with an exit --------------------------------------------------------------------

    def gpr(self, index: int) -> int:
        """Xn; 31 is XZR. UsageError for another number."""
        try:
            return self.state.frame[index] if 0 <= index < 31 and self._has_state else self.trap_frame.gpr(index)
        except TypeError:  # caught, and not looked for: this is asked in traps
            raise no_register(index) from None

    def set_gpr(self, index: int, value: int) -> None:
        """Write Xn with the low 64 bits of `value`; 31 is XZR. UsageError for another number, or no value."""
        self.trap_frame.set_gpr(index, value)

    def set_return_value(self, value: int) -> None:
        """Write x0, the answer to a hypercall."""
        self.trap_frame.set_gpr(0, value)

    @property
    def interrupts(self) -> VirtualCpuInterface | None:
        """The virtual CPU interface; None before `setup`, and where interrupts are passed through."""
        return self._interrupts.interface

    def inject_interrupt(self, vector: int, priority: int | None = None) -> None:
        """From any thread: make interrupt `vector` (an INTID) pending; a vCPU that runs takes it soon.

        By the host's interrupt controller, or else by the virtual interface, with `priority` (8 bits; lower is more
        urgent).
        """
        if self._life.state is VCpuState.CREATED:
            raise StateError(f"vCPU {self.vcpu_id}: inject_interrupt is not allowed before setup")
        number_in("an INTID", vector, 64, signed=True)
        if priority is not None:
            number_in("a priority", priority, 8)
        if not self.hal.inject(self, vector):
            self._require_interface().inject(vector, priority)

    def set_interrupt_line(self, vector: int, level: bool, priority: int | None = None) -> None:
        """From any thread: the level of a level-triggered interrupt, pending again at each end while it is high."""
        self._require_interface().set_line(vector, level, priority)

    def wait_for_interrupt(self, timeout: float | None = None) -> bool:
        """After Halt: sleep until an interrupt is pending for the vCPU; False after `timeout` seconds without one."""
        self._life.forbid_running("wait_for_interrupt")
        return self._require_interface().wait(timeout)

    def set_virtual_interrupts(self, *, irq: bool, fiq: bool = False) -> None:
        """The level of HCR_EL2.VI and VF; of a vCPU that is not bound, it holds from its next `bind` on."""
        kind_in("the level of an interrupt", irq, bool)
        kind_in("the level of a fast interrupt", fiq, bool)
        self._interrupts.drive(irq=irq, fiq=fiq)

    def inject_undefined(self) -> None:
        """Answer a SysRegRead or SysRegWrite exit: the register is UNDEFINED."""
        self._answer_exit("inject_undefined", SysRegRead | SysRegWrite)
        self.state.set_pc(self.last_trap[2])
        self.processor.undefined()

    def inject_external_abort(self) -> None:
        """Answer an MMIO or NestedPageFault exit: nothing is there."""
        self._answer_exit("inject_external_abort", _STAGE2_EXITS)
        self._exceptions.aborts.take_external_abort()

    def retry(self) -> None:
        """Answer an MMIO exit: memory is there now, and the guest executes the instruction again."""
        self._answer_exit("retry", _STAGE2_EXITS)
        self.state.set_pc(self.last_trap[2])

    def take_serror(self, iss: int = 0) -> None:
        """While it does not run: enter an SError interrupt at EL1, whatever PSTATE.A says (DDI 0487 D1.3.4).

        The engine delivers no virtual SError (HCR_EL2.VSE), so it is entered from here.
        """
        self._life.require("take_serror")
        self.engine.take_exception(int(ExceptionClass.SERROR) << 26 | 1 << 25 | iss & 0x1FF_FFFF, serror=True)

    def take_debug_exception(self, exception_class: ExceptionClass, iss: int, far: int) -> None:
        """While it does not run: enter a debug exception at EL1 (DDI 0487 D2.4); FAR_EL1 is a watchpoint's only."""
        self._life.require("take_debug_exception")
        self.engine.take_exception(int(exception_class) << 26 | 1 << 25 | iss, far)

    def dump(self) -> dict[str, int]:
        """X0 to X30, SP, PC, PSTATE and the guest's system registers, by name."""
        frame, state = self.trap_frame, self.state
        general = {f"X{index}": frame.gpr(index) for index in range(31)}
        return general | {"SP": frame.sp, "PC": state.pc, "PSTATE": state.pstate} | dict(self.system_registers)

    def fetch_word(self) -> int | None:
        """The instruction word at PC, or None where it cannot be read."""
        return self.engine.memory.fetch_word(self.state.pc)

    # --- private ----------------------------------------------------------------------------------------------

    def _taken_exit(self) -> Exit:
        return Nothing() if self._exit is None else self._exit

    def _take_physical_interrupt(self, pcpu: Aarch64PerCpu) -> ExternalInterrupt:
        """A run was stopped: by a timer of ours, or by what the host knows of; its handler comes first."""
        fired = self._interrupts.take_fired()
        vector = self.hal.irq_fetch() if fired is None else fired
        (pcpu.irq_handler or self.hal.irq_handler)(vector)
        return ExternalInterrupt(vector)

    def _why_not_enter(self) -> str | None:
        """Before the first run: what is missing."""
        if not self.trap_frame.has_entry:
            return "no entry point: call set_entry"
        if self.uses_stage2 and not self.system_registers.vtcr_el2:
            return "stage 2 is on without tables: call set_ept_root"
        self._can_enter = True
        return None

    def _require_stage2(self, what: str) -> None:
        """UsageError where stage 2 is the guest's own."""
        if self.config.el > 1:
            raise UsageError(f"{what}: the guest has EL2 to itself (el={self.config.el}), and stage 2 with it")

    def _kick(self) -> None:
        """From any thread: end the run, or the next one."""
        pcpu = self._place.pcpu
        if pcpu is not None and self._life.state is _RUNNING:
            pcpu.engine.request_stop()

    def _show_virtual_interrupts(self) -> None:
        """HCR_EL2.VI and VF as they should be, once the vCPU is bound."""
        if self._place.pcpu is not None:
            self._interrupts.show(self._place.pcpu.engine)

    def _require_interface(self) -> VCpuInterrupts:
        if self._interrupts.interface is None:
            raise StateError(f"vCPU {self.vcpu_id} has its interrupts passed through: there is nothing to inject into")
        return self._interrupts

    def _answer_exit(self, what: str, kinds: type[Exit] | UnionType) -> None:
        """The vCPU is bound, and its last run ended in one of these exits: it is answered now, and not twice."""
        if self._place.pcpu is None or not self.last_trap[0] or not isinstance(self._exit, kinds):
            raise StateError(f"vCPU {self.vcpu_id}: {what} is not allowed: there is no exit that it answers")
        self._exit = None
