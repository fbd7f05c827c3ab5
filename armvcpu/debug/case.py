"""One exception and what is around it: what the rules of the hints look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, DataAbortIss, ExceptionClass
from armvcpu.arch.pstate import el
from armvcpu.arch.registers import access_from_instruction
from armvcpu.arch.rows import Row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.debug.surroundings import Surroundings
    from armvcpu.engine.api import Fault

EXTERNAL_ABORT, ALIGNMENT_FAULT = 0x10, 0x21
DATA_ABORTS = {ExceptionClass.DABT_CURRENT, ExceptionClass.DABT_LOWER}
FETCH_ABORTS = {ExceptionClass.IABT_CURRENT, ExceptionClass.IABT_LOWER}
_STATUS, _SCTLR_M = 0x3F, 1
_E2H_TGE = 1 << 34 | 1 << 27


class Case(Row):
    """An exception, the instruction word it is about (None: unreadable), and where it happened."""

    fault: Fault
    word: int | None
    system_registers: Mapping[str, int]
    surroundings: Surroundings
    is_empty: bool = False
    """Is the memory there as where nothing has been loaded?"""
    loaded: int | None = None
    """The word that was loaded where the instruction is; None where none was."""
    is_over: bool = False
    """Has the guest returned from it?"""

    @property
    def ec(self) -> ExceptionClass:
        """ESR.EC."""
        return ESR(self.fault.esr).EC

    @property
    def el(self) -> int:
        """The level that it was taken from."""
        return el(self.fault.pstate)

    @property
    def is_write(self) -> bool:
        """Is it a data abort on a write?"""
        return self.ec in DATA_ABORTS and bool(DataAbortIss(ESR(self.fault.esr).ISS).WnR)

    @property
    def status(self) -> int | None:
        """DFSC of a data abort, else None."""
        return self.fault.esr & _STATUS if self.ec in DATA_ABORTS else None

    @property
    def fetch_status(self) -> int | None:
        """IFSC of an instruction abort, else None."""
        return self.fault.esr & _STATUS if self.ec in FETCH_ABORTS else None

    @property
    def register(self) -> int | None:
        """The packed encoding of the system register that MSR or MRS accesses."""
        access = None if self.word is None else access_from_instruction(self.word)
        return (
            None
            if access is None or self.ec not in {ExceptionClass.UNKNOWN, ExceptionClass.MSR_MRS}
            else access.encoding
        )

    @property
    def is_translated(self) -> bool:
        """Is the MMU on?"""
        return bool(self.own("SCTLR") & _SCTLR_M)

    @property
    def level(self) -> int:
        """The level that it was taken to."""
        return self.fault.el

    @property
    def is_stage2(self) -> bool:
        """Is it a fault of a stage 2 of the guest's, taken to its EL2 from below?"""
        hcr = self.own("HCR") if self.level == 2 else 0
        return self.el < self.level == 2 and hcr & _E2H_TGE != _E2H_TGE and self.status_of_abort != EXTERNAL_ABORT

    @property
    def status_of_abort(self) -> int | None:
        """DFSC or IFSC, whichever there is."""
        return self.fetch_status if self.status is None else self.status

    def own(self, name: str) -> int:
        """A system register of that level, by its name without it."""
        return self.system_registers[f"{name}_EL{self.level}"]

    @property
    def is_overwritten(self) -> bool:
        """Has something written over the instruction since it was loaded?"""
        return self.word is not None and self.loaded is not None and self.word != self.loaded
