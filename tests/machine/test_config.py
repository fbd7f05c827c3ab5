"""Options of a machine: what each may be, what is said of what it can't be, and that all walk the same fields."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from armvcpu import Machine
from armvcpu.cli.run_options import OPTIONS, spelled
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.recording import header_of
from armvcpu.machine.disk_option import DiskOption
from armvcpu.machine.kinds import FILE, FLAG, NUMBER, format_size, parse_size
from armvcpu.machine.option import option
from armvcpu.machine.option_types import MachineOptions
from armvcpu.testing.suite.suite import load_suite
from armvcpu.testing.target.target import Target

ROOT = Path(__file__).parents[2]
HELLO = ROOT / "guests" / "bin" / "hello.elf"


def test_callers_types_are_those_of_the_fields():
    """Wider where a text is read, and where a list is as good as a tuple."""
    expected = {}
    for name, known in MachineConfig.options.items():
        kind = MachineConfig.__annotations__[name]
        if known.is_several:
            each = kind.removeprefix("tuple[").removesuffix(", ...]")
            kind = f"{kind} | list[{each}]"
        is_wider = known.kind.is_read_in_python and "str" not in kind
        expected[name] = f"{kind} | str" if is_wider else kind
    del expected["image"]
    given = {name: kind.__forward_arg__ for name, kind in MachineOptions.__annotations__.items()}
    assert given == expected


def test_every_field_is_an_option():
    assert tuple(MachineConfig.options) == MachineConfig.__match_args__
    assert MachineConfig().cpus == MachineConfig.options["cpus"].default == 1


def test_options_are_read_as_python_writes_them():
    """Sizes as on the command line, or in bytes; tuples or lists."""
    config = MachineConfig.of(HELLO, memory="512M", disks=("a.img",), networks=["user", "unix:/s"])
    assert (config.memory, config.disks, config.networks) == (512 << 20, ("a.img",), ("user", "unix:/s"))
    assert MachineConfig.of(HELLO, memory=64 << 20, disks=[Path("a"), "b"]).disks == (Path("a"), "b")
    assert MachineConfig.of(firmware="f", append=None, cpus=2) == MachineConfig(firmware="f", cpus=2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cpu": 2}, r"no option 'cpu'; there are append, .*; did you mean cpus\?"),
        ({"Memory": 1}, r"no option 'Memory'; .*; did you mean memory\?"),
        ({"zzz": 2}, r"no option 'zzz'; there are append, .* virtio_version$"),
        ({"cpus": "two"}, "cpus = 'two': give a number$"),
        ({"cpus": True}, "cpus = True: give a number$"),
        ({"cpus": None}, "cpus = None: give a number$"),
        ({"cpus": 0}, "cpus 0: 1 to 32 with a GICv3"),
        ({"cpus": 9, "gic": 2}, "cpus 9: 1 to 8 with a GICv2"),
        ({"gic": 4}, "gic = 4: give 2 or 3$"),
        ({"memory": "much"}, "memory: 'much' is no size: write 256M or 1G"),
        ({"memory": 0.5}, "memory = 0.5: give a number of bytes, or text as 256M"),
        ({"memory": "1K"}, "memory of 1024 bytes: a multiple of 1 MiB"),
        ({"cpu_model": "m1"}, "no CPU model 'm1': choose one of a53, a57, a72, max"),
        ({"append": 3}, "append = 3: give text"),
        ({"initrd": 3}, "initrd = 3: give the name of a file"),
        ({"disks": 3}, "disks = 3: give a tuple, each of it the name of a file"),
        ({"disks": "a.img"}, "disks = 'a.img': give a tuple, each of it the name of a file"),
        ({"disks": ["a", None]}, "disks = .*: give a tuple, each of it the name of a file"),
        ({"networks": {"user"}}, "networks = .*: give a tuple, each of it text"),
        ({"reboot": "no"}, "reboot = 'no': give true or false"),
        ({"clock": "sun"}, "clock = 'sun': give 'host' or 'instructions'"),
        ({"load_address": 0x4000_0002}, "load_address 0x40000002 is no multiple of 4"),
        ({"load_address": -4}, "load_address -4: give 0 or more"),
        ({"semihosting_directory": "/tmp"}, "semihosting_directory without semihosting has no effect"),
        ({"semihosting": True, "semihosting_directory": "/nowhere"}, "semihosting_directory /nowhere: not a directory"),
        ({"record": "r"}, "a recording needs clock instructions"),
        ({"record": "r", "replay": "r"}, "record and replay exclude each other"),
        ({"replay": "r", "clock": "instructions", "networks": ["user"]}, "networks can't be recorded"),
        ({"image": None}, "nothing to run: give an image or firmware"),
    ],
)
def test_what_cannot_be_is_one_line_that_names_the_option(given, words):
    """As Python writes it, from a Machine as from a Target; nothing is made."""
    kinds = (Machine,) if "record" in given else (Machine, Target)
    for kind in kinds:
        with pytest.raises(UsageError, match=words) as error:
            kind(**{"image": HELLO, **given})
        assert "\n" not in str(error.value)


def test_each_reader_sees_an_option_as_it_is_written_there():
    """In Python and suites, and on the command line."""
    with pytest.raises(UsageError) as error:
        MachineConfig.of(HELLO, networks=["user"], replay="r", clock="instructions")
    assert str(error.value) == "networks can't be recorded or replayed: only what is typed is kept"
    assert error.value.said(spelled).startswith("--net can't be recorded")
    with pytest.raises(UsageError) as error:
        Machine(HELLO, load_address=0)
    assert str(error.value).endswith("an ELF file says itself where it goes; leave load_address out")
    assert error.value.said(spelled).endswith("leave --load-address out")


def test_a_new_option_is_one_field():
    """It has a name on the command line, a default, checks, and what Python gives is read."""

    class Wider(MachineConfig):
        colour: int = option(3, NUMBER, "What it looks like.", smallest=1, is_recorded=True)
        quiet: bool = option(True, FLAG, "Print more.")

    assert list(Wider.options)[-2:] == ["colour", "quiet"]
    assert [Wider.options[name].flag for name in ("colour", "quiet")] == ["--colour", "--no-quiet"]
    assert (Wider().colour, Wider.of(HELLO, colour=4).colour, Wider.options["quiet"].value_of_flag) == (3, 4, False)
    with pytest.raises(UsageError, match="colour 0: give 1 or more"):
        Wider.of(HELLO, colour=0)
    assert "colour" not in MachineConfig.options


def test_a_recording_tells_machines_apart_by_these(tmp_path):
    """The names that recordings have had since they are kept; files by their sums."""
    header = header_of(MachineConfig.of(HELLO, clock="instructions", disks=[f"{HELLO},ro"]))
    assert header.keys() == {
        "armvcpu recording", "append", "load_address", "memory", "cpu_model", "cpus", "gic", "el", "rng",
        "fw_cfg", "virtio_console",
        "virtio_version", "reboot", "semihosting", "exact_mmio", "image", "firmware", "vars", "initrd", "dtb",
        "snapshot", "disks", "entry", "loads", "modules", "ram", "board_devices",
    }  # fmt: skip
    assert re.fullmatch("[0-9a-f]{64}", header["image"])
    assert header["disks"] == [header["image"]]
    json.dumps(header)


def test_a_recording_knows_what_stands_beside_a_file(tmp_path):
    """A disk's slot, however it is written, the address of a load, the name of an item; of a text the text."""
    data = tmp_path / "data"
    data.write_bytes(b"some")
    digest = hashlib.sha256(b"some").hexdigest()
    header = header_of(
        MachineConfig.of(
            HELLO, clock="instructions", disks=[f"{data},slot=3,ro", f"{data},ro,slot=5", f"{data}"],
            loads=[f"{data}@0x48000000"], fw_cfg=[f"opt/a={data}", f"name=opt/b,file={data}", "opt/c,string=some"],
        )
    )  # fmt: skip
    assert header["disks"] == [f"{digest},slot=3", f"{digest},slot=5", digest]
    assert header["loads"] == [f"{digest}@0x48000000"]
    assert header["fw_cfg"] == [f"opt/a={digest}", f"name=opt/b,file={digest}", "opt/c,string=some"]


@pytest.mark.parametrize(
    ("option", "other"),
    [("fw_cfg", "opt/a={}"), ("loads", "{}@0x48000000"), ("disks", "{},slot=4")],
    ids=["contents", "contents of a load", "slot"],
)
def test_a_recording_of_another_file_is_one_line(tmp_path, option, other):
    """Also where the file has the same name: it is known by its contents."""
    data, kept = tmp_path / "data", tmp_path / "kept"
    data.write_bytes(bytes(512))
    value = other.format(data)
    with Machine(HELLO, clock="instructions", record=kept, **{option: (value,)}) as machine:
        machine.run(max_instructions=10)
    Machine(HELLO, clock="instructions", replay=kept, **{option: (value,)}).close()
    if option == "disks":
        value = value.replace("slot=4", "slot=5")
    else:
        data.write_bytes(b"\1" * 512)
    with pytest.raises(ImageError, match=f"its {option} is not the same"):
        Machine(HELLO, clock="instructions", replay=kept, **{option: (value,)})


def test_a_snapshot_tells_machines_apart_by_these():
    with Machine(HELLO, memory="32M") as machine:
        facts = machine.snapshot().machine
    options = {
        "memory": 32 << 20, "cpus": 1, "cpu-model": "a72", "gic": 3, "el": 1, "virtio-version": 1, "clock": "host",
        "ram": [],
    }  # fmt: skip
    assert facts == {**facts, **options}
    assert facts.keys() - options.keys() == {"virtio", "disks", "devices"}


def test_suites_have_every_option_but_those_that_say_otherwise(tmp_path):
    suite = tmp_path / "suite.toml"
    suite.write_text("[[test]]\nname = 't'\nimage = 'i'\nunknown = 1")
    with pytest.raises(UsageError) as error:
        load_suite(suite)
    listed = str(error.value).partition("there are ")[2].split(", ")
    own = {"name", "script", "timeout", "end", "status", "report", "retries"}
    assert {*listed} == own | {*MachineConfig.options} - {"record", "secure_console"}


def test_the_manual_has_every_option_of_the_command_line():
    """docs/command-line.md."""
    manual = (ROOT / "docs" / "command-line.md").read_text()
    rows = "\n".join(re.findall(r"^\| (`--.*?) \|", manual, re.MULTILINE))
    assert [known.flag for known in OPTIONS.values() if f"`{known.flag}" not in rows and known.flag != "IMAGE"] == []


def test_sizes_are_shown_as_they_are_read():
    for text in ("256M", "1G", "4K", "1025"):
        assert format_size(parse_size(text)) == text


def test_files_of_the_host_are_known_as_such():
    files = {known.name for known in MachineConfig.options.values() if known.kind is FILE}
    assert files == {
        "image", "firmware", "vars", "initrd", "dtb", "loads", "symbols", "disks", "snapshot", "record", "replay",
            "fw_cfg", "modules", "secure_console",
    }  # fmt: skip


# --- disks and their slots


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("a.img", DiskOption("a.img")),
        (Path("a.img,ro"), DiskOption("a.img", read_only=True)),
        ("a,b.img,slot=3", DiskOption("a,b.img", slot=3)),
        ("a,slot=31,ro", DiskOption("a", True, 31)),
        ("a,ro,slot=0", DiskOption("a", True, 0)),
        (",ro", DiskOption(",ro")),
    ],
)
def test_a_disk_is_a_file_and_how_it_is_plugged_in(given, read):
    """What is behind the last commas, in any order; another comma is the file's own."""
    assert DiskOption.parse(given) == read
    assert DiskOption.parse(str(read)) == read


@pytest.mark.parametrize(
    ("behind", "word"), [("foo", "foo"), ("rw,slot=3", "rw"), ("ro,foo", "foo"), ("foo,bar", "foo"), ("", "")]
)
def test_a_word_that_no_disk_has_is_told(tmp_path, behind, word):
    """Where the file before the comma is there, and none has the whole name."""
    (tmp_path / "d").write_bytes(bytes(512))
    with pytest.raises(UsageError, match=f"{word!r} is no word for a disk; there are ro and slot=N"):
        Machine(HELLO, disks=(f"{tmp_path}/d,{behind}",))
    (tmp_path / f"d,{word}").write_bytes(bytes(512))
    with Machine(HELLO, disks=(f"{tmp_path}/d,{word}",)) as machine:
        assert machine.config.disks


@pytest.mark.parametrize("slot", ["32", "-1", "", "x", "0x1", "\u0663", "9" * 5000])
def test_a_slot_is_a_number_from_0_to_31(slot):
    """Before a file is opened."""
    with pytest.raises(UsageError, match="give 0 to 31"):
        MachineConfig.of(HELLO, disks=(f"a,slot={slot}",))


def test_slots_are_taken_once_and_there_are_32():
    """The entropy source has one, unless there is none."""
    with pytest.raises(UsageError, match="two of them want slot 4"):
        MachineConfig.of(HELLO, disks=("a,slot=4", "b", "c,slot=4"))
    with pytest.raises(UsageError, match="room for 31"):
        MachineConfig.of(HELLO, disks=("a",) * 32)
    MachineConfig.of(HELLO, disks=("a",) * 32, rng=False)


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ({}, {31: 4}),
        ({"rng": False}, {}),
        ({"disks": 2, "virtio_console": True}, {31: 2, 30: 2, 29: 3, 28: 4}),
        ({"disks": ",slot=0"}, {0: 2, 31: 4}),
        ({"disks": ",slot=31", "virtio_console": True}, {31: 2, 30: 3, 29: 4}),
    ],
)
def test_devices_take_the_slots_that_qemus_do(tmp_path, options, kinds):
    """`virtio-blk-device` without a bus takes the last one that is free: 31 first, by `info qtree` of QEMU 7.2."""
    disks = options.pop("disks", 0)
    names = [f"{tmp_path}/{i}" for i in range(disks or 0)] if isinstance(disks, int) else [f"{tmp_path}/d"]
    for name in names:
        Path(name).write_bytes(bytes(512))
    options["disks"] = [name + ("" if isinstance(disks, int) else disks) for name in names]
    with Machine(HELLO, **options) as machine:
        slots = [slot for slot in machine.board.slots if slot.name.startswith("virtio")]
        assert [slot.base for slot in slots] == [0x0A00_0000 + 0x200 * n for n in range(32)]
        assert {n: kind for n, slot in enumerate(slots) if (kind := slot.device.read(8, 4))} == kinds
