"""When a machine's CPUs have stage 2 on, and what a stage-2 fault of theirs finds."""

from __future__ import annotations

from armvcpu.arch.controls import SCTLR_EL1
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.board import INPUT_BITS, RAM_BASE
from armvcpu.vcpu.exits import AccessFlags
from armvcpu.vcpu.mapping import MappingFlags

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine

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
        machine.engine.on_sctlr_write(self._on_sctlr_write)

    def handle_fault(self, address: int, access: AccessFlags) -> bool:
        """Is the access allowed now?"""
        machine = self._machine
        if machine.guards and machine.guards.claims(address):
            return True
        if access is AccessFlags.EXECUTE:
            machine.memory.note_execution(address)
        if access is not AccessFlags.WRITE and machine.memory.populate(address):
            return True
        if access is not AccessFlags.EXECUTE and machine.bus.reveal(address):
            return True
        return machine.space.handle_page_fault(address, MappingFlags(access.value))

    def may_execute(self, physical: int) -> bool:
        """May there be code in the page?"""
        found = self._machine.space.translate(physical)
        return found is None or bool(found.flags & MappingFlags.EXECUTE)

    def settle(self) -> None:
        """After guards have come or gone: have it on for every CPU that needs it, and for no other one."""
        if self._is_kept:
            return
        for cpu in self._machine.cpus:
            cpu.vcpu.use_stage2(self._is_needed(cpu.vcpu.system_registers.read(_SCTLR)))

    def _is_needed(self, sctlr: int) -> bool:
        return bool(self._machine.guards) or not sctlr & SCTLR_EL1.M.mask

    def _on_sctlr_write(self, value: int) -> int:
        """A CPU's MMU may have been switched: so is its stage 2. Returns what is written in place of `value`.

        SPAN is RES1 on a CPU without PAN (DDI 0487 D17.2.118): the engine, which has PAN, must not set PAN then.
        """
        vcpu = self._machine.vcpu
        if not self._is_kept:
            vcpu.use_stage2(self._is_needed(value))
        return value if vcpu.features.pan else value | SCTLR_EL1.SPAN.mask
