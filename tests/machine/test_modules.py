"""`modules`: files at addresses that /chosen names, as QEMU's `-device guest-loader` has them there for Xen."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from image_bytes import RAM, make_linux

from armvcpu.cli.inspect import gather
from armvcpu.errors import UsageError
from armvcpu.machine.board.devicetree_reader import parse
from armvcpu.machine.config import MachineConfig
from armvcpu.machine.console.recording import header_of
from armvcpu.machine.layout import Load, Module, parse_module, split_module
from armvcpu.machine.machine import Machine
from armvcpu.testing.firmware import programs
from armvcpu.testing.suite.suite import load_suite


@pytest.fixture
def files(tmp_path):
    """An image, a kernel and a ramdisk."""
    (tmp_path / "image").write_bytes(make_linux())
    (tmp_path / "kernel").write_bytes(b"kernel" * 100)
    (tmp_path / "rd").write_bytes(b"ramdisk")
    return tmp_path


def chosen(machine: Machine) -> dict[str, dict[str, object]]:
    """/chosen's own properties under "", and those of each node in it."""
    at = machine.plan.dtb_addr
    size = int.from_bytes(machine.read(at + 4, 4), "big")
    root = parse("tree", machine.read(at, size)).root
    (node,) = (each for each in root.children if each.name == "chosen")
    return {"": dict(node.props), **{each.name: dict(each.props) for each in node.children}}


def reg(address: int, size: int) -> bytes:
    return address.to_bytes(8, "big") + size.to_bytes(8, "big")


def test_modules_lie_in_memory_and_chosen_tells_of_them(files):
    """With what is to be done with each, its size, and its boot arguments; beside what /chosen has in any case."""
    modules = [f"{files}/kernel@0x49000000,kernel,bootargs=a=b,c @1", f"{files}/rd@0x4c000000,ramdisk"]
    with Machine(files / "image", append="hello", modules=modules) as machine:
        assert machine.read(0x4900_0000, 600) == b"kernel" * 100
        assert machine.read(0x4C00_0000, 7) == b"ramdisk"
        nodes = chosen(machine)
    assert nodes["module@49000000"] == {
        "compatible": b"multiboot,module\0multiboot,kernel\0",
        "reg": reg(0x4900_0000, 600),
        "bootargs": b"a=b,c @1\0",
    }
    assert nodes["module@4c000000"] == {
        "compatible": b"multiboot,module\0multiboot,ramdisk\0",
        "reg": reg(0x4C00_0000, 7),
    }
    assert (nodes[""]["bootargs"], nodes[""]["#address-cells"]) == (b"hello\0", b"\0\0\0\2")


@pytest.mark.skipif(shutil.which("dtc") is None, reason="the device tree compiler is not here")
def test_a_tree_of_the_users_gets_them_too(files):
    """By the cells that its /chosen has; a module of the same address is replaced, another one kept."""
    source = """/dts-v1/; / { #address-cells = <2>; #size-cells = <2>; chosen { #address-cells = <1>; #size-cells = <1>;
        module@49000000 { bootargs = "old"; }; module@1 { bootargs = "kept"; }; }; };"""
    subprocess.run(["dtc", "-q", "-o", files / "dtb"], input=source.encode(), check=True)
    with Machine(files / "image", dtb=files / "dtb", modules=[f"{files}/rd@0x49000000,ramdisk"]) as machine:
        nodes = chosen(machine)
    assert nodes["module@49000000"]["reg"] == reg(0x4900_0000, 7)[4:8] + reg(0, 7)[-4:]
    assert "bootargs" not in nodes["module@49000000"]
    assert nodes["module@1"] == {"bootargs": b"kept\0"}


def test_the_nodes_are_those_of_qemu(files):
    """Name, compatible, reg and bootargs, by QEMU's own device tree."""
    subprocess.run(
        [
            programs.path("qemu-system-aarch64"), "-display", "none", "-M", f"virt,gic-version=3,dumpdtb={files}/dtb",
            "-cpu", "cortex-a57", "-kernel", files / "image",
            "-device", f"guest-loader,addr=0x41000000,kernel={files}/kernel,bootargs=one two",
            "-device", f"guest-loader,addr=0x42000000,initrd={files}/rd",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    root = parse("dtb", (files / "dtb").read_bytes()).root
    (node,) = (each for each in root.children if each.name == "chosen")
    theirs = {each.name: dict(each.props) for each in node.children}
    modules = [f"{files}/kernel@0x41000000,kernel,bootargs=one two", f"{files}/rd@0x42000000,ramdisk"]
    with Machine(files / "image", modules=modules) as machine:
        ours = chosen(machine)
    del ours[""]

    def comparable(nodes):
        """QEMU has 0x in the name, which the Devicetree Spec. (2.2.1.1) has not, and no NUL at the end of a list."""
        return {
            name.replace("0x", ""): props | {"compatible": props["compatible"].rstrip(b"\0")}
            for name, props in nodes.items()
        }

    assert comparable(ours) == comparable(theirs)


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("a@0x1000,kernel", Module(Load("a", 0x1000), "kernel")),
        ("my,kernel@2@0x1000,kernel", Module(Load("my,kernel@2", 0x1000), "kernel")),
        ("a@4096,ramdisk", Module(Load("a", 4096), "ramdisk")),
        ("a@0x1000,kernel,bootargs=x@0x2000,ramdisk,y=", Module(Load("a", 0x1000), "kernel", "x@0x2000,ramdisk,y=")),
        ("a@0x1000,kernel,bootargs=", Module(Load("a", 0x1000), "kernel", "")),
    ],
)
def test_text_of_a_module(text, module):
    """The name may have anything in it, and so may the boot arguments."""
    assert parse_module(text) == module
    assert "".join(split_module(text)) == text
    assert split_module(text)[1] == module.load.path


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("{rd}", "rd: give FILE@ADDRESS,kernel or FILE@ADDRESS,ramdisk"),
        ("{rd}@0x49000000", "say behind the address what it is: ,kernel or ,ramdisk$"),
        ("{rd}@0x49000000,dom0", "say behind the address what it is"),
        ("{rd}@0x49000000,kernel,append=x", "'append=x' is no boot arguments; write bootargs="),
        ("{rd}@here,kernel", "'here' is no address"),
        ("@0x49000000,kernel", "give FILE@ADDRESS,kernel"),
        ("{rd}x@0x49000000,kernel", "rdx: no such file"),
        ("{rd}@0x09000000,kernel", "overlaps the device pl011"),
        ("{rd}@0x40200000,kernel", "image .* and .*rd .* overlap; load one of them elsewhere"),
    ],
)
def test_what_cannot_be_is_one_line(files, module, words):
    """It names the option or the file, and what is in the way."""
    with pytest.raises(UsageError, match=words) as refusal:
        Machine(files / "image", modules=[module.format(rd=files / "rd")])
    assert "\n" not in str(refusal.value)


def test_recordings_suites_and_inspect_know_them(files):
    """A recording by contents and words, a suite beside itself, `inspect` by what `run` refuses."""
    module = f"{files}/rd@0x49000000,kernel,bootargs=x"
    (header,) = header_of(MachineConfig.of(entry=RAM, image=files / "image", modules=[module], clock="instructions"))[
        "modules"
    ]
    assert header.endswith("@0x49000000,kernel,bootargs=x")
    assert str(files) not in header
    (files / "suite.toml").write_text(
        "[[test]]\nname = 't'\nimage = 'image'\nmodules = ['rd@0x49000000,kernel,bootargs=x']\nscript = []\n"
    )
    (case,) = load_suite(files / "suite.toml").cases
    assert case.options["modules"] == (module,)
    with pytest.raises(UsageError, match="overlap"):
        gather(str(files / "image"), {"modules": (f"{files}/rd@0x40200000,kernel",)})
