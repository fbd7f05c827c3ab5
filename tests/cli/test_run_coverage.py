"""`armvcpu run --coverage`: both kinds of file, and a line for what can't be."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import armvcpu
from coverage_guest import LINES, covered_guest

HELLO = "guests/bin/hello.elf"
LIMIT = 4


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A guest with lines."""
    return covered_guest(tmp_path_factory.mktemp("guest"), "-O0", "-g")


def test_lines_are_written_when_the_run_is_over(image, tmp_path):
    """For lcov, with the guest's own status, and nothing printed of it."""
    file = tmp_path / "guest.info"
    done = armvcpu("run", image, "--coverage", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    lines = file.read_text().splitlines()
    assert f"SF:{image.parent / 'main.c'}" in lines
    assert {f"DA:{line},{count}" for line, count in LINES.items()} <= set(lines)


def test_blocks_are_written_of_a_guest_without_lines(tmp_path):
    """As far as it came before its limit."""
    file = tmp_path / "hello.drcov"
    assert armvcpu("run", HELLO, "--coverage", file, "--max-instructions", 40).returncode == LIMIT
    head, _, _ = file.read_bytes().partition(b" bbs\n")
    assert head.startswith(b"DRCOV VERSION: 2\n")
    assert HELLO.encode() in head


def test_a_guest_that_crashes_has_coverage(image, tmp_path):
    """Of all that it executed before; and it keeps its status."""
    data = bytearray(image.read_bytes())
    text = data.index((0xD400_0002).to_bytes(4, "little"))  # hvc #0
    data[text : text + 4] = bytes(4)
    crashing, file = tmp_path / "crashing.elf", tmp_path / "crashing.info"
    crashing.write_bytes(data)
    done = armvcpu("run", crashing, "--coverage", file)
    assert done.returncode == 3
    assert f"DA:28,{LINES[28]}" in file.read_text().splitlines()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--coverage", "x.txt"), "its name ends in .info (for lcov) or .drcov"),
        (("--coverage", "nowhere/x.info"), "no file can be made in nowhere; name another"),
        (
            ("--coverage", "x.info"),
            "hello.elf has no DWARF: compile it with -g, and do not strip it; give one by --symbols",
        ),
        (("--coverage-elf", HELLO), "--coverage-elf is for --coverage or --report"),
        (("--coverage", "x.info", "--coverage-elf", "nothing.elf"), "nothing.elf: no such file or directory"),
        (("--coverage", "x.info", "--coverage-elf", "README.md"), "README.md: is no ELF file for AArch64"),
        (("--coverage", "x.drcov", "--trace", "exits:x.drcov"), "that is the file of --coverage; name another"),
    ],
)
def test_what_cannot_be_is_told_before_the_guest_begins(words, problem, tmp_path):
    """One line, status 2, and no file."""
    root = Path(__file__).parents[2]
    given = [str(root / word) if (root / word).is_file() else word for word in words]
    done = armvcpu("run", root / HELLO, *given, cwd=tmp_path, env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_file_without_section_headers_has_no_dwarf(image, tmp_path):
    """By which it would be found, even if its bytes are there; before the guest begins."""
    bare = tmp_path / "bare.elf"
    data = bytearray(image.read_bytes())
    data[0x28:0x30] = bytes(8)  # e_shoff
    bare.write_bytes(data)
    done = armvcpu("run", bare, "--coverage", tmp_path / "x.info")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "bare.elf has no DWARF: compile it with -g" in done.stderr


def test_what_cannot_be_written_is_told_behind_the_guest(image, tmp_path):
    """A disk that is full by then."""
    file = tmp_path / "full.info"
    file.symlink_to("/dev/full")
    done = armvcpu("run", image, "--coverage", file)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "No space left on device; name another" in done.stderr
