"""A user's function that fails ends the run with its own exception, and with its name, file and line noted on it.

Every kind of function that a machine calls, by both clocks, in `run`, `step` and `call`.
"""

from __future__ import annotations

import re
import traceback
from functools import partial

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.arch.registers import encoding_of, instruction_from_access
from armvcpu.devices.device import Device, Register
from armvcpu.errors import UsageError
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.testing.target.target import Target
from armvcpu.vcpu.observer import Observer

DEVICE, RET, FUNCTION = 0x0B00_0000, 0xD65F_03C0, raw.BASE + 4
SMC_1 = [*raw.mov(0, 0xC200_0001), 0xD400_0003]
LOAD, STORE = [*raw.mov(3, DEVICE), raw.load(4, 3)], [*raw.mov(3, DEVICE), raw.store(4, 3)]
MRS, MSR = (instruction_from_access(encoding_of("S3_1_C15_C2_1"), 4, is_read=is_read) for is_read in (True, False))
ID = instruction_from_access(encoding_of("MIDR_EL1"), 4, is_read=True)
PRINT = raw.print_text("x")
WHILE = [*raw.mov(5, 5_000_000), 0xF100_04A5, 0x54FF_FFE1]
"""mov x5, ...; subs x5, x5, #1; b.ne .-4: some ms."""
SVC_HANDLED = [*raw.set_vectors(), raw.SVC]


class Alarm(Device):
    """Rings as soon as it has been written to."""

    REGISTER = Register(0)

    def __init__(self, ring) -> None:
        self._ring = ring
        super().__init__()

    def connect(self, wires) -> None:
        self.deadline, self.clock = wires.schedule.add(self._ring), wires.clock

    def write_REGISTER(self, value) -> None:
        self.deadline.set(self.clock.ns())


class Told(Device):
    """Asks somebody at each access."""

    REGISTER = Register(0)

    def __init__(self, told) -> None:
        super().__init__()
        self._told = told

    def read_REGISTER(self) -> int:
        return self._told()

    def write_REGISTER(self, value) -> None:
        self._told()


def observed(event):
    """An observer that calls somebody at one kind of event."""

    def observe(machine, function):
        observer = type("Listening", (Observer,), {event: lambda _self, *_: function()})
        machine.observe(observer())

    return observe


class Terminal(MemoryConsole):
    """A console that calls somebody in one of its methods."""

    def __init__(self, method, function) -> None:
        super().__init__()
        self._method, self._function = method, function

    def write(self, byte) -> None:
        super().write(byte)
        self._call("write")

    def take(self, limit) -> bytes:
        self._call("take")
        return super().take(limit)

    def flush(self) -> None:
        self._call("flush")

    def _call(self, method) -> None:
        if self._method == method:
            self._function()


KINDS = {
    # name: (words, how the function is registered)
    "on_hypercall": ([*raw.mov(0, 1), raw.HVC], lambda m, f: m.on_hypercall(1)(f)),
    "on_hypercall of a fast call": ([*raw.mov(0, 0xC600_0001), raw.HVC], lambda m, f: m.on_hypercall(0xC600_0001)(f)),
    "on_smc": (SMC_1, lambda m, f: m.on_smc(0xC200_0001)(f)),
    "service": (SMC_1, lambda m, f: m.vcpu.services.register(0xC200_0001, f)),
    "on_mmio, read": (LOAD, lambda m, f: m.on_mmio(DEVICE, 4096, f, f)),
    "on_mmio, write": (STORE, lambda m, f: m.on_mmio(DEVICE, 4096, f, f)),
    "on_sysreg, read": ([MRS], lambda m, f: m.on_sysreg("S3_1_C15_C2_1", read=f)),
    "on_sysreg, write": ([MSR], lambda m, f: m.on_sysreg("S3_1_C15_C2_1", write=f)),
    "on_address": ([raw.NOP], lambda m, f: m.on_address(FUNCTION)(f)),
    "device, read": (LOAD, lambda m, f: m.add_device(Told(f), DEVICE)),
    "device, write": (STORE, lambda m, f: m.add_device(Told(f), DEVICE)),
    "deadline": ([*STORE, *WHILE], lambda m, f: m.add_device(Alarm(f), DEVICE)),
    "observer, call": (SMC_1, observed("call")),
    "observer, exception": (SVC_HANDLED, observed("exception")),
    "observer, sysreg": ([ID], observed("sysreg")),
    "observer, exit": ([*raw.mov(0, 0x77), raw.HVC], observed("exit")),
    "trace_instructions": ([raw.NOP], lambda m, f: m.trace_instructions(f)),
    "trace_memory": (STORE, lambda m, f: (m.on_mmio(DEVICE, 4096, lambda *_: 0, lambda *_: None), m.trace_memory(f))),
}  # fmt: skip
HOWS = {
    "run": lambda machine: machine.run(timeout=10),
    "step": lambda machine: [machine.step() for _ in range(60)],
    "call": lambda machine: machine.call(FUNCTION),
}


@pytest.fixture
def boot(tmp_path):
    """A machine whose image is the words, in a function; it is entered at its beginning, or spins before it."""
    machines = []

    def make(words, how="run", **options):
        path = tmp_path / "guest.bin"
        start = raw.FOREVER if how == "call" else raw.NOP
        end = [RET] if how == "call" else raw.psci(raw.SYSTEM_OFF)
        path.write_bytes(raw.image(start, words, end, vector=[raw.ERET]))
        machines.append(Machine(path, memory="32M", **options))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


class Failing:
    """A function that raises, or answers 0 once it has been mended."""

    def __init__(self, error) -> None:
        self.error = error

    def fail(self, *_):
        if self.error is not None:
            raise self.error
        return 0


def told(error) -> str:
    """What a user reads of an exception."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", KINDS)
def test_function_that_fails_ends_the_run_by_its_name(boot, kind, how, clock, error):
    """Its own exception, with its own traceback; when it has been mended, the guest goes on."""
    words, register = KINDS[kind]
    machine, failing = boot(words, how, clock=clock), Failing(error.with_traceback(None))
    error.__dict__.pop("__notes__", None)
    register(machine, failing.fail)
    with pytest.raises(type(error)) as raised:
        HOWS[how](machine)
    assert raised.value is error
    assert ", in fail\n" in told(error)
    assert re.search(rf"^armvcpu called \S+ \({re.escape(__file__)}:\d+\)$", told(error), re.MULTILINE)
    failing.error = None
    assert machine.is_running is False
    if how == "run":
        assert machine.run(timeout=10).ok


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("access", ["read", "write"])
def test_device_that_fails_leaves_the_guest_at_its_access(boot, access, clock):
    """Nothing behind it has been executed, and it is made again."""
    words = [*(LOAD if access == "read" else STORE), *raw.mov(6, 1)]
    machine, failing, calls = boot(words, clock=clock), Failing(ValueError("mine")), []
    machine.on_mmio(DEVICE, 4096, lambda *what: (calls.append(what), failing.fail())[1], lambda *_: failing.fail())
    with pytest.raises(ValueError, match="mine"):
        machine.run(timeout=10)
    assert (machine.vcpu.state.pc, machine.vcpu.gpr(6)) == (FUNCTION + 4 * 4, 0)
    failing.error = None
    assert machine.run(timeout=10).ok
    assert (machine.vcpu.gpr(6), len(calls)) == (1, 2 if access == "read" else 0)


def test_console_that_fails_loses_no_character_behind(boot):
    """The one that it failed at has been printed, and the guest goes on behind it."""
    failing = Failing(OSError("mine"))
    machine = boot(raw.print_text("abc"), console=Terminal("write", failing.fail))
    with pytest.raises(OSError, match="mine"):
        machine.run(timeout=10)
    assert machine.console.output == b"a"
    failing.error = None
    assert machine.run(timeout=10).ok
    assert machine.console.output == b"abc"


def test_device_without_its_constructor_is_refused(boot):
    """What its user forgot."""

    class Half(Device):
        REGISTER = Register(0)

        def __init__(self) -> None:
            pass

    with pytest.raises(UsageError, match=r"Half.__init__ does not call super\(\).__init__\(\)"):
        boot([raw.NOP]).add_device(Half(), DEVICE)


@pytest.mark.parametrize("method", ["write", "take", "flush"])
@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_console_that_fails_ends_the_run_by_its_name(boot, method, clock):
    """Where the guest's characters go, and where its input is from."""
    failing = Failing(None)
    console = Terminal(method, failing.fail)
    machine = boot(PRINT, clock=clock, console=console)
    failing.error = error = OSError("no such line")
    console.feed(b"typed")
    with pytest.raises(OSError, match="no such line"):
        machine.run(timeout=10)
    assert f"armvcpu called Terminal.{method} ({__file__}:" in told(error)


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("data", [None, "text", 5])
def test_console_whose_input_is_none(boot, data, clock):
    """One line that says what to return."""

    class Wrong(MemoryConsole):
        def take(self, limit):
            return data

    machine = boot([raw.FOREVER], clock=clock, console=Wrong())
    machine.console.feed(b"x")
    with pytest.raises(UsageError, match=rf"input, .*Wrong.take \(.*\), gave {data!r}: return bytes, empty for none"):
        machine.run(timeout=0.5)


def test_interrupts_that_are_heard_by_who_fails(boot):
    """An observer, of an interrupt's acknowledgement."""
    machine, failing = boot([]), Failing(ValueError("mine"))
    machine.close()
    with Machine("guests/bin/gic.elf") as machine:
        observed("irq")(machine, failing.fail)
        with pytest.raises(ValueError, match="mine") as raised:
            machine.run(timeout=20)
    assert "armvcpu called" in told(raised.value)


def test_device_access_that_is_heard_by_who_fails(boot):
    """An observer, on a machine that tells them."""
    machine, failing = boot(PRINT, exact_mmio=True), Failing(ValueError("mine"))
    observed("mmio")(machine, failing.fail)
    with pytest.raises(ValueError, match="mine") as raised:
        machine.run(timeout=20)
    assert "armvcpu called" in told(raised.value)


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_watch_that_fails_ends_the_run_by_its_name(tmp_path, clock):
    """What is called at an access of watched memory."""
    path, failing = tmp_path / "guest.bin", Failing(ValueError("mine"))
    path.write_bytes(raw.image(raw.mov(3, raw.BASE + 0x2000), raw.store(4, 3), raw.psci(raw.SYSTEM_OFF)))
    with Target(path, clock=clock) as target:
        target.watch(raw.BASE + 0x2000, 8).on_access = failing.fail
        with pytest.raises(ValueError, match="mine") as raised:
            target.run(timeout=10)
        assert "armvcpu called Failing.fail" in told(raised.value)


def test_host_interrupt_whose_handler_fails(boot):
    """That of the physical CPU."""
    machine, failing = boot(WHILE), Failing(ValueError("mine"))
    machine.parts.pcpu.irq_handler = failing.fail
    machine.engine.request_stop()
    with pytest.raises(ValueError, match="mine") as raised:
        machine.run(timeout=10)
    assert "armvcpu called Failing.fail" in told(raised.value)


VALUES = {
    "on_hypercall": "the handler of HVC 0x1", "on_smc": "the handler of SMC 0xc2000001",
    "service": "the service of .*", "on_mmio, read": "the device at 0xb000000, offset 0x0",
    "on_sysreg, read": "what reads CPUECTLR_EL1", "device, read": "what reads REGISTER",
}  # fmt: skip


@pytest.mark.parametrize("value", [None, "text", 1.5], ids=str)
@pytest.mark.parametrize("kind", VALUES)
@pytest.mark.parametrize("how", HOWS)
def test_function_that_gives_something_else_is_named(boot, kind, how, value):
    """Where the guest waits for a number; a call's handler may leave x0 as it is."""
    words, register = KINDS[kind]
    machine = boot(words, how)

    def answer(*_):
        return value

    register(machine, answer)
    if value is None and kind in {"on_hypercall", "on_smc"}:
        HOWS[how](machine)
        return
    named = "read_REGISTER" if kind.startswith("device") else "answer"
    with pytest.raises(
        UsageError, match=rf"^{VALUES[kind]}, .*{named} \({re.escape(__file__)}:\d+\), gave {value!r}: "
    ):
        HOWS[how](machine)


@pytest.mark.parametrize(
    ("register", "function"),
    [
        (lambda m, f: m.on_hypercall(1)(f), lambda: 0),
        (lambda m, f: m.on_smc(1)(f), lambda _a, _b: 0),
        (lambda m, f: m.on_address(FUNCTION)(f), lambda *, _key: 0),
        (lambda m, f: m.on_mmio(DEVICE, 4096, f, lambda *_: None), lambda _offset: 0),
        (lambda m, f: m.on_mmio(DEVICE, 4096, lambda *_: 0, f), lambda _offset, _width: None),
        (lambda m, f: m.on_sysreg("ACTLR_EL1", read=f), lambda _value: 0),
        (lambda m, f: m.on_sysreg("ACTLR_EL1", write=f), lambda: None),
        (lambda m, f: m.trace_instructions(f), lambda: None),
        (lambda m, f: m.trace_memory(f), lambda _pc: None),
        (lambda m, f: m.observe(type("Listening", (Observer,), {"exit": f})()), lambda _self: None),
    ],
)
def test_function_that_takes_other_arguments_is_refused_at_once(boot, register, function):
    """By its name, before the guest runs."""
    with pytest.raises(UsageError, match=r"<lambda> \(.*\), is called with \d arguments, which it can't take"):
        register(boot([raw.NOP]), function)


def test_any_callable_will_do(boot):
    """Defaults, `*args`, a bound method, a partial, a class that can be called."""

    class Answer:
        def __call__(self, _vcpu):
            return 7

        def method(self, _vcpu, _more=None):
            return 7

    for function in (Answer(), Answer().method, partial(Answer().method, _more=1), lambda *_: 7, lambda _vcpu, _n=1: 7):
        machine = boot([*raw.mov(0, 1), raw.HVC, 0xAA00_03E5])  # mov x5, x0
        machine.on_hypercall(1)(function)
        assert machine.run(timeout=10).ok
        assert machine.vcpu.gpr(5) == 7
