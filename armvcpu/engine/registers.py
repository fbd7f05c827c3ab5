"""System registers: read and written by the host, and the rows that answer for them when the guest does.

A row stands before the engine's own table of registers while it translates (shim/rows.c). Constants become part of the
code; an answer by Python costs 0.2 µs, and nobody else pays. What the rows are belongs to the engine, since translated
code has them; who answers is looked up at each access, so vCPUs with rows of the same shape switch freely.
"""

from __future__ import annotations

import ctypes as C

from armvcpu.arch.registers import Encoding, op, register_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine import native
from armvcpu.engine.api import ALIAS, BEFORE_NATIVE, COUNT, NATIVE, UNDEFINED, RegisterRows
from armvcpu.engine.library import REG_CP_REG, REG_PSTATE
from armvcpu.errors import no_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.engine.api import RowShape
    from armvcpu.engine.handle import Handle

_OF_TRANSLATION = frozenset((
    op(3, 0, 1, 0, 0), op(3, 4, 1, 0, 0), op(3, 6, 1, 0, 0),  # SCTLR_EL1, EL2, EL3
    op(3, 0, 2, 0, 2), op(3, 4, 2, 0, 2), op(3, 0, 2, 0, 0), op(3, 0, 2, 0, 1), op(3, 4, 2, 0, 0),  # TCR_ELx, TTBRn_ELx
    op(3, 0, 10, 2, 0), op(3, 4, 10, 2, 0), op(3, 0, 13, 0, 1),  # MAIR_EL1, MAIR_EL2, CONTEXTIDR_EL1
    op(3, 4, 2, 0, 1), op(3, 4, 2, 1, 0), op(3, 4, 2, 1, 2), op(3, 4, 13, 0, 1),  # TTBR1, VTTBR, VTCR, CONTEXTIDR_EL2
    op(3, 6, 2, 0, 0), op(3, 6, 2, 0, 2), op(3, 6, 10, 2, 0),  # TTBR0_EL3, TCR_EL3, MAIR_EL3
))  # fmt: skip
_OF_BREAKPOINTS = frozenset(op(2, 0, 0, n, op2) for n in range(16) for op2 in (4, 5))
"""DBGBVRn_EL1 and DBGBCRn_EL1."""
_READ_AS_ONE = {op(3, 4, 1, 1, 0): 1 << 31, op(3, 6, 1, 1, 0): 1 << 10}
"""HCR_EL2.RW and SCR_EL3.RW: no CPU shown has AArch32 (DDI 0487 D17.2.48, D17.2.117)."""


class CpReg(C.Structure):
    """`uc_arm64_cp_reg`: a system register by encoding, and its value."""

    _fields_ = (
        ("crn", C.c_uint32),
        ("crm", C.c_uint32),
        ("op0", C.c_uint32),
        ("op1", C.c_uint32),
        ("op2", C.c_uint32),
        ("value", C.c_uint64),
    )

    @classmethod
    def of(cls, encoding: int, value: int = 0) -> CpReg:
        """The structure of a packed encoding."""
        e = Encoding(encoding)
        return cls(e.CRn, e.CRm, e.Op0, e.Op1, e.Op2, value)


class SystemRegisters:
    """Those of the CPU that is loaded."""

    def __init__(self, handle: Handle, forget_code: Callable[[], None]) -> None:
        self._handle, self._forget_code = handle, forget_code
        unicorn = handle.unicorn
        self._read, self._write, self._check = unicorn.quick.uc_reg_read, unicorn.quick.uc_reg_write, unicorn.check
        self._uc = handle.uc
        self._cells: dict[int, tuple[CpReg, int]] = {}
        self._rows = RegisterRows()
        self._shape: RowShape = ()
        self._presented: tuple[int, ...] = ()
        self.on_read, self.on_write = native.READ(self._answer_read), native.WRITE(self._answer_write)

    def read(self, encoding: int) -> int:
        """A system register by its packed encoding."""
        cell, at = self._cells.get(encoding) or self._cell(encoding)
        self._check(self._read(self._uc, REG_CP_REG, at), "uc_reg_read CP_REG")
        return int(cell.value)

    def write(self, encoding: int, value: int) -> None:
        """Write a system register by its packed encoding, with all that follows from it."""
        cell, at = self._cells.get(encoding) or self._cell(encoding)
        cell.value = value | _READ_AS_ONE.get(encoding, 0)
        self._check(self._write(self._uc, REG_CP_REG, at), "uc_reg_write CP_REG")
        if encoding in _OF_TRANSLATION:  # Unicorn does what follows from a write only where the guest writes these
            self._handle.shim.flush_tlb(self._handle.engine)
        elif encoding in _OF_BREAKPOINTS:
            self._handle.shim.update_breakpoints(self._handle.engine)

    def write_pstate(self, value: int) -> None:
        """Write PSTATE, in the layout of SPSR_ELx; the SP banks are the caller's affair."""
        cell = C.c_uint64(value)
        self._check(self._write(self._uc, REG_PSTATE, C.addressof(cell)), "uc_reg_write PSTATE")
        self._handle.shim.rebuild(self._handle.engine)

    def _cell(self, encoding: int) -> tuple[CpReg, int]:
        cell = CpReg.of(encoding)
        found = self._cells[encoding] = cell, C.addressof(cell)
        return found

    # --- what the guest reads and writes ----------------------------------------------------------------------

    def use(self, rows: RegisterRows) -> None:
        """Have `rows` answer from now on; where their shape is another, translated code is forgotten."""
        if rows is self._rows:
            return
        self._rows = rows
        if rows.shape is not self._shape and rows.shape != self._shape:
            self._apply(rows.shape)
        if rows.places is None:  # looked up once, as vCPUs switch often
            words = rows.words.items()
            rows.places = tuple((encoding, C.addressof(C.c_uint64.from_buffer(word))) for encoding, word in words)
        set_word, engine = self._handle.shim.set_word, self._handle.engine
        for encoding, at in rows.places:
            set_word(engine, encoding, at)

    def present(self, identity: Sequence[int]) -> None:
        """Which instructions there are: ID_AA64ISAR0_EL1, ISAR1, PFR0, PFR1, MMFR1 and MMFR2 of the CPU shown."""
        if identity is not self._presented and tuple(identity) != self._presented:
            self._presented = tuple(identity)
            self._handle.shim.present(self._handle.engine, (C.c_uint64 * 6)(*identity))
            self._forget_code()

    def _apply(self, shape: RowShape) -> None:
        before, wanted = dict(self._shape), dict(shape)
        shim, engine = self._handle.shim, self._handle.engine
        for encoding in before.keys() - wanted.keys():
            shim.forget_row(engine, encoding)
        for encoding, (read, write, value) in wanted.items():
            if before.get(encoding) != (read, write, value):
                self._set_row(encoding, read, write, value)
        self._shape = shape
        self._forget_code()

    def _set_row(self, encoding: int, read: int, write: int, value: int) -> None:
        """Where the engine lacks a register that is to be its own, that direction is UNDEFINED."""
        set_row, engine = self._handle.shim.set_row, self._handle.engine
        if not set_row(engine, encoding, read, write, value):
            missing = {NATIVE, BEFORE_NATIVE, ALIAS, COUNT}
            read, write = (UNDEFINED if action in missing else action for action in (read, write))
            set_row(engine, encoding, read, write, value)

    def _answer_read(self, encoding: int) -> int:
        try:
            value = self._rows.reads[encoding]()
            try:
                return value & 0xFFFF_FFFF_FFFF_FFFF
            except TypeError:
                raise no_number(f"what reads {register_name(encoding)}", value, self._rows.reads[encoding]) from None
        except BaseException as failure:  # it must not pass through C; `run` raises it again
            self._handle.fail(failure)
            return 0

    def _answer_write(self, encoding: int, value: int) -> int:
        try:
            write = self._rows.writes.get(encoding)
            if write is None:  # who listened has gone, the code is still there
                return value
            written = write(value)
            return written if isinstance(written, int) else 0  # only who comes before the engine's register has to say
        except BaseException as failure:
            self._handle.fail(failure)
            return value
