"""`translate`: a walk of the guest's tables, shown descriptor by descriptor, and what an access would come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.descriptors import size_words, stage1_words, stage2_words, table_words
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.idfields import ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1
from armvcpu.arch.pstate import PState
from armvcpu.debug.monitor.cpus import started
from armvcpu.debug.monitor.memory import sysreg_of
from armvcpu.machine.watching.regimes import regime
from armvcpu.machine.watching.translation import ACCESSES, Cpu, Translation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.watching.translation import Problem, StageWalk, Step

_SELECTS_TTBR1 = 1 << 55


def translate(view: View, address: int, el: int | None, index: int | None) -> str:
    """At the level that the CPU is at, unless told."""
    cpu = started(view.cpu if index is None else view.machine.cpus[index])
    vcpu, highest = cpu.vcpu, view.machine.config.el
    level, sysreg = vcpu.state.el if el is None else el, sysreg_of(cpu)
    registers = vcpu.registers
    mmfr0 = ID_AA64MMFR0_EL1(registers["ID_AA64MMFR0_EL1"])
    mmfr1 = ID_AA64MMFR1_EL1(registers["ID_AA64MMFR1_EL1"])
    has = Cpu(sysreg, view.machine.memory.doubleword, mmfr0.PARange, has_xnx=bool(mmfr1.XNX), has_hpds=bool(mmfr1.HPDS))
    walked = Translation(address, level, regime(level, highest, sysreg), has)
    pan = bool(PState(vcpu.state.pstate).PAN)
    return "\n".join(_lines(view, walked, pan=pan))


def _lines(view: View, walked: Translation, *, pan: bool) -> Iterator[str]:
    yield f"{walked.address:#x} at EL{walked.el}, in the {walked.regime} regime"
    yield from _first(walked)
    if walked.second is not None:
        yield from _second(walked, walked.second, f"of {walked.first.output:#x}", "  ")
    if walked.physical is not None:
        yield f"physical {walked.physical:#x}: {_what(view, walked.physical)}"
    for access in ACCESSES:
        yield f"{access:8} {_verdict(walked, access, view.machine.config.el, pan=pan)}"


def _what(view: View, physical: int) -> str:
    board = view.machine.board
    if memory := board.memory_map().holding(physical):
        return memory.name
    return view.machine.name_of(physical) or "nothing is there on this board"


# --- the stages -----------------------------------------------------------------------------------------------


def _first(walked: Translation) -> Iterator[str]:
    of, first = walked.regime, walked.first
    upper = of.has_two_ranges and bool(walked.address & _SELECTS_TTBR1)
    tables, output = first.tables, "nothing" if first.output is None else f"{first.output:#x}"
    if tables is None:
        is_off = first.problem is None or first.problem.status == 0
        why = f"SCTLR_EL{of.el}.M is 0" if is_off else f"TCR_EL{of.el} has no tables for it"
        yield f"stage 1: {why}" + (f", so it is {output}" if first.output is not None else "")
        return
    granule = size_words(tables.granule)
    yield f"stage 1: TTBR{int(upper)}_EL{of.el} {tables.base:#x}, {tables.bits} bits, {granule} granule"
    if not first.steps:
        yield f"  {walked.address:#x} is outside of these {tables.bits} bits"
    mair = walked.cpu.read(f"MAIR_EL{of.el}")
    for step in first.steps:
        words = _first_words(step, first, mair, walked)
        yield f"  level {step.level}  [{step.address:#x}] {_value(step)}  {words}"
        if step.through is not None:
            yield from _second(walked, step.through, f"of the descriptor at {step.address:#x}", "      ")
    if first.output is not None:
        kind = "intermediate physical" if of.has_stage2 else "physical"
        yield f"  {kind} {output}"


def _value(step: Step) -> str:
    return "-" * 18 if step.value is None else f"{step.value:#018x}"


def _first_words(step: Step, stage: StageWalk, mair: int, walked: Translation) -> str:
    of = walked.regime
    kind = _kind(step, stage)
    if step.value is None or kind == "invalid":
        return kind
    if kind.startswith("table"):
        denied = table_words(step.value, has_two_levels=of.has_two_ranges)
        return kind + (f": {denied}" if denied else "")
    return f"{kind}: {stage1_words(step.value, mair, level=of.el, has_two_levels=of.has_two_ranges)}"


def _kind(step: Step, stage: StageWalk) -> str:
    tables = stage.tables
    assert tables is not None
    if step.value is None:
        return "no memory is there" if step.through is None else "can't be read: see stage 2"
    if (table := tables.next_table(step.value, step.level)) is not None:
        return f"table at {table:#x}"
    output = tables.output(step.value, step.level)
    if output is None or not tables.has_blocks(step.level):
        return "invalid"
    kind = "page" if step.level == 3 else f"block of {size_words(tables.shift(step.level))}"
    return f"{kind} at {output:#x}"


def _second(walked: Translation, stage: StageWalk, of_what: str, indent: str) -> Iterator[str]:
    tables = stage.tables
    if tables is None:
        off = stage.problem is None
        why = "HCR_EL2.VM is 0, so it stays" if off else "VTCR_EL2 has a reserved granule or start"
        yield f"{indent.removeprefix('  ')}stage 2 {of_what}: {why}"
        return
    yield (
        f"{indent.removeprefix('  ')}stage 2 {of_what}: VTTBR_EL2 {tables.base:#x}, {tables.bits} bits, "
        f"{size_words(tables.granule)} granule"
    )
    if not stage.steps:
        yield f"{indent}it is outside of these {tables.bits} bits"
    for step in stage.steps:
        kind = _kind(step, stage)
        has_words = step.value is not None and kind.startswith(("page", "block"))
        words = f": {stage2_words(step.value or 0, has_xnx=walked.cpu.has_xnx)}" if has_words else ""
        yield f"{indent}level {step.level}  [{step.address:#x}] {_value(step)}  {kind}{words}"


# --- what an access comes to ----------------------------------------------------------------------------------


def _verdict(walked: Translation, access: str, highest: int, *, pan: bool) -> str:
    problem = walked.problem(access, pan=pan)
    if problem is None:
        return "goes through"
    target = walked.target(problem, highest)
    esr = walked.esr(problem, access, target)
    return f"ESR_EL{target} {int(esr):#x}: {describe_esr(int(esr), walked.address)}{_hpfar(problem)}"


def _hpfar(problem: Problem) -> str:
    """HPFAR_EL2.FIPA holds the intermediate physical address from bit 12 on (D17.2.62)."""
    return "" if problem.ipa is None else f", HPFAR_EL2 {problem.ipa >> 12 << 4:#x}"
