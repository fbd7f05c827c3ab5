"""`entry` and `loads`: where the first CPU starts, and files at addresses, as QEMU's `-device loader` puts them."""

from __future__ import annotations

from pathlib import Path

import pytest
import raw_guest as asm
from image_bytes import RAM, load, make_elf, make_linux

from armvcpu.cli.inspect import gather
from armvcpu.errors import UsageError
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.recording import header_of
from armvcpu.machine.layout import Load, parse_load, split_load
from armvcpu.machine.machine import Machine
from armvcpu.testing.suite.run import run_case
from armvcpu.testing.suite.suite import load_suite

GUESTS = Path(__file__).parents[2] / "guests" / "bin"
SMCCC = GUESTS / "smccc.elf"


def saying(text: str) -> bytes:
    return asm.image(asm.print_text(text), asm.psci(asm.SYSTEM_OFF))


@pytest.fixture
def blob(tmp_path):
    """A file that prints "blob" wherever it is executed."""
    (tmp_path / "blob").write_bytes(saying("blob"))
    return tmp_path / "blob"


def output_of(image=None, **options) -> str:
    with Machine(image, **options) as machine:
        outcome = machine.run(timeout=20)
        assert outcome.status == 0, outcome.report
        return machine.console.output.decode()


@pytest.mark.parametrize("at", [0x4800_0000, 0x4FFF_F000, 0x2000, 0x0420_0000, 0x03FF_FFF0])
def test_files_alone_run_where_entry_says(blob, at):
    """RAM and both banks of flash, with no image at all; x0 has the device tree, at the start of RAM."""
    assert output_of(entry=at, loads=[f"{blob}@{at:#x}"]) == "blob"
    with Machine(entry=at, loads=[f"{blob}@{at:#x}"]) as machine:
        assert (machine.plan.entry, machine.plan.x0) == (at, RAM)


def test_files_lie_beside_an_image(blob, tmp_path):
    """Each at its address, whatever it is; the image is what is entered."""
    (tmp_path / "image").write_bytes(saying("image"))
    elf = make_elf(load(RAM))
    (tmp_path / "elf").write_bytes(elf)
    loads = [f"{blob}@0x44000000", f"{tmp_path / 'elf'}@1140850689"]
    with pytest.raises(UsageError, match="overlap"):
        Machine(tmp_path / "image", loads=loads)
    loads[1] = f"{tmp_path / 'elf'}@0x45000001"
    with Machine(tmp_path / "image", loads=loads) as machine:
        assert machine.read(0x4400_0000, 8) == saying("blob")[:8]
        assert machine.read(0x4500_0001, len(elf)) == elf
        assert machine.run(timeout=20).status == 0
        assert machine.console.output == b"image"


def test_entry_is_an_address_or_a_symbol_of_the_image():
    """A symbol of an ELF file, or its address, virtual or physical."""
    with Machine(SMCCC) as machine:
        at = machine.symbols.address("main")
    for entry in ("main", at, hex(at), str(at)):
        with Machine(SMCCC, entry=entry) as machine:
            assert machine.vcpu.state.pc == at


def test_virtual_entry_is_where_its_segment_lies(tmp_path):
    """As an ELF file's own entry point is."""
    virtual = 0xFFFF_0000_0000_0000
    (tmp_path / "f").write_bytes(make_elf(load(RAM + 0x1000, b"\0" * 64, vaddr=virtual), entry=virtual))
    with Machine(tmp_path / "f", entry=virtual + 16) as machine:
        assert machine.plan.entry == RAM + 0x1010


def test_entry_makes_an_elf_files_own_unimportant(tmp_path):
    """One that lies in no segment is refused only where it is used."""
    (tmp_path / "f").write_bytes(make_elf(load(RAM, saying("on")), entry=0x7000_0000))
    with pytest.raises(UsageError, match=r"lies in no segment; .* or give entry"):
        Machine(tmp_path / "f")
    assert output_of(tmp_path / "f", entry=RAM) == "on"


def test_entry_beside_firmware(blob, tmp_path):
    """The first CPU starts there, and firmware lies in flash."""
    (tmp_path / "firmware").write_bytes(saying("firmware"))
    options = {"firmware": tmp_path / "firmware", "loads": [f"{blob}@0x40200000"]}
    assert output_of(**options) == "firmware"
    assert output_of(entry=0x4020_0000, **options) == "blob"


def test_initrd_and_device_tree_make_room(tmp_path):
    """They go where nothing has been loaded."""
    (tmp_path / "image").write_bytes(make_linux())
    (tmp_path / "rd").write_bytes(b"initrd")
    with Machine(tmp_path / "image", initrd=tmp_path / "rd", loads=[f"{tmp_path / 'rd'}@0x48000004"]) as machine:
        assert machine.read(0x4800_1000, 6) == b"initrd"
    with Machine(entry=RAM, loads=[f"{tmp_path / 'image'}@0x40000000"]) as machine:
        assert machine.plan.x0 == RAM + (254 << 20)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"loads": ["{blob}"]}, "blob: give FILE@ADDRESS, kernel.bin@0x40200000 say$"),
        ({"loads": ["{blob}@"]}, "'' is no address: write 0x40080000$"),
        ({"loads": ["{blob}@here"]}, "'here' is no address"),
        ({"loads": ["@0x40000000"]}, "give FILE@ADDRESS"),
        ({"loads": ["{blob}@0x09000000"]}, "the file at 0x9000000 to .* overlaps the device pl011"),
        ({"loads": ["{blob}@0x0b000000"]}, "the file at 0xb000000 to .* is outside RAM .*; load it elsewhere"),
        ({"loads": ["{blob}@0xffff000000000000"]}, "is outside RAM"),
        ({"loads": ["{blob}@0x4ffffffc"]}, "nothing lies from 0x50000000 on; load it elsewhere or raise memory"),
        ({"loads": ["{none}@0x40000000"]}, "none: no such file"),
        ({"loads": ["{blob}@0x40000000", "{blob}@0x40000010"]}, r"blob \(0x4.*\) and .*blob \(.* overlap"),
        ({"image": "{blob}", "loads": ["{blob}@0x40080010"]}, "overlap; load one of them elsewhere"),
        ({"image": "{blob}", "entry": 0x4000_0002}, "entry 0x40000002 is no multiple of 4"),
        ({"image": "{blob}", "entry": 0x0900_0000}, "entry 0x9000000: pl011 .* is there, and no memory"),
        ({"image": "{blob}", "entry": "start"}, "entry: no symbol 'start': the guest's image has no symbol table"),
        ({"image": "{blob}", "entry": ""}, "entry: give an address, or a symbol"),
        ({"image": "{blob}", "entry": "12x"}, "entry: '12x' is no address"),
        ({"image": SMCCC, "entry": "maim"}, "no symbol 'maim' in the guest's image; did you mean main"),
        ({"loads": ["{blob}@0x40000000"], "entry": None}, "nothing to run: give .* or loads and entry"),
        ({"entry": 0x4000_0000, "loads": []}, "nothing to run: give .* or loads and entry"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(blob, tmp_path, options, words):
    """It names the option or the file, the address and what lies there."""
    names = {"blob": blob, "none": tmp_path / "none"}
    given = {
        name: [each.format(**names) for each in value] if isinstance(value, list)
        else value.format(**names) if isinstance(value, str) else value
        for name, value in options.items()
    }  # fmt: skip
    if "loads" in given:
        given.setdefault("entry", RAM)
    with pytest.raises(UsageError, match=words) as refusal:
        Machine(**given)
    assert "\n" not in str(refusal.value)


def test_text_of_a_load():
    """The last @ is the address's; names may have others."""
    assert parse_load("a@b.bin@0x1000") == Load("a@b.bin", 0x1000)
    assert split_load("a@b@0x1000") == ("", "a@b", "@0x1000")


def test_a_recording_knows_contents_and_addresses(blob):
    """Two files with the same bytes are one, at two addresses they are not."""

    def header(at: str) -> list[str]:
        return header_of(MachineConfig.of(entry=RAM, loads=[f"{blob}@{at}"], clock="instructions"))["loads"]

    (first,) = header("0x40000000")
    assert first.endswith("@0x40000000")
    assert header("0x50000000") != [first]


def test_inspect_takes_both(blob, tmp_path):
    """What `run` would refuse is refused, and the entry is shown."""
    assert gather(str(SMCCC), {"entry": "main", "loads": (f"{blob}@0x48000000",)})["entry"] != RAM
    with pytest.raises(UsageError, match="overlap"):
        gather(str(SMCCC), {"loads": (f"{blob}@0x40080000",)})


def test_a_suite_has_them_beside_it(blob, tmp_path):
    """Files are looked for beside the suite."""
    (tmp_path / "suite.toml").write_text(
        "[[test]]\nname = 't'\nentry = 0x48000000\nloads = ['blob@0x48000000']\nscript = [{expect = 'blob'}]\n"
    )
    (case,) = load_suite(tmp_path / "suite.toml").cases
    verdict = run_case(case)
    assert verdict.passed, verdict.problem
