"""The crash report: what a firmware developer wants to know when the guest can go no further.

`build_report` gathers it from a stopped vCPU into a `CrashReport`, which is plain data: `render()` prints it in some
45 lines, `as_dict()` is it for --json. What to try next is said by `hints.py`. It reads a guest that has gone wrong, so
nothing here relies on any of its registers pointing to memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.pstate import describe_pstate
from armvcpu.arch.registers import by_name
from armvcpu.arch.rows import Row
from armvcpu.debug.backtrace import backtrace
from armvcpu.debug.disasm import disassemble
from armvcpu.debug.hints import hint
from armvcpu.engine.state import FRAME_SP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from armvcpu.engine.state import CpuState
    from armvcpu.machine.boot.symbols import Symbols

SYSTEM_REGISTERS = (
    "ESR_EL1",
    "FAR_EL1",
    "ELR_EL1",
    "SPSR_EL1",
    "VBAR_EL1",
    "SCTLR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "TCR_EL1",
)

_AROUND = 4  # instructions before and after
_FRAMES, _EXITS = 8, 4  # as many are printed


class CodeLine(NamedTuple):
    """One instruction; `marker` is `=>` at the one the listing is about, else empty."""

    address: int
    word: int
    text: str
    marker: str


class Frame(NamedTuple):
    """One line of the backtrace; `symbol` as `main+0x1c`, empty where none is known."""

    pc: int
    symbol: str


class CrashReport(Row):
    """A stopped vCPU. `esr` and `far` are of the exception that stopped it; registers are 64 bits wide."""

    reason: str
    vcpu_id: int
    pc: int
    pstate: int
    esr: int | None
    far: int | None
    registers: dict[str, int]  # x0 to x30, sp
    system_registers: dict[str, int]  # those of SYSTEM_REGISTERS
    code_at: str  # which register `code` is around: PC, or the first of ELR_EL1 and x30 that leads to code; or none
    code: list[CodeLine]
    backtrace: list[Frame]
    last_exits: list[str]
    hint: str  # what to do next, one line; empty where nothing is obvious
    instructions: int | None = None  # executed since the start, where they are counted

    def render(self) -> str:
        """The report as text, with a newline at its end."""
        after = "" if self.instructions is None else f" after {self.instructions} instructions"
        lines = [f"armvcpu: cpu{self.vcpu_id} stopped{after}: {self.reason}"]
        for label, rows in self._sections():
            lines += (f"{label if number == 0 else '':9} {row}".rstrip() for number, row in enumerate(rows))
        return "\n".join(lines) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; addresses and register values as hexadecimal text, which no reader rounds."""
        return {
            "reason": self.reason,
            "vcpu": self.vcpu_id,
            "pc": f"{self.pc:#x}",
            "symbol": self.backtrace[0].symbol,
            "pstate": f"{self.pstate:#x}",
            "esr": None if self.esr is None else f"{self.esr:#x}",
            "exception": None if self.esr is None else describe_esr(self.esr, self.far),
            "far": None if self.far is None else f"{self.far:#x}",
            "registers": {name: f"{value:#x}" for name, value in self.registers.items()},
            "system_registers": {name: f"{value:#x}" for name, value in self.system_registers.items()},
            "code_at": self.code_at,
            "code": [
                {**line._asdict(), "address": f"{line.address:#x}", "word": f"{line.word:#010x}"} for line in self.code
            ],
            "backtrace": [{"pc": f"{frame.pc:#x}", "symbol": frame.symbol} for frame in self.backtrace],
            "last_exits": list(self.last_exits),
            "hint": self.hint,
            "instructions": self.instructions,
        }

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        """(label of the first row, rows), in the order they are printed."""
        guest_esr = self.system_registers["ESR_EL1"]
        if self.esr is not None:
            yield "exception", [f"{self.esr:#010x} {describe_esr(self.esr)}"]
        if self.far is not None:
            yield "FAR", [f"{self.far:#018x}"]
        if guest_esr not in {0, self.esr}:
            yield "ESR_EL1", [f"{guest_esr:#010x} {describe_esr(guest_esr)}"]
        yield "PC", [f"{self.pc:#018x} {self.backtrace[0].symbol}"]
        yield "PSTATE", [f"{self.pstate:#010x} {describe_pstate(self.pstate)}"]
        yield "code", self._code_rows()
        yield "registers", _columns(self.registers, 3)
        yield "system", _columns(self.system_registers, 2)
        frames = [f"#{number} {frame.pc:#018x} {frame.symbol}" for number, frame in enumerate(self.backtrace)]
        more = len(frames) - _FRAMES
        yield "backtrace", frames[:_FRAMES] + ([f"... and {more} more"] if more > 0 else [])
        yield "exits", self.last_exits[-_EXITS:]
        yield "hint", [self.hint] if self.hint else []

    def _code_rows(self) -> list[str]:
        rows = [f"{line.marker:2} {line.address:#018x} {line.word:08x} {line.text}" for line in self.code]
        match self.code_at:
            case "PC":
                return rows
            case "":
                return ["there is no memory at PC, ELR_EL1 and x30"]
            case "x30":
                return ["there is no memory at PC; the last call, by x30:", *rows]
            case name:
                return [f"there is no memory at PC; around {name}:", *rows]


def _columns(values: dict[str, int], count: int) -> list[str]:
    width = max(map(len, values))
    cells = [f"{name:{width}} {value:#018x}" for name, value in values.items()]
    return ["  ".join(cells[at : at + count]) for at in range(0, len(cells), count)]


def build_report(
    reason: str,
    vcpu_id: int,
    state: CpuState,
    read_sysreg: Callable[[int], int],
    read_memory: Callable[[int, int], bytes | None],
    symbols: Symbols,
    last_exits: Sequence[str] = (),
    *,
    esr: int | None = None,
    far: int | None = None,
    instructions: int | None = None,
) -> CrashReport:
    """The report on a stopped vCPU.

    `read_sysreg(encoding)` gives a system register, `read_memory(address, size)` the guest's memory at a virtual
    address, or None where any of it is not memory. `reason` is one line; `esr` and `far` are of the exception that
    stopped the vCPU, where it was one; `last_exits` are in words, the latest last.
    """
    system_registers = {name: read_sysreg(by_name[name].encoding) for name in SYSTEM_REGISTERS}
    registers = {**{f"x{n}": state.gpr(n) for n in range(31)}, "sp": state.frame[FRAME_SP]}
    code_at, address = _where_code_is(state, system_registers["ELR_EL1"], read_memory)
    # x29 and x30 are those of the code the exception came from, so the walk starts there.
    start = address if code_at == "ELR_EL1" else state.pc
    return CrashReport(
        reason=reason,
        vcpu_id=vcpu_id,
        pc=state.pc,
        pstate=state.pstate,
        esr=esr,
        far=far,
        registers=registers,
        system_registers=system_registers,
        code_at=code_at,
        code=list(_code(address, read_memory)) if code_at else [],
        backtrace=frames(state, read_memory, symbols, start),
        last_exits=list(last_exits),
        hint=hint(state, esr, system_registers, read_memory),
        instructions=instructions,
    )


def frames(
    state: CpuState, read: Callable[[int, int], bytes | None], symbols: Symbols, start: int | None = None
) -> list[Frame]:
    """The PC and those who called it, innermost first; `start` is where the chain begins, if not at PC."""
    start = state.pc if start is None else start
    callers = backtrace(start, state.gpr(29), state.gpr(30), read, symbols)[1:]
    found = [_frame(pc, symbols) for pc in ([state.pc] if start == state.pc else [state.pc, start])]
    return found + [_frame(pc, symbols, is_return=True) for pc in callers]


def _where_code_is(state: CpuState, elr: int, read: Callable[[int, int], bytes | None]) -> tuple[str, int]:
    """The first register that leads to code, and the instruction: for x30, the call before it."""
    for name, address in (("PC", state.pc), ("ELR_EL1", elr), ("x30", state.gpr(30) - 4)):
        if address >= 0 and read(address & ~3, 4) is not None:
            return name, address & ~3
    return "", 0


def _code(centre: int, read: Callable[[int, int], bytes | None]) -> Iterator[CodeLine]:
    """The instructions around `centre`; those that cannot be read are left out."""
    for address in range(max(centre - 4 * _AROUND, 0), min(centre + 4 * _AROUND + 4, 1 << 64), 4):
        word = read(address, 4)
        if word is not None:
            marker = "=>" if address == centre else ""
            yield CodeLine(address, int.from_bytes(word, "little"), disassemble(word, address), marker)


def _frame(pc: int, symbols: Symbols, *, is_return: bool = False) -> Frame:
    """`pc` with its symbol; for a return address, that of the call before it.

    The call may be a function's last instruction, where it never returns, and what stands behind is another function.
    """
    back = 4 if is_return else 0
    found = symbols.find(pc - back)
    if found is None:
        return Frame(pc, "")
    name, offset = found
    return Frame(pc, f"{name}+{offset + back:#x}" if offset + back else name)
