"""Small or endless files that would take a host's memory, or hours: each is one line, or runs, soon and in little."""

from __future__ import annotations

import gzip
import os
import resource
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from command import armvcpu

if TYPE_CHECKING:
    import subprocess

from armvcpu.machine.board.devicetree import render
from armvcpu.machine.board.devicetree_reader import MAX_NAME, MAX_TOKENS, parse
from armvcpu.machine.boot.image_linux import unwrap

HELLO = Path(__file__).parents[2] / "guests" / "bin" / "hello.elf"
MEMORY, SECONDS = 3 << 30, 30
"""Of address space, of which the engine reserves 1 GiB; and of a busy host's time."""
MIB = 1 << 20


def limited(*words: object, stdin: str = os.devnull) -> subprocess.CompletedProcess[str]:
    """A command within these limits; a traceback, as of a MemoryError, is never shown."""
    with open(stdin, "rb") as file:
        done = armvcpu(
            *words, stdin=file, timeout=SECONDS,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done


def refused(*words: object, stdin: str = os.devnull) -> str:
    """The one line."""
    done = limited(*words, stdin=stdin)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    return done.stderr


# --- device trees


def tree(structure: bytes, strings: bytes = b"a\0", reservations: bytes = bytes(16)) -> bytes:
    """A blob (Devicetree Specification, 5.2) with this structure block."""
    at = 40 + len(reservations)
    size = at + len(structure) + len(strings)
    return (
        struct.pack(">10I", 0xD00DFEED, size, at, at + len(structure), 40, 17, 16, 0, len(strings), len(structure))
        + reservations + structure + strings
    )  # fmt: skip


BEGIN, END, NOP, LAST = (struct.pack(">I", token) for token in (1, 2, 4, 9))
ROOT = BEGIN + bytes(4)


def properties(count: int, step: int) -> bytes:
    return b"".join(struct.pack(">III", 3, 0, number * step) for number in range(count))


TREES = {
    "names that share their bytes": (tree(ROOT + properties(80_000, 11) + END + LAST, b"a" * MIB + b"\0"), "a name of"),
    "nodes": (tree(ROOT + b"".join(BEGIN + b"%07x\0" % n + END for n in range(100_000)) + END + LAST), "more than"),
    "properties": (tree(ROOT + properties(170_000, 0) + END + LAST), "more than"),
    "nothing": (tree(ROOT + NOP * 500_000 + END + LAST), "more than"),
    "depth": (tree(ROOT * 100_000 + END * 100_000 + LAST), "nested"),
    "reservations": (tree(ROOT + END + LAST, reservations=b"\1" * 16 * 100_000 + bytes(16)), "reservations"),
}


@pytest.mark.parametrize(("blob", "problem"), TREES.values(), ids=TREES)
@pytest.mark.parametrize("words", [("inspect",), ("run", HELLO, "--dtb")], ids=["inspect", "run"])
def test_a_device_tree_is_bounded(tmp_path, words, blob, problem):
    """By depth, names, reservations and what is in it, whatever its size."""
    assert len(blob) < 2 * MIB
    path = tmp_path / "bomb.dtb"
    path.write_bytes(blob)
    assert problem in refused(*words, path)


def test_a_large_tree_is_read_and_written_in_linear_time():
    """As many names as may be, all different: each was looked for in all the others."""
    count = MAX_TOKENS - 4
    strings = b"".join(b"%07d\0" % number for number in range(count))
    blob = tree(ROOT + properties(count, 8) + END + LAST, strings)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    again = parse("x", render(parse("x", blob)))
    assert len(again.root.props) == count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 10


def test_the_longest_name_is_read():
    blob = tree(ROOT + properties(1, 0) + END + LAST, b"a" * MAX_NAME + b"\0")
    assert list(parse("x", blob).root.props) == ["a" * MAX_NAME]


# --- images


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """320 MiB of zeroes in some hundred KiB."""
    path = tmp_path_factory.mktemp("bomb") / "bomb.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        for _ in range(5):
            file.write(bytes(64 * MIB))
    return path


@pytest.mark.parametrize(("wrapper", "words"), [
    ("gzip", ["inspect"]), ("gzip", ["run"]), ("gzip", ["run", "--firmware", "F"]),
    ("zboot", ["inspect"]), ("zboot", ["run"]),
])  # fmt: skip
def test_what_is_unpacked_is_bounded(tmp_path, packed, wrapper, words):
    """By the guest's RAM. A kernel in zboot for firmware is unpacked by that."""
    path = packed
    if wrapper == "zboot":
        data, path = packed.read_bytes(), tmp_path / "zboot"
        path.write_bytes(struct.pack("<4s4sII8x32s8x", b"MZ", b"zimg", 64, len(data), b"gzip") + data)
    (firmware := tmp_path / "firmware").write_bytes(b"\x00\x00\x00\x14")
    words = [str(firmware) if word == "F" else word for word in words]
    assert "unpacks to more than the guest's 256 MiB of RAM" in refused(*words, path)


def test_no_more_is_unpacked_however_much_ram_there_is(packed, monkeypatch):
    monkeypatch.setattr("armvcpu.machine.boot.image_linux.UNPACKED_LIMIT", 64 * MIB)
    with pytest.raises(Exception, match="unpacks to more than 64 MiB, the most that is"):
        unwrap("x", packed.read_bytes(), 1 << 38)


def elf_with_sections(sections: bytes, count: int, *rest: bytes) -> bytes:
    """The hello guest with another section table, and more behind it."""
    data = bytearray(HELLO.read_bytes())
    struct.pack_into("<Q", data, 40, len(data))
    struct.pack_into("<HH", data, 60, count, 0)
    return bytes(data) + sections + b"".join(rest)


def section(kind: int, offset: int, size: int, link: int = 0) -> bytes:
    return struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, offset, size, link, 0, 1, 24)


AT = HELLO.stat().st_size
SYMBOLS = 100_000
NAMING_ONE_STRING = b"".join(struct.pack("<IBBHQQ", n, 0x12, 0, 1, 0x4008_0000 + n, 4) for n in range(SYMBOLS))
SECTION_TABLES = {
    "four thousand million sections": elf_with_sections(section(0, 0, 1 << 32), 0),
    "a million sections": elf_with_sections(section(0, 0, MIB), 0, bytes(64 * MIB)),
    "names that share their bytes": elf_with_sections(
        section(0, 0, 0) + section(2, AT + 192, 24 * SYMBOLS, 2) + section(3, AT + 192 + 24 * SYMBOLS, MIB), 3,
        NAMING_ONE_STRING, b"f" * (MIB - 1) + b"\0",
    ),
    "symbols": elf_with_sections(
        section(0, 0, 0) + section(2, AT + 192, 24 * 3 * MIB, 2) + section(3, 0, 1), 3, bytes(24 * 3 * MIB)
    ),
}  # fmt: skip


@pytest.mark.parametrize("data", SECTION_TABLES.values(), ids=SECTION_TABLES)
def test_what_is_not_loaded_does_not_keep_an_image_from_running(tmp_path, data):
    """An image whose symbols can't be used has none."""
    path = tmp_path / "bomb.elf"
    path.write_bytes(data)
    done = limited("run", path, "--trace", "psci")
    assert done.returncode == 0
    assert "SYSTEM_OFF" in done.stderr
    assert limited("inspect", path).returncode == 0


# --- what has no end, or is larger than any host


def test_endless_input_is_not_read_to_its_end():
    """The instruction clock would have it all before the guest begins; by the host's clock it is read as needed."""
    assert "the input is more than 64 MiB" in refused("run", HELLO, "--clock", "instructions", stdin="/dev/zero")
    assert limited("run", HELLO, stdin="/dev/zero").returncode == 0


FILES = (
    "IMAGE",
    "--firmware",
    "--vars",
    "--disk",
    "--initrd",
    "--dtb",
    "--snapshot-load",
    "--replay",
    "test",
    "inspect",
)


@pytest.mark.parametrize("kind", ["endless", "sparse", "pipe", "directory", "full", "not now"])
@pytest.mark.parametrize("option", FILES)
def test_a_file_that_cannot_be_is_one_line(tmp_path, option, kind):
    """`/proc/kmsg` is a regular file by its mode, and waits for the kernel to say something."""
    if (option, kind) == ("--disk", "sparse"):
        return  # a disk may be so large
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)
    os.mkfifo(tmp_path / "pipe")
    path = {
        "endless": "/dev/zero", "sparse": tmp_path / "sparse", "pipe": tmp_path / "pipe", "directory": tmp_path,
        "full": "/dev/full", "not now": "/proc/kmsg",
    }[kind]  # fmt: skip
    if option in ("test", "inspect"):
        refused(option, path)
    else:
        refused("run", "--timeout", "5", *((path,) if option == "IMAGE" else (HELLO, option, path)))


def test_a_disk_may_be_as_large_as_any(tmp_path):
    path = tmp_path / "disk"
    path.touch()
    os.truncate(path, 1 << 43)
    assert limited("run", HELLO, "--disk", path).returncode == 0


# --- suites

SUITES = {
    "nested": (f"a = {'[' * 900_000}", "nested too deeply"),
    "a long key": (f"{'.'.join('a' * 400_000)} = 1", "more than 1000 dots"),
    "a long number": (f"a = {'9' * 900_000}", "no TOML"),
    "many CPUs": (f'[[test]]\nname = "a"\nimage = "x"\ncpus = [{"1," * 400_000}]', "up to 32 numbers"),
    "an expression": (f'[[test]]\nname = "a"\nimage = "x"\nscript = [{{expect = "{"(" * 400_000}"}}]', "expression"),
    "many tables": ("\n".join(f"[a{number}]" for number in range(80_000)), "no such table"),
    "large": ("#" * (2 * MIB), "more than a suite may be"),
}


@pytest.mark.parametrize(("text", "problem"), SUITES.values(), ids=SUITES)
def test_a_suite_is_bounded(tmp_path, text, problem):
    path = tmp_path / "suite.toml"
    path.write_text(text)
    line = refused("test", path)
    assert problem in line
    assert len(line) < 1000
