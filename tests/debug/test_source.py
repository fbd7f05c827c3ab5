"""Lines of the source, from the DWARF of images that a compiler has made."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from armvcpu import Machine
from armvcpu.debug.source import SourceLines
from armvcpu.machine.boot.symbols import Symbols

START = """\
.globl _start
_start:
    ldr x0, =0x41000000
    mov sp, x0
    bl main
    b .
"""
MAIN = """\
static volatile int calls;

__attribute__((noinline)) int leaf(volatile int *where) {
    calls++;
    return *where;
}

int main(void) {
    int sum = leaf((volatile int *)0x3f201018);
    return sum * 3;
}
"""
FLAGS = [
    "-target", "aarch64-freestanding-none", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls",
    "-fno-sanitize=all", "-mcpu=generic+strict_align", "-c",
]  # fmt: skip


@pytest.fixture(scope="module", params=["-gdwarf-4", "-gdwarf-5"])
def image(request, tmp_path_factory):
    """An ELF file of C and assembly, with DWARF of one version and the other."""
    directory = tmp_path_factory.mktemp("source")
    environment = {
        "ZIG_GLOBAL_CACHE_DIR": str(directory),
        "ZIG_LOCAL_CACHE_DIR": str(directory),
        "PATH": "/usr/bin:/bin",
    }

    def zig(*arguments) -> None:
        command = [sys.executable, "-m", "ziglang", *arguments]
        subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True, timeout=100)

    for name, text in (("start.S", START), ("main.c", MAIN)):
        (directory / name).write_text(text)
        zig("cc", *FLAGS, request.param, name, "-o", f"{name}.o")
    zig("ld.lld", "-Ttext=0x40080000", "-o", "image.elf", "start.S.o", "main.c.o")
    return directory / "image.elf"


def test_crash_names_file_and_line(image):
    """At its head, and for each caller in the backtrace; in JSON too."""
    with Machine(image) as machine:
        outcome = machine.run(timeout=10)
        report = machine.crash_report(outcome.reason)
    assert " in leaf+0x" in outcome.report.splitlines()[0]
    assert "(main.c:5), FAR 0x000000003f201018" in outcome.report.splitlines()[0]
    assert [(place.symbol.split("+")[0], place.source) for place in report.backtrace] == [
        ("leaf", "main.c:5"), ("main", "main.c:9"), ("_start", "start.S:5")
    ]  # fmt: skip
    assert report.as_dict()["fault"]["source"] == "main.c:5"


def test_raw_image_has_the_lines_of_its_symbol_file(image, tmp_path):
    """The ELF file that it was made from, by --symbols."""
    data = image.read_bytes()
    with Machine(image) as machine:
        segments = [segment for segment in machine.plan.segments if segment.addr == 0x4008_0000]
    (tmp_path / "raw.bin").write_bytes(segments[0].data if segments else data)
    with Machine(tmp_path / "raw.bin", symbols=image, load_address=0x4008_0000) as machine:
        assert "(main.c:5)" in machine.run(timeout=10).report.splitlines()[0]


def test_what_has_no_lines_has_none(image):
    """An address of nothing, a file without DWARF, and one that is damaged in many places."""
    assert SourceLines(Symbols.from_elf(image.read_bytes())).find(0x4100_0000) == ""
    with open("guests/bin/hello.elf", "rb") as file:
        assert SourceLines(Symbols.from_elf(file.read())).find(0x4008_0000) == ""
    data = bytearray(image.read_bytes())
    for at in range(0x200, len(data), 97):
        data[at] ^= 0xFF
    for address in range(0x4008_0000, 0x4008_0060, 4):
        assert isinstance(SourceLines(Symbols.from_elf(bytes(data))).find(address), str)


def test_search_ends_when_its_time_is_up(image, monkeypatch):
    """Whatever a large file has: the report does not wait."""
    lines = SourceLines(Symbols.from_elf(image.read_bytes()))
    monkeypatch.setattr(time, "monotonic", lambda: 1e12)
    begun = time.perf_counter()
    assert lines.find(0x4008_0000) in {"", "start.S:3"}
    assert time.perf_counter() - begun < 1


def test_a_place_has_the_path_that_the_compiler_knew(image):
    """In DWARF 4, whose directories are numbered from 1, and in DWARF 5."""
    symbols = Symbols.from_elf(image.read_bytes())
    assert SourceLines(symbols).locate(symbols.address("leaf")) == (str(image.parent / "main.c"), 4)
    assert SourceLines(symbols).locate(0x4100_0000) is None
