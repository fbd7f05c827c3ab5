"""A64 words as text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from armvcpu.arch.registers import by_name, instruction_from_access, op
from armvcpu.debug.disasm import disassemble


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (0xD503201F, "nop"),
        (0xB9000001, "str w1, [x0]"),
        (0x94000003, "bl #0x4008000c"),
        (0xFFFFFFFF, ".inst 0xffffffff"),
        (0x00000000, "udf #0"),
    ],
)
def test_words_are_shown_in_assembler_syntax(word, text):
    """Branch targets are absolute; what is no instruction is shown as data."""
    assert disassemble(word, 0x4008_0000) == text
    assert disassemble(word.to_bytes(4, "little"), 0x4008_0000) == text


@pytest.mark.parametrize("name", ["ICC_IAR1_EL1", "CPUECTLR_EL1", "L2CTLR_EL1", "ID_AA64MMFR4_EL1", "VBAR_EL1"])
def test_system_registers_have_the_names_of_their_rows(name):
    """Also those Capstone knows only by number."""
    word = instruction_from_access(by_name[name].encoding, 3, is_read=True)
    assert disassemble(word, 0) == f"mrs x3, {name.lower()}"


def test_register_without_a_row_keeps_its_generic_name():
    """The form assemblers accept (DDI 0487 C5.1.2)."""
    word = instruction_from_access(op(3, 0, 15, 2, 1), 3, is_read=False)
    assert disassemble(word, 0) == "msr s3_0_c15_c2_1, x3"


def test_capstone_is_not_imported_before_it_is_used():
    """Loading it would slow every start of a guest."""
    code = "import sys, armvcpu.debug.tracing.trace, armvcpu.debug.report; sys.exit('capstone' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
