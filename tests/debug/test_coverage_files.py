"""Coverage files, as other programs read them: lcov's own for tracefiles, and a reader of drcov's format."""

from __future__ import annotations

import re
import subprocess
from contextlib import suppress
from io import BytesIO
from struct import iter_unpack

import pytest
from coverage_guest import CALLS, LINES, covered_guest, heard
from elftools.elf.elffile import ELFFile

from armvcpu import Machine
from armvcpu.debug.coverage.coverage import Coverage, CoverageProblem
from armvcpu.errors import UsageError
from armvcpu.testing.firmware import programs

HELLO = "guests/bin/hello.elf"


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The guest with lines, as GCC makes it."""
    return covered_guest(tmp_path_factory.mktemp("guest"), "-O0", "-g", compiler="gcc")


@pytest.fixture(scope="module")
def coverage(image):
    """Of one run of it."""
    with Machine(image) as machine, machine.coverage() as coverage:
        machine.run(timeout=20)
    return coverage


def read_drcov(data: bytes) -> tuple[list[dict[str, str]], list[tuple[int, int, int]]]:
    """Modules by the names of their columns, and blocks as (offset, size, module): version 2, by its documentation."""
    head, _, _ = data.partition(b"BB Table: ")
    lines = head.decode().splitlines()
    assert lines[0] == "DRCOV VERSION: 2"
    assert lines[1].startswith("DRCOV FLAVOR: ")
    count = int(re.fullmatch(r"Module Table: version 2, count (\d+)", lines[2])[1])
    columns = lines[3].removeprefix("Columns: ").split(", ")
    modules = [dict(zip(columns, line.split(", ", len(columns) - 1), strict=True)) for line in lines[4:]]
    assert [int(module["id"]) for module in modules] == list(range(count))
    announced, _, table = data[len(head) :].partition(b" bbs\n")
    blocks = list(iter_unpack("<IHH", table))
    assert int(announced.removeprefix(b"BB Table: ")) == len(blocks)
    return modules, blocks


def addresses(modules, blocks):
    """Of each executed instruction."""
    bases = [int(module["base"], 16) for module in modules]
    return {bases[module] + offset + n for offset, size, module in blocks for n in range(0, size, 4)}


def test_lcov_reads_it(coverage, tmp_path):
    """Its summary has the lines, functions and branches that there are."""
    file = tmp_path / "guest.info"
    coverage.write(file)
    shown = subprocess.run(
        [programs.path("lcov"), "--rc", "lcov_branch_coverage=1", "--summary", file],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    files = coverage.files().values()
    lines = [count for each in files for count in each.lines.values()]
    branches = [times for each in files for branch in each.branches.values() for times in branch]
    for what, counts in (("lines", lines), ("functions", list(CALLS.values())), ("branches", branches)):
        found = re.search(rf"{what}\.*: [\d.]+% \((\d+) of (\d+) {what}\)", shown.stdout + shown.stderr)
        assert (int(found[1]), int(found[2])) == (sum(count > 0 for count in counts), len(counts))


def test_genhtml_makes_pages_of_it(coverage, tmp_path):
    """With no warning; the page of a file has its source and its counts."""
    file = tmp_path / "guest.info"
    coverage.write(file)
    done = subprocess.run(
        [programs.path("genhtml"), "--branch-coverage", "--output-directory", tmp_path / "pages", file],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert "warning" not in (done.stdout + done.stderr).lower()
    (page,) = (tmp_path / "pages").rglob("main.c.gcov.html")
    text = re.sub(r"<[^>]*>", "", page.read_text())
    assert re.search(rf"20 +\[[^]]*\]: *{LINES[20]} : +for \(int i = 0; i &lt; 10; i\+\+\)", text)


def test_what_is_merged_by_lcov_is_what_is_merged_here(coverage, image, tmp_path):
    """`lcov -a one -a other`, line by line."""
    both = Coverage()
    for _ in range(2):
        both.add(coverage)
    one, merged = tmp_path / "one.info", tmp_path / "merged.info"
    coverage.write(one)
    subprocess.run(
        [programs.path("lcov"), "--rc", "lcov_branch_coverage=1", "-a", one, "-a", one, "-o", merged],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    kinds = ("DA:", "FNDA:", "BRDA:")
    theirs = sorted(line for line in merged.read_text().splitlines() if line.startswith(kinds))
    assert theirs == sorted(line for line in both.lcov().splitlines() if line.startswith(kinds))
    assert str(image.parent / "main.c") in merged.read_text()


def test_drcov_has_the_blocks_of_what_a_hook_on_every_instruction_hears():
    """Of an image without lines: each instruction that was executed, and no other."""
    with Machine(HELLO) as machine, machine.coverage() as coverage:
        trace = heard(machine)
        assert machine.run(timeout=20).status == 0
    modules, blocks = read_drcov(coverage.drcov())
    assert [module["path"] for module in modules] == [HELLO]
    assert addresses(modules, blocks) == set(trace)


def test_drcov_has_a_module_for_each_file(tmp_path):
    """The image, and what else is loaded: a raw one begins at the address that it is loaded at."""
    raw = tmp_path / "idle, really.bin"
    raw.write_bytes(bytes(64))
    with Machine(HELLO, loads=[f"{raw}@0x48000000"]) as machine, machine.coverage() as coverage:
        machine.run(timeout=20)
    modules, blocks = read_drcov(coverage.drcov())
    assert [(module["path"], int(module["base"], 16)) for module in modules] == [
        (HELLO, 0x4008_0000), (str(raw), 0x4800_0000),
    ]  # fmt: skip
    assert {module for _, _, module in blocks} == {0}


def test_a_file_that_cannot_be_written_is_a_line(coverage, tmp_path):
    """And what there was before is still there."""
    with pytest.raises(UsageError, match=r"x\.txt: its name ends in \.info \(for lcov\) or \.drcov"):
        coverage.write("x.txt")
    with pytest.raises(CoverageProblem, match="No such file or directory; name another"):
        coverage.write(tmp_path / "nowhere" / "x.info")
    full = tmp_path / "full.info"
    full.symlink_to("/dev/full")
    with pytest.raises(CoverageProblem, match="No space left on device; name another"):
        coverage.write(full)


def test_a_program_without_lines_is_told_of(tmp_path):
    """In a line with what to do; a drcov file can be had of it."""
    with Machine(HELLO) as machine, machine.coverage() as coverage:
        machine.run(timeout=20)
    with pytest.raises(CoverageProblem, match=r"hello\.elf has no DWARF: compile it with -g") as problem:
        coverage.write(tmp_path / "x.info")
    assert "\n" not in str(problem.value)
    assert not list(tmp_path.iterdir())


def sections(data: bytes) -> dict[str, tuple[int, int]]:
    """Where those of an ELF file are, and how long."""
    return {
        section.name: (section["sh_offset"], section["sh_size"]) for section in ELFFile(BytesIO(data)).iter_sections()
    }


def test_a_line_as_long_as_the_address_space_is_damage(image, tmp_path):
    """Whose instructions nobody counts one by one: DW_LNE_set_address before the end of a sequence."""
    data = bytearray(image.read_bytes())
    start, size = sections(data)[".debug_line"]
    end = data.rindex(b"\0\1\1", start, start + size)  # DW_LNE_end_sequence
    data[end - 11 : end] = b"\0\x09\x02" + (1 << 60).to_bytes(8, "little")
    file = tmp_path / "damaged.elf"
    file.write_bytes(data)
    with Machine(HELLO) as machine, machine.coverage(file) as coverage:
        pass
    with suppress(CoverageProblem):
        coverage.lcov()
    assert any("a line is longer than the program" in problem for problem in coverage.problems)


def test_damaged_dwarf_is_told_of(image, tmp_path):
    """Bytes of every section with lines and functions changed, one after the other: lines, or a line of why not."""
    data = image.read_bytes()
    problems = set()
    for name in (".debug_line", ".debug_info", ".debug_abbrev", ".debug_str"):
        start, size = sections(data)[name]
        for at in range(0, size, max(1, size // 24)):
            damaged = bytearray(data)
            damaged[start + at : start + at + 4] = b"\xff" * min(4, size - at)
            file = tmp_path / "damaged.elf"
            file.write_bytes(damaged)
            with Machine(HELLO) as machine, machine.coverage(file) as coverage:
                pass
            try:
                coverage.lcov()
            except CoverageProblem as problem:
                problems.add(str(problem))
            problems |= set(coverage.problems)
    assert problems
    assert [problem for problem in problems if "\n" in problem or len(problem) > 400] == []
    assert any("damaged" in problem for problem in problems)
