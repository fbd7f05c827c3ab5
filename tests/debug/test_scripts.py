"""Scripts: what their functions are called with, what they change, and that nothing is left of them."""

from __future__ import annotations

import os
import re
import signal
import struct
import threading
import time

import pytest
import raw_guest as raw
from c_guest import build

from armvcpu import Machine, script
from armvcpu.debug.scripts.changes import Changes
from armvcpu.debug.scripts.printed import Printed
from armvcpu.debug.scripts.script import cut_short
from armvcpu.errors import UsageError
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.outcome import Ending, Outcome

GUEST = r"""
typedef unsigned long size_t;
struct pair { int left, right; };
volatile long sink;
static char heap[4096];
__attribute__((noinline)) void *allocate(size_t size, const char *what) {
    sink = size + what[0] * 0;
    return heap + what[0];
}
__attribute__((noinline)) int fails(struct pair *pair) { sink++; return pair->left - pair->right; }
__attribute__((noinline, optnone)) int factorial(int n) { int below = n < 2 ? 1 : factorial(n - 1); return below * n; }
__attribute__((noinline)) double scaled(double by, float small) { sink++; return by * small; }
__attribute__((noinline)) float halved(float number) { sink++; return number / 2; }
__attribute__((noinline)) struct pair both(int n) { sink++; return (struct pair){ n, n + sink }; }
int main(void) {
    struct pair pair = { 9, 2 };
    void *first = allocate(16, "first"), *second = allocate(-1, "second");
    sink += (first != 0) + (second != 0);
    sink += (long)scaled(sink, halved(3)) + both(1).right;
    sink = fails(&pair);
    return sink + factorial(3);
}
"""


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """A guest with DWARF."""
    return build(tmp_path_factory.mktemp("typed"), GUEST, "-gdwarf-5", "-O1")


@pytest.fixture
def load(tmp_path):
    """A machine with a script, whose text follows the import of everything; what it said is in `machine.said`."""
    machines = []

    def attach(image, text, said=None, goes_on=False, **options):
        path = tmp_path / "hooks.py"
        path.write_text("from armvcpu.script import *\nfrom builtins import list as said\n" + text)
        machine = Machine(image, **options)
        machines.append(machine)
        return machine, script.attach(machine, path, goes_on=goes_on)

    yield attach
    for machine in machines:
        machine.close()


def state_of(scripts):
    """What a script has kept."""
    return scripts._scripts[0].state


START = "state.told = []\ntold = state.told.append\n"


def test_functions_get_their_parameters_by_name_and_type(typed, load):
    """By DWARF and AAPCS64; also where the function asks for few of them, and in another order."""
    machine, scripts = load(typed, START + """
@on_symbol("allocate")
def allocate(what, size): told((what.string(), size))

@on_symbol("fails")
def fails(pair, caller, name, cpu): told((pair.left, pair.right, caller.split("+")[0], name, cpu))

@on_symbol("factorial")
def each(**arguments): told((arguments["n"], sorted(arguments)))
""")  # fmt: skip
    assert machine.run(timeout=10).status == 0
    told = state_of(scripts).told
    assert told[:3] == [("first", 16), ("second", (1 << 64) - 1), (9, 2, "main", "fails", 0)]
    assert told[3:] == [(n, ["call", "n", "name"]) for n in (3, 2, 1)]


def test_calls_print_as_a_debugger_shows_them(typed, load):
    """`call` is all of it."""
    machine, scripts = load(typed, START + """
@on_symbol("allocate", "factorial")
def look(call): told(call)
""")  # fmt: skip
    machine.run(timeout=10)
    first, _, *others = state_of(scripts).told
    assert first.startswith("allocate(size=16, what=0x4")
    assert first.endswith(' "first")')
    assert others == ["factorial(n=3)", "factorial(n=2)", "factorial(n=1)"]


def test_returns_have_the_result_and_the_arguments_of_the_call(typed, load):
    """Of each call of a function that calls itself, innermost first; a number that is returned is the result."""
    machine, scripts = load(typed, START + """
@on_return("factorial")
def factorial(n, result):
    told((n, result))
    if n == 1:
        return 10

@on_return("fails")
def fails(result): return 100

@on_end
def end(machine): told(machine.vcpu.gpr(19) and 0)
""")  # fmt: skip
    machine.run(timeout=10)
    assert state_of(scripts).told[:3] == [(1, 1), (2, 20), (3, 60)]


def test_a_number_that_is_returned_is_the_functions_result(typed, load):
    """And nothing of the function is executed."""
    machine, scripts = load(typed, START + """
@on_symbol("fails")
def mocked(): return -5

@on_return("fails")
def heard(result): told(result)

@on_symbol("factorial")
def look(vcpu, machine): told(int.from_bytes(machine.read_virtual(machine.symbols.address("sink"), 8), "little"))
""")  # fmt: skip
    machine.run(timeout=10)
    told = state_of(scripts).told
    assert told == [-5, *[(-5) & 0xFFFF_FFFF_FFFF_FFFF] * 3]  # who waits for its end hears of that


def test_a_result_is_given_where_its_type_has_it(typed, load, capsys):
    """AAPCS64 6.9: one of floating point in V0; a structure can't be given, and is not half given in X0."""
    machine, scripts = load(typed, START + """
@on_symbol("scaled")
def mocked(): return -2.5

@on_return("scaled")
def heard(result): told(result)

@on_return("halved")
def changed(result):
    told(result)
    return 7

@on_symbol("both")
def structure(): return 5
""")  # fmt: skip
    outcome = machine.run(timeout=10)
    assert "on_symbol('both'): its result is of type struct pair, which can't be given" in outcome.reason
    assert state_of(scripts).told == [1.5, -2.5]
    assert machine.vcpu.registers["V0"] == int.from_bytes(struct.pack("<d", -2.5), "little")
    capsys.readouterr()


def test_patterns_mean_several_symbols(load):
    """As a shell has them; one that no symbol matches is a mistake."""
    machine, scripts = load("guests/bin/hello.elf", START + """
@on_symbol("fdt_*")
def look(name): told(name)
""")  # fmt: skip
    machine.run(timeout=10)
    assert {"fdt_start", "fdt_property"} <= set(state_of(scripts).told)
    with pytest.raises(UsageError, match=r"hooks.py:\d+: on_symbol: no symbol matches 'nothing_\*'"):
        load("guests/bin/hello.elf", '@on_symbol("nothing_*")\ndef look(): pass\n')


def test_registers_stand_for_arguments_where_there_is_no_dwarf(load):
    """By their names in any case."""
    machine, scripts = load("guests/bin/hello.elf", START + """
@on_symbol("main")
def main(x0, X30, sp, CurrentEL, VBAR_EL1, w0): told((x0 == w0, X30 > x0, sp % 16, CurrentEL, VBAR_EL1 > 0))
""")  # fmt: skip
    machine.run(timeout=10)
    assert state_of(scripts).told == [(True, True, 0, 4, True)]


GUEST_CALLS = [
    raw.mov(0, 0xC600_0001), raw.mov(1, 20), raw.HVC, raw.mov(0, 0x8400_0000), raw.HVC,
    raw.mov(0, 0xC600_0002), raw.mov(1, 3), 0xD400_0003, raw.psci(raw.SYSTEM_OFF),
]  # fmt: skip
"""HVC of a vendor's, PSCI_VERSION by HVC, SMC of a vendor's."""


@pytest.fixture
def calling(tmp_path):
    """An image that makes calls."""
    path = tmp_path / "calls.bin"
    path.write_bytes(raw.image(*GUEST_CALLS))
    return path


def test_calls_are_answered_or_passed_on(calling, load):
    """A number is x0; None has the firmware services answer, PSCI_VERSION 1.x here."""
    machine, scripts = load(calling, START + """
@on_hypercall(0xC600_0001)
def double(x1, number): told(hex(number)); return 2 * x1

@on_hypercall(0x8400_0000)
def version(args, pc): told(pc % 4)

@on_smc(0xC600_0002)
def smc(x1): return -x1

@on_call
def all(conduit, number, result): told((conduit, hex(number), result))
""")  # fmt: skip
    assert machine.run(timeout=10).status == 0
    told = state_of(scripts).told
    assert told[0] == "0xc6000001"
    assert told[1] == ("hvc", "0xc6000001", 40)
    assert told[2] == 0
    assert told[3][:2] == ("hvc", "0x84000000")
    assert told[3][2][0] >> 16 == 1
    assert told[4] == ("smc", "0xc6000002", -3)


def test_registers_are_heard_and_changed(load):
    """Of reads and writes; what is not touched does what it did, and after removal nobody hears."""
    machine, scripts = load("guests/bin/hello.elf", START + """
@on_sysreg("midr_el1")
def midr(value, is_write): told((hex(value), is_write)); return 0x410FD0C1

@on_sysreg("VBAR_EL1")
def vbar(value, is_write): told((machine.symbols.format(value), is_write))
""")  # fmt: skip
    before = machine.snapshot()
    machine.run(timeout=10)
    assert ("vectors", True) in state_of(scripts).told
    assert ("0x410fd083", False) in state_of(scripts).told
    assert b"Neoverse-N1" in machine.console.output
    scripts.remove()
    del machine.console.output[:], state_of(scripts).told[:]
    machine.restore(before)
    machine.run(timeout=10)
    assert state_of(scripts).told == []
    assert b"Cortex-A72" in machine.console.output


def test_a_write_that_is_ignored_has_no_effect(tmp_path, load):
    """IGNORE; and a number is written in the place of the guest's."""
    image = tmp_path / "guest.bin"
    msr, mrs = 0xD51B_D040, 0xD53B_D040  # TPIDR_EL0
    image.write_bytes(raw.image(
        raw.mov(0, 1), msr, raw.mov(0, 2), msr, raw.mov(0, 3), msr, mrs + 5, raw.psci(raw.SYSTEM_OFF)
    ))  # fmt: skip
    machine, _ = load(image, """
@on_sysreg("TPIDR_EL0")
def tpidr(value, is_write):
    if is_write:
        return {1: None, 2: 20, 3: IGNORE}[value]
""")  # fmt: skip
    machine.run(timeout=10)
    assert machine.vcpu.gpr(5) == 20


def test_devices_are_heard_and_changed(load):
    """The UART's output by register, changed on its way; after removal it is as before."""
    machine, scripts = load("guests/bin/hello.elf", START + """
@on_mmio(0x0900_0000, 4)
def uart(is_write, value, register, offset, width):
    told((is_write, register, offset))
    if value == ord("H"): return ord("J")
    if value == ord("!"): return IGNORE
""")  # fmt: skip
    before = machine.snapshot()
    machine.run(timeout=10)
    assert machine.console.output.startswith(b"Jello from armvcpu")
    assert set(state_of(scripts).told) == {(True, "pl011.UARTDR", 0)}
    scripts.remove()
    del machine.console.output[:]
    machine.restore(before)
    machine.run(timeout=10)
    assert machine.console.output.startswith(b"Hello")


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_script_is_a_device_where_there_is_none(tmp_path, load, clock):
    """It reads as what the function gives; without the script the access is a fault again."""
    image = tmp_path / "guest.bin"
    image.write_bytes(raw.image(
        raw.mov(1, raw.HOLE), raw.mov(2, 7), raw.store(2, 1, 4), raw.load(3, 1, 4), raw.psci(raw.SYSTEM_OFF)
    ))  # fmt: skip
    machine, scripts = load(image, START + f"""
@on_mmio({raw.HOLE:#x}, 8)
def device(is_write, offset, value):
    told((is_write, offset, value))
    return None if is_write else 77
""", clock=clock)  # fmt: skip
    before = machine.snapshot()
    assert machine.run(timeout=10).status == 0
    assert (machine.vcpu.gpr(3), state_of(scripts).told) == (77, [(True, 0, 7), (False, 0, 0)])
    scripts.remove()
    machine.restore(before)
    assert machine.run(timeout=10).ending is Ending.CRASHED


def test_an_access_is_one_of_a_range_where_its_first_byte_is_in_it(tmp_path, load):
    """A range of bytes, whatever they are a part of; what else is in the page reads as zero."""
    image = tmp_path / "guest.bin"
    image.write_bytes(raw.image(
        raw.mov(1, raw.HOLE), raw.load(2, 1, 4), raw.mov(1, raw.HOLE + 4), raw.load(3, 1, 4),
        raw.mov(1, raw.HOLE + 8), raw.load(4, 1, 4), raw.psci(raw.SYSTEM_OFF)
    ))  # fmt: skip
    machine, _ = load(image, f"@on_mmio({raw.HOLE + 1:#x}, 7)\ndef device(offset): return 70 + offset\n")
    assert machine.run(timeout=10).status == 0
    assert [machine.vcpu.gpr(number) for number in (2, 3, 4)] == [0, 73, 0]


def test_exceptions_are_heard_by_class(load):
    """Each once, with its syndrome in words."""
    machine, scripts = load("guests/bin/lazyfp.elf", START + """
@on_exception("FP")
def trap(ec, target_el, elr, vector): told((ec, target_el, elr != vector))

@on_exception("FP", el=1)
def again(): told(1)
""")  # fmt: skip
    machine.run(timeout=10)
    told = state_of(scripts).told
    assert told.count(("FP", 1, True)) == told.count(1) == 943


HEARS = (
    START
    + """
@on_interrupt
def irq(what, intid): told((what, intid))
"""
)


def test_interrupts_are_heard(load):
    """Acknowledged and ended."""
    machine, scripts = load("guests/bin/timer.elf", HEARS)
    assert machine.run(timeout=20).status == 0
    assert {what for what, _ in state_of(scripts).told} == {"acknowledge", "end"}


def test_interrupts_of_a_gicv2_are_heard(tmp_path, load):
    """By a load of GICC_IAR (IHI 0048 4.4.4), here of the virtual timer's."""
    image = tmp_path / "guest.bin"
    image.write_bytes(raw.image(raw.mov(1, 0x0801_000C), raw.load(2, 1, 4), raw.psci(raw.SYSTEM_OFF)))
    machine, scripts = load(image, HEARS, gic=2)
    gic = machine.board.gic
    for device, offset, value in ((gic.distributor, 0, 1), (gic.distributor, 0x100, 1 << 27)):
        device.write(offset, 4, value)
    gic.cpu_interface.write(0, 4, 1)
    gic.cpu_interface.write(4, 4, 0xFF)
    gic.set_ppi(0, 27, True)
    machine.run(timeout=10)
    assert state_of(scripts).told == [("acknowledge", 27)]


def test_a_file_that_two_scripts_are_is_told_of_for_both(tmp_path):
    """However each of them names it."""
    one, other, called = str(tmp_path / "hooks.py"), f"{tmp_path}/./hooks.py", threading.Event()
    changes = Changes([one, other], called.set)
    (tmp_path / "hooks.py").write_text("")
    assert called.wait(10)
    assert changes.take() == {one, other}
    changes.close()


def test_a_console_that_many_scripts_have_heard_has_no_listener_left():
    """As where tests that share a machine have a script each: what the guest prints costs what it did before."""
    console = MemoryConsole()
    for _ in range(2000):
        Printed(console).on_line(re.compile("x"), lambda _found: None)()
    console.write(65)
    assert console.output == b"A"


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_script_answers_what_the_guest_asks(load, clock):
    """Prompts as soon as they are printed, lines when they have ended."""
    machine, scripts = load("guests/bin/echo.elf", START + r"""
@on_prompt(r"quit powe$")
def prompt(text):
    told(text)
    return "hello\n"

@on_console(r"h.l(lo)")
def line(match, text):
    told((match[1], text))
    return b"quit\n"
""", clock=clock)  # fmt: skip
    assert machine.run(timeout=5).status == 0
    assert state_of(scripts).told == ["echo: type a line; quit powe", ("lo", "echo: hello")]


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_timers_come_by_the_guests_time(load, clock):
    """Once, and again and again; not after they have been removed."""
    machine, scripts = load("guests/bin/echo.elf", START + """
@on_timer(0.03)
def once(time): told(("once", round(time, 2)))

@on_timer(every=0.01)
def often(machine):
    told("often")
    if state.told.count("often") == 5: machine.quit("enough")
""", clock=clock)  # fmt: skip
    outcome = machine.run(timeout=10)
    told = state_of(scripts).told
    assert (outcome.reason, told.count("often"), len(told)) == ("enough", 5, 6)
    assert told[2:4].count("often") >= 1
    scripts.remove()
    machine.run(timeout=0.2)
    assert len(told) == 6


def test_a_run_with_a_script_that_looks_is_the_run_without(tmp_path, load):
    """To the instruction."""
    with Machine("guests/bin/gic.elf", clock="instructions", cpus=2) as machine:
        machine.run(timeout=20)
        without = machine.instructions, bytes(machine.console.output)
    machine, _ = load("guests/bin/gic.elf", """
@on_symbol("main")
def main(x0): pass
@on_return("main")
def end(x0): pass
@on_sysreg("VBAR_EL1")
def vbar(value): pass
@on_mmio(0x0900_0000, 0x1000)
def uart(value): pass
@on_console(".")
def line(text): pass
""", clock="instructions", cpus=2)  # fmt: skip
    machine.run(timeout=20)
    assert (machine.instructions, bytes(machine.console.output)) == without


def test_a_mistake_ends_the_run_with_its_own_traceback(load, capsys):
    """Only the script's frames; the guest can go on."""
    machine, scripts = load("guests/bin/hello.elf", """
def inner(): return {}["nothing"]

@on_symbol("main")
def main(): inner()
""")  # fmt: skip
    outcome = machine.run(timeout=10)
    assert (outcome.ending, outcome.status) == (Ending.STOPPED, 1)
    assert outcome.reason == "a script failed: hooks.py:4: KeyError: 'nothing'"
    said = capsys.readouterr().err
    assert said.count("  File ") == said.count("hooks.py") == 2
    assert said.endswith("KeyError: 'nothing'\n")
    assert machine.symbols.format(machine.vcpu.state.pc) == "main"
    scripts.remove()
    assert machine.run(timeout=10).status == 0


def test_a_script_that_hangs_when_it_is_loaded_anew_is_a_line(load, capsys):
    """Where it was when the run was to end; the old functions stay."""
    machine, scripts = load("guests/bin/hello.elf", START + "@on_symbol('main')\ndef main(): told(1)\n")
    (script_,) = scripts._scripts
    with open(script_.path, "w") as file:
        file.write("import signal\nsignal.raise_signal(signal.SIGUSR1)\n")
    outcome = Outcome.by_signal(signal.SIGTERM)
    before = signal.signal(signal.SIGUSR1, lambda _number, frame: cut_short(frame, outcome))
    scripts.reload(script_)
    signal.signal(signal.SIGUSR1, before)
    said = capsys.readouterr().err
    words = "ended by signal 15, and this was still at work; the script stays as it was"
    assert re.fullmatch(rf"armvcpu: \w+\.py:\d+: {words}\n", said)
    machine.run(timeout=10)
    assert state_of(scripts).told == [1]


def test_a_mistake_may_be_told_only(load, capsys):
    """Twenty times, then counted."""
    machine, scripts = load("guests/bin/hello.elf", """
@on_mmio(0x0900_0000, 4)
def main(): raise ValueError("again")
""", goes_on=True)  # fmt: skip
    outcome = machine.run(timeout=10)
    assert outcome.status == 0
    scripts.end(outcome)
    said = capsys.readouterr().err
    assert said.count("ValueError: again") == 20
    assert said.endswith("mistakes of scripts in all\n")


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ('@on_symbol("maim")\ndef f(): pass', "no symbol 'maim' in the guest's image; did you mean main?"),
        ('@on_symbol("main")\ndef f(size): pass', "main has no DWARF, so its arguments are x0, x1, ... here"),
        ('@on_symbol("main")\ndef f(*a): pass', r"\*a names nothing"),
        ('@on_symbol(4)\ndef f(): pass', "4 is no name of a symbol"),
        ('@on_address(2)\ndef f(): pass', "2 is no address of an instruction"),
        ('@on_sysreg("VBAR")\ndef f(): pass', "no system register 'VBAR'"),
        ('@on_sysreg("HCR_EL2")\ndef f(): pass', "HCR_EL2 is a register of EL2"),
        ('@on_mmio(0x4000_0000, 8)\ndef f(): pass', "overlaps|RAM|memory"),
        ('@on_mmio(0x0900_0000, 0)\ndef f(): pass', "there are no 0 bytes"),
        ('@on_exception("SVC")\ndef f(): pass', "no exception class 'SVC'; did you mean"),
        ('@on_exception(el=2)\ndef f(): pass', "el=2 is no level"),
        ('@on_console("(")\ndef f(): pass', "no regular expression"),
        ('@on_timer(-1)\ndef f(): pass', "-1 is no time in seconds"),
        ('@on_timer()\ndef f(): pass', "give seconds, or every=seconds"),
        ('@on_hypercall("x")\ndef f(): pass', "'x'"),
        ("@on_hypercall(1)\ndef f(): pass\n@on_hypercall(1)\ndef g(): pass", "hypercall 0x1 has a handler already"),
        ("@on_call\ndef f(resolt): pass", "nothing is called 'resolt'; did you mean result?"),
        ('@on_call\nasync def f(): pass', "on_call is for a function that is called, not for one with `async`"),
        ('@on_symbol("main")\ndef f(): yield', "for a function that is called, not for one with `async` or `yield`"),
        ("on_symbol('main')(3)", "on_symbol is for a function, not for 3"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_one_line_with_its_place(load, hook, problem):
    """And nothing of the script is left in the machine."""
    with pytest.raises(UsageError, match=problem) as raised:
        load("guests/bin/hello.elf", hook + "\n")
    assert "hooks.py:" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_range_of_devices_that_ends_in_memory_changes_no_device(load, tmp_path):
    """Where a script asks for too much, holes before it are holes again, and devices answer by themselves."""
    machine, _ = load("guests/bin/hello.elf", "")
    before = list(machine.parts.bus.windows)
    (tmp_path / "more.py").write_text(
        "from armvcpu.script import *\n@on_mmio(0x0900_0000, 0x3800_0000)\ndef f(): pass\n"
    )
    with pytest.raises(UsageError, match=r"more\.py:2: .* overlaps the mapping at 0x40000000"):
        script.attach(machine, tmp_path / "more.py")
    assert machine.parts.bus.windows == before


@pytest.mark.parametrize(
    ("hook", "problem"),
    [
        ('@on_symbol("main")\ndef f(): return "x"', "gave 'x': return a number"),
        ('@on_sysreg("MIDR_EL1")\ndef f(): return IGNORE', "gave IGNORE: return a number"),
        ('@on_mmio(0x0900_0000, 4)\ndef f(): return "x"', "gave 'x': return a number"),
        ('@on_console("hello")\ndef f(): return 3', "return the text to type, or nothing"),
    ],
)  # fmt: skip
def test_what_a_function_must_not_return_is_said(load, hook, problem):
    """And the run ends, as by any other mistake."""
    machine, _ = load("guests/bin/hello.elf", hook + "\n")
    outcome = machine.run(timeout=10)
    assert outcome.status == 1
    assert problem in outcome.reason


def test_decorators_are_for_scripts():
    """Elsewhere there is no machine that they could mean."""
    with pytest.raises(UsageError, match="on_symbol is for a script while it is loaded"):
        script.on_symbol("main")(print)
    with pytest.raises(UsageError, match=r"`machine` of .* is for a script"):
        script.machine  # noqa: B018
    with pytest.raises(AttributeError):
        script.nothing  # noqa: B018


def test_a_script_that_changes_is_loaded_anew(tmp_path, load, capsys):
    """While the guest runs: its functions are the new ones, its state is kept; a mistake leaves the old ones."""
    machine, scripts = load("guests/bin/echo.elf", START + """
@on_timer(every=0.01)
def old(): told("old")
""")  # fmt: skip
    path, state = tmp_path / "hooks.py", state_of(scripts)
    scripts.watch()

    def wait(for_what: str) -> None:
        end = time.monotonic() + 10
        while for_what not in state.told and time.monotonic() < end:
            machine.run(timeout=0.05)
        assert for_what in state.told

    wait("old")
    path.write_text("from armvcpu.script import *\n@on_timer(every=0.01)\ndef new(state): state.told.append('new')\n")
    wait("new")
    count = state.told.count("old")
    path.write_text("def (\n")
    end = time.monotonic() + 10
    while "stays as it was" not in (said := capsys.readouterr().err) and time.monotonic() < end:
        machine.run(timeout=0.05)
    assert "hooks.py:1: invalid syntax" in said
    new = tmp_path / "other.py"
    new.write_text("from armvcpu.script import *\n@on_timer(every=0.01)\ndef third(state): state.told.append('3')\n")
    os.replace(new, path)  # as editors do
    wait("3")
    assert state.told.count("old") == count


def test_calls_that_never_return_are_forgotten(typed, load):
    """A function that is left in another way: the same stack again, and another answer."""
    machine, scripts = load(typed, START + """
@on_return("fails")
def fails(result): told(result)

@on_symbol("fails")
def leave(vcpu, machine):
    if not state.told:
        told("left")
        vcpu.registers["pc"] = vcpu.gpr(30) - 4      # call it again, in place of calling it
""")  # fmt: skip
    machine.run(timeout=10)
    assert state_of(scripts).told == ["left", 7]
    assert scripts._shared.returns._waiting == {}


def test_functions_of_a_program_that_has_moved_have_types(typed, load, tmp_path):
    """By --symbols FILE@OFFSET."""
    with Machine(typed) as machine:
        (code,) = (each.data for each in machine.plan.segments if each.addr == 0x4008_0000)
    (tmp_path / "moved.bin").write_bytes(code)
    machine, scripts = load(tmp_path / "moved.bin", START + """
@on_symbol("factorial")
def factorial(n): told(n)

@on_return("factorial")
def end(n, result, took): told((n, result, took > 0))
""", load_address=0x4009_0000, symbols=f"{typed}@0x10000")  # fmt: skip
    assert machine.run(timeout=10).status == 0
    assert state_of(scripts).told == [3, 2, 1, (1, 1, True), (2, 2, True), (3, 6, True)]
