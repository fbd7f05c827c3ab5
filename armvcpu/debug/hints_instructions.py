"""What to try where an instruction is UNDEFINED: another CPU has it, or none; or a branch leads to no instruction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ExceptionClass
from armvcpu.arch.idregs import MODELS, model
from armvcpu.arch.instruction_features import instruction_feature
from armvcpu.arch.registers import by_encoding, lowest_el, register_name
from armvcpu.debug.disasm import disassemble

if TYPE_CHECKING:
    from armvcpu.debug.case import Case

_UDF = 0xFFFF
"""The largest word of UDF, whose immediate is all that it has (C6.2)."""
_READS = 1 << 21


def misaligned_branch(case: Case) -> str:
    """PC is no multiple of 4, for which the engine has no exception class of its own."""
    if case.ec not in {ExceptionClass.PC_ALIGNMENT, ExceptionClass.UNKNOWN} or not case.fault.elr % 4:
        return ""
    return f"a branch to {case.fault.elr:#x}, which is no multiple of 4: a damaged function pointer or return address"


def missing_feature(case: Case) -> str:
    """An instruction of a feature that the CPU model lacks."""
    if case.word is None or case.ec not in {ExceptionClass.UNKNOWN, ExceptionClass.SVE, ExceptionClass.SME}:
        return ""
    feature, cpu = instruction_feature(case.word), model(case.surroundings.cpu_model)
    if feature is None or feature.is_in(cpu):
        return ""
    others = [each.name for each in MODELS if feature.is_in(each)]
    if not others:
        return f"it needs {feature.name}, which no CPU model here has: build for armv8-a"
    return f"it needs {feature.name}, which {cpu.name} lacks: run it with --cpu-model {others[0]}, or build for armv8-a"


def refused_register(case: Case) -> str:
    """MSR or MRS of what EL0 may not access, or what is not there."""
    if case.register is None or case.word is None or lowest_el(case.register) > 1:
        return ""
    name, row = register_name(case.register), by_encoding.get(case.register)
    if case.el == 0 and lowest_el(case.register) == 1:
        return f"{name} is a register of EL1, and this ran at EL0"
    if case.ec != ExceptionClass.UNKNOWN or case.el == 0:
        return ""
    if row is not None and row.access.name == "RO" and not case.word & _READS:
        return f"{name} is read-only"
    return f"{name} is not there, or not accessible so, on a {case.surroundings.cpu_model} of this board"


def no_instruction(case: Case) -> str:
    """A word that is none."""
    if case.ec != ExceptionClass.UNKNOWN or case.word is None:
        return ""
    if case.word <= _UDF:
        return "UDF is undefined forever: a trap of the compiler's or of the program's own, or data that was executed"
    if not disassemble(case.word, case.fault.elr).startswith(".inst"):
        return ""
    return f"{case.word:#010x} is no instruction: data was executed, or a branch went astray"
