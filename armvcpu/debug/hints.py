"""What to try first after a crash: mistakes of firmware that have one cause, told by what they leave behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, DataAbortIss, ExceptionClass
from armvcpu.arch.vectors import VECTOR_TABLE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from armvcpu.engine.state import CpuState

_ALIGNMENT_FAULT = 0x21
_SCTLR_M = 1
_DATA_ABORTS = {ExceptionClass.DABT_CURRENT, ExceptionClass.DABT_LOWER}


def hint(
    state: CpuState,
    esr: int | None,
    system_registers: Mapping[str, int],
    read: Callable[[int, int], bytes | None],
) -> str:
    """One line, or empty where nothing is obvious; `esr` is of the exception that stopped the vCPU.

    Without one, ESR_EL1 counts while the guest is in its vectors; at other times it is of an exception long handled.
    """
    vbar = system_registers["VBAR_EL1"]
    in_vectors = 0 <= state.pc - vbar < VECTOR_TABLE_SIZE
    has_code = read(state.pc & ~3, 4) is not None
    if esr is None and in_vectors:
        esr = system_registers["ESR_EL1"]
    if in_vectors and vbar == 0:
        return "the guest has no exception vectors: VBAR_EL1 is 0; set it before anything can go wrong"
    if in_vectors and not has_code:
        return f"the guest has no exception vectors: it set VBAR_EL1 = {vbar:#x}, where no memory is"
    if esr is not None and (words := _by_syndrome(ESR(esr), system_registers["SCTLR_EL1"])):
        return words
    return "" if has_code else "PC is not in memory: a jump through a bad pointer, or a return with a damaged stack"


def _by_syndrome(esr: ESR, sctlr: int) -> str:
    iss = DataAbortIss(esr.ISS)
    if esr.EC == ExceptionClass.FP:
        return "set CPACR_EL1.FPEN = 0b11 before using FP and SIMD registers, or build with -mgeneral-regs-only"
    if esr.EC in _DATA_ABORTS and iss.DFSC == _ALIGNMENT_FAULT and not sctlr & _SCTLR_M:
        return "with the MMU off all memory is Device, where accesses must be aligned: build with -mstrict-align"
    if esr.EC == ExceptionClass.SP_ALIGNMENT:
        return "SP must be a multiple of 16 when memory is accessed through it"
    return ""
