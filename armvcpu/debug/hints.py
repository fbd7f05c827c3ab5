"""What to try first after a crash: mistakes of firmware that have one cause, told by the exception that began it.

Each rule looks at one exception and what the machine is, and says what to do, or nothing. The first that has something
to say is the hint. That a guest has no vectors comes last: it is why the guest ended, and seldom what is wrong with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.arch.registers import lowest_el, register_name
from armvcpu.arch.vectors import VECTOR_TABLE_SIZE
from armvcpu.debug.case import ALIGNMENT_FAULT, EXTERNAL_ABORT, FETCH_ABORTS, Case
from armvcpu.debug.hints_instructions import misaligned_branch, missing_feature, no_instruction, refused_register
from armvcpu.debug.hints_stack import overwritten, stack, stack_alignment
from armvcpu.debug.hints_tables import translation_tables
from armvcpu.debug.surroundings import Surroundings, uart_elsewhere
from armvcpu.machine.board.virt import (
    GICC_BASE,
    GICH_BASE,
    GICR_BASE,
    GICR_LIMIT,
    GICV2M_BASE,
    GICV_BASE,
    RAM_BASE,
    UART_BASE,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HLT_SEMIHOSTING = 0xD45E_0000
_CALL_MASK, _HVC, _SMC = 0xFFE0_001F, 0xD400_0002, 0xD400_0003
_PSTATE_IL = 1 << 20
_ERASED, _ZEROES = 0xFFFF_FFFF, 0
_NEAR = 0x1000
"""Bytes: so far from zero a null pointer may lead."""
_BEHIND, _AMONG_DEVICES = 1 << 32, 1 << 20
"""Bytes: so far behind RAM an access may have been meant for it; where devices are, less far."""
_OF_EL2 = ("GICH", "GICV")
_GICV2_FRAMES = (("GICC", GICC_BASE), ("GICv2m", GICV2M_BASE), ("GICH", GICH_BASE), ("GICV", GICV_BASE))
_GICV2_FRAME_SIZE = 0x1_0000
_UART = f"this board's UART is a PL011 at {UART_BASE:#010x}"


def _semihosting(case: Case) -> str:
    if case.word != HLT_SEMIHOSTING or case.surroundings.semihosting:
        return ""
    return "the guest makes a semihosting call (HLT #0xF000): run it with --semihosting"


def _higher_level(case: Case) -> str:
    if case.register is None or (level := lowest_el(case.register)) < 2:
        return ""
    name, highest = register_name(case.register), case.surroundings.highest
    if level > highest:
        return f"{name} is a register of EL{level}, and the guest started at EL{highest}: run it with --el {level}"
    if case.el < level:
        return f"{name} is a register of EL{level}, and this ran at EL{case.el}"
    return ""


def _kernel_at_el3(case: Case) -> str:
    """Documentation/arch/arm64/booting: "The CPU must be in either EL2 or non-secure EL1"."""
    if case.surroundings.highest < 3 or not case.surroundings.is_linux:
        return ""
    return "an arm64 Image (Linux) can't begin at EL3: run it with --el 2 or 1, or give it --firmware that begins there"


def _call(case: Case) -> str:
    """HVC and SMC with nobody behind them, in a guest that has the levels to itself."""
    if case.word is None or case.word & _CALL_MASK not in (_HVC, _SMC) or case.surroundings.highest == 1:
        return ""
    is_hvc, highest = case.word & _CALL_MASK == _HVC, case.surroundings.highest
    name, level = ("HVC", 2) if is_hvc else ("SMC", 3)
    if case.ec == ExceptionClass.UNKNOWN:
        control = "SCR_EL3.HCE is 0, or HCR_EL2.HCD 1" if is_hvc else "SCR_EL3.SMD is 1"
        return f"{name} is UNDEFINED here: {control}; software for EL1 that calls PSCI wants --el 1"
    if case.own("VBAR"):  # the guest does answer
        return ""
    conduit = "by SMC" if highest == 2 else "by nobody but its own firmware at EL3"
    whose = "which the guest has to itself, and nothing answers it there"
    return f"{name} goes to EL{level}, {whose}: PSCI is answered {conduit}"


def _secure_memory(case: Case) -> str:
    if case.status_of_abort != EXTERNAL_ABORT or case.surroundings.highest < 3:
        return ""
    address = case.surroundings.physical(case.fault.far)
    if not case.surroundings.is_secure_memory(address):
        return ""
    return f"{address:#010x} is Secure memory, and this was a Non-secure access (SCR_EL3.NS, or NS of its descriptor)"


def _cpu_interface(case: Case) -> str:
    if (
        case.register is None
        or case.surroundings.gic != 2
        or not (name := register_name(case.register)).startswith(("ICC_", "ICH_"))
    ):
        return ""
    return f"{name} belongs to a GICv3, and this machine has a GICv2: run it with --gic 3"


def _gic(case: Case) -> str:
    if case.status != EXTERNAL_ABORT:
        return ""
    address, gic = case.surroundings.physical(case.fault.far), case.surroundings.gic
    frame = next((name for name, base in _GICV2_FRAMES if base <= address < base + _GICV2_FRAME_SIZE), None)
    if gic == 3 and frame is not None:
        return f"{address:#010x} is where a GICv2 has {frame}, and this machine has a GICv3: run it with --gic 2"
    if frame in _OF_EL2 and case.surroundings.highest == 1:
        return f"{address:#010x} is where a GICv2 of CPUs with EL2 has {frame}: run it with --el 2"
    if gic == 2 and GICR_BASE <= address < GICR_BASE + GICR_LIMIT:
        return f"{address:#010x} is where a GICv3 has GICR, and this machine has a GICv2: run it with --gic 3"
    return ""


def _floating_point(case: Case) -> str:
    if case.ec != ExceptionClass.FP:
        return ""
    enable = {
        1: "CPACR_EL1.FPEN = 0b11",
        2: "CPTR_EL2.TFP = 0 (with HCR_EL2.E2H: FPEN = 0b11)",
        3: "CPTR_EL3.TFP = 0",
    }[case.level]
    return f"set {enable} before using FP and SIMD registers, or build with -mgeneral-regs-only"


def _illegal_return(case: Case) -> str:
    if case.ec != ExceptionClass.ILLEGAL_STATE and not case.fault.pstate & _PSTATE_IL:
        return ""
    levels = f"the guest has EL0 to EL{case.surroundings.highest}"
    return f"an ERET before went to a level or state that there is not (SPSR_ELx.M): {levels}"


def _null_call(case: Case) -> str:
    if case.fault.elr >= _NEAR or not case.is_empty or case.ec == ExceptionClass.SVC64:
        return ""
    return "a call through a null pointer, or a return with x30 lost: x30 says where the last call was"


def _null_data(case: Case) -> str:
    if case.status is None or case.fault.far >= _NEAR:
        return ""
    return f"a null pointer: {case.fault.far:#x} is the offset from it"


def _uart(case: Case) -> str:
    if case.status is None or not (whose := uart_elsewhere(case.surroundings.physical(case.fault.far))):
        return ""
    return f"{case.fault.far:#010x} is the UART of {whose}; {_UART}"


def _nothing_there(case: Case) -> str:
    if case.status != EXTERNAL_ABORT:
        return ""
    address, ends = case.surroundings.physical(case.fault.far), case.surroundings.ram_ends
    if case.surroundings.name_of(address) or case.surroundings.is_memory(case.fault.far):
        return ""
    nearest = max((end for end in ends if end <= address), default=None)
    if nearest is not None and address - nearest < (_BEHIND if address >= RAM_BASE else _AMONG_DEVICES):
        more = "--memory" if nearest == ends[0] else "--ram"
        return f"RAM ends at {nearest - 1:#x}: give more by {more}, or take its size from the device tree"
    return f"nothing is at {address:#010x}: {_UART}, RAM begins at {RAM_BASE:#x}, and `armvcpu machine` prints the map"


def _alignment(case: Case) -> str:
    if case.status != ALIGNMENT_FAULT:
        return ""
    if not case.is_translated:
        return "with the MMU off all memory is Device, where accesses must be aligned: build with -mstrict-align"
    if case.surroundings.name_of(case.surroundings.physical(case.fault.far)):
        return "a device is accessed by aligned addresses only: one access for each of its registers"
    return ""


def _flash(case: Case) -> str:
    address = case.surroundings.physical(case.fault.elr)
    if case.fetch_status != EXTERNAL_ABORT or not case.surroundings.is_flash(address):
        return ""
    if address < _NEAR and not case.surroundings.runs_from_flash:
        return ""
    return "a store to flash was a command to it, and no code can be fetched since: link .data and .bss into RAM"


def _no_code(case: Case) -> str:
    address = case.surroundings.physical(case.fault.elr)
    if case.ec in FETCH_ABORTS and case.word is None:
        return "PC is not in memory: a jump through a bad pointer, or a return with a damaged stack"
    if case.ec == ExceptionClass.UNKNOWN and case.is_empty and case.word == _ZEROES:
        return "memory that is all zeroes was executed: code that was not loaded, or a jump that went astray"
    if case.ec == ExceptionClass.UNKNOWN and case.word == _ERASED and case.surroundings.is_flash(address):
        if case.surroundings.had_commands(address):
            return "erased flash was executed: a store to flash is a command to it and changes no code; use RAM for it"
        return "erased flash was executed: a jump that went astray"
    return ""


def _compiler_trap(case: Case) -> str:
    if case.ec != ExceptionClass.BRK64 or ESR(case.fault.esr).ISS not in {1, 1000}:
        return ""
    return "the compiler's own trap: __builtin_trap(), abort(), or code that it took for unreachable"


WANTS_ANOTHER_MACHINE: tuple[Callable[[Case], str], ...] = (_semihosting, _higher_level, _cpu_interface, _gic, _uart)
"""What is wrong also where the guest's handler has passed over it."""
RULES = (
    _kernel_at_el3, _semihosting, _higher_level, _call, _secure_memory, _cpu_interface, overwritten, _floating_point,
    _flash, _null_call, misaligned_branch,
    stack_alignment, stack, _gic, _uart, _null_data, translation_tables, _alignment, _nothing_there, _no_code,
    _compiler_trap, _illegal_return, missing_feature, refused_register, no_instruction,
)  # fmt: skip


def hint(case: Case | None, pc: int, vbar: int, level: int, surroundings: Surroundings) -> str:
    """One line, or empty where nothing is obvious; `case` is of the exception that it is about, VBAR of its level."""
    if case is not None:
        rules = WANTS_ANOTHER_MACHINE if case.is_over else RULES
        if words := next(filter(None, (rule(case) for rule in rules)), ""):
            return words
    if 0 <= pc - vbar < VECTOR_TABLE_SIZE:
        if vbar == 0:
            return f"the guest has no exception vectors: VBAR_EL{level} is 0; set it before anything can go wrong"
        if not surroundings.is_memory(pc):
            return f"the guest has no exception vectors: it set VBAR_EL{level} = {vbar:#x}, where no memory is"
    if surroundings.refused_smc is not None and not _may_be_asked(surroundings.refused_smc[0]):
        number, at = surroundings.refused_smc
        remedy = "only PSCI answers here: give it one by --el 3"
        return f"the SMC {number:#x} before {at:#x} wants a monitor at EL3, and {remedy}"
    if surroundings.pcie_touched:
        return f"the guest uses the PCIe window at 0x10000000, which is empty: if it is to print, {_UART}"
    return "" if surroundings.is_memory(pc) else "PC is not in memory: a jump through a bad pointer, or a damaged stack"


def _may_be_asked(function_id: int) -> bool:
    """Is it a call that software for EL1 makes to see whether it is there: architecture, standard or hypervisor's?"""
    owner = function_id >> 24 & 0x3F
    return bool(function_id >> 31 & 1) and owner in {0, 4, 5, 6}  # DEN 0028 2.5
