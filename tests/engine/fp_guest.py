"""The least that runs the lazyfp guest: RAM, the PL011's data and flag registers, EL1 exception entry, power off."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

from elftools.elf.elffile import ELFFile

from armvcpu.arch.esr import ESR, ExceptionClass, SysRegIss
from armvcpu.arch.pstate import el, uses_spx
from armvcpu.arch.registers import by_name
from armvcpu.arch.vectors import VectorKind, vector_offset
from armvcpu.engine.unicorn_engine import UnicornEngine

if TYPE_CHECKING:
    from pathlib import Path

RAM, UART, UARTFR, UARTFR_IDLE = 0x4000_0000, 0x0900_0000, 0x18, 0x90
PSCI_SYSTEM_OFF = 0x8400_0008
CPTR_TCPAC = 0x8000_32FF
_HAVE_FAR = {
    ExceptionClass.IABT_LOWER,
    ExceptionClass.IABT_CURRENT,
    ExceptionClass.DABT_LOWER,
    ExceptionClass.DABT_CURRENT,
}


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

    def _trap(self, target: int, esr: int, far: int) -> None:
        view = ESR(esr)
        if view.EC == ExceptionClass.HVC64:
            self.off = self.engine.state.gpr(0) == PSCI_SYSTEM_OFF
            self.engine.leave()
        elif target == 2:
            self._access_cpacr(view)
        else:
            self._enter_el1(view, far)

    def _access_cpacr(self, esr: ESR) -> None:
        access, state = SysRegIss(esr.ISS).access, self.engine.state
        assert access.encoding == by_name["CPACR_EL1"].encoding
        if access.is_read:
            state.set_gpr(access.Rt, self.engine.read_cpacr())
        else:
            self.engine.write_cpacr(state.gpr(access.Rt))
        state.set_pc(state.pc + 4)

    def _enter_el1(self, esr: ESR, far: int) -> None:
        state = self.engine.state
        spsr = state.pstate
        offset = vector_offset(VectorKind.SYNCHRONOUS, source_el=el(spsr), target_el=1, spx=uses_spx(spsr))
        self.engine.enter_exception(
            1, elr=state.pc, spsr=spsr, esr=esr, far=far if esr.EC in _HAVE_FAR else None, pstate=0x3C5,
            pc=state.vbar_el(1) + offset,
        )  # fmt: skip


def run_guest(path: Path, limit: int = 0) -> str:
    """Run an ELF guest until it powers off, in slices of `limit` instructions (0: primed); gives its output."""
    guest = _Guest()
    engine = guest.engine
    engine.set_counting(limit > 0)
    ram = memoryview(mmap.mmap(-1, 0x400_0000))
    engine.memory.map_ram(RAM, ram)
    with path.open("rb") as file:
        elf = ELFFile(file)
        for segment in elf.iter_segments("PT_LOAD"):
            start = segment["p_paddr"] - RAM
            ram[start : start + segment["p_filesz"]] = segment.data()
        engine.state.set_pc(elf["e_entry"])
    engine.registers.write(by_name["CPTR_EL2"].encoding, CPTR_TCPAC)
    while not guest.off:
        engine.run(limit)
    engine.close()
    return guest.output.decode()
