"""What a script may do wrong with a machine: one line, and never a bug of ours or a crash of Python."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from raw_guest import HOLE, HVC, image, mov

from armvcpu import Aarch64PerCpu, Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig, Machine
from armvcpu.errors import GuestCrash, StateError, Unmodelled, UsageError
from armvcpu.machine.outcome import Ending, Outcome
from armvcpu.testing.target.target import Target

HELLO = Path(__file__).parents[2] / "guests" / "bin" / "hello.elf"


@pytest.fixture
def machine():
    with Machine(HELLO, memory="32M") as made:
        yield made


def test_an_error_is_one_line_whatever_it_quotes():
    """A name with a line's end or an escape sequence in it is quoted as Python writes it."""
    with pytest.raises(UsageError) as raised:
        Machine("no\nsuch\x1b[2J\u2028file")
    assert str(raised.value).startswith(r"no\nsuch\x1b[2J\u2028file: ")


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"timeout": "1"}, "timeout = '1': give seconds, or None"),
        ({"timeout": math.nan}, "timeout = nan: give seconds"),
        ({"timeout": True}, "timeout = True: give seconds"),
        ({"max_instructions": -1}, "max_instructions = -1: give a number, or 0"),
        ({"max_instructions": 1.5}, "max_instructions = 1.5: give a number"),
        ({"max_instructions": None}, "max_instructions = None: give a number"),
    ],
)
def test_limits_that_are_none(machine, limits, words):
    """Nothing has run then, and the machine can."""
    with pytest.raises(UsageError, match=words):
        machine.run(**limits)
    assert machine.run(timeout=60).ok


def test_a_patience_that_is_none():
    with pytest.raises(UsageError, match="timeout = 'long': give seconds"):
        Target(HELLO, timeout="long")


@pytest.mark.parametrize("vector", [-1, 288, 1020])
def test_an_interrupt_that_there_is_not(machine, vector):
    """GICD_TYPER.ITLinesNumber (IHI 0069 12.9.38)."""
    with pytest.raises(UsageError, match=f"no interrupt {vector}; this GIC has INTIDs 0 to 287"):
        machine.vcpu.inject_interrupt(vector)


def test_memory_of_a_negative_size(machine):
    """In RAM and in flash."""
    for address in (0, 0x4000_0000):
        assert machine.memory.read(address, 0) == b""
        with pytest.raises(UsageError, match="no memory for -4 bytes"):
            machine.memory.read(address, -4)


@pytest.mark.parametrize("option", ["image", "firmware", "vars", "initrd", "dtb", "snapshot"])
def test_a_nul_in_the_name_of_a_file(option):
    with pytest.raises(UsageError, match=rf"{option} = 'a\\x00b': give the name of a file"):
        Machine(**{"image": HELLO, option: "a\0b"})


def test_a_nul_in_the_names_of_other_files():
    with pytest.raises(UsageError, match=r"disks = .*, each of it the name of a file"):
        Machine(HELLO, disks=["a\0b"])
    for option in ("record", "replay"):
        with pytest.raises(UsageError, match=f"{option} = .*: give the name of a file"):
            Machine(HELLO, clock="instructions", **{option: "a\0b"})


def test_boot_arguments_that_are_no_text():
    """As bytes of a command line that are no UTF-8 come."""
    with pytest.raises(UsageError, match=r"append .*: the guest gets UTF-8"):
        Machine(HELLO, append="a\udcff")


@pytest.mark.parametrize(
    "use",
    [
        Machine.run,
        Machine.step,
        Machine.snapshot,
        Machine.reset,
        lambda machine: machine.instructions,
        lambda machine: machine.read_virtual(0x4000_0000, 4),
        lambda machine: machine.on_symbol("_start")(print),
        lambda machine: machine.engine.registers.read(0xC600),
        lambda machine: machine.engine.memory.translate(0),
        lambda machine: machine.memory.write(0x4000_0000, b"x"),
        lambda machine: machine.vcpu.system_registers.read(0xC600),
        lambda machine: machine.vcpu.unbind(),
        lambda machine: machine.engine.run(),
        lambda machine: machine.engine.set_lines(irq=True, fiq=False),
    ],
)
def test_a_closed_machine_refuses_what_it_can_no_more(use):
    """What it would be done with is memory that C has freed."""
    with Machine(HELLO, memory="32M") as machine:
        machine.run(max_instructions=10)
    with pytest.raises(StateError):
        use(machine)


def test_a_closed_machine_still_shows_what_it_was():
    """Its registers and its memory; and it can be closed again, stopped, or left alone."""
    with Machine(HELLO, memory="32M") as machine:
        machine.run(max_instructions=10)
        pc, word = machine.vcpu.state.pc, machine.memory.read(0x4008_0000, 4)
    assert (machine.vcpu.state.pc, machine.memory.read(0x4008_0000, 4)) == (pc, word)
    machine.close()
    machine.interrupt(2)
    machine.quit()


def test_a_closed_machine_cannot_return_to_a_snapshot():
    with Machine(HELLO, memory="32M") as machine:
        snapshot = machine.snapshot()
    with pytest.raises(StateError):
        machine.restore(snapshot)
    snapshot.close()


SMC, FOREVER = 0xD400_0003, 0x1400_0000
MRS_X1_ACTLR_EL1 = 0xD538_1021
ANSWERED = {
    "device": (
        [*mov(0, HOLE + 8), 0xF940_0001], lambda machine, f: machine.on_mmio(HOLE, 4096, f, f),
        "the device at 0xb000000, offset 0x8",
    ),
    "register": (
        [MRS_X1_ACTLR_EL1], lambda machine, f: machine.on_sysreg("ACTLR_EL1", read=f), "what reads ACTLR_EL1"
    ),
    "HVC": ([*mov(0, 1), HVC], lambda machine, f: machine.on_hypercall(1)(f), "the handler of HVC 0x1"),
    "SMC": ([*mov(0, 1), SMC], lambda machine, f: machine.on_smc(1)(f), "the handler of SMC 0x1"),
}  # fmt: skip
"""Code of a guest, how somebody comes to answer it, and how that one is called where the answer is none."""


@pytest.mark.parametrize("value", [None, "x", 1.5])
@pytest.mark.parametrize("what", ANSWERED)
def test_an_answer_that_is_no_number(tmp_path, what, value):
    """It is told at once, by what it answers; a call's handler may leave it without an answer."""
    code, answer, words = ANSWERED[what]
    (tmp_path / "guest").write_bytes(image(code, FOREVER))
    with Machine(tmp_path / "guest", memory="32M") as machine:
        answer(machine, lambda *_: value)
        if value is None and what in {"HVC", "SMC"}:
            assert machine.run(max_instructions=10).ending is Ending.LIMIT
            return
        with pytest.raises(
            UsageError, match=rf"^{words}, .*<lambda> \(.*test_misuse.py:\d+\), gave {value!r}: return a number$"
        ):
            machine.run(max_instructions=10)


@pytest.fixture
def bare():
    """A vCPU whose caller has given it no stage 2: its addresses are physical, and little lies there."""
    pcpu = Aarch64PerCpu(0)
    pcpu.hardware_enable()
    vcpu = Aarch64VCpu(0, 0, Aarch64VCpuCreateConfig(mpidr_el1=0, dtb_addr=0))
    vcpu.setup(Aarch64VCpuSetupConfig())
    vcpu.set_entry(0x1000)
    vcpu.bind(pcpu)
    yield vcpu
    vcpu.unbind()
    pcpu.hardware_disable()


@pytest.mark.parametrize("word", [0xF940_0020, 0xF900_0020], ids=["LDR X0, [X1]", "STR X0, [X1]"])
def test_an_access_where_nothing_is_mapped(bare, word):
    """Not modelled, and said so."""
    bare.engine.memory.map_ram(0x1000, memoryview(bytearray(word.to_bytes(4, "little").ljust(4096, b"\0"))))
    bare.set_gpr(1, 0x8000_0000)
    with pytest.raises(Unmodelled, match="a physical address with nothing behind it; keep stage 2 on"):
        bare.run(10)


def test_a_fetch_where_nothing_is_mapped_is_the_guests_abort(bare):
    """At the first instruction, and then, for want of vectors, again and again: which ends the run."""
    for limit in (0, 4):
        with pytest.raises(
            GuestCrash, match=r"endless exception loop: the vector at 0x200 .* synchronous external abort"
        ):
            bare.run(limit)
    forever = (0x1400_0000).to_bytes(4, "little")
    bare.engine.memory.map_ram(0, memoryview(bytearray(1024 * forever)))
    bare.set_entry(0x1000)
    bare.run(1)
    assert bare.last_exception[::2] == (0x8600_0010, 0x1000)  # Instruction Abort, external abort; ELR


def test_an_engine_refuses_memory_where_some_is():
    """RAM that overlaps, that is of no whole pages, and what is not there to be taken away."""
    with Machine(HELLO, memory="32M") as machine:
        memory = machine.engine.memory
        for misuse in (
            lambda: memory.map_ram(0x4000_0000, memoryview(bytearray(4096))),
            lambda: memory.map_ram(0x2000_0001, memoryview(bytearray(4096))),
            lambda: memory.map_io(0x4000_0000, 4096, lambda *_: 0, lambda *_: None),
            lambda: memory.unmap(0x2000_0000, 4096),
        ):
            with pytest.raises(UsageError, match=r"0x[24]00000"):
                misuse()
        assert machine.run(timeout=60).ok


WITHIN = {
    "run": Machine.run,
    "step": Machine.step,
    "call": lambda machine: machine.call(machine.vcpu.state.pc),
    "reset": Machine.reset,
    "close": Machine.close,
    "snapshot": Machine.snapshot,
}


@pytest.mark.parametrize("what", WITHIN)
def test_what_a_handler_cannot_do_changes_nothing(what):
    """The guest is in the middle of an instruction; it goes on as if nobody had tried."""
    with Machine(HELLO, memory="32M") as machine:
        before = []

        @machine.on_symbol("main")
        def misuse(vcpu):
            before.append(vcpu.registers.save())
            with pytest.raises(StateError, match="while the guest runs"):
                WITHIN[what](machine)
            assert vcpu.registers.save() == before[0]

        assert machine.run(timeout=60).ok
        assert len(before) == 1


@pytest.mark.parametrize("stopped_by", ["quit", "end"])
def test_a_quit_asked_for_before_the_end_is_of_that_run(stopped_by):
    """The next run is not ended by it."""
    with Machine(HELLO, memory="32M") as machine:
        seen = []

        @machine.on_symbol("main")
        def leave(vcpu):
            seen.append(vcpu)
            if len(seen) > 1:  # the guest is at `main` still
                return
            machine.quit()
            if stopped_by == "end":
                machine.end(Outcome.of(Ending.STOPPED, "enough"))

        machine.run(timeout=60)
        assert machine.run(max_instructions=1).ending is Ending.LIMIT


@pytest.mark.parametrize(
    ("misuse", "words"),
    [
        (lambda machine: machine.on_mmio(HOLE, 4096, None, None), "on_mmio's read is a function, not None"),
        (lambda machine: machine.on_mmio("x", 4096, print, print), "a device's address is a number, not 'x'"),
        (lambda machine: machine.on_sysreg("ACTLR_EL1", read="x"), "on_sysreg's read is a function, not 'x'"),
        (lambda machine: machine.on_address(0x4008_0000)("x"), "on_address is a function, not 'x'"),
        (lambda machine: machine.on_address("x"), "an instruction's address is a number, not 'x'"),
        (lambda machine: machine.observe(None), "`exception` of an observer is a function, not None"),
        (lambda machine: machine.trace_memory(None), "who hears is a function, not None"),
        (lambda machine: machine.trace_instructions(None), "who hears is a function, not None"),
        (lambda machine: machine.end(None), "how a run ends is of the class Outcome, not None"),
        (lambda machine: machine.restore(None), "what a machine returns to is of the class Snapshot, not None"),
        (lambda machine: machine.on_symbol(None), "a symbol's name is of the class str, not None"),
        (lambda machine: machine.read_virtual(1 << 70, 4), "a virtual address has 64 bits: 0x40+ does not fit"),
        (lambda machine: machine.physical(-1), "a virtual address has 64 bits: -0x1 does not fit"),
        (lambda machine: machine.call(1.5), "a function's address is a number, not 1.5"),
        (lambda machine: machine.call("main", "x"), "argument 'x' is no number of 64 bits"),
        (lambda machine: machine.run(timeout=-1), "timeout = -1: give seconds"),
        (
            lambda machine: machine.add_device("x", HOLE),
            "what add_device puts on the board is of the class Device",
        ),
    ],
)
def test_an_argument_that_is_none_is_told(misuse, words):
    """In one line, at the call that has it, and nothing has changed."""
    with Machine(HELLO, memory="32M") as machine:
        with pytest.raises(UsageError, match=f"^{words}"):
            misuse(machine)
        assert machine.run(timeout=60).ok


def test_a_closed_snapshot_is_refused_before_anything_changes():
    with Machine(HELLO, memory="32M") as machine:
        snapshot = machine.snapshot()
        snapshot.close()
        with pytest.raises(UsageError, match="the snapshot is closed"):
            machine.restore(snapshot)
        assert machine.run(timeout=60).ok


def test_a_closed_machine_is_not_written():
    with Machine(HELLO, memory="32M") as machine:
        pass
    before = machine.memory.read(0x4008_0000, 4)
    with pytest.raises(StateError):
        machine.write(0x4008_0000, b"gone")
    assert machine.memory.read(0x4008_0000, 4) == before


def test_a_signal_outlasts_the_run_that_ended_otherwise():
    """It ends the next one: who runs a guest in slices is told in the end."""
    with Machine(HELLO, memory="32M") as machine:
        seen = []

        @machine.on_symbol("main")
        def leave(vcpu):
            seen.append(vcpu)
            if len(seen) == 1:
                machine.interrupt(2)
                machine.end(Outcome.of(Ending.STOPPED, "enough"))

        assert machine.run(timeout=60).ending is Ending.STOPPED
        assert machine.run(timeout=60).status == 130
        assert machine.run(timeout=60).ok


def test_a_quit_as_a_slice_ends_is_of_the_next(monkeypatch):
    """From another thread, when the run has looked for the last time."""
    with Machine(HELLO, memory="32M") as machine:
        note = machine.parts.end.note

        def note_late(outcome):
            machine.quit("as it ends")
            return note(outcome)

        with monkeypatch.context() as patch:
            patch.setattr(machine.parts.end, "note", note_late)
            assert machine.run(max_instructions=10).ending is Ending.LIMIT
        assert machine.run(timeout=60).reason == "as it ends"
