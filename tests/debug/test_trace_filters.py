"""--trace-filter: which events each key keeps, and one line for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from command import armvcpu

from armvcpu import Machine
from armvcpu.debug.tracing.filters import Filters
from armvcpu.debug.tracing.formats import writer_for
from armvcpu.errors import UsageError

HELLO, GIC, SMP = "guests/bin/hello.elf", "guests/bin/gic.elf", "guests/bin/smp.elf"


def traced(image: str, kinds: str, *filters: str, **options) -> list[dict]:
    """The events that are kept of a run, as JSON lines have them."""
    lines: list[str] = []
    with Machine(image, **options) as machine:
        trace = machine.trace(kinds.split(","), writer_for("x.jsonl", lines.append), filters)
        machine.run(timeout=20)
        trace.close()
    return [json.loads(line) for line in lines]


def test_symbol_keeps_what_is_in_a_function():
    """All of `main` and nothing else."""
    events = traced(HELLO, "insn", "symbol=main")
    assert {event["symbol"].partition("+")[0] for event in events} == {"main"}
    assert events[0]["symbol"] == "main"


def test_symbols_are_patterns_and_add_up():
    """`*` as in a shell, and several values."""
    events = traced(HELLO, "insn", "symbol=main,power*")
    assert {event["symbol"].partition("+")[0] for event in events} == {"main", "power_off"}


@pytest.mark.parametrize("text", ["0x40080000..0x40080008", "0x40080000+8"])
def test_address_has_a_begin_and_an_end_that_is_excluded(text):
    """Two instructions are eight bytes."""
    assert [event["pc"][-2:] for event in traced(HELLO, "insn", f"address={text}")] == ["00", "04"]


def test_an_address_alone_is_one_instruction():
    """The reset vector is executed once."""
    assert len(traced(HELLO, "insn", "address=0x40080000")) == 1


def test_vcpu_keeps_those_of_one():
    """Of a guest that starts a second one."""
    every = {event["vcpu"] for event in traced(SMP, "psci", cpus=2)}
    assert every == {0, 1}
    assert {event["vcpu"] for event in traced(SMP, "psci", "vcpu=1", cpus=2)} == {1}


def test_device_keeps_its_accesses_and_holds_nothing_else_back():
    """By its name, or by its register's; exits have no device."""
    events = traced(HELLO, "mmio,psci", "device=pl011.UARTDR", exact_mmio=True)
    assert {event["keys"].get("device") for event in events} == {"pl011.UARTDR", None}
    assert {event["kind"] for event in events} == {"mmio", "psci"}


def test_class_keeps_exceptions():
    """By the names of ESR_ELx.EC."""
    events = traced("guests/bin/exceptions.elf", "exception", "class=SVC*")
    assert {event["keys"]["ec"] for event in events} == {"SVC64"}


def test_level_is_where_an_exception_is_taken_to():
    """A guest that starts at EL2 takes some there."""
    every = {event["el"] for event in traced("guests/bin/el2.elf", "exception", el=2)}
    assert {event["el"] for event in traced("guests/bin/el2.elf", "exception", "level=EL2", el=2)} == {2} < every


def test_skip_and_first_count_what_the_others_keep():
    """The third and the fourth instruction of `main`."""
    every = traced(HELLO, "insn", "symbol=main")
    assert [event["pc"] for event in traced(HELLO, "insn", "symbol=main", "skip=2", "first=2")] == [
        event["pc"] for event in every[2:4]
    ]


def test_nothing_is_heard_behind_the_first_so_many():
    """Branches neither, whose listener would cost the guest the rest of its speed."""
    with Machine(HELLO) as machine:
        lines: list[str] = []
        trace = machine.trace({"branch", "insn"}, writer_for(None, lines.append), ["first=5"])
        machine.run(timeout=20)
        assert len(lines) == 5
        assert machine.parts.observation.flow._branches == []
        trace.close()


def test_instructions_are_counted_from_power_on():
    """By the instruction clock, and each is told once."""
    events = traced(HELLO, "insn", "instructions=10..13", clock="instructions")
    assert [event["instructions"] for event in events] == [10, 11, 12]
    assert [event["ns"] for event in events] == [40, 44, 48]


def test_a_trace_that_is_closed_hears_nothing():
    """The machine goes on without it."""
    lines: list[str] = []
    with Machine(HELLO) as machine:
        trace = machine.trace({"insn", "psci"}, writer_for(None, lines.append))
        trace.close()
        machine.run(timeout=10)
    assert lines == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("symbl=main", "the keys are symbol, .*did you mean symbol"),
        ("main", "write KEY=VALUE"),
        ("symbol=", "there is no value"),
        ("address=main", "write 0x40080000..0x40090000"),
        ("address=8..4", "ends before it begins"),
        ("vcpu=one", "give a number"),
        ("level=4", "give EL0, EL1"),
        ("class=SVC", "did you mean SVC32, SVC64"),
        ("class=hvc65", "did you mean HVC64"),
        ("class=NOPE", "they are named as in ESR_ELx.EC: SVC64, "),
        ("symbol=work,symbol=main", "one key each; give .* symbol=main, too"),
        ("instructions=5", r"write 1000..2000"),
        ("instructions=5..4", "ends before"),
        ("first=1,2", "one number"),
    ],
)
def test_a_mistake_is_told_before_there_is_a_guest(text, words):
    """With what would be right."""
    with pytest.raises(UsageError, match=words):
        Filters([text])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--trace-filter", "symbol=mian"), "no symbol 'mian' in the guest's image; did you mean main?"),
        (("--trace-filter", "symbol=nothing*"), "symbol=nothing*: no symbol of the guest's is called so"),
        (("--trace-filter", "device=pl01"), "device=pl01: the board has no such device; did you mean"),
        (("--trace-filter", "vcpu=0,99"), "vcpu=99: the machine has CPU 0\n"),
        (("--cpus", "4", "--trace-filter", "vcpu=4"), "vcpu=4: the machine has CPUs 0 to 3\n"),
        (("--trace-filter", "instructions=1.."), "they are counted with --clock instructions"),
    ],
)
def test_what_the_guest_does_not_have_is_one_line(words, said):
    """Status 2, and the guest has not begun."""
    done = armvcpu("run", HELLO, "--trace", "insn", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_of_several_functions_is_told(tmp_path):
    """All of them are traced."""
    names = tmp_path / "names"
    names.write_text("0000000040080000 t one\n0000000040080010 t one\n0000000040080020 t two\n")
    done = armvcpu("run", HELLO, "--symbols", names, "--trace", "insn", "--trace-filter", "symbol=one")
    first, *lines = done.stderr.splitlines()
    assert first == "armvcpu: --trace-filter symbol=one: all 2 called so are traced (0x40080000, 0x40080010)"
    assert len(lines) == 8


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_trace_is_the_same(tmp_path, suffix):
    """As the tools of the host read it."""
    plain, packed = tmp_path / "trace", tmp_path / f"trace{suffix}"
    options = ("--clock", "instructions", "--trace")
    assert armvcpu("run", HELLO, *options, f"insn:{plain}", "--trace", f"insn:{packed}").returncode == 0
    module = {".gz": "import gzip; f = gzip.open(p)", ".zst": "import zstandard; f = zstandard.open(p, 'rb')"}[suffix]
    program = f"import sys; p = sys.argv[1]; {module}; sys.stdout.buffer.write(f.read())"
    read = subprocess.run([sys.executable, "-c", program, packed], capture_output=True, check=True)
    assert read.stdout == plain.read_bytes()
    assert packed.stat().st_size < plain.stat().st_size / 4


@pytest.mark.parametrize("suffix", ["", ".jsonl", ".gz", ".zst", ".jsonl.zst"])
def test_full_disk_is_told_once_whatever_is_written(tmp_path, suffix):
    """The guest goes on to its end."""
    full = tmp_path / f"full{suffix}"
    full.symlink_to("/dev/full")
    done = armvcpu("run", HELLO, "--trace", f"insn:{full}")
    assert (done.returncode, done.stdout.endswith("1 passed, 0 failed\n")) == (2, True)
    assert done.stderr == f"armvcpu: --trace file {full}: No space left on device; name another\n"


def test_json_lines_have_what_lines_have():
    """Field by field."""
    (event,) = traced(HELLO, "psci")
    assert (event["kind"], event["what"], event["keys"]["exit"]) == ("psci", "SYSTEM_OFF", "SystemDown")
    assert event["instructions"] is None
    assert event["ns"] > 0


def test_filters_without_a_trace_are_refused():
    """Nobody would hear of what they keep."""
    done = armvcpu("run", "guests/bin/hello.elf", "--trace-filter", "vcpu=0")
    assert (done.returncode, done.stderr) == (2, "armvcpu: --trace-filter filters no trace: give --trace KIND, too\n")
