"""Power-on and reset: memory and registers as the boot plan wants them."""

from __future__ import annotations

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.board.virt import Board
    from armvcpu.machine.boot.boot import Boot
    from armvcpu.machine.running.turns import Turns


class Power:
    """The power of one machine; `reset_debug` has its watchpoints forgotten."""

    def __init__(
        self, boot: Boot, board: Board, memory: GuestMemory, engine: Engine, turns: Turns,
        reset_debug: Callable[[], None],
    ) -> None:  # fmt: skip
        self._reset_debug = reset_debug
        self._boot, self._board, self._memory, self._engine, self._turns = boot, board, memory, engine, turns

    def start_image(self) -> None:
        """Put the image where it belongs, and enter it on the CPU that is loaded."""
        plan = self._boot.plan
        for address, data in plan.writes:
            if self._memory.is_ram(address, 1):
                self._memory.write(address, data)
        for address, size in plan.zeroes:
            if self._memory.is_ram(address, 1):
                self._memory.write(address, bytes(size))
        self._engine.code.invalidate()
        vcpu = self._turns.cpu.vcpu
        vcpu.set_entry(plan.entry)
        vcpu.set_gpr(0, plan.x0)
        for cpu in self._turns.cpus[1:]:  # all that are on start there
            if cpu.power is AffinityState.ON:
                cpu.start(plan.entry, plan.x0)

    def reset(self) -> None:
        """SYSTEM_RESET: devices and CPUs start anew, RAM keeps what the image does not overwrite."""
        for slot in self._board.slots:
            slot.device.reset()
        self._board.gic.reset()
        for cpu in self._turns.cpus:
            cpu.reset()
        self._reset_debug()
        self._turns.switch_to(self._turns.cpus[0])
        self.start_image()
