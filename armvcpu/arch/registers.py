"""Every system register that armvcpu knows, one row each, and the lookups over the rows.

Who decodes, resets, lists or names a register goes through `by_encoding` and `by_name`; a register is added
by adding its row to the file of its kind. Encodings follow DDI 0487 D17 and, for the GIC, IHI 0069 12.2.
"""

from __future__ import annotations

from armvcpu.arch.sysreg import (
    ABSENT,
    ID,
    IMPDEF,
    NATIVE,
    RAZ,
    RO,
    RW,
    SYSREG_ISS_MASK,
    TRAPPED,
    WO,
    Access,
    Encoding,
    Home,
    SysReg,
    SysRegAccess,
    SysRegIss,
    access_from_instruction,
    encoding_from_iss,
    generic_encoding,
    generic_name,
    instruction_from_access,
    is_id_space,
    is_implementation_defined,
    iss_from_encoding,
    lowest_el,
    op,
)
from armvcpu.arch.sysregs_debug import DEBUG_REGISTERS
from armvcpu.arch.sysregs_el1 import EL1_REGISTERS
from armvcpu.arch.sysregs_el2 import EL2_REGISTERS, EL3_REGISTERS, EL12_REGISTERS
from armvcpu.arch.sysregs_gic import GIC_REGISTERS
from armvcpu.arch.sysregs_id import ID_REGISTERS, IMPDEF_REGISTERS

__all__ = [
    "ABSENT",
    "ID",
    "IMPDEF",
    "NATIVE",
    "RAZ",
    "RO",
    "RW",
    "SYSREGS",
    "SYSREG_ISS_MASK",
    "TRAPPED",
    "WO",
    "Access",
    "Encoding",
    "Home",
    "SysReg",
    "SysRegAccess",
    "SysRegIss",
    "access_from_instruction",
    "by_encoding",
    "by_name",
    "encoding_from_iss",
    "encoding_of",
    "generic_name",
    "instruction_from_access",
    "is_id_space",
    "is_implementation_defined",
    "iss_from_encoding",
    "lowest_el",
    "op",
    "register_name",
]

SYSREGS: tuple[SysReg, ...] = (
    *ID_REGISTERS,
    *EL1_REGISTERS,
    *DEBUG_REGISTERS,
    *GIC_REGISTERS,
    *EL2_REGISTERS,
    *EL12_REGISTERS,
    *EL3_REGISTERS,
    *IMPDEF_REGISTERS,
)

by_encoding: dict[int, SysReg] = {row.encoding: row for row in SYSREGS}
by_name: dict[str, SysReg] = {row.name: row for row in SYSREGS}


_by_upper_name = {row.name.upper(): row.encoding for row in SYSREGS}


def encoding_of(name: str) -> int | None:
    """The packed encoding of a register by its name, in any case, or by its generic one; None where there is none."""
    upper = name.upper()
    known = _by_upper_name.get(upper)
    return generic_encoding(upper) if known is None else known


def general_register_name(number: int) -> str:
    """Of X0 to X30 in lower case, 31 being XZR (DDI 0487 C1.2.5)."""
    return "xzr" if number == 31 else f"x{number}"


def register_name(encoding: int) -> str:
    """The register's name, or its generic one (`S3_0_C15_C2_1`) where no row knows it."""
    row = by_encoding.get(encoding)
    return row.name if row else generic_name(encoding)
