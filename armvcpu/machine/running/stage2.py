"""When a machine's CPUs have stage 2 on, and what a stage-2 fault of theirs finds."""

from __future__ import annotations

from functools import partial

from armvcpu.arch.controls import SCTLR_EL1
from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError
from armvcpu.vcpu.stage2.mapping import MappingFlags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.machine.board.bus import Bus
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.vcpu.addrspace import AddressSpace
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_SCTLR = by_name["SCTLR_EL1"].encoding


class Stage2Switch:
    """Whether each CPU has stage 2 on (HCR_EL2.VM).

    A Linux kernel that is entered directly has none while a CPU's own MMU is on, since it costs a boot a fifth
    (docs/engine.md, "Stage 2"): RAM and devices lie at the same addresses on both sides, and a kernel touches nothing
    else. While there are holes it has, since those are stage 2's doing.

    Of a guest that has EL2 to itself stage 2 is its own: for us there is none, and no hole.
    """

    def __init__(self, cpus: Sequence[Cpu], *, always: bool, is_guests: bool = False) -> None:
        self._cpus = cpus
        self.is_guests = is_guests
        self.always = always and not is_guests
        """Is it on whatever a guest does? So it is for all but Linux kernels."""
        self._is_held = False

    def attach(self, vcpu: Aarch64VCpu) -> None:
        """Hear of a vCPU's writes of SCTLR_EL1, where they switch its stage 2."""
        if not self.always and not self.is_guests:
            vcpu.sysregs.listen(_SCTLR, partial(self._on_sctlr_write, vcpu))

    def hold(self, wanted: bool) -> None:
        """Have it on for every CPU, or for those only that need it. UsageError where it is the guest's."""
        if wanted and self.is_guests:
            raise UsageError(
                "pages can't be denied where the guest has EL2 to itself: stage 2 is its own (el=1 has it)"
            )
        self._is_held = wanted
        self.settle()

    def settle(self) -> None:
        """Registers have changed by other than the guest's writes: have it on for every CPU that needs it."""
        if self.always or self.is_guests:
            return
        for cpu in self._cpus:
            cpu.vcpu.use_stage2(self._is_needed(cpu.vcpu.system_registers.read(_SCTLR)))

    def _is_needed(self, sctlr: int) -> bool:
        return self._is_held or not sctlr & SCTLR_EL1.M.mask

    def _on_sctlr_write(self, vcpu: Aarch64VCpu, value: int) -> int:
        """The CPU that runs switches its MMU: so is its stage 2."""
        vcpu.use_stage2(self._is_needed(value))
        return value


class Stage2Faults:
    """What answers a stage-2 fault, asked in order: flash or a device that is not mapped yet, lazy memory."""

    def __init__(self, memory: GuestMemory, bus: Bus, space: AddressSpace) -> None:
        self._memory, self._bus, self._space = memory, bus, space

    def handle(self, address: int, access: MappingFlags) -> bool:
        """Is the access allowed now?"""
        if access is MappingFlags.EXECUTE:
            self._memory.note_execution(address)
        if access is not MappingFlags.WRITE and self._memory.populate(address):
            return True
        if access is not MappingFlags.EXECUTE and self._bus.reveal(address):
            return True
        return self._space.handle_page_fault(address, access)
