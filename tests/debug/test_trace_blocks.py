"""Block traces: every instruction of a run in a small file, and what `armvcpu trace` makes of it."""

from __future__ import annotations

import gzip
import re
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO

import pytest
import zstandard
from c_guest import build
from command import armvcpu

from armvcpu import Machine
from armvcpu.cli.trace import trace
from armvcpu.debug.tracing.blocks import writer
from armvcpu.debug.tracing.blocks.format import BLOCK as BLOCK_HEAD
from armvcpu.debug.tracing.blocks.format import BLOCKS, CHUNK, COUNT, CUT, HEADER, MAGIC, NOT_COUNTED, RUN
from armvcpu.debug.tracing.blocks.lines import symbol_at
from armvcpu.debug.tracing.blocks.reader import Block, BlockFile
from armvcpu.errors import StateError

HELLO = "guests/bin/hello.elf"
REPEATS = ("--clock", "instructions")
B_BACK, SVC, NOP = 0x17FF_FFFF, 0xD400_0001, 0xD503_201F


@pytest.mark.parametrize(
    ("guest", "options"),
    [
        ("hello", ()),
        ("mmio", ()),
        ("gic", ()),
        pytest.param("timer", (), marks=pytest.mark.slow),
        ("selfmod", ()),
        ("smp", ("--cpus", "2", "--max-instructions", "100000")),
        pytest.param("el2", ("--el", "2"), marks=pytest.mark.slow),
    ],
)
def test_it_has_the_instructions_of_a_plain_trace(tmp_path, guest, options):
    """Line by line: of exceptions, interrupts, code that changes, two CPUs and EL2."""
    blocks, plain = tmp_path / "t.blocks.zst", tmp_path / "t.txt"
    image = f"guests/bin/{guest}.elf"
    done = armvcpu("run", image, *REPEATS, *options, "--trace", f"insn:{blocks}", "--trace", f"insn:{plain}")
    assert done.returncode == (4 if "--max-instructions" in options else 0)
    shown = armvcpu("trace", "show", blocks)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout == plain.read_text()


def test_it_changes_nothing_of_a_run_that_repeats(tmp_path):
    """Instructions, output and status are those without it."""
    for image in ("guests/bin/smp.elf", "guests/bin/preempt.elf"):
        words = ("run", image, *REPEATS, "--cpus", "2", "--json")
        plain = armvcpu(*words)
        assert armvcpu(*words, "--trace", f"insn:{tmp_path}/t.blocks").stdout == plain.stdout
        assert '"instructions": ' in plain.stdout


def test_it_is_small(tmp_path):
    """Less than a byte for ten instructions, of a guest that does the same again and again."""
    file = tmp_path / "t.blocks.zst"
    done = armvcpu("run", "guests/bin/timer.elf", *REPEATS, "--trace", f"insn:{file}", "--json")
    count = int(re.search(r'"instructions": (\d+)', done.stdout)[1])
    assert file.stat().st_size < count / 10


def test_show_begins_and_ends_where_it_is_told(tmp_path):
    """By the number of the instruction, whether or not instructions are counted."""
    for clock in ("instructions", "host"):
        file = tmp_path / f"{clock}.blocks.gz"
        armvcpu("run", HELLO, "--clock", clock, "--trace", f"insn:{file}")
        every = armvcpu("trace", "show", file).stdout.splitlines()
        for start in (0, 5, 7000, len(every) - 2):
            some = armvcpu("trace", "show", file, "--from", start, "--count", 3).stdout.splitlines()
            assert some == every[start : start + 3]
        for last in (1, 7000, len(every) + 1):
            assert armvcpu("trace", "show", file, "--last", last).stdout.splitlines() == every[-last:]


def test_grep_finds_what_grep_would(tmp_path):
    """In instructions, symbols and words."""
    file = tmp_path / "t.blocks.zst"
    armvcpu("run", HELLO, *REPEATS, "--trace", f"insn:{file}")
    every = armvcpu("trace", "show", file).stdout.splitlines()
    for pattern in (r" main\+?", "hvc", r"bl #0x400803", "nothing of the kind"):
        found = armvcpu("trace", "grep", pattern, file).stdout.splitlines()
        assert found == [line for line in every if re.search(pattern, line)]


def test_diff_finds_where_two_runs_part(tmp_path):
    """The first instruction that differs, with those around it; status 1."""
    one, same, other = (tmp_path / f"{name}.blocks.zst" for name in ("one", "same", "other"))
    for file, memory in ((one, "256M"), (same, "256M"), (other, "64M")):
        armvcpu("run", HELLO, *REPEATS, "--memory", memory, "--trace", f"insn:{file}")
    assert (armvcpu("trace", "diff", one, same).stdout, armvcpu("trace", "diff", one, same).returncode) == ("", 0)
    done = armvcpu("trace", "diff", one, other, "--context", 2)
    head, *lines = done.stdout.splitlines()
    lines_of = [armvcpu("trace", "show", file).stdout.splitlines() for file in (one, other)]
    first = next(n for n, (a, b) in enumerate(zip(*lines_of, strict=False)) if a != b)
    assert (done.returncode, head) == (1, f"{first} instructions are the same; then")
    assert lines == [
        *(f"  {line}" for line in lines_of[0][first - 2 : first]),
        *(f"- {line}" for line in lines_of[0][first : first + 2]),
        *(f"+ {line}" for line in lines_of[1][first : first + 2]),
    ]


def test_diff_of_a_run_that_ends_earlier(tmp_path):
    """One has an end where the other goes on."""
    one, other = tmp_path / "one.blocks", tmp_path / "other.blocks"
    armvcpu("run", HELLO, *REPEATS, "--trace", f"insn:{one}")
    armvcpu("run", HELLO, *REPEATS, "--max-instructions", 5000, "--trace", f"insn:{other}")
    done = armvcpu("trace", "diff", one, other)
    assert done.stdout.startswith("5000 instructions are the same; then\n")
    assert done.stdout.endswith("+ (the end)\n")


def test_lines_are_shown_searched_and_compared_too(tmp_path):
    """Of every other format, unpacked."""
    one, other = tmp_path / "one.jsonl.zst", tmp_path / "other.jsonl.gz"
    for file in (one, other):
        armvcpu("run", HELLO, *REPEATS, "--trace", f"psci,mmio:{file}")
    lines = armvcpu("trace", "show", one).stdout.splitlines()
    assert len(lines) > 100
    assert armvcpu("trace", "show", one, "--last", 2).stdout.splitlines() == lines[-2:]
    assert armvcpu("trace", "grep", "SYSTEM_OFF", other).stdout == lines[-1] + "\n"
    assert armvcpu("trace", "diff", one, other).returncode == 0


def test_lines_of_the_source_are_shown(tmp_path):
    """By the image that the run had, or by --symbols."""
    file = tmp_path / "t.blocks"
    image = build(
        tmp_path, "int add(int a, int b)\n{\n    return a + b;\n}\nint main(void) { return add(1, 2); }\n", "-g"
    )
    armvcpu("run", image, *REPEATS, "--trace", f"insn:{file}")
    for words in ((), ("--symbols", image)):
        lines = armvcpu("trace", "grep", " add.* ret", file, "--source", *words).stdout
        assert re.fullmatch(r"cpu0 .* # ret \(main\.c:3\)\n", lines)
    image.unlink()
    done = armvcpu("trace", "grep", " add.* ret", file, "--source")
    assert done.stdout.endswith(" # ret\n")
    assert f"{image}, which the run had, cannot be read" in done.stderr


def test_one_machine_has_one_block_trace():
    """And it ends with `close`, after which another one may begin."""
    with Machine(HELLO) as machine:
        told: list[bytes] = []
        trace = machine.trace_blocks(told.append)
        with pytest.raises(StateError, match="traced already"):
            machine.trace_blocks(told.append)
        machine.run(timeout=10)
        trace.close()
        machine.trace_blocks(told.append).close()


def test_blocks_that_were_known_long_before_are_described_in_pieces(monkeypatch):
    """As where coverage was counted before: no chunk is as long as a reader takes for damage."""
    monkeypatch.setattr(writer, "FULL_CHUNK", 500)
    with Machine(HELLO, clock="instructions") as machine, machine.coverage():
        machine.run(max_instructions=3000)
        told: list[bytes] = []
        trace = machine.trace_blocks(told.append)
        machine.run(timeout=10)
        trace.close()
        known = len(machine.engine.records)
    file = BlockFile("trace", BytesIO(b"".join(told)))
    sizes = [len(payload) for kind, _, payload in file.chunks() if kind == BLOCKS]
    assert (len(sizes) > 3, max(sizes) < 500 + 4 * 512 + 100, len(file.blocks)) == (True, True, known)


# --- what is no trace


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", HELLO, "--trace", "insn,irq:x.blocks"), "a file of blocks has the kind insn alone"),
        (("run", HELLO, "--trace", "insn:x.blocks", "--trace-filter", "vcpu=0"), "leave out --trace-filter"),
        (("trace", "show", "/nowhere/x"), "/nowhere/x: cannot be read: No such file"),
        (("trace", "show", "README.md", "--last", "3", "--count", "2"), "leave out --from and --count"),
        (("trace", "show", "docs"), "docs: cannot be read: Is a directory"),
        (("trace", "grep", "(", "README.md"), "PATTERN (: missing )"),
        (("trace", "show", "BLOCKS", "--from", 1 << 62), "is not in the range"),
        (("trace", "grep", "x", "BLOCKS", "--count", 1 << 63), "is not in the range"),
        (("trace", "diff", "BLOCKS", "BLOCKS", "--context", 1 << 64), "is not in the range"),
        (("trace", "diff", "README.md", "BLOCKS"), "one is a block trace, and the other one is not"),
        (("trace", "show", "BLOCKS", "--source", "--symbols", "/nowhere/x"), "/nowhere/x: cannot be read"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, words, said):
    """Status 2, nothing on stdout."""
    file = tmp_path / "t.blocks"
    file.write_bytes(contents(entries=[1]))
    done = armvcpu(*(file if word == "BLOCKS" else word for word in words))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("symbol", "second"),
    [
        ("main", "main+0x4"), ("main+0x10", "main+0x14"), ("", ""), ("a+b", "a+b+0x4"), ("a+0xz", "a+0xz+0x4"),
        ("a+0x", "a+0x+0x4"), ("+0x4", "+0x8"), ("a\n+0x4", "a\n+0x8"), ("a+0x4 ", "a+0x4 +0x4"),
    ],
)  # fmt: skip
def test_a_name_may_have_anything_in_it(symbol, second):
    """A program's own, or what has become of it in a damaged file."""
    assert symbol_at(Block(0x1000, (NOP, NOP), symbol), 1) == second


def contents(*, entries: list[int], size: int | None = None, header: bytes = b"{}") -> bytes:
    """A block trace of block 1, which is NOP and SVC at 0x1000, without an end."""
    words = NOP.to_bytes(4, "little") + SVC.to_bytes(4, "little")
    blocks = BLOCK_HEAD.pack(1, 0x1000, 2, 4) + words + b"main"
    run = COUNT.pack(NOT_COUNTED) + b"".join(entry.to_bytes(4, "little") for entry in entries)
    chunks = ((HEADER, header), (BLOCKS, blocks), (RUN, run))
    return MAGIC + b"".join(
        CHUNK.pack(kind, 0, size if size is not None and kind == RUN else len(data)) + data for kind, data in chunks
    )


def test_what_was_left_in_the_middle_is_not_shown(tmp_path):
    """A CUT says how much of the block before was executed; a file without its end is said to be cut off."""
    file = tmp_path / "t"
    file.write_bytes(contents(entries=[1, 1, CUT | 1]))
    done = armvcpu("trace", "show", file)
    assert [line.split(" # ")[1] for line in done.stdout.splitlines()] == ["nop", "svc #0", "nop"]
    assert "has been cut off" in done.stderr


def test_what_has_been_cut_off_is_said_to_be():
    """Wherever that is, however it is packed; of lines it shows where one has no end."""
    lines = b"".join(b"cpu0 line %d\n" % number for number in range(40_000))
    blocks = contents(entries=[1] * 4000)
    for packed in (gzip.compress(lines), zstandard.compress(lines), zstandard.compress(blocks), lines):
        cuts = (len(packed) - 1, len(packed) // 2, 20)
        for data, is_cut in [(packed, packed == zstandard.compress(blocks)), *((packed[:cut], True) for cut in cuts)]:
            said = said_of(data)
            assert said.count("has been cut off: its run was ended") == is_cut, (packed[:4], len(data))


def said_of(data: bytes) -> str:
    """What `trace show` says of a file beside what it shows."""
    with tempfile.NamedTemporaryFile() as file, redirect_stdout(StringIO()), redirect_stderr(StringIO()) as said:
        file.write(data)
        file.flush()
        trace.main(["show", file.name], standalone_mode=False)
    return said.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        contents(entries=[1], size=1 << 30),
        contents(entries=[1], header=b"nothing"),
        contents(entries=[1]).replace(BLOCK_HEAD.pack(1, 0x1000, 2, 4), BLOCK_HEAD.pack(1, 0x1000, 60000, 4)),
        contents(entries=[1], size=6),
        MAGIC,
    ],
)
def test_damage_is_one_line(tmp_path, data):
    """No traceback, whatever is in the file."""
    file = tmp_path / "t"
    file.write_bytes(data)
    done = armvcpu("trace", "show", file)
    assert done.returncode == 2
    assert re.fullmatch(
        rf"armvcpu: {file}: .*; name what `run --trace insn:FILE.blocks.zst` has written\n", done.stderr
    )


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_full_disk_is_told_when_the_guest_has_ended(tmp_path, suffix):
    """Once, and nothing is lost of the guest's own output."""
    full = tmp_path / f"full.blocks{suffix}"
    full.symlink_to("/dev/full")
    done = armvcpu("run", HELLO, "--trace", f"insn:{full}")
    assert (done.returncode, done.stdout.endswith("1 passed, 0 failed\n")) == (2, True)
    assert done.stderr == f"armvcpu: --trace file {full}: No space left on device; name another\n"
