"""What to try where the stack is what went wrong: there is none, it has overflowed, or it has run over the code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ExceptionClass
from armvcpu.arch.instructions import uses_sp
from armvcpu.debug.case import EXTERNAL_ABORT

if TYPE_CHECKING:
    from armvcpu.debug.case import Case

_ADDRESS_SIZE_FAULT, _TRANSLATION_FAULT, _LEVEL = 0x00, 0x04, 3
_NOTHING_THERE = {EXTERNAL_ABORT, _ADDRESS_SIZE_FAULT, _TRANSLATION_FAULT}
_NEAR = 0x1000
"""Bytes: SP so close to zero was never set, and a store so far above SP is one to the stack."""
_BELOW = 512
"""Bytes: so far below SP an STP may store."""


def stack_alignment(case: Case) -> str:
    """SP is no multiple of 16."""
    if case.ec != ExceptionClass.SP_ALIGNMENT:
        return ""
    return "SP must be a multiple of 16 when memory is accessed through it"


def stack(case: Case) -> str:
    """A data abort by SP, or beside it where the instruction can no longer be told, and no memory is there."""
    sp, far, is_memory = case.fault.sp, case.fault.far, case.surroundings.is_memory
    if case.status is None or case.status & ~_LEVEL not in _NOTHING_THERE:
        return ""
    is_by_sp = case.word is not None and uses_sp(case.word)
    if is_by_sp and not _NEAR <= sp < (1 << 64) - _NEAR:
        return f"the guest has no stack, SP is {sp:#x}: set SP before the first function is called"
    is_beside = sp >= _NEAR and -_BELOW <= far - sp < _NEAR and not is_memory(far)
    return _overflow(case) if is_beside or (is_by_sp and not (is_memory(sp) and is_memory(far))) else ""


def _overflow(case: Case) -> str:
    sp, far = case.fault.sp, case.fault.far
    if case.is_overwritten:
        at = f"memory at {case.fault.elr:#x} is no longer as it was loaded"
        return f"the stack has overflowed, through the program's own code: SP is {sp:#x}, and {at}"
    if case.surroundings.is_memory(sp):
        return f"the stack has overflowed: SP is {sp:#x}, and no memory is at {far:#x}"
    return f"SP is {sp:#x}, which leads to no memory: the stack has overflowed, or SP was never set"


def overwritten(case: Case) -> str:
    """What was executed is not the program."""
    if not case.is_overwritten or case.ec not in {ExceptionClass.UNKNOWN, ExceptionClass.FP}:
        return ""
    what = f"memory at {case.fault.elr:#x} is no longer as it was loaded: something has written over the code"
    return f"{what}, such as a stack that has overflowed (SP is {case.fault.sp:#x})"
