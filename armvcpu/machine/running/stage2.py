"""When a machine's CPUs have stage 2 on, and what a stage-2 fault of theirs finds."""

from __future__ import annotations

from armvcpu.arch.controls import SCTLR_EL1
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.board.virt import INPUT_BITS, RAM_BASE
from armvcpu.vcpu.stage2.mapping import MappingFlags

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_SCTLR = by_name["SCTLR_EL1"].encoding


class Stage2:
    """Of one machine.

    A Linux kernel that is entered directly has none while a CPU's own MMU is on, since it costs a boot a fifth
    (docs/engine.md, "Stage 2"): RAM and devices lie at the same addresses on both sides, and a kernel touches nothing
    else. Where something is guarded it has, for as long.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._is_kept = not machine.plan.is_linux or machine.config.exact_mmio
        if not self._is_kept:
            machine.bus.show_everything([(RAM_BASE, machine.config.memory)], 1 << INPUT_BITS)

    def handle_fault(self, address: int, access: MappingFlags) -> bool:
        """Is the access allowed now?"""
        machine = self._machine
        if machine.guards and machine.guards.claims(address):
            return True
        if access is MappingFlags.EXECUTE:
            machine.memory.note_execution(address)
        if access is not MappingFlags.WRITE and machine.memory.populate(address):
            return True
        if access is not MappingFlags.EXECUTE and machine.bus.reveal(address):
            return True
        return machine.space.handle_page_fault(address, access)

    def attach(self, vcpu: Aarch64VCpu) -> None:
        """Hear of a vCPU's writes of SCTLR_EL1, where they switch its stage 2."""
        if not self._is_kept:
            vcpu.sysregs.listen(_SCTLR, self._on_sctlr_write)

    def settle(self) -> None:
        """After guards have come or gone: have it on for every CPU that needs it, and for no other one."""
        if self._is_kept:
            return
        for cpu in self._machine.cpus:
            cpu.vcpu.use_stage2(self._is_needed(cpu.vcpu.system_registers.read(_SCTLR)))

    def _is_needed(self, sctlr: int) -> bool:
        return bool(self._machine.guards) or not sctlr & SCTLR_EL1.M.mask

    def _on_sctlr_write(self, value: int) -> int:
        """The CPU that runs switches its MMU: so is its stage 2."""
        self._machine.vcpu.use_stage2(self._is_needed(value))
        return value
