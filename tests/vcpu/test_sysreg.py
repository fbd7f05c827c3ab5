"""The table of trapped registers: identification, absent ones, cache maintenance, interface and timer."""

from __future__ import annotations

import pytest

from armvcpu.arch.idregs import MODELS, model
from armvcpu.arch.instructions import DC_CVAU, IC_IALLU, IC_IALLUIS, IC_IVAU
from armvcpu.arch.registers import SYSREGS, Home, by_name, is_id_space, op
from armvcpu.engine.api import (
    BEFORE_NATIVE,
    CONSTANT,
    IGNORED,
    INSTRUCTION_CACHE,
    NATIVE,
    PYTHON,
    UNDEFINED,
    WHOLE_INSTRUCTION_CACHE,
)
from armvcpu.vcpu.icv import VirtualCpuInterface
from armvcpu.vcpu.sysreg import SysRegTable

A72 = model("a72")
UNLISTED = op(3, 1, 11, 7, 7)


def encoding(name: str) -> int:
    return by_name[name].encoding


@pytest.fixture
def table() -> SysRegTable:
    return SysRegTable(A72, gicv3=True)


def read(table: SysRegTable, name: str) -> int:
    return table.readers[encoding(name)]()


@pytest.mark.parametrize("cpu", MODELS, ids=lambda cpu: cpu.name)
def test_identification_is_the_cpu_models(cpu):
    """MIDR_EL1, CLIDR_EL1 and the memory model are its rows' values."""
    table = SysRegTable(cpu, gicv3=True)
    for name in ("MIDR_EL1", "CLIDR_EL1", "DCZID_EL0", "ID_AA64ISAR0_EL1", "ID_AA64MMFR0_EL1"):
        assert read(table, name) == getattr(cpu, name)


@pytest.mark.parametrize("cpu", MODELS, ids=lambda cpu: cpu.name)
def test_cache_type_is_the_models_but_for_what_this_machine_does(cpu):
    """CTR_EL0 says that nothing need be cleaned (IDC) and that IC IVAU covers 512 bytes (D17.2.34)."""
    table = SysRegTable(cpu, gicv3=True)
    assert read(table, "CTR_EL0") == cpu.CTR_EL0 & ~0xF | 1 << 28 | 7


@pytest.mark.parametrize("gicv3", [False, True])
def test_gic_field_tells_whether_there_is_an_interface(gicv3):
    """ID_AA64PFR0_EL1.GIC, bits 27:24; EL0 and EL1 are AArch64 only."""
    value = read(SysRegTable(A72, gicv3=gicv3), "ID_AA64PFR0_EL1")
    assert (value >> 24 & 0xF, value & 0xFF) == (int(gicv3), 0x11)


def test_whole_id_space_reads_and_none_of_it_can_be_written(table):
    """What is not allocated there reads as zero (D17.1); MSR is UNDEFINED."""
    space = [op(3, 0, 0, crm, op2) for crm in range(1, 8) for op2 in range(8)]
    assert all(is_id_space(each) and each in table.readers for each in space)
    assert all(table.is_undefined(each, is_read=False) and not table.is_undefined(each, is_read=True) for each in space)
    assert table.readers[op(3, 0, 0, 7, 7)]() == 0


@pytest.mark.parametrize("row", [row for row in SYSREGS if row.home is Home.ABSENT], ids=lambda row: row.name)
def test_registers_of_absent_features_are_undefined(table, row):
    """Both ways."""
    assert table.is_undefined(row.encoding, is_read=True)
    assert table.is_undefined(row.encoding, is_read=False)


@pytest.mark.parametrize(
    "row",
    [row for row in SYSREGS if row.home in {Home.RAZ, Home.IMPDEF} and row.name != "RVBAR_EL2"],
    ids=lambda row: row.name,
)
def test_registers_the_engine_lacks_are_zero_by_their_access_rights(table, row):
    """RAZ/WI; a read-only one is UNDEFINED when written."""
    readable, writable = row.access.value & 1, row.access.value & 2
    assert table.is_undefined(row.encoding, is_read=True) is not bool(readable)
    assert table.is_undefined(row.encoding, is_read=False) is not bool(writable)
    if writable:
        table.writers[row.encoding](5)
    if readable:
        assert table.readers[row.encoding]() == 0


@pytest.mark.parametrize(
    ("csselr", "cache"), [(0, A72.caches.l1_data), (1, A72.caches.l1_instruction), (2, A72.caches.l2), (3, 0)]
)
def test_ccsidr_is_of_the_cache_that_csselr_selects(table, csselr, cache):
    """Level in bits 3:1, InD in bit 0 (D17.2.25)."""
    table.writers[encoding("CSSELR_EL1")](csselr)
    assert (read(table, "CCSIDR_EL1"), read(table, "CSSELR_EL1")) == (cache, csselr)


def test_no_register_stands_where_the_engine_has_misplaced_one(table):
    """MDCCSR_EL0 has op1 3 (D17.3.15)."""
    assert table.is_undefined(op(2, 0, 0, 1, 0), is_read=True)
    assert not table.is_undefined(by_name["MDCCSR_EL0"].encoding, is_read=True)


def test_register_in_no_table_is_not_undefined(table):
    """It is for the caller of `run` to decide."""
    assert not table.is_undefined(UNLISTED, is_read=True)
    assert UNLISTED not in table.readers
    assert UNLISTED not in table.writers


@pytest.mark.parametrize(("reader", "writer"), [(lambda: 1, None), (None, lambda _value: None)])
def test_direction_without_a_handler_is_undefined(table, reader, writer):
    """A register with only a reader is read-only, with only a writer write-only."""
    table.add(UNLISTED, reader, writer)
    assert table.is_undefined(UNLISTED, is_read=True) is (reader is None)
    assert table.is_undefined(UNLISTED, is_read=False) is (writer is None)


def test_handler_makes_an_absent_register_exist(table):
    """A user's answer comes before the rows."""
    absent = encoding("APIAKeyLo_EL1")
    table.add(absent, lambda: 42, None)
    assert (table.is_undefined(absent, is_read=True), table.readers[absent]()) == (False, 42)


@pytest.mark.parametrize(
    ("instruction", "action"),
    [(IC_IALLUIS, WHOLE_INSTRUCTION_CACHE), (IC_IALLU, WHOLE_INSTRUCTION_CACHE), (IC_IVAU, INSTRUCTION_CACHE)],
)
def test_instruction_cache_maintenance_is_the_engines(table, instruction, action):
    """IC IVAU by address, the others for everything, without a call of Python; DC CVAU is native (C5.3)."""
    shape = dict(table.rows.shape)
    assert shape[instruction] == (UNDEFINED, action, 0)
    assert (DC_CVAU in shape, instruction in table.rows.writes) == (False, False)


def test_interface_registers_have_their_directions(table):
    """IAR is read-only, EOIR and SGI1R write-only, PMR both (IHI 0069 12.2)."""
    table.add_all(VirtualCpuInterface(lambda _level: None).registers())
    for name in ("IAR1", "EOIR1", "SGI1R", "PMR", "RPR", "DIR", "CTLR", "SRE", "IGRPEN1", "BPR1", "HPPIR1"):
        row = by_name[f"ICC_{name}_EL1"]
        assert table.is_undefined(row.encoding, is_read=True) is not bool(row.access.value & 1)
        assert table.is_undefined(row.encoding, is_read=False) is not bool(row.access.value & 2)


def test_interface_registers_work_on_the_interface(table):
    """A write goes through the interface's rules, and moves its line."""
    lines: list[bool] = []
    icv = VirtualCpuInterface(lines.append)
    table.add_all(icv.registers())
    icv.inject(40)
    table.writers[encoding("ICC_IGRPEN1_EL1")](1)
    table.writers[encoding("ICC_PMR_EL1")](0xFF)
    assert (read(table, "ICC_PMR_EL1"), lines, read(table, "ICC_IAR1_EL1"), lines) == (0xF8, [True, False], 40, lines)


# --- rows for the engine ----------------------------------------------------------------------------------------


def shape(table: SysRegTable, key: int | str) -> tuple[int, int, int]:
    return dict(table.rows.shape)[encoding(key) if isinstance(key, str) else key]


def test_identification_is_part_of_the_code(table):
    """A constant for MRS, and MSR UNDEFINED, without a call of Python (D17.1)."""
    assert shape(table, "MIDR_EL1") == (CONSTANT, UNDEFINED, A72.MIDR_EL1)
    assert shape(table, op(3, 0, 0, 7, 7)) == (CONSTANT, UNDEFINED, 0)


def test_registers_the_engine_lacks_are_constants_whose_writes_are_ignored(table):
    """RAZ/WI where both are allowed, without a call of Python."""
    both = [row for row in SYSREGS if row.home in {Home.RAZ, Home.IMPDEF} and row.access.value == 3]
    assert both
    assert {shape(table, row.encoding) for row in both} == {(CONSTANT, IGNORED, 0)}


def test_registers_of_absent_features_are_undefined_rows(table):
    """The engine has many of them itself, as a CPU of a later version of the architecture."""
    absent = [row for row in SYSREGS if row.home is Home.ABSENT]
    assert {shape(table, row.encoding) for row in absent} == {(UNDEFINED, UNDEFINED, 0)}


@pytest.mark.parametrize(
    ("name", "reads", "writes", "expected"),
    [
        ("VBAR_EL1", True, False, (PYTHON, NATIVE, 0)),
        ("VBAR_EL1", False, True, (NATIVE, PYTHON, 0)),
        ("VBAR_EL1", True, True, (PYTHON, PYTHON, 0)),
        ("CNTPCT_EL0", True, False, (PYTHON, UNDEFINED, 0)),
        ("CNTPCT_EL0", False, True, (NATIVE, PYTHON, 0)),
        ("MIDR_EL1", True, False, (PYTHON, UNDEFINED, 0)),
        ("MIDR_EL1", False, True, (PYTHON, PYTHON, 0)),
        ("APIAKeyLo_EL1", True, False, (PYTHON, UNDEFINED, 0)),
        ("ICC_PMR_EL1", False, True, (UNDEFINED, PYTHON, 0)),
    ],
)
def test_answered_register_is_pythons_in_the_directions_that_are_answered(table, name, reads, writes, expected):
    """The other one is the engine's where it has it, else as the CPU model has it."""
    table.add(encoding(name), (lambda: 7) if reads else None, (lambda _value: None) if writes else None)
    assert shape(table, name) == expected
    assert not reads or table.rows.reads[encoding(name)]() == 7


def test_constant_with_a_writer_keeps_its_value(table):
    """MRS is answered from here then."""
    table.add(encoding("MIDR_EL1"), None, lambda _value: None)
    assert table.rows.reads[encoding("MIDR_EL1")]() == A72.MIDR_EL1


def test_a_register_that_is_fixed_is_a_constant(table):
    """It has the value that it was answered with, and ignores writes."""
    table.add(encoding("ICC_PMR_EL1"), lambda: 0xF, lambda _value: None)
    table.fix(encoding("ICC_PMR_EL1"))
    assert shape(table, "ICC_PMR_EL1") == (CONSTANT, IGNORED, 0xF)


def test_listener_comes_before_the_native_register(table):
    """Reads are the engine's; without a listener there is no row."""
    table.listen(encoding("TTBR0_EL1"), lambda value: value + 1)
    assert (shape(table, "TTBR0_EL1"), table.rows.writes[encoding("TTBR0_EL1")](5)) == ((NATIVE, BEFORE_NATIVE, 0), 6)
    table.listen(encoding("TTBR0_EL1"), None)
    assert (encoding("TTBR0_EL1") in dict(table.rows.shape), encoding("TTBR0_EL1") in table.rows.writes) == (
        False,
        False,
    )


@pytest.mark.parametrize(
    ("reads", "writes", "expected"),
    [
        (True, False, (PYTHON, BEFORE_NATIVE, 0)),
        (False, True, (NATIVE, PYTHON, 0)),
        (True, True, (PYTHON, PYTHON, 0)),
    ],
)
def test_answer_and_listener_of_one_register(table, reads, writes, expected):
    """Who answers writes keeps them from the register, so that there is nothing to listen to."""
    table.listen(encoding("SCTLR_EL1"), lambda value: value)
    table.add(encoding("SCTLR_EL1"), (lambda: 7) if reads else None, (lambda _value: None) if writes else None)
    assert (shape(table, "SCTLR_EL1"), table.rows.writes[encoding("SCTLR_EL1")](5)) == (expected, None if writes else 5)


def test_observer_hears_constants_and_ignored_writes(table):
    """They go through Python for as long as there is one."""
    heard: list[tuple[int, bool, int]] = []
    impdef = next(row for row in SYSREGS if row.home is Home.IMPDEF and row.access.value == 3)
    before = table.rows.shape
    table.observe(lambda *event: heard.append(event))
    assert (shape(table, "MIDR_EL1"), shape(table, impdef.encoding)) == ((PYTHON, UNDEFINED, 0), (PYTHON, PYTHON, 0))
    assert table.rows.reads[encoding("MIDR_EL1")]() == A72.MIDR_EL1
    table.rows.writes[impdef.encoding](5)
    assert heard == [(encoding("MIDR_EL1"), True, A72.MIDR_EL1), (impdef.encoding, False, 5)]
    table.observe(None)
    assert table.rows.shape is before


def test_equal_shapes_are_one_object():
    """Whoever answers: vCPUs of one kind switch without a look at the rows; another CPU model is another shape."""
    tables = [SysRegTable(A72, gicv3=True), SysRegTable(A72, gicv3=True)]
    for number, table in enumerate(tables):
        table.add(UNLISTED, lambda number=number: number, None)
    first, second = (table.rows for table in tables)
    assert (first.shape is second.shape, [rows.reads[UNLISTED]() for rows in (first, second)]) == (True, [0, 1])
    assert SysRegTable(model("a53"), gicv3=True).rows.shape != SysRegTable(A72, gicv3=True).rows.shape


def test_rows_are_made_anew_only_after_a_change(table):
    """Another object then, which is how the engine is told."""
    first = table.rows
    assert table.rows is first
    table.add(UNLISTED, lambda: 1, None)
    assert table.rows is not first
