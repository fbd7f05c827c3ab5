"""A crash report gathered from a stopped vCPU, which has gone wrong: no register is relied on to lead to memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, ExceptionClass, has_far
from armvcpu.arch.pstate import el
from armvcpu.arch.registers import by_name
from armvcpu.debug.backtrace import backtrace
from armvcpu.debug.case import Case
from armvcpu.debug.disasm import disassemble
from armvcpu.debug.hints import hint
from armvcpu.debug.report import CodeLine, CrashReport, FaultReport, Frame, Place
from armvcpu.debug.source import SourceLines
from armvcpu.engine.api import Fault
from armvcpu.engine.state import FRAME_SP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from armvcpu.debug.surroundings import Surroundings
    from armvcpu.engine.state import CpuState
    from armvcpu.machine.boot.symbols import Symbols

    Read = Callable[[int, int], bytes | None]
    """read(address, size): the guest's memory at a virtual address, or None where any of it is not memory."""

_OF_EACH = "ESR", "FAR", "ELR", "SPSR", "VBAR", "SCTLR", "TTBR0"
_OF_LEVEL = {
    1: (*(f"{name}_EL1" for name in (*_OF_EACH, "TTBR1", "TCR")),),
    2: (*(f"{name}_EL2" for name in (*_OF_EACH, "TCR", "HCR", "HPFAR", "VTTBR", "VTCR")),),
    3: (*(f"{name}_EL3" for name in (*_OF_EACH, "TCR", "SCR")),),
}
"""What a report has of the level that the exception was taken to."""
SYSTEM_REGISTERS = _OF_LEVEL[1]

_CALLS = {ExceptionClass.SVC64, ExceptionClass.HVC64, ExceptionClass.SMC64}
_U64 = (1 << 64) - 1
_AROUND = 4  # instructions before and after
_EMPTY = (None, 0, 0xFFFF_FFFF)
"""Words where nothing has been loaded: in a hole, in RAM, in flash."""


def build_report(
    reason: str,
    vcpu_id: int,
    state: CpuState,
    read_sysreg: Callable[[int], int],
    read: Read,
    symbols: Symbols,
    surroundings: Surroundings,
    last_exits: Sequence[str] = (),
    *,
    fault: Fault | None = None,
    is_endless: bool = False,
    last: tuple[int, int | None, int] | None = None,
    level: int = 1,
    instructions: int | None = None,
) -> CrashReport:
    """The report on a stopped vCPU.

    `read_sysreg(encoding)` gives a system register. `reason` is one line. `fault` is the first exception that the guest
    has not returned from, `last` (ESR, FAR, ELR) the one that it took last, where there were any, and `level` where
    that was taken to. `last_exits` are in words, the latest last.
    """
    name = Namer(symbols)
    level = level if fault is None else fault.el
    system_registers = {row: read_sysreg(by_name[row].encoding) for row in _OF_LEVEL[level]}
    elr = system_registers[f"ELR_EL{level}"]
    registers = {**{f"x{n}": state.gpr(n) for n in range(31)}, "sp": state.frame[FRAME_SP]}
    code_at, address = _where_code_is(state, fault, level, elr, read, symbols)
    # x29 and x30 are those of the code the exception came from, so the walk starts there.
    start, x29, x30 = (address if code_at == f"ELR_EL{level}" else state.pc), state.gpr(29), state.gpr(30)
    if fault is not None:
        start, x29, x30 = _instruction_of(fault), fault.x29, fault.x30
    case = _case(fault, last, registers["sp"], system_registers, surroundings, read)
    walked = _walk(state.pc, start, backtrace(start, x29, x30, read, symbols), is_lost=code_at == f"ELR_EL{level}")
    return CrashReport(
        reason=reason,
        vcpu_id=vcpu_id,
        pc=state.pc,
        pstate=state.pstate,
        fault=None if case is None or case.is_over else _fault(case, name),
        is_endless=is_endless and fault is not None,
        esr=None if last is None else last[0],
        far=None if last is None else last[1],
        registers=registers,
        level=level,
        system_registers=system_registers,
        code_at=code_at,
        code=list(_code(address, read)) if code_at else [],
        backtrace=[name(pc, is_return=is_return) for pc, is_return in walked],
        place=name(state.pc),
        elr=None if last is None else name(elr),
        last_exits=list(last_exits),
        hint=hint(case, state.pc, system_registers[f"VBAR_EL{level}"], level, surroundings),
        instructions=instructions,
        state=surroundings.state,
        walk=() if fault is None or surroundings.highest == 1 else surroundings.walk(fault.far, el(fault.pstate)),
    )


class Namer:
    """Says of an address which symbol and which line of the source it is."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols, self._lines = symbols, SourceLines(symbols)

    def __call__(self, pc: int, *, is_return: bool = False) -> Place:
        """`pc` with its names; for a return address, those of the call before it.

        The call may be a function's last instruction, where it never returns; what stands behind is another function.
        """
        back = 4 if is_return else 0
        return Place(*_symbol_of(pc, back, self._symbols), self._lines.find(pc - back))


def frames(state: CpuState, read: Read, symbols: Symbols) -> list[Frame]:
    """Where a vCPU is, and who called whom, innermost first; without lines of the source, which take their time."""
    walked = backtrace(state.pc, state.gpr(29), state.gpr(30), read, symbols)
    return [_symbol_of(pc, 4 if number else 0, symbols) for number, pc in enumerate(walked)]


def _symbol_of(pc: int, back: int, symbols: Symbols) -> Frame:
    found = symbols.find(pc - back)
    if found is None:
        return Frame(pc, "")
    name, offset = found
    return Frame(pc, f"{name}+{offset + back:#x}" if offset + back else name)


def _walk(pc: int, start: int, walked: list[int], *, is_lost: bool) -> list[tuple[int, bool]]:
    """(address, is it a return address?): where PC is nowhere, what it came from is no call."""
    rest = [(each, True) for each in walked[1:]]
    return [(pc, False), (start, False), *rest] if is_lost else [(start, False), *rest]


def _instruction_of(fault: Fault) -> int:
    """Where the instruction is: the preferred return address, but of calls, which is behind them (D1.3.1)."""
    return fault.elr - 4 & _U64 if ESR(fault.esr).EC in _CALLS else fault.elr


def _case(
    fault: Fault | None, last: tuple[int, int | None, int] | None, sp: int, system_registers: dict[str, int],
    surroundings: Surroundings, read: Read,
) -> Case | None:  # fmt: skip
    """The exception that the hint is about: the first that the guest is in, else the last one, which is over."""
    if fault is not None:
        at = _instruction_of(fault)
        word, loaded = _word(at, read), surroundings.loaded(surroundings.physical(at))
        is_empty = _is_empty(at, read) and loaded in _EMPTY
        return Case(fault, word, system_registers, surroundings, is_empty=is_empty, loaded=loaded)
    if last is None:
        return None
    esr, far, elr = last
    return Case(Fault(esr, far or 0, elr, 0, sp, 0, 0), _word(elr, read), system_registers, surroundings, is_over=True)


def _fault(case: Case, name: Namer) -> FaultReport:
    fault, word, at = case.fault, case.word, _instruction_of(case.fault)
    place, caller = name(at), name(fault.x30, is_return=True) if fault.x30 else None
    return FaultReport(
        fault.esr, fault.far if has_far(fault.esr) else None, fault.elr, fault.pstate, fault.sp, word,
        "" if word is None or (case.is_empty and not place.symbol) else disassemble(word, at),
        disassemble(case.loaded, at) if case.is_overwritten and case.loaded is not None else "", place,
        caller if caller is not None and caller.symbol and not place.symbol else None,
    )  # fmt: skip


def _where_code_is(
    state: CpuState, fault: Fault | None, level: int, elr: int, read: Read, symbols: Symbols
) -> tuple[str, int]:
    """(register that leads to code, address of the instruction to show), or ("", 0); for x30, the call before it.

    Of a fault that is its ELR, unless that is no code of a program: empty memory that no symbol covers.
    """
    places = [("PC", state.pc), (f"ELR_EL{level}", elr), ("x30", state.gpr(30) - 4)]
    if fault is not None:
        at = _instruction_of(fault)
        places = [("ELR", at), ("x30", fault.x30 - 4)]
        if _is_empty(at, read) and symbols.find(at) is None:
            places.reverse()
    return next(((name, at & ~3) for name, at in places if at >= 0 and read(at & ~3, 4) is not None), ("", 0))


def _word(address: int, read: Read) -> int | None:
    data = None if address % 4 else read(address, 4)
    return None if data is None else int.from_bytes(data, "little")


def _is_empty(address: int, read: Read) -> bool:
    """Is nothing there, and behind it? A program may have one word of zeroes."""
    word = _word(address, read)
    return word in _EMPTY and word == _word(address + 4, read)


def _code(centre: int, read: Read) -> Iterator[CodeLine]:
    """The instructions around `centre`; those that cannot be read are left out."""
    for address in range(max(centre - 4 * _AROUND, 0), min(centre + 4 * _AROUND + 4, 1 << 64), 4):
        data = read(address, 4)
        if data is not None:
            marker = "=>" if address == centre else ""
            yield CodeLine(address, int.from_bytes(data, "little"), marker)
