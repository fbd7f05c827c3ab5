"""Rows of the GICv3 CPU interface and its virtualization control: IHI 0069, 12.2 to 12.4.

The engine has none of them, so all are emulated in Python.
"""

from __future__ import annotations

from armvcpu.arch.sysreg import RO, RW, TRAPPED, WO, Access, SysReg, op


def _icc(name: str, crm: int, op2: int, access: Access = RW, *, acts: bool = False) -> SysReg:
    return SysReg(f"{name}_EL1", op(3, 0, 12, crm, op2), access, TRAPPED, acts=acts)


def _ich(name: str, crm: int, op2: int, access: Access = RW) -> SysReg:
    return SysReg(f"{name}_EL2", op(3, 4, 12, crm, op2), access, TRAPPED)


GIC_REGISTERS: tuple[SysReg, ...] = (
    SysReg("ICC_PMR_EL1", op(3, 0, 4, 6, 0), RW, TRAPPED),
    _icc("ICC_IAR0", 8, 0, RO, acts=True),
    _icc("ICC_EOIR0", 8, 1, WO),
    _icc("ICC_HPPIR0", 8, 2, RO),
    _icc("ICC_BPR0", 8, 3),
    *(_icc(f"ICC_AP0R{n}", 8, 4 + n) for n in range(4)),
    *(_icc(f"ICC_AP1R{n}", 9, n) for n in range(4)),
    _icc("ICC_DIR", 11, 1, WO),
    _icc("ICC_RPR", 11, 3, RO),
    _icc("ICC_SGI1R", 11, 5, WO),
    _icc("ICC_ASGI1R", 11, 6, WO),
    _icc("ICC_SGI0R", 11, 7, WO),
    _icc("ICC_IAR1", 12, 0, RO, acts=True),
    _icc("ICC_EOIR1", 12, 1, WO),
    _icc("ICC_HPPIR1", 12, 2, RO),
    _icc("ICC_BPR1", 12, 3),
    _icc("ICC_CTLR", 12, 4),
    _icc("ICC_SRE", 12, 5),
    _icc("ICC_IGRPEN0", 12, 6),
    _icc("ICC_IGRPEN1", 12, 7),
    *(_ich(f"ICH_AP0R{n}", 8, n) for n in range(4)),
    *(_ich(f"ICH_AP1R{n}", 9, n) for n in range(4)),
    _ich("ICC_SRE", 9, 5),
    _ich("ICH_HCR", 11, 0),
    _ich("ICH_VTR", 11, 1, RO),
    _ich("ICH_MISR", 11, 2, RO),
    _ich("ICH_EISR", 11, 3, RO),
    _ich("ICH_ELRSR", 11, 5, RO),
    _ich("ICH_VMCR", 11, 7),
    *(_ich(f"ICH_LR{n}", 12 + (n >> 3), n & 7) for n in range(16)),
    SysReg("ICC_CTLR_EL3", op(3, 6, 12, 12, 4), RW, TRAPPED),
    SysReg("ICC_SRE_EL3", op(3, 6, 12, 12, 5), RW, TRAPPED),
    SysReg("ICC_IGRPEN1_EL3", op(3, 6, 12, 12, 7), RW, TRAPPED),
)
