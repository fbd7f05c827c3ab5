"""Commands about CPUs: what they do, their registers, who called whom, names of addresses."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from armvcpu.arch.psci import AffinityState
from armvcpu.arch.pstate import describe_pstate
from armvcpu.arch.registers import by_name
from armvcpu.debug.backtrace import backtrace as walk_frames
from armvcpu.debug.monitor.memory import read_virtual
from armvcpu.debug.words import describe_exit
from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.running.cpu import Cpu
    from armvcpu.vcpu.register_rows import Register

MOST_SYMBOLS = 50
_VECTORS = {f"V{n}" for n in range(32)}


def place(symbols: Symbols, address: int) -> str:
    """An address with its symbol."""
    name = symbols.format(address)
    return f"{address:#x}{f' {name}' if name else ''}"


def started(cpu: Cpu) -> Cpu:
    """A CPU that has registers; UsageError for one that was never on."""
    if not cpu.vcpu.has_state:
        raise UsageError(f"cpu{cpu.index} was never switched on: it has no registers yet")
    return cpu


# --- CPUs -----------------------------------------------------------------------------------------------------


def info_cpus(view: View) -> str:
    """A line for each; `*` is the one that commands are about."""
    return "\n".join(_cpu_line(view, cpu) for cpu in view.machine.cpus)


def _cpu_line(view: View, cpu: Cpu) -> str:
    mark = "*" if cpu is view.cpu else " "
    line = f"{mark} cpu{cpu.index}  MPIDR_EL1 {cpu.vcpu.registers['MPIDR_EL1']:#x}  {_activity(view, cpu)}"
    if cpu.vcpu.has_state and cpu.power is not AffinityState.OFF:
        state = cpu.vcpu.state
        line += f"  {describe_pstate(state.pstate)}  PC {place(view.machine.symbols, state.pc)}"
    return line


def _activity(view: View, cpu: Cpu) -> str:
    if cpu.power is AffinityState.OFF:
        return "off"
    if cpu.reads_console:
        return "waits for input"
    if cpu.waiting:
        return "waits (WFI)"
    return "runs" if cpu is view.machine.current_cpu else "waits for its turn"


def choose(view: View, index: int) -> str:
    """`cpu N`."""
    view.selected = index
    return _cpu_line(view, view.cpu)


# --- registers ------------------------------------------------------------------------------------------------


def info_registers(view: View, index: int | None) -> str:
    """X0 to X30, SP, PC and PSTATE, four to a line."""
    cpu = started(view.cpu if index is None else view.machine.cpus[index])
    registers = cpu.vcpu.registers
    named = [(f"x{n}", registers[f"x{n}"]) for n in range(31)] + [("sp", registers["sp"])]
    lines = ["  ".join(f"{name:>3} {value:#018x}" for name, value in named[n : n + 4]) for n in range(0, 32, 4)]
    pc, pstate = registers["pc"], registers["pstate"]
    lines.append(f" pc {pc:#018x}  {view.machine.symbols.format(pc)}".rstrip())
    return "\n".join([*lines, f"pstate {pstate:#x}  {describe_pstate(pstate)}"])


def info_sysregs(view: View, pattern: str | None, index: int | None) -> str:
    """Those of a name, each with its value."""
    cpu = started(view.cpu if index is None else view.machine.cpus[index])
    found = list(_matching(cpu, pattern or "*"))
    if not found:
        raise UsageError(f"no system register of this CPU matches {pattern!r}")
    width = max(len(register.name) for register in found)
    values = ((register.name, register.read(cpu.vcpu.registers)) for register in found)
    return "\n".join(f"{name:{width}} {value:#018x}" for name, value in values)


def _matching(cpu: Cpu, pattern: str) -> Iterator[Register]:
    """Those of levels that the guest does not have are armvcpu's own: only a pattern gives them."""
    upper, highest = pattern.upper(), 3 if pattern != "*" else cpu.vcpu.config.el
    wanted = upper if any(letter in upper for letter in "*?[") else f"*{upper}*"
    for register in cpu.vcpu.registers:
        is_general = register.name in {"PC", "PSTATE", *_VECTORS} or register.name[1:].isdigit()
        row = by_name.get(register.name)
        if not is_general and fnmatchcase(register.name, wanted) and (row is None or row.level <= highest):
            yield register


def show(view: View, value: int) -> str:
    """`print`: in hexadecimal and decimal, with the symbol there."""
    signed = value - (value >> 63 << 64)
    name = view.machine.symbols.format(value)
    return f"{value:#x} = {signed}{f' = {name}' if name else ''}"


def set_register(view: View, name: str, value: int) -> str:
    """`set`."""
    started(view.cpu)
    view.registers[name] = value
    return ""


# --- where it is ----------------------------------------------------------------------------------------------


def backtrace(view: View) -> str:
    """Innermost first."""
    state, symbols = started(view.cpu).vcpu.state, view.machine.symbols
    pcs = walk_frames(state.pc, state.gpr(29), state.gpr(30), lambda at, size: read_virtual(view, at, size), symbols)
    return "\n".join(f"#{number} {_frame(symbols, pc, is_return=number > 0)}" for number, pc in enumerate(pcs))


def _frame(symbols: Symbols, pc: int, *, is_return: bool) -> str:
    found = symbols.find(pc - 4 if is_return else pc)
    if found is None:
        return f"{pc:#x}"
    name, offset = found[0], found[1] + (4 if is_return else 0)
    return f"{pc:#x} {name}{f'+{offset:#x}' if offset else ''}"


def symbols(view: View, name: str) -> str:
    """At a number what is there; else those with the name in theirs."""
    known = view.machine.symbols
    if name[:1].isdigit() or name.startswith("$"):
        from armvcpu.debug.monitor.kinds import address

        at = address(view, name)
        if not (found := known.format(at)):
            raise UsageError(f"no symbol covers {at:#x}")
        return f"{at:#x} {found}"
    found_names = sorted((each for each in known.names() if name in each), key=lambda each: (each != name, each))
    if not found_names:
        known.address(name)  # which says what there is instead
        raise UsageError(f"no symbol has {name!r} in its name{did_you_mean(name, known.names(), 3)}")
    lines = [f"{known.address(each):#018x} {each}" for each in found_names[:MOST_SYMBOLS]]
    more = len(found_names) - len(lines)
    return "\n".join(lines + ([f"and {more} more"] if more else []))


def info_exits(view: View) -> str:
    """The last exits; and the last exception that the guest has taken."""
    symbols = view.machine.symbols
    lines = [f"{place(symbols, pc)}  {describe_exit(each)}" for pc, each in view.machine.last_exits]
    return "\n".join(lines) or "the run loop has had no exit yet"
