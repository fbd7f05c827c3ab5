"""The least that runs the lazyfp guest: RAM, the PL011's data and flag registers, power off."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile

from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.engine.unicorn_engine import UnicornEngine

if TYPE_CHECKING:
    from pathlib import Path

RAM, UART, UARTFR, UARTFR_IDLE = 0x4000_0000, 0x0900_0000, 0x18, 0x90
PSCI_SYSTEM_OFF = 0x8400_0008


class _Guest:
    def __init__(self) -> None:
        self.engine = UnicornEngine()
        self.output = bytearray()
        self.off = False
        self.engine.memory.map_io(
            UART, 0x1000, lambda offset, _width: UARTFR_IDLE if offset == UARTFR else 0, self._write
        )
        self.engine.set_trap_handler(self._trap)

    def _write(self, offset: int, _width: int, value: int) -> None:
        if offset == 0:
            self.output.append(value & 0xFF)

    def _trap(self, _target: int, esr: int, _far: int) -> None:
        assert ESR(esr).EC == ExceptionClass.HVC64
        self.off = self.engine.state.gpr(0) == PSCI_SYSTEM_OFF
        self.engine.leave()


def run_guest(path: Path, limit: int = 0) -> str:
    """Run an ELF guest until it powers off, in slices of `limit` instructions (0: without); gives its output."""
    guest = _Guest()
    engine = guest.engine
    ram = memoryview(mmap.mmap(-1, 0x400_0000))
    engine.memory.map_ram(RAM, ram)
    with path.open("rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            start = segment["p_paddr"] - RAM
            ram[start : start + segment["p_filesz"]] = segment.data()
        engine.state.set_pc(elf["e_entry"])
    while not guest.off:
        engine.run(limit)
    engine.close()
    return guest.output.decode()
