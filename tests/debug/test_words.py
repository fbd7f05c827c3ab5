"""Exits, interrupts and missing rows in words."""

from __future__ import annotations

import pytest

from armvcpu.arch.registers import op
from armvcpu.arch.sysreg import RW, TRAPPED, SysReg, iss_from_encoding
from armvcpu.debug.words import describe_exit, row_to_add
from armvcpu.vcpu.exits import (
    FailEntry,
    Halt,
    Hypercall,
    MmioRead,
    MmioWrite,
    NestedPageFault,
    Nothing,
    SendIPI,
    SysRegWrite,
)
from armvcpu.vcpu.stage2.mapping import MappingFlags


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (MmioWrite(0x900_0000, 4, 0x41), "MmioWrite addr=0x9000000 width=4 data=0x41"),
        (MmioRead(0x10, 2, 31, 8, signed_ext=True), "MmioRead addr=0x10 width=2 reg=xzr reg_width=8 signed_ext=yes"),
        (
            Hypercall(7, (1, 2, 3, 4, 5, 0x10)),
            "Hypercall nr=0x7 args=0x1,0x2,0x3,0x4,0x5,0x10 immediate=0x0 conduit=hvc",
        ),
        (SysRegWrite(iss_from_encoding(op(3, 0, 12, 12, 1)), 0x21), "SysRegWrite register=ICC_EOIR1_EL1 value=0x21"),
        (
            NestedPageFault(0x1000, MappingFlags.READ | MappingFlags.EXECUTE),
            "NestedPageFault addr=0x1000 access_flags=READ|EXECUTE",
        ),
        (
            SendIPI(0x100, 3, send_to_all=False, send_to_self=False, vector=15),
            "SendIPI target_cpu=0x100 target_cpu_aux=0x3 send_to_all=no send_to_self=no vector=15",
        ),
        (Halt(), "Halt arg=0x0"),
        (FailEntry("no stage 2"), "FailEntry reason=no stage 2"),
        (Nothing(), "Nothing"),
    ],
)
def test_exit_is_its_class_and_its_fields(reason, words):
    """Registers by name, sizes in decimal, what is not there left out."""
    assert describe_exit(reason) == words


def test_missing_row_can_be_pasted():
    """What it prints is the row, as Python."""
    encoding = op(3, 0, 15, 2, 1)
    assert row_to_add(encoding) == 'SysReg("S3_0_C15_C2_1", op(3, 0, 15, 2, 1), RW, TRAPPED)'
    names = {"SysReg": SysReg, "op": op, "RW": RW, "TRAPPED": TRAPPED}
    assert eval(row_to_add(encoding), names) == SysReg("S3_0_C15_C2_1", encoding, RW, TRAPPED)
