"""The crash report."""

from __future__ import annotations

import json
from struct import pack
from typing import TYPE_CHECKING

import pytest
from elf_symbols import make_elf, symbol
from guest_state import Memory, frame_records, make_state

from armvcpu.arch.registers import register_name
from armvcpu.debug.gather import SYSTEM_REGISTERS, build_report
from armvcpu.debug.surroundings import Surroundings
from armvcpu.engine.api import Fault
from armvcpu.machine.boot.symbols import Symbols

if TYPE_CHECKING:
    from armvcpu.debug.report import CrashReport

CODE, STACK = 0x4008_0000, 0x4100_0000
NOP, BLR, STORE = 0xD503201F, 0xD63F0100, 0xB9000001
SYMBOLS = Symbols.from_elf(make_elf(symbol("call_probe", CODE, 0x40), symbol("main", CODE + 0x40, 0x40), vaddr=CODE))
MEMORY = {
    CODE: pack("<32I", *[NOP] * 8, BLR, NOP, NOP, NOP, STORE, *[NOP] * 19),
    **frame_records((STACK, 0, CODE + 0x60)),
}
ABORT = 0x9600_0046  # data abort from the current EL, translation fault, level 2, on a write


def report(reason="no handler", system=None, memory=MEMORY, exits=(), fault=None, steps=None, **others) -> CrashReport:
    """The report on a guest with these registers; system registers not given are 0."""
    values = {"VBAR_EL1": CODE + 0x800, **(system or {})}
    read = Memory(memory).read
    kinds = {name: others.pop(name) for name in ("is_endless", "last") if name in others}
    return build_report(
        reason,
        0,
        make_state(**others),
        lambda encoding: values.get(register_name(encoding), 0),
        read,
        SYMBOLS,
        Surroundings(is_memory=lambda address: read(address, 4) is not None),
        exits,
        fault=fault,
        instructions=steps,
        **kinds,
    )


def fault(esr=ABORT, elr=CODE + 0x30, far=0x10, sp=STACK, x30=CODE + 0x60) -> Fault:
    """An exception that was taken from EL1h."""
    return Fault(esr, far, elr, 5, sp, STACK, x30)


def aborted(**others) -> CrashReport:
    """A guest that stored to nowhere at call_probe+0x30, called from main, and is in its handler since."""
    last = {"last": (ABORT, 0x10, CODE + 0x30), "system": {"ESR_EL1": ABORT}}
    return report(**{"pc": CODE + 0xA00, "sp": STACK, "fault": fault(), "is_endless": True, **last, **others})


def row(text: str, label: str) -> str:
    """What stands behind a label of the rendered report."""
    return next(line.removeprefix(label).strip() for line in text.splitlines() if line.startswith(label))


WORDS = "data abort from the current EL, translation fault, level 2, on a write"


def test_what_happened_and_what_to_do_are_first_and_last():
    """The exception, its instruction and where it was; the hint. Some forty lines of detail do not scroll it away."""
    lines = aborted(steps=1234).render().splitlines()
    assert (
        lines[:2]
        == lines[-2:]
        == [
            f"armvcpu: cpu0 stopped after 1234 instructions: {WORDS}: str w1, [x0], at 0x40080030 in call_probe+0x30,"
            " FAR 0x0000000000000010",
            "armvcpu: a null pointer: 0x10 is the offset from it",
        ]
    )


def test_without_an_exception_the_reason_comes_first():
    """And the second line says where it is."""
    lines = report(pc=CODE + 0x50).render().splitlines()
    assert lines[:2] == lines[-2:] == [
        "armvcpu: cpu0 stopped: no handler", "armvcpu: it is at 0x40080050 in main+0x10"
    ]  # fmt: skip


def test_a_loop_of_exceptions_has_its_cause_where_it_began():
    """One line for verdicts and JSON; without a loop it is the reason, and PC."""
    loop, other = aborted(), report(pc=CODE + 0x50, fault=fault(0x5600_0007))
    assert loop.cause.startswith(f"{WORDS}: str w1, [x0], at 0x40080030 in call_probe+0x30, FAR 0x0000000000000010; ")
    assert loop.cause.endswith("endless exception loop")
    assert (loop.cause_at.pc, loop.cause_at.symbol) == (CODE + 0x30, "call_probe+0x30")
    assert (other.cause, other.cause_at.pc) == ("no handler", CODE + 0x50)


def test_what_a_guest_handles_is_told_where_nothing_better_is():
    """It waits in the handler of an exception, which is no loop."""
    first, second = report(pc=CODE + 0x50, fault=fault(0x5600_0007)).render().splitlines()[:2]
    assert first == "armvcpu: cpu0 stopped: no handler"
    assert second == "armvcpu: it handles: SVC #0x7: nop, at 0x4008002c in call_probe+0x2c"


def test_exception_pc_and_pstate_are_decoded():
    """ESR in words (DDI 0487 D17.2.37), FAR, ELR and PC with symbol, PSTATE."""
    text = aborted(pc=CODE + 0x50).render()
    assert row(text, "exception") == f"0x96000046 {WORDS}, at EL1"
    assert row(text, "ELR") == "0x0000000040080030 call_probe+0x30"
    assert row(text, "FAR") == "0x0000000000000010"
    assert row(text, "PC") == "0x0000000040080050 main+0x10"
    assert row(text, "PSTATE") == "0x000003c5 EL1h nzcv DAIF"


def test_code_around_the_fault_is_marked():
    """Four instructions before and after; where there was no exception, around PC."""
    assert [line.address for line in report(pc=CODE + 0x30).code] == [CODE + 0x30 + 4 * n for n in range(-4, 5)]
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


@pytest.mark.parametrize("memory", [MEMORY, {**MEMORY, 0: b"\xff" * 64}], ids=["nothing", "erased flash"])
def test_fault_without_code_shows_the_call_that_led_there(memory):
    """A call through a null pointer: the line says from where."""
    wild = aborted(memory=memory, fault=fault(0x0200_0000, 0, x30=CODE + 0x24))
    assert (wild.code_at, [line.text for line in wild.code if line.marker]) == ("x30", ["blr x8"])
    assert wild.render().splitlines()[0].endswith("at 0x0, called from 0x40080024 in call_probe+0x24")
    assert wild.hint.startswith("a call through a null pointer")


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
    text = aborted(x1=0x1234, x30=CODE + 0x60, system={"TCR_EL1": 0x19}).render()
    assert row(text, "registers").startswith("x0  0x0000000000000000  x1  0x0000000000001234  x2  ")
    assert "          x30 0x0000000040080060  sp  0x0000000041000000\n" in text
    assert all(text.count(f"{name} ") >= 1 for name in SYSTEM_REGISTERS)
    assert "TCR_EL1   0x0000000000000019" in text


def test_report_fits_a_screen():
    """However deep the stack and long the history, some 50 lines."""
    records = frame_records(*((STACK + 16 * n, STACK + 16 * (n + 1), CODE + 0x60) for n in range(60)))
    text = aborted(memory={**MEMORY, **records}, exits=[f"Halt arg={n:#x}" for n in range(20)]).render()
    assert len(text.splitlines()) <= 50
    assert "... and 53 more" in text
    assert "exits     Halt arg=0x10\n" in text
    assert "          Halt arg=0x13\narmvcpu: " in text


def test_own_exception_of_the_guest_is_decoded_beside_the_last():
    """ESR_EL1 tells what the guest was handling."""
    text = aborted(system={"ESR_EL1": 0x5600_0007}).render()
    assert row(text, "ESR_EL1") == "0x56000007 SVC #0x7"


def test_hang_is_told_in_some_lines():
    """PC, what the guest handles, its last exception with ELR, and who called whom."""
    hang = report("time-out", {"ESR_EL1": 0x5600_0007, "ELR_EL1": CODE + 0x48}, pc=CODE + 0x10, x29=STACK,
                  last=(0x5600_0007, None, CODE + 0x48))  # fmt: skip
    assert hang.render_short().splitlines() == [
        "armvcpu: time-out; PC 0x40080010 call_probe+0x10",
        "ESR_EL1   0x56000007 SVC #0x7",
        "ELR_EL1   0x0000000040080048 main+0x8",
        "backtrace #0 0x0000000040080010 call_probe+0x10",
        "          #1 0x0000000040080060 main+0x20",
    ]
    assert f"handles   {WORDS}: str w1" in report("time-out", pc=CODE, fault=fault()).render_short()
    assert report("time-out", pc=CODE).render_short().splitlines()[0] == "armvcpu: time-out; PC 0x40080000 call_probe"


def test_report_for_machines_keeps_every_bit():
    """JSON numbers are rounded by many readers, so values are text."""
    data = json.loads(json.dumps(aborted(pc=CODE + 0x50, x0=(1 << 64) - 1, exits=["Halt"]).as_dict()))
    assert data["registers"]["x0"] == "0xffffffffffffffff"
    assert (data["pc"], data["symbol"], data["esr"]) == ("0x40080050", "main+0x10", "0x96000046")
    assert data["fault"] == {
        "kind": "DABT_CURRENT", "el": 1, "esr": "0x96000046", "words": WORDS, "far": "0x10", "elr": "0x40080030",
        "sp": "0x41000000", "instruction": "str w1, [x0]", "loaded": None, "symbol": "call_probe+0x30", "source": "",
        "called_from": None,
    }  # fmt: skip
    assert data["why"] == data["hint"] == "a null pointer: 0x10 is the offset from it"
    assert data["code"][4] == {"address": "0x40080030", "word": "0xb9000001", "text": "str w1, [x0]", "marker": "=>"}
    assert data["backtrace"][1] == {"pc": "0x40080060", "symbol": "main+0x20", "source": ""}
    assert data["last_exits"] == ["Halt"]
    assert data["instructions"] is None
