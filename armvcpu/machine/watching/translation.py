"""A translation told step by step: every descriptor of both stages, and the fault that an access would take.

`regimes.py` says where an address goes, as reports need it. This is for who looks closer: DDI 0487 D8.2 (stage 1), D8.3
(stage 2), D8.4 (permissions), D8.15 (which fault comes first; AArch64.S1Translate and AArch64.S2Translate).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from armvcpu.arch.controls import HCR_EL2, SCR_EL3, SCTLR_EL1
from armvcpu.arch.descriptors import Stage1Leaf, Stage1Table, Stage2Leaf
from armvcpu.arch.esr import ESR, DataAbortIss, ExceptionClass, InstructionAbortIss
from armvcpu.arch.idfields import PA_RANGE_BITS
from armvcpu.arch.registers import by_name
from armvcpu.machine.watching.regimes import first_tables, second_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.watching.regimes import Regime
    from armvcpu.machine.watching.stage1 import Tables

    ReadRegister = Callable[[int], int]
    ReadMemory = Callable[[int], int | None]

ADDRESS_SIZE, TRANSLATION, ACCESS_FLAG, PERMISSION, EXTERNAL = 0x00, 0x04, 0x08, 0x0C, 0x14
"""Fault status codes without their level (D17.2.37)."""
READ, WRITE, EXECUTE = "read", "write", "execute"
ACCESSES = READ, WRITE, EXECUTE
_OUTPUT = (1 << 48) - 1
_BELOW_TAG = (1 << 56) - 1
_SELECTS_TTBR1 = 1 << 55


class Problem(NamedTuple):
    """Why a walk ends: the fault status without its level, the level, and of stage 2 what it was asked for."""

    status: int
    level: int
    ipa: int | None = None
    is_on_walk: bool = False
    """Of stage 2: on an access to a table of stage 1?"""


class Step(NamedTuple):
    """One descriptor that has been read; of stage 1 `through` is stage 2's walk to it, where there is one."""

    level: int
    address: int
    """Physical, or with `through` intermediate physical."""
    value: int | None
    """None where no memory is, or stage 2 does not lead there."""
    through: StageWalk | None = None


class StageWalk(NamedTuple):
    """One stage: its tables (None: it is off, or has none for the address), its steps and where it leads."""

    tables: Tables | None
    steps: tuple[Step, ...]
    output: int | None
    problem: Problem | None

    @property
    def leaf(self) -> int | None:
        """The block or page descriptor."""
        return self.steps[-1].value if self.steps and self.output is not None else None


class Cpu(NamedTuple):
    """What a translation needs of a CPU: its registers by encoding, physical doublewords, its features."""

    sysreg: ReadRegister
    memory: ReadMemory
    pa_range: int
    """ID_AA64MMFR0_EL1.PARange."""
    has_xnx: bool = False
    has_hpds: bool = False

    def read(self, name: str) -> int:
        """A system register."""
        return self.sysreg(by_name[name].encoding)


class Translation:
    """A virtual address at an Exception level, `el`, of a translation regime."""

    def __init__(self, address: int, el: int, of: Regime, cpu: Cpu) -> None:
        self.address, self.el, self.regime, self.cpu = address, el, of, cpu
        self.first = self._first()
        """Stage 1."""
        self.second: StageWalk | None = None
        """Stage 2 of what stage 1 leads to; None where there is none, or stage 1 leads nowhere."""
        if of.has_stage2 and self.first.output is not None:
            self.second = self._second(self.first.output)

    @property
    def physical(self) -> int | None:
        """Where it leads; None where it does not."""
        return self.first.output if self.second is None and not self.regime.has_stage2 else (
            None if self.second is None else self.second.output
        )  # fmt: skip

    # --- the walks --------------------------------------------------------------------------------------------

    def _first(self) -> StageWalk:
        """Stage 1."""
        cpu, of = self.cpu, self.regime
        upper = of.has_two_ranges and bool(self.address & _SELECTS_TTBR1)
        address = self._untagged(upper=upper)
        if not cpu.read(f"SCTLR_EL{of.el}") & SCTLR_EL1.M.mask or self._default_cacheable:
            too_large = address >> PA_RANGE_BITS[cpu.pa_range]
            return StageWalk(None, (), None if too_large else address, Problem(ADDRESS_SIZE, 0) if too_large else None)
        tables = first_tables(of, cpu.sysreg, upper=upper)
        inside = tables is not None and address >> tables.bits == ((1 << 64) - 1 >> tables.bits if upper else 0)
        if tables is None or not inside:
            return StageWalk(tables, (), None, Problem(TRANSLATION, 0))
        return self._descend(tables, address & (1 << tables.bits) - 1, self._output_bits(), self._table_word)

    def _untagged(self, *, upper: bool) -> int:
        """The address without its tag, where TCR_ELx.TBI<n> has the top byte ignored (D8.8)."""
        of, tcr = self.regime, self.cpu.read(f"TCR_EL{self.regime.el}")
        bit = (37 + upper) if of.has_two_ranges else 20
        if not tcr >> bit & 1:
            return self.address
        return self.address & _BELOW_TAG | (0xFF << 56 if upper else 0)

    @property
    def _default_cacheable(self) -> bool:
        return self.regime.has_stage2 and bool(self.cpu.read("HCR_EL2") & HCR_EL2.DC.mask)

    def _output_bits(self) -> int:
        """Of stage 1: TCR_ELx.IPS or PS, as far as the CPU has so many."""
        tcr = self.cpu.read(f"TCR_EL{self.regime.el}")
        size = tcr >> (32 if self.regime.has_two_ranges else 16) & 7
        return PA_RANGE_BITS[min(size, self.cpu.pa_range, 5)]

    def _table_word(self, address: int) -> tuple[int | None, StageWalk | None, Problem | None]:
        """A descriptor of stage 1, itself at an address that stage 2 translates."""
        if not self.regime.has_stage2:
            return self.cpu.memory(address), None, None
        through = self._second(address, is_on_walk=True)
        problem = through.problem
        if problem is None and through.leaf is not None and not through.leaf >> 6 & 1:
            problem = Problem(PERMISSION, through.steps[-1].level, address, is_on_walk=True)
        value = None if through.output is None or problem is not None else self.cpu.memory(through.output)
        return value, through, problem

    def _second(self, ipa: int, *, is_on_walk: bool = False) -> StageWalk:
        cpu = self.cpu
        if not cpu.read("HCR_EL2") & HCR_EL2.VM.mask:  # DC alone
            return StageWalk(None, (), ipa, None)
        tables = second_tables(cpu.sysreg)
        if tables is None or ipa >> tables.bits:
            return StageWalk(tables, (), None, Problem(TRANSLATION, 0, ipa, is_on_walk))
        bits = PA_RANGE_BITS[min(cpu.read("VTCR_EL2") >> 16 & 7, cpu.pa_range, 5)]
        found = self._descend(tables, ipa, bits, lambda address: (cpu.memory(address), None, None))
        if found.problem is None:
            return found
        return found._replace(problem=found.problem._replace(ipa=ipa, is_on_walk=is_on_walk))

    @staticmethod
    def _descend(
        tables: Tables, offset: int, output_bits: int,
        read: Callable[[int], tuple[int | None, StageWalk | None, Problem | None]],
    ) -> StageWalk:  # fmt: skip
        base, level, steps = tables.base, tables.level, list[Step]()
        if base >> output_bits:
            return StageWalk(tables, (), None, Problem(ADDRESS_SIZE, 0))
        while True:
            shift = tables.shift(level)
            value, through, problem = read(address := base + 8 * (offset >> shift))
            offset &= (1 << shift) - 1
            steps.append(Step(level, address, value, through))
            status = _status(tables, value, level, output_bits)
            if problem is None and status is not None:
                problem = Problem(status, level)
            if problem is not None or value is None:
                return StageWalk(tables, tuple(steps), None, problem)
            table = tables.next_table(value, level)
            if table is None:
                return StageWalk(tables, tuple(steps), (tables.output(value, level) or 0) | offset, None)
            base, level = table, level + 1

    # --- faults -----------------------------------------------------------------------------------------------

    def problem(self, access: str, *, pan: bool = False) -> Problem | None:
        """What an access of this kind ends in; None where it is made. `pan`: is PSTATE.PAN set?"""
        if self.first.problem is not None:
            return self.first.problem
        if not self._allows(access, pan=pan):
            return Problem(PERMISSION, self.first.steps[-1].level)
        second = self.second
        if second is None or second.problem is not None:
            return None if second is None else second.problem
        if second.leaf is not None and not self._second_allows(access, second.leaf):
            return Problem(PERMISSION, second.steps[-1].level, self.first.output)
        return None

    def _allows(self, access: str, *, pan: bool) -> bool:
        """Permissions of stage 1 (D8.4.1), those of the tables above included where TCR_ELx.HPD<n> does not say no."""
        if self.first.leaf is None:
            return True  # with the MMU off anything may be done
        leaf = Stage1Leaf(self.first.leaf)
        above = [] if self._ignores_tables else [Stage1Table(step.value or 0) for step in self.first.steps[:-1]]
        read_only = bool(leaf.AP & 2) or any(table.APTable & 2 for table in above)
        wxn = bool(self.cpu.read(f"SCTLR_EL{self.regime.el}") & SCTLR_EL1.WXN.mask)
        uxn = bool(leaf.UXN) or any(table.UXNTable for table in above)
        if not self.regime.has_two_ranges:
            return not (uxn or (wxn and not read_only)) if access == EXECUTE else access == READ or not read_only
        el0_too = bool(leaf.AP & 1) and not any(table.APTable & 1 for table in above)
        el0_writes = el0_too and not read_only
        if self.el == 0:
            if access == EXECUTE:
                return not (uxn or (wxn and el0_writes))
            return el0_too and (access == READ or not read_only)
        if access == EXECUTE:
            pxn = bool(leaf.PXN) or any(table.PXNTable for table in above)
            return not (pxn or el0_writes or (wxn and not read_only))
        return not (pan and el0_too) and (access == READ or not read_only)

    @property
    def _ignores_tables(self) -> bool:
        if not self.cpu.has_hpds:
            return False
        upper = self.regime.has_two_ranges and bool(self.address & _SELECTS_TTBR1)
        bit = 41 + upper if self.regime.has_two_ranges else 24
        return bool(self.cpu.read(f"TCR_EL{self.regime.el}") >> bit & 1)

    def _second_allows(self, access: str, descriptor: int) -> bool:
        leaf = Stage2Leaf(descriptor)
        if access != EXECUTE:
            return bool(leaf.S2AP & (1 if access == READ else 2))
        if not self.cpu.has_xnx:
            return not leaf.XN & 2
        return (True, self.el == 0, False, self.el != 0)[leaf.XN]

    def target(self, problem: Problem, highest: int) -> int:
        """The Exception level that takes the abort (D1.3.6): stage 2's goes to EL2, stage 1's to its regime's level."""
        if problem.status == EXTERNAL and highest == 3 and self.cpu.read("SCR_EL3") & SCR_EL3.EA.mask:
            return 3
        if problem.ipa is not None:
            return 2
        hcr = self.cpu.read("HCR_EL2") if highest > 1 and self.regime.el == 1 else 0
        goes_up = self.el == 0 and hcr & HCR_EL2.TGE.mask
        return 2 if goes_up or (problem.status == EXTERNAL and hcr & HCR_EL2.TEA.mask) else self.regime.el

    def esr(self, problem: Problem, access: str, target: int) -> ESR:
        """ESR_ELx of the abort, without what only the instruction could tell (ISV)."""
        status, is_walk = problem.status + problem.level, int(problem.is_on_walk)
        is_lower = self.el < target
        if access == EXECUTE:
            kind = ExceptionClass.IABT_LOWER if is_lower else ExceptionClass.IABT_CURRENT
            iss = int(InstructionAbortIss.of(IFSC=status, S1PTW=is_walk))
        else:
            kind = ExceptionClass.DABT_LOWER if is_lower else ExceptionClass.DABT_CURRENT
            iss = int(DataAbortIss.of(DFSC=status, S1PTW=is_walk, WnR=int(access == WRITE)))
        return ESR.of(EC=int(kind), IL=1, ISS=iss)


def _status(tables: Tables, value: int | None, level: int, output_bits: int) -> int | None:
    """The fault status, without its level, behind this descriptor; None where the walk goes on or ends well."""
    if value is None:
        return EXTERNAL
    table, output = tables.next_table(value, level), tables.output(value, level)
    if table is None and (output is None or not tables.has_blocks(level)):
        return TRANSLATION
    if (value & _OUTPUT & -1 << tables.granule) >> output_bits:
        return ADDRESS_SIZE
    return ACCESS_FLAG if table is None and not value & Stage1Leaf.AF.mask else None
