"""Rows of a vCPU's registers: how each is read and written, whether the vCPU has a state yet or not.

The general registers stand here, since MSR and MRS don't name them; of the others, who answers (`registers.py` has the
list).
"""

from __future__ import annotations

from functools import cache, partial

from armvcpu.arch.pstate import MODE_NAMES, PState
from armvcpu.arch.pstate import el as level_of
from armvcpu.arch.registers import by_encoding, by_name
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError
from armvcpu.vcpu.context_frame import STACK_POINTERS, reset_pstate

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.vcpu.registers import Registers

    Read = Callable[[Registers], int]
    Write = Callable[[Registers, int], None]

_PSTATE_BITS = int(PState.of(N=1, Z=1, C=1, V=1, UAO=1, PAN=1, SS=1, IL=1, D=1, A=1, I=1, F=1, M=0xF))
MPIDR, _VMPIDR = by_name["MPIDR_EL1"].encoding, by_name["VMPIDR_EL2"].encoding


class Register(Row):
    """One register: its Arm name, its width in bits, whether it can be written from here."""

    name: str
    bits: int
    is_writable: bool
    read: Read
    write: Write


def check_width(name: str, bits: int, value: object) -> None:
    """UsageError unless `value` is a number of so many bits."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} holds a number, not {value!r}")
    if not 0 <= value < 1 << bits:
        raise UsageError(f"{name} has {bits} bits: {value:#x} does not fit")


def check_pstate(value: object, highest: int = 1) -> None:
    """UsageError unless it is a PSTATE, in the layout of SPSR_ELx, that a guest of EL0 to `highest` can have."""
    assert isinstance(value, int)
    modes = [name for mode, name in MODE_NAMES.items() if level_of(mode) <= highest]
    if value & ~_PSTATE_BITS or MODE_NAMES.get(PState(value).M) not in modes:
        raise UsageError(f"PSTATE {value:#x} is none of {', '.join(modes[:-1])} and {modes[-1]} in AArch64 state")


# --- the general registers ------------------------------------------------------------------------------------


def _read_gpr(index: int, registers: Registers) -> int:
    return registers.vcpu.trap_frame.gpr(index)


def _write_gpr(index: int, registers: Registers, value: int) -> None:
    registers.vcpu.trap_frame.set_gpr(index, value)


def _read_pc(registers: Registers) -> int:
    return registers.vcpu.trap_frame.exception_pc


def _write_pc(registers: Registers, value: int) -> None:
    registers.vcpu.trap_frame.set_exception_pc(value)


def read_pstate(registers: Registers) -> int:
    """PSTATE in the layout of SPSR_ELx."""
    vcpu = registers.vcpu
    return vcpu.state.pstate if vcpu.has_state else registers.early("PSTATE", reset_pstate(vcpu.config.el))


def _write_pstate(registers: Registers, value: int) -> None:
    vcpu = registers.vcpu
    if not vcpu.has_state:
        registers.set_early("PSTATE", value)
        return
    vcpu.state.set_pstate(value)
    if (engine := vcpu.system_registers.engine) is not None:
        engine.registers.write_pstate(value)


def _read_vector(index: int, registers: Registers) -> int:
    vcpu = registers.vcpu
    return vcpu.state.vector(index) if vcpu.has_state else registers.early(f"V{index}")


def _write_vector(index: int, registers: Registers, value: int) -> None:
    vcpu = registers.vcpu
    if vcpu.has_state:
        vcpu.state.set_vector(index, value)
    else:
        registers.set_early(f"V{index}", value)


@cache
def general_registers(highest: int = 1) -> tuple[Register, ...]:
    """The registers that MSR and MRS don't name; PSTATE first, as it selects where the stack pointers are.

    With EL3 that is also its stack pointer, since there is no level above to name it.
    """
    sp_el3 = Register("SP_EL3", 64, True, partial(_read_stack_pointer, 3), partial(_write_stack_pointer, 3))
    return (
        Register("PSTATE", 64, True, read_pstate, _write_pstate),
        Register("PC", 64, True, _read_pc, _write_pc),
        *(
            Register(f"X{n}", 64, True, partial(_read_gpr, n), partial(_write_gpr, n))
            for n in range(31)
        ),
        *(
            Register(f"V{n}", 128, True, partial(_read_vector, n), partial(_write_vector, n))
            for n in range(32)
        ),
        *([sp_el3] if highest == 3 else []),
    )  # fmt: skip


@cache
def names(highest: int = 1) -> dict[str, tuple[Register, int]]:
    """By every name of a general register: the register, and how many of its lowest bits (DDI 0487 B1.2)."""
    rows = {register.name: register for register in general_registers(highest)}
    names = {name: (register, register.bits) for name, register in rows.items()}
    names |= {alias: (rows[name], 64) for alias, name in (("LR", "X30"), ("FP", "X29"))}
    narrow = (("W", "X", 32), ("Q", "V", 128), ("D", "V", 64), ("S", "V", 32), ("H", "V", 16), ("B", "V", 8))
    for letter, whole, bits in narrow:
        names |= {letter + name[1:]: (register, bits) for name, register in rows.items() if name[0] == whole}
    return names


# --- system registers -----------------------------------------------------------------------------------------


@cache
def system_access(encoding: int) -> tuple[Read, Write]:
    """How a system register is read and written."""
    row = by_encoding.get(encoding)
    if encoding in STACK_POINTERS:
        el = STACK_POINTERS[encoding]
        return partial(_read_stack_pointer, el), partial(_write_stack_pointer, el)
    if row is not None and row.pstate:
        return partial(_read_window, row.pstate), partial(_write_window, row.pstate)
    return partial(_read_system, encoding), partial(_write_system, encoding)


def _read_stack_pointer(el: int, registers: Registers) -> int:
    vcpu = registers.vcpu
    return vcpu.state.stack_pointer(el) if vcpu.has_state else registers.early(f"SP_EL{el}")


def _write_stack_pointer(el: int, registers: Registers, value: int) -> None:
    vcpu = registers.vcpu
    if vcpu.has_state:
        vcpu.state.set_stack_pointer(el, value)
    else:
        registers.set_early(f"SP_EL{el}", value)


def _read_window(bits: int, registers: Registers) -> int:
    return read_pstate(registers) & bits


def _write_window(bits: int, registers: Registers, value: int) -> None:
    pstate = read_pstate(registers) & ~bits | value & bits
    check_pstate(pstate, registers.vcpu.config.el)
    _write_pstate(registers, pstate)


@cache
def kept_access(encoding: int) -> tuple[Read, Write]:
    """A system register where its value is kept, whoever answers for it: the vCPU's table, or the engine."""
    if encoding in STACK_POINTERS:
        return system_access(encoding)
    return partial(_read_kept, encoding), partial(_write_kept, encoding)


def _read_kept(encoding: int, registers: Registers) -> int:
    kept = registers.vcpu.sysregs.kept.get(encoding)
    return registers.vcpu.system_registers.read(encoding) if kept is None else kept[0]()


def _write_kept(encoding: int, registers: Registers, value: int) -> None:
    kept = registers.vcpu.sysregs.kept.get(encoding)
    if kept is None:
        registers.vcpu.system_registers.write(encoding, value)
    else:
        kept[1](value)


def _read_system(encoding: int, registers: Registers) -> int:
    vcpu = registers.vcpu
    read = vcpu.sysregs.looks.get(encoding) or vcpu.sysregs.readers.get(encoding)
    if read is not None:
        return read()
    return vcpu.system_registers.read(_VMPIDR if encoding == MPIDR else encoding)


def _write_system(encoding: int, registers: Registers, value: int) -> None:
    vcpu = registers.vcpu
    write = vcpu.sysregs.writers.get(encoding)
    if write is not None:
        write(value)
    else:
        vcpu.system_registers.write(encoding, value)
        if (follower := vcpu.sysregs.followers.get(encoding)) is not None:
            follower(value)
