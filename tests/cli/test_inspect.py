"""`armvcpu inspect`: what an image is, for people and for machines."""

from __future__ import annotations

import gzip
import json
from struct import pack

import pytest
from click.testing import CliRunner
from command import armvcpu

from armvcpu.cli.inspect import gather, inspect
from armvcpu.devices.device import DtNode
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.board.devicetree import DeviceTree, render
from armvcpu.machine.machine import Machine

RAM = 0x4000_0000
BANNER = b"\0Linux version 6.1.0 (me@here) #1 SMP\n\0"
LINUX = pack("<IIQQQ24x4sI", 0, 0, 0, 0x10000, 0xA, b"ARM\x64", 0) + BANNER
FIP = pack("<IIQ", 0xAA64_0001, 0x1234_5678, 0)
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
        (LINUX, ("expects  EL2, or EL1 (an arm64 Image)",)),
        (LINUX + b"Xen version %d.%d%s\0", ("expects  EL2 (Xen): run it with --el 2",)),
        (bytes(0x40000) + FIP, ("raw image", "expects  EL3 (Trusted Firmware-A): run it with --el 3 --firmware")),
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


def altered(elf: bytes, at: int, value: bytes) -> bytes:
    return elf[:at] + value + elf[at + len(value) :]


IMAGES = {
    "ELF": ELF,
    "position-independent": altered(ELF, 16, b"\x03\0"),
    "in flash bank 0": altered(ELF, 88, bytes(8)),
    "in flash bank 1": altered(ELF, 88, pack("<Q", 0x0400_0000)),
    "in a device": altered(ELF, 88, pack("<Q", 0x0900_0000)),
    "over nothing": altered(ELF, 88, pack("<Q", 0x0B00_0000)),
    "beyond RAM": altered(ELF, 88, pack("<Q", 0x5000_0000)),
    "virtual": altered(ELF, 88, pack("<Q", 0xFFFF_8000_0000_0000)),
    "all of RAM": altered(ELF, 104, pack("<Q", 256 << 20)),
    "relocatable": altered(ELF, 16, b"\x01\0"),
    "core": altered(ELF, 16, b"\x04\0"),
    "x86": altered(ELF, 18, b"\x3e\0"),
    "entry": altered(ELF, 24, pack("<Q", 0x7000_0000)),
    "truncated": ELF[:-1],
    "Linux": LINUX,
    "Linux, large": altered(LINUX, 16, pack("<Q", 1 << 30)),
    "gzip": gzip.compress(LINUX, mtime=0),
    "gzip of code": gzip.compress(b"\x1f\x20\x03\xd5" * 9, mtime=0),
    "raw": b"\x1f\x20\x03\xd5" * 9,
    "text": b"int main(void) { return 0; }\n",
    "script": b"#!/bin/sh\nexit\n",
    "empty": b"",
}


def what_inspect_says(path) -> dict | str:
    """The facts; or the refusal, whole or its remedy."""
    try:
        facts = gather(str(path), {})
    except UsageError as error:
        return str(error)
    return facts if facts["loads"] else facts["remedy"].replace("--", "")


@pytest.mark.parametrize("name", IMAGES)
def test_inspect_and_run_agree(tmp_path, name):
    """What `inspect` says is what a machine does with the file: entry, segments, tree and notes, or the refusal."""
    (tmp_path / "f").write_bytes(IMAGES[name])
    facts = what_inspect_says(tmp_path / "f")
    if isinstance(facts, str):
        with pytest.raises(UsageError) as refusal:
            Machine(tmp_path / "f")
        assert str(refusal.value).endswith(facts)
        return
    with Machine(tmp_path / "f") as made:
        plan, image = made.plan, made.plan.image
        assert image is not None
        in_memory = [made.read(segment.addr, len(segment.data)) == segment.data for segment in image.segments]
    assert (facts["entry"], facts["device_tree_at"], facts["notes"]) == (plan.entry, plan.dtb_addr, image.notes)
    assert [segment["addr"] for segment in facts["segments"]] == [segment.addr for segment in image.segments]
    assert all(in_memory)


def test_layout_options_are_those_of_run(run):
    """A kernel for more RAM is refused as `run` refuses it, and shown with the option that `run` wants."""
    large = IMAGES["Linux, large"]
    with pytest.raises(ImageError, match="raise memory"):
        run(large)
    assert "entry    0x40200000" in run(large, "--memory", "2G")
    assert "entry    0x4000000\n" in run(IMAGES["raw"], "--load-address", "0x4000000")
    with pytest.raises(ImageError, match="outside RAM"):
        run(IMAGES["raw"], "--load-address", "0xe000000")  # the Secure world's
    assert "entry    0xe000000\n" in run(IMAGES["raw"], "--load-address", "0xe000000", "--el", "3")


def test_symbols_are_those_of_run(tmp_path):
    """A raw image is entered at a name of the file; without it the error has the option as it is written."""
    image, names = tmp_path / "guest.bin", tmp_path / "names"
    image.write_bytes(bytes.fromhex("1f2003d5") * 8)
    names.write_text("0000000040080010 T main\n")
    done = armvcpu("inspect", image, "--symbols", names, "--entry", "main")
    assert "entry    0x40080010" in done.stdout
    for command in ("inspect", "run"):
        done = armvcpu(command, image, "--entry", "main")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.endswith("use an ELF file that is not stripped, or give --symbols\n")


@pytest.mark.parametrize("contents", [b"", ELF[:-1], LINUX[:60], DTB[:60], gzip.compress(LINUX, mtime=0)[:-9]])
def test_damaged_files_are_refused(run, contents):
    """What is not what it claims to be is an error, not a guess."""
    with pytest.raises(ImageError):
        run(contents)
