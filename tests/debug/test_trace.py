"""The tracer's lines: the format is an interface, so each is compared whole."""

from __future__ import annotations

import pytest
from elf_symbols import OBJECT, make_elf, symbol
from guest_state import make_state

from armvcpu.arch.registers import op
from armvcpu.debug.tracing.code import Accesses, Instructions
from armvcpu.debug.tracing.event import Places
from armvcpu.debug.tracing.guest import TracedGuest
from armvcpu.debug.tracing.kinds import KINDS, parse_kinds
from armvcpu.debug.tracing.listeners import LISTENERS
from armvcpu.debug.tracing.text import TextWriter
from armvcpu.errors import UsageError
from armvcpu.machine.boot.symbols import Symbols
from armvcpu.vcpu.exits import MmioRead, SystemDown
from armvcpu.vcpu.observer import Observers

BASE = 0x4008_0000
AT = "cpu0 0x0000000040080010 main+0x10"
STATE = make_state(pc=BASE + 0x10)
NOT_SUPPORTED = (1 << 64) - 1


class Trace:
    """What listens for some kinds, and what was written of it."""

    def __init__(self, *kinds: str) -> None:
        symbols = Symbols.from_elf(
            make_elf(symbol("main", BASE, 0x40), symbol("counter", BASE + 0x80, 8, OBJECT), vaddr=BASE)
        )
        code = {BASE + 0x10: 0xD503201F}
        self.text = ""
        guest = TracedGuest(
            Places(symbols), code.get, {0x900_0000: "pl011.UARTDR"}.get, lambda intid: {33: "pl011"}.get(intid, "")
        )
        emit = TextWriter(self.write).event
        made = {kind: LISTENERS[kind](guest, emit) for kind in LISTENERS if not kinds or kind in kinds}
        self.observer = Observers(made.values())
        where = lambda: (0, 1)  # noqa: E731
        self.insn = Instructions(guest, emit, where).heard
        self.mem = Accesses(guest, emit, where).heard

    def write(self, line: str) -> None:
        self.text += line


def events(t: Trace) -> None:
    """One event of every kind, in the order of KINDS."""
    t.observer.exit(0, STATE, MmioRead(0xB00_0000, 4, 1, 4, signed_ext=False))
    t.observer.irq(0, STATE, "acknowledge", 27)
    t.observer.mmio(0, STATE, is_read=False, address=0x900_0000, width=4, value=0x41)
    t.observer.sysreg(0, STATE, op(3, 0, 12, 12, 0), is_read=True, value=0x1B)
    t.observer.call(0, STATE, "SMC", 0xC400_0003, (1, 0x4000_0000, 0, 0, 0, 0), (0, 0, 0, 0))
    t.observer.exception(0, STATE.pc, 1, 0x9600_0045, 0x10, 0x4009_0200)
    t.insn(BASE + 0x10)
    t.mem(BASE + 0x10, is_read=True, address=BASE + 0x84, width=4, value=7)


LINES = {  # of what goes on in a guest: test_trace_flow.py
    "exits": "exits MmioRead addr=0xb000000 width=4 reg=x1 reg_width=4 signed_ext=no",
    "irq": "irq acknowledge intid=27 # PPI 11",
    "mmio": "mmio write address=0x9000000 width=4 value=0x41 device=pl011.UARTDR",
    "sysreg": "sysreg read register=ICC_IAR1_EL1 value=0x1b",
    "psci": "psci CPU_ON conduit=smc id=0xc4000003 x1=0x1 x2=0x40000000 result=0x0",
    "exception": "exception sync target=EL1 vector=0x40090200 ec=DABT_CURRENT esr=0x96000045 far=0x10"
    " # data abort from the current EL, translation fault, level 1, on a write",
    "insn": "insn 0xd503201f # nop",
    "mem": "mem read address=0x40080084 width=4 value=0x7 symbol=counter+0x4",
}


def test_every_event_is_one_line_of_the_documented_format():
    """See the docstrings of debug/tracing/text.py and kinds.py."""
    trace = Trace()
    events(trace)
    assert trace.text.splitlines() == [f"{AT} {LINES[kind]}" for kind in KINDS if kind in LINES]


@pytest.mark.parametrize("kind", LISTENERS)
def test_only_the_kinds_asked_for_are_written(kind):
    """One kind, one line of what an observer is told."""
    trace = Trace(kind)
    events(trace)
    of_the_engine = [f"{AT} {LINES[other]}" for other in ("insn", "mem")]
    assert trace.text.splitlines() == [f"{AT} {LINES[kind]}", *of_the_engine]


def test_place_without_a_symbol_is_a_dash():
    """The column is never empty, so that columns can be cut."""
    trace = Trace()
    trace.observer.mmio(2, make_state(pc=4), is_read=True, address=0x10, width=1, value=0)
    assert trace.text == "cpu2 0x0000000000000004 - mmio read address=0x10 width=1 value=0x0\n"


def test_interrupt_exceptions_have_no_syndrome():
    """ESR_ELx is not written for IRQ and FIQ (AArch64.TakeException)."""
    trace = Trace()
    trace.observer.exception(0, STATE.pc, 1, 0x9600_0045, None, 0x4009_0480)
    assert trace.text == f"{AT} exception irq target=EL1 vector=0x40090480\n"


def test_undefined_instruction_is_shown():
    """EC 0 says no more than that something is undefined; the instruction does."""
    trace = Trace()
    trace.observer.exception(0, STATE.pc, 1, 0x0200_0000, None, 0x4009_0200)
    assert trace.text.endswith(" # undefined instruction or unknown reason: nop\n")


@pytest.mark.parametrize(
    ("function_id", "result", "words"),
    [
        (0x8400_000A, (NOT_SUPPORTED,), "psci PSCI_FEATURES conduit=hvc id=0x8400000a result=NOT_SUPPORTED"),
        (0xC400_0003, -4, "psci CPU_ON conduit=hvc id=0xc4000003 result=ALREADY_ON"),
        (0x8400_0008, SystemDown(), "psci SYSTEM_OFF conduit=hvc id=0x84000008 exit=SystemDown"),
        (
            0xC600_0001,
            (NOT_SUPPORTED, 0, 0, 0),
            "psci other conduit=hvc id=0xc6000001 result=NOT_SUPPORTED"
            " # SMC64 fast call 0xc6000001, Vendor Specific Hypervisor Service",
        ),
        (0x8000_0000, (NOT_SUPPORTED - 3,), "result=0xfffffffffffffffc # "),
    ],
)
def test_results_of_calls_are_named(function_id, result, words):
    """DEN 0022 5.2.2 for PSCI; of other services only -1 is common (DEN 0028 5.2)."""
    trace = Trace()
    trace.observer.call(0, STATE, "HVC", function_id, (0,) * 6, result)
    assert words in trace.text


def test_instruction_that_cannot_be_read_is_traced_as_such():
    """A jump to nowhere is seen in the trace before the abort it causes."""
    trace = Trace()
    trace.insn(0)
    assert trace.text == "cpu0 0x0000000000000000 - insn unreadable\n"


@pytest.mark.parametrize(
    ("text", "kinds", "path"),
    [
        ("exits", {"exits"}, None),
        ("exits,mmio:out.txt", {"exits", "mmio"}, "out.txt"),
        ("insn:a:b,c", {"insn"}, "a:b,c"),
    ],
)
def test_kinds_and_file_of_the_option(text, kinds, path):
    """The first colon starts the file's name."""
    assert parse_kinds(text) == (kinds, path)


@pytest.mark.parametrize("text", ["", "exits,", "exit", "all", "exits:", ":file"])
def test_bad_kinds_are_refused_in_one_line(text):
    """Saying what would be right."""
    with pytest.raises(UsageError, match="exits"):
        parse_kinds(text)
