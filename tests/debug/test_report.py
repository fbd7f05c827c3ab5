"""The crash report."""

from __future__ import annotations

import json
from struct import pack

import pytest
from elf_symbols import make_elf, symbol
from guest_state import Memory, frame_records, make_state

from armvcpu.arch.registers import register_name
from armvcpu.debug.report import SYSTEM_REGISTERS, CrashReport, build_report
from armvcpu.machine.boot.symbols import Symbols

CODE, STACK = 0x4008_0000, 0x4100_0000
NOP, BLR, STORE = 0xD503201F, 0xD63F0100, 0xB9000001
SYMBOLS = Symbols.from_elf(make_elf(symbol("call_probe", CODE, 0x40), symbol("main", CODE + 0x40, 0x40), vaddr=CODE))
MEMORY = {
    CODE: pack("<32I", *[NOP] * 8, BLR, NOP, NOP, NOP, STORE, *[NOP] * 19),
    **frame_records((STACK, 0, CODE + 0x60)),
}
ABORT = 0x9600_0046  # data abort from the current EL, translation fault, level 2, on a write


def report(reason="no handler", system=None, memory=MEMORY, exits=(), esr=None, far=None, steps=None, **registers):
    """The report on a guest with these registers; system registers not given are 0."""
    values = {"VBAR_EL1": CODE + 0x800, **(system or {})}
    return build_report(
        reason,
        0,
        make_state(**registers),
        lambda encoding: values.get(register_name(encoding), 0),
        Memory(memory).read,
        SYMBOLS,
        exits,
        esr=esr,
        far=far,
        instructions=steps,
    )


def aborted(**others) -> CrashReport:
    """A guest that stored to nowhere at call_probe+0x30, called from main."""
    return report(pc=CODE + 0x30, sp=STACK, x29=STACK, x30=CODE + 0x60, esr=ABORT, far=0x10, **others)


def row(text: str, label: str) -> str:
    """What stands behind a label of the rendered report."""
    return next(line.removeprefix(label).strip() for line in text.splitlines() if line.startswith(label))


def test_header_says_which_cpu_stopped_and_why():
    """The first line alone tells what happened."""
    assert aborted(steps=1234).render().splitlines()[0] == "armvcpu: cpu0 stopped after 1234 instructions: no handler"
    assert aborted().render().startswith("armvcpu: cpu0 stopped: no handler\n")


def test_exception_pc_and_pstate_are_decoded():
    """ESR in words (DDI 0487 D17.2.37), FAR, PC with symbol, PSTATE."""
    text = aborted().render()
    words = "data abort from the current EL, translation fault, level 2, on a write"
    assert row(text, "exception") == f"0x96000046 {words}"
    assert row(text, "FAR") == "0x0000000000000010"
    assert row(text, "PC") == "0x0000000040080030 call_probe+0x30"
    assert row(text, "PSTATE") == "0x000003c5 EL1h nzcv DAIF"


def test_code_around_pc_is_marked_at_pc():
    """Four instructions before and after."""
    code = aborted().code
    assert [line.address for line in code] == [CODE + 0x30 + 4 * n for n in range(-4, 5)]
    assert [line.marker for line in code] == [""] * 4 + ["=>"] + [""] * 4
    assert code[4].text == "str w1, [x0]"
    assert "=> 0x0000000040080030 b9000001 str w1, [x0]" in aborted().render()


def test_code_that_cannot_be_read_is_left_out():
    """At the edge of memory the listing is shorter."""
    assert [line.address for line in report(pc=CODE).code] == [CODE + 4 * n for n in range(5)]


def test_wild_pc_shows_the_call_that_led_there():
    """PC is nowhere: the instruction before x30 is the call, and the report says so."""
    wild = report(pc=0, x29=STACK, x30=CODE + 0x24)
    assert wild.code_at == "x30"
    assert [line.text for line in wild.code if line.marker] == ["blr x8"]
    assert "no memory at PC; the last call, by x30" in wild.render()
    assert [frame.symbol for frame in wild.backtrace] == ["", "call_probe+0x24", "main+0x20"]


def test_missing_vectors_show_the_code_at_elr():
    """The exception came from ELR_EL1; the backtrace goes on from there."""
    lost = report(pc=0xB00_0200, x29=STACK, system={"VBAR_EL1": 0xB00_0000, "ELR_EL1": CODE + 0x30})
    assert lost.code_at == "ELR_EL1"
    assert [line.address for line in lost.code if line.marker] == [CODE + 0x30]
    assert [frame.symbol for frame in lost.backtrace] == ["", "call_probe+0x30", "main+0x20"]


def test_guest_without_any_code_left_is_reported_too():
    """Every register may be wild."""
    lost = report(memory={}, pc=(1 << 64) - 1, x29=(1 << 64) - 8, x30=3, sp=1, system={"ELR_EL1": (1 << 64) - 4})
    assert (lost.code, lost.code_at) == ([], "")
    assert "there is no memory at PC, ELR_EL1 and x30" in lost.render()


def test_return_address_is_named_after_the_call():
    """A call that never returns may be a function's last instruction; the next function did not call."""
    assert report(pc=0, x30=CODE + 0x40).backtrace[1].symbol == "call_probe+0x40"


def test_registers_are_all_shown_in_columns():
    """x0 to x30, SP and the system registers, each once, aligned."""
    text = aborted(x1=0x1234, system={"TCR_EL1": 0x19}).render()
    assert row(text, "registers").startswith("x0  0x0000000000000000  x1  0x0000000000001234  x2  ")
    assert "          x30 0x0000000040080060  sp  0x0000000041000000\n" in text
    assert all(text.count(f"{name} ") >= 1 for name in SYSTEM_REGISTERS)
    assert "TCR_EL1   0x0000000000000019" in text


def test_report_fits_a_screen():
    """However deep the stack and long the history, some 45 lines."""
    records = frame_records(*((STACK + 16 * n, STACK + 16 * (n + 1), CODE + 0x60) for n in range(60)))
    text = aborted(memory={**MEMORY, **records}, exits=[f"Halt arg={n:#x}" for n in range(20)]).render()
    assert len(text.splitlines()) <= 46
    assert "... and 53 more" in text
    assert "exits     Halt arg=0x10\n" in text
    assert text.endswith("          Halt arg=0x13\n")


def test_own_exception_of_the_guest_is_decoded_beside_the_last():
    """ESR_EL1 tells what the guest was handling."""
    text = aborted(system={"ESR_EL1": 0x5600_0007}).render()
    assert row(text, "ESR_EL1") == "0x56000007 SVC #0x7"


FP_TRAP, MISALIGNED, SP_MISALIGNED = 0x1FE0_0000, 0x9600_0021, 0x9A00_0000


@pytest.mark.parametrize(
    ("words", "others"),
    [
        ("no exception vectors: it set VBAR_EL1 = 0xb000000", {"pc": 0xB00_0200, "system": {"VBAR_EL1": 0xB00_0000}}),
        ("no exception vectors: VBAR_EL1 is 0", {"pc": 0x200, "system": {"VBAR_EL1": 0}}),
        ("CPACR_EL1.FPEN", {"pc": CODE, "esr": FP_TRAP}),
        ("CPACR_EL1.FPEN", {"pc": CODE, "system": {"ESR_EL1": FP_TRAP, "VBAR_EL1": CODE}}),
        ("-mstrict-align", {"pc": CODE, "esr": MISALIGNED}),
        ("multiple of 16", {"pc": CODE, "esr": SP_MISALIGNED}),
        ("PC is not in memory", {"pc": 0x1000}),
    ],
)
def test_obvious_causes_get_a_hint(words, others):
    """The next step, in the last line."""
    assert words in report(**others).render().splitlines()[-1]


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"esr": ABORT}, id="an abort may be anything"),
        pytest.param({"esr": MISALIGNED, "system": {"SCTLR_EL1": 1}}, id="MMU on"),
        pytest.param({"system": {"ESR_EL1": FP_TRAP}}, id="handled long ago"),
        pytest.param({"system": {"VBAR_EL1": 0}}, id="not in the vectors"),
    ],
)
def test_no_hint_where_nothing_is_obvious(others):
    """A wrong hint costs more than none."""
    assert report(pc=CODE, **others).hint == ""


def test_report_for_machines_keeps_every_bit():
    """JSON numbers are rounded by many readers, so values are text."""
    data = json.loads(json.dumps(aborted(x0=(1 << 64) - 1, exits=["Halt"]).as_dict()))
    assert data["registers"]["x0"] == "0xffffffffffffffff"
    assert (data["pc"], data["symbol"], data["esr"]) == ("0x40080030", "call_probe+0x30", "0x96000046")
    assert data["code"][4] == {"address": "0x40080030", "word": "0xb9000001", "text": "str w1, [x0]", "marker": "=>"}
    assert data["backtrace"][1] == {"pc": "0x40080060", "symbol": "main+0x20"}
    assert data["last_exits"] == ["Halt"]
    assert data["instructions"] is None
