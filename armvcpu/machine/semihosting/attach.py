"""Connects semihosting to a machine: HLT #0xF000 in the guest becomes a call, its memory the guest's virtual memory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from armvcpu.machine.board.memory import PAGE, page_pieces
from armvcpu.machine.board.virt import RAM_BASE
from armvcpu.machine.console.feed import NoInputYet
from armvcpu.machine.outcome import Outcome
from armvcpu.machine.semihosting.operations import BadGuestAddress, HeapInfo, Semihosting, SemihostingExit
from armvcpu.vcpu.exits import Halt, SystemDown

if TYPE_CHECKING:
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.memory import GuestMemory
    from armvcpu.machine.boot.loader import BootPlan
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.parts import Parts
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.vcpu.vcpu import Aarch64VCpu


class VirtualMemory:
    """The guest's memory by virtual address, as semihosting's parameter blocks give it."""

    def __init__(self, engine: Engine, memory: GuestMemory) -> None:
        self._engine, self._memory = engine, memory

    def read(self, address: int, size: int) -> bytes:
        """`size` bytes; BadGuestAddress where part of them is not mapped."""
        data = self._engine.memory.read_virtual(address, size)
        if data is None:
            raise BadGuestAddress(f"{size} bytes at {address:#x}")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write page by page; BadGuestAddress where a page is not RAM."""
        for at, size in page_pieces(address, len(data)):
            physical = self._engine.memory.translate(at)
            if physical is None or not self._memory.is_ram(physical, size):
                raise BadGuestAddress(f"{size} bytes at {at:#x}")
            self._memory.write(physical, data[at - address : at - address + size])


def free_memory(plan: BootPlan, ram_size: int) -> HeapInfo:
    """The largest piece of RAM that the boot plan leaves free, in whole pages: the heap grows up in it, the stack down.

    As QEMU's board has it, so that C libraries which ask (newlib's, say) find the same.
    """
    end = RAM_BASE + ram_size
    taken = sorted([*((at, at + len(data)) for at, data in plan.writes), *((at, at + n) for at, n in plan.zeroes)])
    start, base, limit = RAM_BASE, RAM_BASE, RAM_BASE
    for first, behind in [*(each for each in taken if each[0] < end), (end, end)]:
        if (first & -PAGE) - start > limit - base:
            base, limit = start, first & -PAGE
        start = max(start, behind + PAGE - 1 & -PAGE)
    return HeapInfo(base, limit, limit, base)


def _command_line(config: MachineConfig) -> str:
    """The image and what is appended, as QEMU has it: a C library's argv[0] is the program."""
    return " ".join(filter(None, (str(config.image or ""), config.append)))


def attach_semihosting(parts: Parts) -> Semihosting:
    """Answer HLT #0xF000: the operation is in w0, its parameter in x1, the result goes to x0."""
    config = parts.config

    def write_console(data: bytes) -> None:
        for byte in data:
            parts.outputs.write(byte)

    directory = None if config.semihosting_directory is None else Path(config.semihosting_directory)
    semihosting = Semihosting(
        VirtualMemory(parts.engine, parts.memory), write_console, parts.feed.read, _command_line(config),
        directory, parts.clock.unix, heap=free_memory(parts.boot.plan, config.memory),
    )  # fmt: skip

    def call(cpu: Cpu, vcpu: Aarch64VCpu) -> None:
        state = vcpu.state
        try:
            result = semihosting.call(vcpu.gpr(0) & 0xFFFF_FFFF, vcpu.gpr(1))
        except NoInputYet:  # it executes the HLT again when something has come, or after an interrupt
            parts.feed.await_input(cpu.index, cpu.end_read)
            cpu.read_console(state.pstate)
            vcpu.exit(Halt())
            return
        state.set_pc(state.pc + 4)
        if isinstance(result, SemihostingExit):
            parts.end.by_guest(Outcome.exited(result.status, f"semihosting exit: {result}"))
            vcpu.exit(SystemDown())
        else:
            vcpu.set_return_value(result)

    for cpu in parts.turns.cpus:
        cpu.vcpu.hear_semihosting(partial(call, cpu))
    return semihosting
