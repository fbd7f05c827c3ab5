"""The life of a vCPU: its registers, loaded into a physical CPU or saved, and what is allowed when.

setup         bind          run
CREATED -----> FREE <------> READY <---> RUNNING
unbind    ^
| block, unblock
v
BLOCKED
"""

from __future__ import annotations

from enum import Enum

from armvcpu.arch.controls import HCR_EL2
from armvcpu.arch.esr import ExceptionClass
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import StateError
from armvcpu.vcpu.context_frame import GuestSystemRegisters, TrapFrame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.engine.api import Engine
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.icv import VirtualCpuInterface
    from armvcpu.vcpu.observer import Observer
    from armvcpu.vcpu.pcpu import Aarch64PerCpu
    from armvcpu.vcpu.registers import Registers
    from armvcpu.vcpu.sysreg import SysRegTable
    from armvcpu.vcpu.traps.exception import ExceptionLayer, TrapHandlers

_HCR = by_name["HCR_EL2"].encoding
_HCR_VI, _HCR_VF = HCR_EL2.VI.mask, HCR_EL2.VF.mask


class VCpuState(Enum):
    """Where a vCPU is in its life cycle."""

    CREATED = "created"
    FREE = "free"
    READY = "ready"
    RUNNING = "running"
    BLOCKED = "blocked"


class VCpuLife:
    """That side of a vCPU. Every method that is not allowed in the present state raises StateError."""

    _exceptions: ExceptionLayer
    handlers: TrapHandlers
    _features: tuple[int, ...]
    """Which instructions its model has."""
    observer: Observer | None
    sysregs: SysRegTable

    def __init__(self, vcpu_id: int) -> None:
        self.vcpu_id = vcpu_id
        self.life = VCpuState.CREATED
        self.trap_frame, self.system_registers = TrapFrame(), GuestSystemRegisters()
        self.interrupts: VirtualCpuInterface | None = None
        self.state: CpuState
        """The saved CPU behind the trap frame, from the first `bind` on."""
        self._registers: Registers | None = None
        self._pcpu: Aarch64PerCpu | None = None
        self._virtual = self._shown_virtual = 0
        self._last_exception: tuple[int, int | None, int] | None = None

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
        engine.set_trap_handler(self._exceptions.on_trap, self._exceptions.on_entry)
        engine.registers.present(self._features)
        pcpu.bound = self
        self._pcpu = pcpu
        self.settle_listeners()
        if fresh:
            self.system_registers.configure()
            self.trap_frame.configure()
            if self._registers is not None:
                self._registers.configure()
        if self._virtual != self._shown_virtual:
            self._show_virtual_interrupts()
        self.life = VCpuState.READY

    def unbind(self) -> None:
        """Leave the physical CPU: READY becomes FREE. Its registers stay there until another vCPU needs the place."""
        self._require("unbind", VCpuState.READY)
        assert self._pcpu is not None
        if self._pcpu.engine.took_exception:
            self.keep_last_exception()
        self._pcpu.bound = None
        self._pcpu = None
        self.life = VCpuState.FREE

    @property
    def engine(self) -> Engine:
        """The engine of the physical CPU that this vCPU is bound to."""
        if self._pcpu is None:
            raise StateError(f"vCPU {self.vcpu_id} is not bound to a physical CPU")
        return self._pcpu.engine

    @property
    def last_exception(self) -> tuple[int, int | None, int] | None:
        """See `Aarch64VCpu`."""
        return self._last_exception

    def keep_last_exception(self) -> None:
        """The engine is about to have another state, and forgets it."""
        self._last_exception = self.last_exception

    def settle_listeners(self) -> None:
        """Who answers for registers and hears of exceptions may have changed: so it is in the engine."""
        if self._pcpu is None:
            return
        engine = self._pcpu.engine
        engine.registers.use(self.sysregs.rows)
        engine.listen.hear_semihosting(self.handlers.semihosting is not None)
        engine.listen.hear_exceptions(0 if self.handlers.breakpoint is None else 1 << ExceptionClass.BRK64)
        engine.listen.observe_exceptions(self.observer is not None)

    def reset(self) -> None:
        """Start anew as after `bind`: registers as after reset, configuration kept, x0 the device tree. READY stays."""
        self._require("reset", VCpuState.READY)
        engine = self.engine
        configuration = self.system_registers.configuration()
        engine.reset_state(self.state)
        self._last_exception = None
        for encoding, value in configuration:
            engine.registers.write(encoding, value)
        self.trap_frame.configure()
        if self.interrupts is not None:
            self.interrupts.reset()

    @property
    def has_state(self) -> bool:
        """Has it been bound, and has a saved CPU since?"""
        return hasattr(self, "state")

    @property
    def registers(self) -> Registers:
        """Every register by its name."""
        if self._registers is None:
            from armvcpu.vcpu.registers import Registers  # noqa: PLC0415  most runs name none

            self._registers = Registers(self)
        return self._registers

    def load_registers(self, registers: Mapping[str, int]) -> None:
        """Return to what `registers.save()` gave; FREE before and after."""
        self._require("load_registers", VCpuState.FREE)
        if not self.has_state:
            raise StateError(f"vCPU {self.vcpu_id} has not been bound yet: it has no registers")
        self.registers.check(registers)
        self.registers.load(registers)
        self._shown_virtual = -1  # they have their own HCR_EL2.VI
        self._last_exception = None

    def block(self) -> None:
        """READY becomes BLOCKED: the vCPU waits (WFI, CPU_OFF) and may not run."""
        self._require("block", VCpuState.READY)
        self.life = VCpuState.BLOCKED

    def unblock(self) -> None:
        """BLOCKED becomes READY."""
        self._require("unblock", VCpuState.BLOCKED)
        self.life = VCpuState.READY

    def set_virtual_interrupts(self, *, irq: bool, fiq: bool = False) -> None:
        """The level of HCR_EL2.VI and VF; of a vCPU that is not bound, it holds from its next `bind` on."""
        self._virtual = (_HCR_VI if irq else 0) | (_HCR_VF if fiq else 0)
        if self._pcpu is not None:
            self._show_virtual_interrupts()

    def _show_virtual_interrupts(self) -> None:
        hcr = self.engine.registers.read(_HCR)
        if hcr & (_HCR_VI | _HCR_VF) != self._virtual:
            self.engine.registers.write(_HCR, hcr & ~(_HCR_VI | _HCR_VF) | self._virtual)
        self._shown_virtual = self._virtual

    def _require(self, what: str, state: VCpuState) -> None:
        if self.life is not state:
            raise StateError(
                f"vCPU {self.vcpu_id}: {what} is not allowed while {self.life.value}, only while {state.value}"
            )

    def _forbid_running(self, what: str) -> None:
        if self.life is VCpuState.RUNNING:
            raise StateError(f"vCPU {self.vcpu_id}: {what} is not allowed while running")
