"""`armvcpu inspect`: what an image is, for people and for machines."""

from __future__ import annotations

import gzip
import json
from struct import pack

import pytest
from click.testing import CliRunner

from armvcpu.cli.inspect import inspect
from armvcpu.devices.device import DtNode
from armvcpu.errors import ImageError
from armvcpu.machine.board.devicetree import DeviceTree, render

RAM = 0x4000_0000
BANNER = b"\0Linux version 6.1.0 (me@here) #1 SMP\n\0"
LINUX = pack("<IIQQQ24x4sI", 0, 0, 0, 0x10000, 0xA, b"ARM\x64", 0) + BANNER
ELF = (
    b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    + pack("<HHIQQQIHHHHHH", 2, 183, 1, 0x1000, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    + pack("<IIQQQQQQ", 1, 5, 120, 0x1000, RAM, 4, 64, 4)
    + b"code"
)
DTB = render(DeviceTree(DtNode("", {"compatible": "me,board"}, (DtNode("cpu@0"), DtNode("cpu@1"), DtNode("gic")))))


@pytest.fixture
def run(tmp_path):
    """The output of `inspect` on these contents."""

    def run(contents: bytes, *options: str) -> str:
        (tmp_path / "f").write_bytes(contents)
        return CliRunner().invoke(inspect, [str(tmp_path / "f"), *options], catch_exceptions=False).output

    return run


@pytest.mark.parametrize(
    ("contents", "lines"),
    [
        (ELF, ("ELF file", "entry    0x40000000", "segment  0x40000000 to 0x4000003f, 4 bytes", "symbols  0")),
        (LINUX, ("Linux arm64 Image", "page size 4K", "says     Linux version 6.1.0 (me@here)", "entry    0x40200000")),
        (gzip.compress(LINUX, mtime=0), ("Linux arm64 Image, in a gzip-compressed file", "entry    0x40200000")),
        (b"\0U-Boot 2023.01 (x)\0", ("raw image", "says     U-Boot 2023.01 (x)", "entry    0x40080000", "--firmware")),
        (DTB, ("device tree blob", "me,board", "nodes    4: cpu x 2, gic", "not loaded; pass it with --dtb")),
        (b"QFI\xfb", ("disk image", "not loaded; pass it with --disk")),
    ],
)
def test_text_tells_kind_and_loading(run, contents, lines):
    """What it is, what it says of itself, and where it would go or what to do with it."""
    output = run(contents)
    assert [line for line in lines if line not in output] == []


def test_json_has_the_same_facts(run):
    """`--json` gives numbers and names for machines."""
    facts = json.loads(run(ELF, "--json"))
    assert (facts["kind"], facts["loads"], facts["entry"], facts["symbols"]) == ("ELF file", True, RAM, 0)
    assert facts["segments"] == [{"addr": RAM, "file_size": 4, "memory_size": 64}]
    assert json.loads(run(DTB, "--json"))["device_tree"]["children"] == ["cpu@0", "cpu@1", "gic"]


def test_damaged_section_table_does_not_matter(run):
    """An ELF file that loads is shown, whatever its section headers say."""
    damaged = bytearray(ELF)
    damaged[40:48], damaged[60:64] = b"\xff" * 8, b"\xff" * 4
    assert "symbols  damaged" in run(bytes(damaged))


@pytest.mark.parametrize("contents", [b"", ELF[:-1], LINUX[:60], DTB[:60], gzip.compress(LINUX, mtime=0)[:-9]])
def test_damaged_files_are_refused(run, contents):
    """What is not what it claims to be is an error, not a guess."""
    with pytest.raises(ImageError):
        run(contents)
