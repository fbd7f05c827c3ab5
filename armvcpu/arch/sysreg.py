"""What a system register is: one row of name, encoding, access rights and home; and its encodings.

A register's key everywhere in armvcpu is its packed encoding, `op(op0, op1, CRn, CRm, op2)`: 16 bits, in the
order of the MSR/MRS instruction word. This file turns it into the other two layouts of the architecture: the
instruction word (DDI 0487 C5.1.2, "System instruction class encoding") and ESR_ELx.ISS of a trapped access
(D17.2.37, "Exception from MSR, MRS, or System instruction execution in AArch64 state"). The rows
themselves stand in `sysregs_el1.py` and its siblings; `registers.py` gathers and indexes them.
"""

from __future__ import annotations

from enum import Enum, Flag

from armvcpu.arch.fields import Field, RegisterView
from armvcpu.arch.rows import Row
from armvcpu.arch.static import NamedTuple


class Access(Flag):
    """Which of MRS and MSR the register has, at the lowest Exception level that may use it."""

    RO = 1
    WO = 2
    RW = 3


RO, WO, RW = Access.RO, Access.WO, Access.RW


class Home(Enum):
    """Where a register lives on this machine."""

    NATIVE = "the engine has it and the guest accesses it directly"
    ID = "identification: the CPU model presents it"
    TRAPPED = "emulated in Python"
    RAZ = "the engine lacks it: reads as zero, ignores writes"
    ABSENT = "of a feature that no CPU model presents: UNDEFINED"
    IMPDEF = "IMPLEMENTATION DEFINED, of particular cores"


NATIVE, ID, TRAPPED, IMPDEF = Home.NATIVE, Home.ID, Home.TRAPPED, Home.IMPDEF
RAZ, ABSENT = Home.RAZ, Home.ABSENT


class Encoding(RegisterView):
    """The packed key of a system register or system instruction, 16 bits."""

    Op0 = Field(15, 14)
    Op1 = Field(13, 11)
    CRn = Field(10, 7)
    CRm = Field(6, 3)
    Op2 = Field(2, 0)


def op(op0: int, op1: int, crn: int, crm: int, op2: int) -> int:
    """The packed key of (op0, op1, CRn, CRm, op2)."""
    return op0 << 14 | op1 << 11 | crn << 7 | crm << 3 | op2


class SysReg(Row):
    """One system register. `reset` is its value after a reset, or None where that is UNKNOWN."""

    name: str
    encoding: int
    access: Access
    home: Home
    reset: int | None = None
    pstate: int = 0
    """The bits of PSTATE, in the layout of SPSR_ELx, that it is a window on (C5.2); 0: it is none."""
    is_window: bool = False
    """Does it show what other registers keep, as TVAL does, which is CVAL less the count?"""
    acts: bool = False
    """Does reading it do something, as ICC_IAR1_EL1 does, which acknowledges an interrupt?"""
    is_settable: bool = False
    """Does it keep something that MSR of another register changes, so that software below EL1 may set it?"""

    of_el: int = 0
    """The Exception level that brings it, where its encoding says another: SP_EL1 is named at EL2. 0: that one."""
    is_highests: bool = False
    """Is it there only where its level is the highest one, as RVBAR_ELx is?"""
    needs_vhe: bool = False
    """Does it come with the Virtualization Host Extensions (ID_AA64MMFR1_EL1.VH)?"""

    @property
    def level(self) -> int:
        """The Exception level whose register it is, 1 (those of EL0 too) to 3."""
        return self.of_el or max(1, lowest_el(self.encoding))

    def is_there(self, highest: int, *, vhe: bool) -> bool:
        """Has a CPU it whose highest level is `highest`, as far as levels and VHE decide that?"""
        is_of_level = self.level == highest if self.is_highests else self.level <= highest
        return is_of_level and (vhe or not self.needs_vhe)

    @property
    def is_alias(self) -> bool:
        """Is it only another name of a register of EL1 or EL0, for EL2 with HCR_EL2.E2H (op1 is 5, C5.1.2)?"""
        return Encoding(self.encoding).Op1 == 5


_LOWEST_EL = {3: 0, 4: 2, 5: 2, 6: 3}


def lowest_el(encoding: int) -> int:
    """The lowest Exception level whose accesses of `encoding` can be defined, by its op1 (C5.1.2)."""
    return _LOWEST_EL.get(Encoding(encoding).Op1, 1)


def generic_name(encoding: int) -> str:
    """The name assemblers accept for a register without one, as `S3_0_C15_C2_1` (C5.1.2)."""
    e = Encoding(encoding)
    return f"S{e.Op0}_{e.Op1}_C{e.CRn}_C{e.CRm}_{e.Op2}"


def generic_encoding(name: str) -> int | None:
    """The packed key that a generic name stands for: `S<op0>_<op1>_C<n>_C<m>_<op2>`, op0 2 or 3, in upper case."""
    parts = name.split("_")
    if len(parts) != 5 or parts[0][:1] != "S" or parts[2][:1] != "C" or parts[3][:1] != "C":
        return None
    numbers = (parts[0][1:], parts[1], parts[2][1:], parts[3][1:], parts[4])
    if not all(number.isdecimal() and number.isascii() for number in numbers):
        return None
    op0, op1, crn, crm, op2 = map(int, numbers)
    fits = op0 in {2, 3} and op1 < 8 and crn < 16 and crm < 16 and op2 < 8
    return op(op0, op1, crn, crm, op2) if fits else None


def is_id_space(encoding: int) -> bool:
    """Is it in the space of ID registers, where what is not allocated reads as zero (D17.1, Table D17-2)?"""
    e = Encoding(encoding)
    return (e.Op0, e.Op1, e.CRn) == (3, 0, 0) and 1 <= e.CRm <= 7


def is_implementation_defined(encoding: int) -> bool:
    """Is it in the space reserved for IMPLEMENTATION DEFINED use, CRn 11 and 15 (C5.1.2)?"""
    e = Encoding(encoding)
    return e.Op0 in {1, 3} and e.CRn in {11, 15}


class SysRegAccess(NamedTuple):
    """One MSR, MRS, SYS or SYSL: the packed register, the general register (31 is XZR), the direction."""

    encoding: int
    Rt: int
    is_read: bool


class _SystemWord(RegisterView):
    CLASS = Field(31, 22)
    L = Field(21)
    ENCODING = Field(20, 5)  # op0, op1, CRn, CRm, op2: the packed key as it stands
    Op0 = Field(20, 19)
    Rt = Field(4, 0)


_SYSTEM_CLASS = 0b1101010100


def access_from_instruction(word: int) -> SysRegAccess | None:
    """The access that a 32-bit instruction word makes, or None where it is not one of MSR, MRS, SYS, SYSL.

    MSR (immediate), hints and barriers have op0 = 0 and are not register accesses.
    """
    w = _SystemWord(word)
    if w.CLASS != _SYSTEM_CLASS or w.Op0 == 0:
        return None
    return SysRegAccess(w.ENCODING, w.Rt, bool(w.L))


def instruction_from_access(encoding: int, rt: int, *, is_read: bool) -> int:
    """The 32-bit instruction word of an access: MRS or SYSL when `is_read`, else MSR or SYS."""
    return _SystemWord.of(CLASS=_SYSTEM_CLASS, L=int(is_read), ENCODING=encoding, Rt=rt)


class SysRegIss(RegisterView):
    """ISS of EC 0x18, a trapped MSR, MRS or system instruction."""

    Op0 = Field(21, 20)
    Op2 = Field(19, 17)
    Op1 = Field(16, 14)
    CRn = Field(13, 10)
    Rt = Field(9, 5)
    CRm = Field(4, 1)
    Direction = Field(0)  # 1: a read

    @property
    def encoding(self) -> int:
        """The packed key of the register."""
        return op(self.Op0, self.Op1, self.CRn, self.CRm, self.Op2)

    @property
    def access(self) -> SysRegAccess:
        """The access that was trapped."""
        return SysRegAccess(self.encoding, self.Rt, bool(self.Direction))


SYSREG_ISS_MASK = 0x3FFC1E
"""The bits of ISS that name the register: Op0, Op2, Op1, CRn and CRm."""


def iss_from_encoding(encoding: int) -> int:
    """The register's bits of ISS (mask 0x3FFC1E), as `SysRegRead.addr` and `SysRegWrite.addr` carry them."""
    e = Encoding(encoding)
    return SysRegIss.of(Op0=e.Op0, Op2=e.Op2, Op1=e.Op1, CRn=e.CRn, CRm=e.CRm)


def encoding_from_iss(iss: int) -> int:
    """The packed key of the register that an ISS of EC 0x18 names."""
    return SysRegIss(iss).encoding
