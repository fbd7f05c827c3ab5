"""Register access through prepared ctypes calls: 0.4 µs each, 0.6 µs for a whole exception entry in one batch.

Two rules of the engine shape this file (docs/engine.md, "Writing registers"): a write of PSTATE neither swaps SP
banks nor refreshes what was derived from it until a CP_REG write follows; and PC may be written inside a hook only
through `uc_reg_write_batch`.
"""

from __future__ import annotations

import ctypes as C  # noqa: N812
import struct
from typing import TYPE_CHECKING

from armvcpu.arch.registers import Encoding, op
from armvcpu.engine.state import FRAME_PC, FRAME_SIZE, FRAME_SP

if TYPE_CHECKING:
    from armvcpu.engine.library import Library
    from armvcpu.engine.state import CpuState


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


_SPSR_EL1 = op(3, 0, 4, 0, 0)
_HARMLESS = op(3, 3, 13, 0, 3)  # TPIDRRO_EL0: writing back its own value refreshes derived state, and no more


class Registers:
    """Reads and writes of one engine's registers."""

    def __init__(self, lib: Library, handle: int) -> None:
        self._lib, self._handle = lib, handle
        self._read, self._write = lib.quick.uc_reg_read, lib.quick.uc_reg_write
        self._write_batch = lib.quick.uc_reg_write_batch
        self._cp_reg = lib.reg.UC_ARM64_REG_CP_REG
        self._cells: dict[int, CpReg] = {}
        self._value = C.c_uint64()
        self._value_at = C.addressof(self._value)
        self._frame_ids = _frame_ids(lib)
        self._frame_ids_at = C.addressof(self._frame_ids)
        self._prepare_entry(lib)

    def read(self, reg: int) -> int:
        """A register by Unicorn's number."""
        self._value.value = 0
        self._lib.check(self._read(self._handle, reg, self._value_at), "uc_reg_read")
        return self._value.value

    def write(self, reg: int, value: int) -> None:
        """Write a register by Unicorn's number; not PC inside a hook."""
        self._value.value = value
        self._lib.check(self._write(self._handle, reg, self._value_at), "uc_reg_write")

    def read_sysreg(self, encoding: int) -> int:
        """A system register by its packed encoding."""
        cell = self._cell(encoding)
        self._lib.check(self._read(self._handle, self._cp_reg, C.addressof(cell)), "uc_reg_read CP_REG")
        return int(cell.value)

    def write_sysreg(self, encoding: int, value: int) -> None:
        """Write a system register by its packed encoding."""
        cell = self._cell(encoding)
        cell.value = value
        self._lib.check(self._write(self._handle, self._cp_reg, C.addressof(cell)), "uc_reg_write CP_REG")

    def write_pstate(self, value: int) -> None:
        """Write PSTATE and refresh what is derived from it; the SP banks are the caller's affair."""
        self.write(self._lib.reg.UC_ARM64_REG_PSTATE, value)
        self.write_sysreg(_HARMLESS, self.read_sysreg(_HARMLESS))

    def write_back(self, state: CpuState) -> None:
        """Write the changed part of `state.frame` to the CPU: registers from the first changed to the last."""
        first, count = state.dirty_from, state.dirty_to - state.dirty_from + 1
        self._write_batch(self._handle, self._frame_ids_at + 4 * first, state.pointers_at + 8 * first, count)
        state.dirty_from, state.dirty_to = FRAME_SIZE, -1

    def _cell(self, encoding: int) -> CpReg:
        cell = self._cells.get(encoding)
        if cell is None:
            cell = self._cells[encoding] = CpReg.of(encoding)
        return cell

    # --- exception entry to EL1 -------------------------------------------------------------------------------

    def _prepare_entry(self, lib: Library) -> None:
        """One batch: FAR, ESR, ELR, PSTATE, SPSR (a CP_REG, so after PSTATE), PC, and then SP_EL0 and SP."""
        names = ("FAR_EL1", "ESR_EL1", "ELR_EL1", "PSTATE", "CP_REG", "PC", "SP_EL0", "SP")
        self._entry_ids = (C.c_int * 8)(*(getattr(lib.reg, f"UC_ARM64_REG_{name}") for name in names))
        self._entry_values = (C.c_uint64 * 8)()
        self._entry_pack = struct.Struct("<8Q").pack_into
        values = C.addressof(self._entry_values)
        self._entry_pointers = (C.c_void_p * 8)(*(values + 8 * i for i in range(8)))
        self._entry_spsr = CpReg.of(_SPSR_EL1)
        self._entry_pointers[4] = C.addressof(self._entry_spsr)
        self._entry_at = (C.addressof(self._entry_ids), C.addressof(self._entry_pointers))

    def enter_el1(
        self, state: CpuState, elr: int, spsr: int, esr: int | None, far: int | None, pstate: int, pc: int
    ) -> None:
        """AArch64.TakeException's register writes with target EL1 (DDI 0487 J1.1.2), SP_EL1 selected."""
        skip = (1 if far is None else 0) if esr is not None else 2
        from_sp0 = not spsr & 1
        sp_el0 = state.frame[FRAME_SP]
        sp = state.sp_el(1) if from_sp0 else sp_el0
        self._entry_pack(self._entry_values, 0, far or 0, esr or 0, elr, pstate, 0, pc, sp_el0, sp)
        self._entry_spsr.value = spsr
        ids, pointers = self._entry_at
        self._write_batch(self._handle, ids + 4 * skip, pointers + 8 * skip, (8 if from_sp0 else 6) - skip)
        state.frame[FRAME_PC], state.frame[FRAME_SP] = pc, sp


def _frame_ids(lib: Library) -> C.Array[C.c_int]:
    names = [f"X{i}" for i in range(31)] + ["SP", "PC"]
    return (C.c_int * FRAME_SIZE)(*(getattr(lib.reg, f"UC_ARM64_REG_{name}") for name in names))
