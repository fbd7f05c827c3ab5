"""What a syndrome says in words, for crash reports and traces: DDI 0487 D17.2.37 (ESR_EL1)."""

from __future__ import annotations

from armvcpu.arch.esr import (
    ESR,
    DataAbortIss,
    ExceptionClass,
    HvcIss,
    InstructionAbortIss,
    SysRegIss,
    WatchpointIss,
    WfxIss,
)
from armvcpu.arch.registers import general_register_name, register_name
from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def _by_level(base: int, words: str) -> dict[int, str]:
    return {base + level: f"{words}, level {level}" for level in range(4)}


FAULT_STATUS: dict[int, str] = {
    **_by_level(0x00, "address size fault"),
    **_by_level(0x04, "translation fault"),
    **_by_level(0x08, "access flag fault"),
    **_by_level(0x0C, "permission fault"),
    0x10: "synchronous external abort",
    0x11: "synchronous tag check fault",
    0x12: "synchronous external abort on a table walk, level -2",
    0x13: "synchronous external abort on a table walk, level -1",
    **_by_level(0x14, "synchronous external abort on a table walk"),
    0x18: "synchronous parity or ECC error",
    0x1B: "synchronous parity or ECC error on a table walk, level -1",
    **_by_level(0x1C, "synchronous parity or ECC error on a table walk"),
    0x21: "alignment fault",
    0x22: "granule protection fault on a table walk, level -2",
    0x23: "granule protection fault on a table walk, level -1",
    **_by_level(0x24, "granule protection fault on a table walk"),
    0x28: "granule protection fault",
    0x29: "address size fault, level -1",
    0x2A: "translation fault, level -2",
    0x2B: "translation fault, level -1",
    0x2C: "address size fault, level -2",
    0x30: "TLB conflict abort",
    0x31: "unsupported atomic hardware update fault",
    0x34: "IMPLEMENTATION DEFINED fault (lockdown)",
    0x35: "IMPLEMENTATION DEFINED fault (unsupported exclusive or atomic access)",
}
"""DFSC and IFSC, 6 bits, in words; what is missing is reserved."""

EC_WORDS: dict[ExceptionClass, str] = {
    ExceptionClass.UNKNOWN: "undefined instruction or unknown reason",
    ExceptionClass.CP15_MCR_MRC: "trapped AArch32 MCR or MRC, coproc 15",
    ExceptionClass.CP15_MCRR_MRRC: "trapped AArch32 MCRR or MRRC, coproc 15",
    ExceptionClass.CP14_MCR_MRC: "trapped AArch32 MCR or MRC, coproc 14",
    ExceptionClass.CP14_LDC_STC: "trapped AArch32 LDC or STC",
    ExceptionClass.FP: "trapped floating-point, Advanced SIMD or SVE instruction",
    ExceptionClass.CP10_ID: "trapped AArch32 VMRS",
    ExceptionClass.PAUTH: "trapped pointer authentication instruction",
    ExceptionClass.LS64: "trapped LD64B or ST64B",
    ExceptionClass.CP14_MRRC: "trapped AArch32 MRRC, coproc 14",
    ExceptionClass.BTI: "branch target exception",
    ExceptionClass.ILLEGAL_STATE: "illegal execution state (PSTATE.IL)",
    ExceptionClass.SYSREG128: "trapped MSRR, MRRS or 128-bit system instruction",
    ExceptionClass.SVE: "trapped SVE instruction",
    ExceptionClass.ERET: "trapped ERET",
    ExceptionClass.TSTART: "trapped TSTART",
    ExceptionClass.PAC_FAIL: "pointer authentication failure",
    ExceptionClass.SME: "trapped SME instruction",
    ExceptionClass.GPC: "granule protection check exception",
    ExceptionClass.IMPLEMENTATION_DEFINED: "IMPLEMENTATION DEFINED exception to EL3",
    ExceptionClass.PC_ALIGNMENT: "PC alignment fault",
    ExceptionClass.SP_ALIGNMENT: "SP alignment fault",
    ExceptionClass.MOPS: "memory copy or memory set exception",
    ExceptionClass.FP32: "floating-point exception from AArch32",
    ExceptionClass.FP64: "floating-point exception",
    ExceptionClass.GCS: "guarded control stack exception",
    ExceptionClass.SERROR: "SError",
    ExceptionClass.BREAKPOINT_LOWER: "breakpoint from a lower EL",
    ExceptionClass.BREAKPOINT_CURRENT: "breakpoint from the current EL",
    ExceptionClass.SOFTSTEP_LOWER: "software step from a lower EL",
    ExceptionClass.SOFTSTEP_CURRENT: "software step from the current EL",
    ExceptionClass.VECTOR_CATCH32: "AArch32 vector catch",
    ExceptionClass.PMU: "PMU exception",
}


def describe_esr(esr: int, far: int | None = None) -> str:
    """ESR_ELx in words, one line; `far`, where given, is named for the exceptions that set FAR_ELx."""
    view = ESR(esr)
    if view.EC in _WORDS_FROM_ISS:
        words = _WORDS_FROM_ISS[view.EC](view.ISS)
    else:
        words = EC_WORDS.get(view.EC, f"exception of reserved class {int(view.EC):#04x}, ISS {view.ISS:#x}")
    if far is None or view.EC not in _SETS_FAR:
        return words
    return f"{words}, FAR {'not valid' if _far_not_valid(view) else f'{far:#x}'}"


_ABORTS = frozenset(
    (
        ExceptionClass.IABT_LOWER,
        ExceptionClass.IABT_CURRENT,
        ExceptionClass.DABT_LOWER,
        ExceptionClass.DABT_CURRENT,
    )
)
_SETS_FAR = _ABORTS | {
    ExceptionClass.PC_ALIGNMENT,
    ExceptionClass.WATCHPOINT_LOWER,
    ExceptionClass.WATCHPOINT_CURRENT,
}


def _far_not_valid(view: ESR) -> bool:
    return view.EC in _ABORTS and bool(DataAbortIss(view.ISS).FnV)


def _fault(status: int) -> str:
    return FAULT_STATUS.get(status, f"reserved fault status {status:#04x}")


def _data_abort(where: str) -> Callable[[int], str]:
    def words(value: int) -> str:
        iss = DataAbortIss(value)
        kind = "cache maintenance or address translation" if iss.CM else "write" if iss.WnR else "read"
        size = f" of {8 << iss.SAS} bits, {general_register_name(iss.SRT)}" if iss.ISV else ""
        walk = ", on the stage 2 of a stage 1 walk" if iss.S1PTW else ""
        return f"data abort from {where}, {_fault(iss.DFSC)}, on a {kind}{size}{walk}"

    return words


def _instruction_abort(where: str) -> Callable[[int], str]:
    def words(value: int) -> str:
        iss = InstructionAbortIss(value)
        walk = ", on the stage 2 of a stage 1 walk" if iss.S1PTW else ""
        return f"instruction abort from {where}, {_fault(iss.IFSC)}{walk}"

    return words


def _watchpoint(where: str) -> Callable[[int], str]:
    return lambda value: f"watchpoint from {where}, on a {'write' if WatchpointIss(value).WnR else 'read'}"


def _msr_mrs(value: int) -> str:
    access = SysRegIss(value).access
    verb, link = ("read", "into") if access.is_read else ("write", "from")
    return f"trapped {verb} of {register_name(access.encoding)} {link} {general_register_name(access.Rt)}"


def _call(mnemonic: str) -> Callable[[int], str]:
    return lambda value: f"{mnemonic} #{HvcIss(value).imm16:#x}"


_WORDS_FROM_ISS: dict[ExceptionClass, Callable[[int], str]] = {
    ExceptionClass.WFX: lambda value: f"trapped {('WFI', 'WFE', 'WFIT', 'WFET')[WfxIss(value).TI]}",
    ExceptionClass.SVC32: _call("AArch32 SVC"),
    ExceptionClass.HVC32: _call("AArch32 HVC"),
    ExceptionClass.SMC32: lambda _value: "AArch32 SMC",
    ExceptionClass.SVC64: _call("SVC"),
    ExceptionClass.HVC64: _call("HVC"),
    ExceptionClass.SMC64: _call("SMC"),
    ExceptionClass.MSR_MRS: _msr_mrs,
    ExceptionClass.IABT_LOWER: _instruction_abort("a lower EL"),
    ExceptionClass.IABT_CURRENT: _instruction_abort("the current EL"),
    ExceptionClass.DABT_LOWER: _data_abort("a lower EL"),
    ExceptionClass.DABT_CURRENT: _data_abort("the current EL"),
    ExceptionClass.WATCHPOINT_LOWER: _watchpoint("a lower EL"),
    ExceptionClass.WATCHPOINT_CURRENT: _watchpoint("the current EL"),
    ExceptionClass.BKPT32: _call("AArch32 BKPT"),
    ExceptionClass.BRK64: _call("BRK"),
}
