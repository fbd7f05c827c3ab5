"""Device trees (Devicetree Specification v0.4), with the `fdt` library as an independent reader."""

from __future__ import annotations

import random
from contextlib import suppress
from struct import pack, unpack_from

import fdt
import pytest

from armvcpu.devices.device import DtNode, Ref
from armvcpu.errors import ImageError, InternalError
from armvcpu.machine.board.devicetree import DeviceTree, render, to_dts, with_boot
from armvcpu.machine.board.devicetree_reader import parse

MEMORY = (0x4000_0000, 0x1000_0000)
ROOT = DtNode(
    "",
    {
        "#address-cells": (2,),
        "#size-cells": (2,),
        "compatible": ["linux,dummy-virt", "x"],
        "interrupt-parent": (Ref("gic"),),
    },
    (
        DtNode("chosen", {"stdout-path": "/pl011@9000000", "bootargs": "old"}),
        DtNode("intc@8000000", {"reg": (0, 0x800_0000, 0, 0x10000), "interrupt-controller": None}, label="gic"),
        DtNode("pl011@9000000", {"clocks": (Ref("clk"), Ref("clk")), "blob": b"\x01\x02\x03"}),
        DtNode("apb-pclk", {"clock-frequency": (24_000_000,)}, label="clk"),
    ),
)
TREE = DeviceTree(ROOT)


def read(tree: DeviceTree) -> fdt.FDT:
    return fdt.parse_dtb(render(tree))


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/", "compatible", ["linux,dummy-virt", "x"]),
        ("/chosen", "stdout-path", ["/pl011@9000000"]),
        ("/intc@8000000", "reg", [0, 0x800_0000, 0, 0x10000]),
        ("/pl011@9000000", "blob", bytearray(b"\x01\x02\x03")),
        ("/apb-pclk", "clock-frequency", [24_000_000]),
    ],
)
def test_every_kind_of_value_is_encoded(path, name, value):
    """Cells, strings, string lists and bytes come out as an independent reader expects (section 2.2.4)."""
    assert read(TREE).get_property(name, path).data == value


def test_empty_property_has_no_value():
    """A property without a value is there (section 2.2.4, <empty>)."""
    assert parse("f", render(TREE)).root.children[1].props["interrupt-controller"] == b""


def test_references_become_phandles():
    """A Ref is the phandle of the node it labels, also when the node comes later (section 2.3.3)."""
    tree = read(TREE)
    gic = tree.get_property("phandle", "/intc@8000000").value
    clock = tree.get_property("phandle", "/apb-pclk").value
    assert gic != clock
    assert tree.get_property("interrupt-parent").data == [gic]
    assert tree.get_property("clocks", "/pl011@9000000").data == [clock, clock]


def test_phandles_avoid_those_already_there():
    """A number that a node brings along is kept and given to no other."""
    root = DtNode("", {}, (DtNode("a", label="a"), DtNode("b", {"phandle": (1,)}, label="b")))
    tree = read(DeviceTree(root))
    assert (tree.get_property("phandle", "/a").value, tree.get_property("phandle", "/b").value) == (2, 1)


@pytest.mark.parametrize(
    "root",
    [DtNode("", {"x": (Ref("nobody"),)}), DtNode("", {}, (DtNode("a", label="l"), DtNode("b", label="l")))],
)
def test_wrong_labels_are_our_bug(root):
    """An unknown or doubled label is a fault of the board, not of the user."""
    with pytest.raises(InternalError):
        render(DeviceTree(root))


def test_what_is_read_is_written_unchanged():
    """A tree survives reading and writing byte for byte, with its reservations and boot CPU."""
    props = {"strings": b"a\0\0b\0", "text": b"\xff\xfe", "empty": b"", "word": b"abc\0"}
    tree = DeviceTree(DtNode("", props, (DtNode("a@1", {"p": b"\0"}),)), ((0x1000, 0x2000), (0x8000, 1)), 3)
    assert parse("f", render(tree)) == tree
    assert render(parse("f", render(tree))) == render(tree)


def test_blob_has_the_specified_header():
    """Version 17, compatible with 16, and blocks aligned as section 5.2 and 5.6 want them."""
    blob = render(TREE)
    magic, size, structure, _, reservations, version, compatible, _, _, _ = unpack_from(">10I", blob)
    assert (magic, size, version, compatible) == (0xD00DFEED, len(blob), 17, 16)
    assert (structure % 4, reservations % 8) == (0, 0)


def test_nop_tokens_are_skipped():
    """FDT_NOP may stand before any token (section 5.4.1); trees that QEMU dumps have it."""
    structure = pack(">7I", 4, 1, 0, 4, 4, 2, 9)
    blob = pack(">10I", 0xD00DFEED, 56 + len(structure), 56, 56 + len(structure), 40, 17, 16, 0, 0, len(structure))
    assert parse("f", blob + bytes(16) + structure) == DeviceTree(DtNode(""))


def test_source_can_be_printed():
    """`to_dts` gives readable source."""
    assert 'compatible = "linux,dummy-virt", "x";' in to_dts(render(TREE))


def chosen(**boot) -> dict:
    tree = read(with_boot(TREE, memory=MEMORY, **boot))
    return {prop.name: prop.data for prop in tree.get_node("/chosen").props}


def test_chosen_gets_what_is_given_and_keeps_the_rest():
    """stdout-path stays; bootargs and initrd are set (Documentation/devicetree/bindings/chosen.txt)."""
    assert chosen(bootargs="a b", initrd=(0x4800_0000, 0x4800_1234), chosen={"seed": b"\x01"}) == {
        "stdout-path": ["/pl011@9000000"],
        "bootargs": ["a b"],
        "linux,initrd-start": [0, 0x4800_0000],
        "linux,initrd-end": [0, 0x4800_1234],
        "seed": bytearray(b"\x01"),
    }


def test_bootargs_stay_when_none_are_given():
    """Without --append, a tree's own bootargs hold; an empty --append replaces them."""
    assert chosen()["bootargs"] == ["old"]
    assert parse("f", render(with_boot(TREE, memory=MEMORY, bootargs=""))).root.children[0].props["bootargs"] == b"\0"


def test_chosen_is_made_when_missing():
    """A tree without /chosen gets one."""
    tree = with_boot(DeviceTree(DtNode("")), memory=MEMORY, bootargs="x")
    assert read(tree).get_property("bootargs", "/chosen").value == "x"


def test_memory_nodes_are_replaced():
    """The tree tells the machine's RAM, whatever it said before, in the root's own cells (section 3.4)."""
    old = (DtNode("memory", {"reg": (1, 2)}), DtNode("memory@9", {"reg": (9, 9)}))
    root = DtNode("", {"#address-cells": (1,), "#size-cells": (1,)}, old)
    tree = read(with_boot(DeviceTree(root), memory=MEMORY))
    assert [node.name for node in tree.root.nodes] == ["chosen", "memory@40000000"]
    assert tree.get_property("reg", "/memory@40000000").data == list(MEMORY)


@pytest.mark.parametrize(("address", "size"), [(0, 1), (1, 1), (2, 1), (0xFFFF_FFFF, 2), (2, 3)])
def test_cells_that_cannot_express_the_memory_are_refused(address, size):
    """4 GiB of RAM at 1 GiB needs two cells each."""
    root = ROOT.replace(props={"#address-cells": (address,), "#size-cells": (size,)})
    with pytest.raises(ImageError, match=r"u.dtb: .*cells"):
        with_boot(DeviceTree(root), memory=(1 << 30, 1 << 32), path="u.dtb")


@pytest.mark.parametrize("blob", [b"", b"\xd0\x0d\xfe", b"/dts-v1/;", b"\x7fELF" + bytes(100)])
def test_what_is_no_device_tree_is_refused(blob):
    """Anything without the magic number is no device tree blob, and source is to be compiled."""
    with pytest.raises(ImageError, match="f: not a device tree blob; compile"):
        parse("f", blob)


def test_every_truncation_is_refused():
    """A blob cut anywhere is damaged, never half a tree."""
    blob = render(TREE)
    for size in range(4, len(blob)):
        with pytest.raises(ImageError, match="damaged"):
            parse("f", blob[:size])


def test_damage_never_gets_past_the_reader():
    """Any bytes end in a tree that can be written, or in ImageError."""
    rng, original = random.Random(1), render(TREE)
    for _ in range(3000):
        blob = bytearray(original)
        for _ in range(3):
            blob[rng.randrange(4, len(blob))] = rng.choice((0, 1, 2, 3, 0xFF, rng.randrange(256)))
        with suppress(ImageError):
            tree = parse("f", bytes(blob))
            render(with_boot(tree, memory=MEMORY, path="f"))


def test_endless_nesting_is_refused():
    """Nodes nested a million deep end in one line, not in a stack overflow."""
    structure = pack(">2I", 1, 0) * 100_000
    blob = pack(">10I", 0xD00DFEED, 56 + len(structure), 56, 0, 40, 17, 16, 0, 0, len(structure))
    with pytest.raises(ImageError, match="deep"):
        parse("f", blob + bytes(16) + structure)
