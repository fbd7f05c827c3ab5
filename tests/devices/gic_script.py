"""A sequence of accesses to a GIC from several Exception levels, as a program and as what this project's model says.

Each step is one access from one level. The program records of each what was read, what exception it became and which of
IRQ and FIQ is asserted at the highest level after it, and sends the records out of the UART; run by QEMU they are what
the model's own have to be. In the model a scripted PE stands in for the engine; the machine runs the program itself.
"""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gic_levels import FIQ, FMO, IMO, IRQ, NS, Levels

from armvcpu.arch.registers import by_name
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal

TIMEOUT = 120
CODE, RESULTS, UART = 0x4020_0000, 0x4100_0000, 0x0900_0000
GICD, GICR = 0x0800_0000, 0x080A_0000
RECORD = struct.Struct("<QQQ")
_SCR = 1 << 10 | 1 << 8 | 3 << 4  # RW, HCE, RES1
_HCR = 1 << 31  # RW
_MASKED, _HANDLER = 0x3C0, 1  # PSTATE.DAIF, and SP_ELx
_TAKEN_IRQ, _TAKEN_FIQ = 1, 2
_ISR_I, _ISR_F = 1 << 7, 1 << 6
TABLES, _TABLE = CODE - 0x4000, 0x800
_RESULT, _BACK = 19, 20  # registers of the program


@dataclass(frozen=True)
class Step:
    """An access from level `el`, with SCR_EL3.NS, IRQ and FIQ, and HCR_EL2.IMO and FMO, as they are in `scr` and `hcr`.

    To a register of that name or, with a `width`, to the GIC's memory; a read where `value` is None.
    """

    el: int
    scr: int
    hcr: int
    where: str | int
    value: int | None = None
    width: int = 0

    def __str__(self) -> str:
        state = f"EL{self.el} {'NS' if self.scr & NS else 'S'} scr={self.scr:x} hcr={self.hcr:x}"
        place = self.where if isinstance(self.where, str) else f"[{self.where:#x}]/{self.width}"
        return f"{state}: {place}" + ("" if self.value is None else f" <- {self.value:#x}")


# --- as a program


def program(top: int, steps: list[Step]) -> bytes:
    """Code for CODE, with the vector tables before it, that starts at level `top` and ends by semihosting."""
    words = [_msr(f"VBAR_EL{el}", 0, TABLES + el * _TABLE) for el in range(1, top + 1)]
    code = [word for each in words for word in each] + _move(_RESULT, RESULTS)
    for step in steps:
        code += _step(top, step, CODE + 4 * len(code))
    code += [*_move(1, RESULTS), *_move(2, UART), *_move(3, RECORD.size * len(steps))]
    code += [0x3840_1420, 0xB900_0040, 0xF100_0463, 0x54FF_FFA1]  # ldrb, str, subs, b.ne
    end = CODE + 4 * (len(code) + 9)
    code += [*_move(0, 0x18), *_move(1, end), 0xD45E_0000]  # HLT #0xF000: SYS_EXIT
    tables = b"".join(_table(top, el) for el in range(top + 1))
    filling = bytes(CODE - TABLES - len(tables))
    return tables + filling + struct.pack(f"<{len(code)}I", *code) + struct.pack("<QQ", 0x2_0026, 0)


def _move(register: int, value: int) -> list[int]:
    return [
        (0xF280_0000 if part else 0xD280_0000) | part << 21 | (value >> 16 * part & 0xFFFF) << 5 | register
        for part in range(4)
    ]


def _msr(name: str, register: int, value: int) -> list[int]:
    return [*_move(register, value), 0xD500_0000 | by_name[name].encoding << 5 | register]


def _access(step: Step) -> list[int]:
    """One instruction, on X0, with the address in X4."""
    if isinstance(step.where, str):
        return [(0xD520_0000 if step.value is None else 0xD500_0000) | by_name[step.where].encoding << 5]
    size = step.width.bit_length() - 1
    return [size << 30 | (0x3940_0080 if step.value is None else 0x3900_0080)]


def _step(top: int, step: Step, here: int) -> list[int]:
    code = [] if top == 2 else _msr("SCR_EL3", 2, _SCR | step.scr)
    code += _msr("HCR_EL2", 2, _HCR | step.hcr)
    code += [*_move(0, step.value or 0), *_move(1, 0)]
    code += _move(4, step.where if isinstance(step.where, int) else 0)
    if step.el < top:
        code += _msr(f"SPSR_EL{top}", 2, step.el << 2 | _HANDLER | _MASKED)
        target = here + 4 * (len(code) + 5 + 4 + 1)
        code += _msr(f"ELR_EL{top}", 2, target)
        code += [*_move(_BACK, target + 8), 0xD69F_03E0, *_access(step), _call(top)]
    else:
        code += _access(step)
    code += [0xD503_3F9F, 0xD503_3FDF]  # DSB SY, ISB
    code += [0xD520_0002 | by_name["ISR_EL1"].encoding << 5]
    return [*code, *(0xF800_8400 | _RESULT << 5 | n for n in range(3))]


def _call(top: int) -> int:
    return 0xD400_0003 if top == 3 else 0xD400_0002


def _table(top: int, el: int) -> bytes:
    """Every vector of a level: X1 gets the syndrome, or 1 of an IRQ, 2 of an FIQ, and in its upper half the level."""
    slots = []
    for offset in range(0, _TABLE, 0x80):
        kind, lower = offset >> 7 & 3, offset >= 0x400
        body = _slot(top, el, kind, lower) if el else []
        slots.append(struct.pack("<32I", *body, *[0] * (32 - len(body))))
    return b"".join(slots)


def _slot(top: int, el: int, kind: int, lower: bool) -> list[int]:
    mark = 0xF280_0001 | 3 << 21 | el << 5  # MOVK X1, #el, LSL #48
    leave = [0xD61F_0000 | _BACK << 5] if el == top else [_call(top)]
    if kind:
        return [*_move(1, kind), mark, *leave]
    syndrome = by_name[f"ESR_EL{el}"].encoding << 5
    if el == top and lower:  # a call keeps what the level below has said
        ec = 0x17 if top == 3 else 0x16
        return [
            0xD520_0002 | syndrome, 0xD35A_FC43, 0xF100_007F | ec << 10,  # MRS X2; LSR X3, X2, #26; CMP X3, #EC
            0x9A82_0021, 0xF100_007F | ec << 10, 0x5400_0040, mark, *leave,  # CSEL X1, X1, X2, EQ; CMP; B.EQ
        ]  # fmt: skip
    return [0xD520_0001 | syndrome, mark, *leave]


def run_here(top: Literal[2, 3], steps: list[Step], at: Path, gic: Literal[2, 3] = 3) -> list[tuple[int, int, int]]:
    """The records of this project's machine, with a GIC of this version."""
    image, console = at / "program.bin", MemoryConsole()
    image.write_bytes(program(top, steps))
    with Machine(
        image, console=console, load_address=TABLES, entry=CODE, el=top, gic=gic, semihosting=True
    ) as machine:  # fmt: skip
        outcome = machine.run(timeout=TIMEOUT)
    assert outcome.ok, outcome
    return list(RECORD.iter_unpack(bytes(console.output)))


def run_on_qemu(qemu: str, top: int, steps: list[Step], at: Path, gic: int = 3) -> list[tuple[int, int, int]]:
    """The records of QEMU's `virt` board, with a GIC of this version."""
    image, out = at / "program.bin", at / "records"
    image.write_bytes(program(top, steps))
    board = f"virt,gic-version={gic},virtualization=on" + (",secure=on" if top == 3 else "")
    command = [
        qemu, "-M", board, "-cpu", "cortex-a57", "-m", "64", "-display", "none", "-nic", "none", "-monitor", "none",
        "-serial", f"file:{out}", "-semihosting", "-device", f"loader,file={image},addr={TABLES:#x},force-raw=on",
        "-device", f"loader,addr={CODE:#x},cpu-num=0",
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
    return list(RECORD.iter_unpack(out.read_bytes()))


# --- as the model says


class Model:
    """The records of this project's GIC."""

    def __init__(self, top: int) -> None:
        self.top, self.levels = top, Levels(top, ready=False, spis=224)

    def record(self, step: Step) -> tuple[int, int, int]:
        """Do a step."""
        levels, pe = self.levels, self.levels.pe
        pe.at(step.el, _SCR | step.scr if self.top == 3 else 0, _HCR | step.hcr)
        levels.gic.interface(0).refresh()
        value, became = step.value or 0, self._interrupted(step)
        if not became:
            pe.trapped.clear()
            levels.secure = pe.is_secure
            value = self._access(step)
            if pe.trapped:
                value, became = step.value or 0, pe.trapped[0] << 48 | _syndrome(step)
            elif isinstance(step.where, str):  # an MSR ends QEMU's block of code, and a store does not
                became = self._interrupted(step)
        pe.at(self.top)
        levels.gic.interface(0).refresh()
        return value, became, _ISR_I * levels.irq[0] | _ISR_F * levels.fiq[0]

    def _interrupted(self, step: Step) -> int:
        """A physical interrupt that a higher level takes: before the access, or of what follows from it."""
        for level, name, scr, hcr in (
            (self.levels.fiq[0], _TAKEN_FIQ, FIQ, FMO),
            (self.levels.irq[0], _TAKEN_IRQ, IRQ, IMO),
        ):
            if level and self.top == 3 and step.el < 3 and step.scr & scr:
                return 3 << 48 | name
            if level and step.el == 1 and step.hcr & hcr and not self.levels.pe.is_secure:
                return 2 << 48 | name
        return 0

    def _access(self, step: Step) -> int:
        levels = self.levels
        if step.where == "ISR_EL1":
            return self._isr()
        if isinstance(step.where, str):
            if step.value is None:
                return levels.get(step.where)
            levels.set(step.where, step.value)
            return step.value
        base, device = (GICR, levels.gic.redistributor(0)) if step.where >= GICR else (GICD, levels.gic.distributor)
        if step.value is None:
            return device.read(step.where - base, step.width)
        device.write(step.where - base, step.width, step.value)
        return step.value

    def _isr(self) -> int:
        levels, pe = self.levels, self.levels.pe
        is_virtual = pe.hcr_el2 if pe.el == 1 else 0
        irq = levels.virq[0] if is_virtual & IMO else levels.irq[0]
        fiq = levels.vfiq[0] if is_virtual & FMO else levels.fiq[0]
        return _ISR_I * irq | _ISR_F * fiq


def _syndrome(step: Step) -> int:
    assert isinstance(step.where, str)
    packed = by_name[step.where].encoding
    op0, op1, crn, crm, op2 = packed >> 14, packed >> 11 & 7, packed >> 7 & 15, packed >> 3 & 15, packed & 7
    iss = op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1 | (step.value is None)
    return 0x18 << 26 | 1 << 25 | iss
