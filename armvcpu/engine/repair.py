"""Syndromes that the engine loses or leaves without IL, rebuilt from the instruction at PC.

The engine throws a syndrome away where it raises an exception from inside a helper: `msr daifset` at EL0 and every
pointer authentication trap. Others come without IL, which DDI 0487 D17.2.37 sets for each exception from AArch64
state. And SVE, which no presented CPU has, traps where it should be UNDEFINED. docs/engine.md, "Syndromes".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.arch.instructions import DAIFClr, DAIFSet, is_pauth, msr_immediate
from armvcpu.engine.fp_trap import FP_TRAP
from armvcpu.errors import Unmodelled

if TYPE_CHECKING:
    from armvcpu.engine.core import EngineCore
    from armvcpu.engine.state import CpuState

IL = ESR.IL.mask
UNKNOWN = int(ESR.of(EC=ExceptionClass.UNKNOWN, IL=1))
PAUTH = int(ESR.of(EC=ExceptionClass.PAUTH, IL=1))
_SVE = int(ExceptionClass.SVE)


def repair_syndrome(engine: EngineCore, syndrome: int, target: int) -> tuple[int, int]:
    """(ESR, target EL) as the Arm ARM gives them, of an exception whose syndrome has EC 0 or lacks IL.

    `engine.state` is that of the exception. Unmodelled where the guest has gone to AArch32 state.
    """
    state = engine.state
    if state.aarch32 and not engine.changing_mode:
        raise Unmodelled(
            f"the guest executes AArch32 code after an ERET to AArch32 state (ESR {syndrome:#010x}); no presented CPU"
            " has AArch32 (ID_AA64PFR0_EL1.EL0 = 1)"
        )
    if syndrome == UNKNOWN:
        return (FP_TRAP, 1) if engine.fp_trap.active and engine.fp_trap.is_trap(state) else (UNKNOWN, target)
    ec = syndrome >> 26
    if ec == _SVE:
        return UNKNOWN, 1
    return (syndrome | IL, target) if ec else _rebuild(engine, state, target)


def _rebuild(engine: EngineCore, state: CpuState, target: int) -> tuple[int, int]:
    """The syndrome is lost; the target level is not. What is left of it are bits of a load, or nothing."""
    word = engine.fetch_word(state.pc)
    if word is None:
        return UNKNOWN, target or 1
    move = msr_immediate(word)
    if move is not None and (move.op1, move.op2) in {DAIFSet, DAIFClr}:
        return ESR.of(EC=ExceptionClass.MSR_MRS, IL=1, ISS=move.iss), target
    return (PAUTH, target) if is_pauth(word) else (UNKNOWN, target or 1)
