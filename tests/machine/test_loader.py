"""What goes where before the first instruction, and which files are refused."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys

import pytest
from image_bytes import BOARD, RAM, load, make_elf, make_linux

from armvcpu.devices.device import DtNode
from armvcpu.errors import ImageError, UsageError
from armvcpu.machine.board.devicetree import DeviceTree, render
from armvcpu.machine.board.devicetree_reader import parse
from armvcpu.machine.board.memory_map import Region
from armvcpu.machine.boot.image import Segment
from armvcpu.machine.boot.loader import BootPlan, BootRequest, first_fit, plan_boot

MIB = 1 << 20
TREE = DeviceTree(DtNode("", {"#address-cells": (2,), "#size-cells": (2,), "model": "board"}))
CODE = b"\x0a\0\0\x14" * 64


@pytest.fixture
def plan(tmp_path):
    """`plan_boot`, with files given by contents: plan(image=b"...", append="...")."""

    def make(memory=BOARD, **options) -> BootPlan:
        for name, value in options.items():
            if isinstance(value, bytes):
                options[name] = tmp_path / name
                options[name].write_bytes(value)
        return plan_boot(BootRequest(memory, TREE, **options))

    return make


def device_tree(plan: BootPlan) -> DtNode:
    (blob,) = (data for addr, data in plan.writes if addr == plan.dtb_addr)
    return parse("dtb", blob).root


def chosen(plan: BootPlan) -> dict:
    return dict(device_tree(plan).children[0].props)


def test_raw_image_is_entered_at_its_first_byte(plan):
    """Anything unknown goes to RAM + 0x80000, with the device tree in the middle of 64 MiB of RAM and in x0."""
    boot = plan(image=CODE)
    assert (boot.entry, boot.x0, boot.dtb_addr) == (RAM + 0x80000, RAM + 32 * MIB, RAM + 32 * MIB)
    assert (RAM + 0x80000, CODE) in list(boot.writes)


@pytest.mark.parametrize(
    ("ram_mib", "image_size", "initrd_size", "x0"),
    [
        (4, 4, 0, 0x4020_0000),
        (64, 4, 0, 0x4200_0000),
        (128, 4, 0, 0x4400_0000),
        (256, 4, 0, 0x4800_0000),
        (1024, 4, 0, 0x4800_0000),
        (256, 4, 5_000_000, 0x4860_0000),
        (512, 200_000_004, 5_000_000, 0x4C60_0000),
    ],
)
def test_raw_image_finds_its_device_tree_where_qemu_has_it(plan, ram_mib, image_size, initrd_size, x0):
    """x0 at the entry of QEMU 7.2's `-M virt -m RAM -kernel IMAGE [-initrd F]`: half of RAM, behind the initrd."""
    memory = BOARD.replace(ram=Region("RAM", RAM, ram_mib * MIB))
    boot = plan(
        memory, image=CODE[:4].ljust(image_size, b"\0"), **({"initrd": bytes(initrd_size)} if initrd_size else {})
    )
    assert (boot.entry, boot.x0) == (0x4008_0000, x0)


@pytest.mark.parametrize(
    ("image_size", "at"), [(62 * MIB - 0x80000, 62 * MIB), (62 * MIB + 4 - 0x80000, 62 * MIB + 8), (4, 0)]
)
def test_device_tree_makes_room_for_a_raw_image(plan, image_size, at):
    """Where the board's place is taken, it is near the end of RAM, or below an image that leaves room only there."""
    load_address = RAM + 60 * MIB if image_size == 4 else None
    memory = BOARD if image_size != 4 else BOARD.replace(ram=Region("RAM", RAM, 1 * MIB))
    boot = plan(memory, image=bytes(image_size), load_address=load_address if memory is BOARD else RAM + MIB - 4)
    assert boot.x0 == RAM + at


def test_raw_image_goes_to_the_load_address(plan):
    """--load-address moves a raw image."""
    boot = plan(image=CODE, load_address=RAM)
    assert (boot.entry, boot.x0) == (RAM, RAM + 32 * MIB)


@pytest.mark.parametrize("bank", [0, 0x0400_0000])
def test_raw_image_may_be_in_flash(plan, bank):
    """Both banks can be loaded into."""
    boot = plan(image=CODE, load_address=bank + 0x1000)
    assert boot.entry == bank + 0x1000
    assert (bank + 0x1000, CODE) in list(boot.writes)


def test_image_in_both_flash_banks_is_cut_between_them(plan):
    """Each write is of one memory."""
    boot = plan(image=make_elf(load(0x03FF_FFF0, b"0123456789abcdefghij", memsz=64), entry=0x0400_0000))
    assert list(boot.writes)[:2] == [(0x03FF_FFF0, b"0123456789abcdef"), (0x0400_0000, b"ghij")]
    assert list(boot.zeroes) == [(0x0400_0004, 44)]


@pytest.mark.parametrize("image", [make_elf(load(RAM, memsz=64 * MIB)), bytes(64 * MIB)])
def test_image_that_leaves_no_room_for_a_tree_runs_without(plan, image):
    """It may not want one: x0 is zero, and the description says so."""
    boot = plan(image=image, load_address=None if image[:1] == b"\x7f" else RAM)
    assert (boot.x0, boot.dtb_addr) == (0, None)
    assert "no device tree" in "\n".join(boot.description)


def test_a_linked_files_entry_may_be_anywhere_in_it(plan):
    """Entry points lie in a segment, by its virtual addresses or physical ones; else it is said."""
    assert plan(image=make_elf(load(RAM), entry=RAM + 3)).entry == RAM + 3
    with pytest.raises(ImageError, match="entry point 0x40000004 lies in no segment"):
        plan(image=make_elf(load(RAM), entry=RAM + 4))


def test_elf_gets_the_device_tree_in_x0(plan):
    """An ELF file is entered at its entry point, the device tree below it where there is room."""
    boot = plan(image=make_elf(load(RAM + 0x1000), entry=RAM + 0x1000))
    assert (boot.entry, boot.x0) == (RAM + 0x1000, RAM)
    assert boot.image is not None
    assert boot.image.elf is not None


@pytest.mark.parametrize(
    ("loads", "at"),
    [
        ([load(RAM, memsz=3 * MIB)], 62 * MIB),
        ([load(RAM, memsz=3 * MIB), load(RAM + 63 * MIB)], 62 * MIB),
        ([load(RAM, memsz=3 * MIB), load(RAM + 62 * MIB)], 62 * MIB + 8),
        ([load(RAM, memsz=3 * MIB), load(RAM + 62 * MIB, memsz=2 * MIB)], 4 * MIB),
    ],
)
def test_device_tree_keeps_clear_of_zeroed_memory(plan, loads, at):
    """A segment's memory behind its file bytes is taken, too; and behind an image is where its heap begins."""
    boot = plan(image=make_elf(*loads))
    assert boot.dtb_addr == RAM + at
    assert next(boot.zeroes) == (RAM + 4, 3 * MIB - 4)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress])
def test_linux_image_boots_with_the_device_tree_where_qemu_has_it(plan, wrap):
    """The kernel goes to RAM + 2 MiB, compressed or not, x0 is the device tree, in the middle of 64 MiB of RAM."""
    boot = plan(image=wrap(make_linux()))
    assert (boot.entry, boot.x0) == (RAM + 2 * MIB, RAM + 32 * MIB)


@pytest.mark.parametrize(
    ("ram_mib", "kernel_mib", "start_mib"), [(64, 1, 32), (1024, 1, 128), (1024, 200, 202), (64, 40, 42)]
)
def test_initrd_goes_where_qemu_puts_it(plan, ram_mib, kernel_mib, start_mib):
    """128 MiB or half of RAM from its start, or behind a kernel that reaches further."""
    memory = BOARD.replace(ram=Region("RAM", RAM, ram_mib * MIB))
    boot = plan(memory, image=make_linux(image_size=kernel_mib * MIB), initrd=b"070701 etc")
    start = RAM + start_mib * MIB
    assert (start, b"070701 etc") in list(boot.writes)
    assert chosen(boot)["linux,initrd-start"] == start.to_bytes(8, "big")
    assert chosen(boot)["linux,initrd-end"] == (start + 10).to_bytes(8, "big")


def test_append_reaches_chosen(plan):
    """--append is /chosen/bootargs for every kind of image."""
    assert chosen(plan(image=CODE, append="console=ttyAMA0"))["bootargs"] == b"console=ttyAMA0\0"


def test_memory_node_tells_the_ram(plan):
    """The device tree has the RAM that the board has."""
    reg = device_tree(plan(image=CODE)).children[1].props["reg"]
    assert reg == RAM.to_bytes(8, "big") + BOARD.ram.size.to_bytes(8, "big")


def test_users_device_tree_replaces_the_boards(plan):
    """--dtb is passed on with memory and bootargs filled in."""
    boot = plan(image=CODE, dtb=render(DeviceTree(DtNode("", {"model": "theirs"}))), append="x")
    assert device_tree(boot).props["model"] == b"theirs\0"
    assert chosen(boot)["bootargs"] == b"x\0"


def test_firmware_starts_from_flash(plan):
    """--firmware is in bank 0 and entered at 0 with x0 clear; the device tree is at the start of RAM."""
    boot = plan(firmware=CODE)
    assert (boot.entry, boot.x0, boot.dtb_addr) == (0, 0, RAM)
    assert (0, CODE) in list(boot.writes)


def test_firmware_gets_kernel_initrd_and_command_line_by_fw_cfg(plan):
    """With --firmware, an IMAGE is not loaded: the firmware fetches it, unpacked (QEMU, fw_cfg)."""
    boot = plan(firmware=CODE, image=gzip.compress(make_linux()), initrd=b"rd", append="a")
    assert boot.fw_cfg == {"kernel": make_linux(), "initrd": b"rd", "cmdline": b"a\0"}
    assert [addr for addr, _ in boot.writes] == [0, RAM]


def test_initrd_for_firmware_alone_is_in_memory(plan):
    """--initrd reaches a boot loader without a kernel through /chosen."""
    assert "linux,initrd-start" in chosen(plan(firmware=CODE, initrd=b"rd"))


def test_description_says_what_went_where(plan):
    """One line for each thing in memory, for people."""
    text = "\n".join(plan(image=CODE, initrd=b"rd").description)
    assert "raw image" in text
    assert "device tree of the board at 0x42200000" in text
    assert "initrd at 0x42000000 to 0x42000001" in text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "nothing to run"),
        ({"firmware": CODE, "load_address": RAM}, "contradict"),
        ({"image": make_elf(load(RAM)), "load_address": RAM}, "leave load_address out"),
        ({"image": b""}, "is empty"),
        ({"image": CODE, "load_address": 0x0900_0000}, "overlaps the device pl011"),
        ({"image": CODE, "load_address": RAM + 64 * MIB - 4}, "outside RAM"),
        ({"image": b"\xd0\x0d\xfe\xed" + bytes(40)}, "device tree blob, nothing to run; pass it with dtb"),
        ({"image": CODE, "dtb": CODE}, "not a device tree blob"),
        ({"image": CODE, "dtb": b"\xd0\x0d\xfe\xed" + bytes(9)}, "damaged device tree"),
        ({"image": CODE, "dtb": b"\xd0\x0d\xfe\xed" + bytes(2 * MIB)}, "more than a device tree may be"),
        ({"image": CODE, "initrd": bytes(40 * MIB)}, "no room for its"),
        ({"image": make_linux(image_size=62 * MIB), "initrd": b"x"}, "no room for its"),
        ({"image": CODE, "initrd": bytes(65 * MIB)}, "more than the guest's RAM"),
        ({"firmware": bytes(64 * MIB + 1)}, "more than flash bank 0"),
        ({"firmware": make_elf(load(0))}, "ELF file, not a flash image; run it without"),
        ({"firmware": b"QFI\xfb"}, "disk image, not a flash image"),
        ({"image": make_elf(load(RAM, memsz=64 * MIB)), "append": "x"}, "no room for its"),
        ({"image": make_linux(image_size=64 * MIB), "load_address": RAM}, "no room for its"),
        ({"firmware": make_elf(load(0x0900_0000))}, "overlaps the device pl011"),
        ({"firmware": make_elf(load(RAM), e_type=1)}, "relocatable"),
        ({"image": gzip.compress(CODE)}, "gzip-compressed file with no kernel in it; unpack it first"),
        ({"image": b"#!/bin/sh\necho\n"}, "script, nothing to run; name an image"),
        ({"image": CODE, "load_address": 0x0B00_0000}, "outside RAM .*; give another load_address"),
    ],
)
def test_bad_input_is_one_line(plan, options, words):
    """Contradictions and unusable files say what is wrong and what to do."""
    with pytest.raises(UsageError, match=words) as refusal:
        plan(**options)
    assert "\n" not in str(refusal.value)
    assert ";" in str(refusal.value) or ":" in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no such file"),
        ("", "is a directory"),
        ("pipe", "not a regular file"),
        ("loop", "symbolic links"),
        ("a\0b", "null"),
    ],
)
def test_unreadable_files_are_one_line(tmp_path, name, words):
    """A path that leads to no readable regular file is refused, without waiting for anyone."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ImageError, match=words):
        plan_boot(BootRequest(BOARD, TREE, image=tmp_path / name))


def test_huge_file_is_refused_unread(tmp_path):
    """A terabyte (a hole, here) is refused by its size."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ImageError, match="1099511627776 bytes are more"):
        plan_boot(BootRequest(BOARD, TREE, image=tmp_path / "huge"))


@pytest.mark.parametrize(
    ("taken", "start", "size", "found"),
    [
        ([], 0, 16, 0),
        ([], 1, 16, 16),
        ([(0, 16)], 0, 16, 16),
        ([(32, 1), (0, 1)], 0, 16, 16),
        ([(32, 1), (0, 1)], 0, 17, 48),
        ([], 0, 97, None),
        ([(0, 90)], 0, 1, None),
    ],
)
def test_first_fit_is_the_lowest_free_place(taken, start, size, found):
    """The lowest aligned free address, or none; what touches does not overlap."""
    segments = [Segment(addr, b"", length) for addr, length in taken]
    assert first_fit(Region("RAM", 0, 96), segments, start, size, 16) == found


def test_planning_imports_no_heavy_library():
    """`armvcpu run` starts fast: an ELF file is planned without pyelftools, lzma or tomllib."""
    code = (
        "import sys, armvcpu.machine.boot.loader; print({'elftools', 'lzma', 'tomllib', 'unicorn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
