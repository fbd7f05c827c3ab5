"""`armvcpu inspect F`: what an image is, and how it would be loaded.

Facts are gathered as one dictionary; text and `--json` are two ways to print it. How it would be loaded is told by what
`run` does, on the board that the options describe.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from armvcpu.cli.options import parameter
from armvcpu.cli.run_options import spelled
from armvcpu.errors import spell_names
from armvcpu.machine.board.empty import empty_board
from armvcpu.machine.board.virt import FLASH_SIZE
from armvcpu.machine.config import MachineConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.devices.dtnode import DtValue
    from armvcpu.machine.boot.image import ImageKind
    from armvcpu.machine.boot.loader import BootPlan

# What firmware and kernels say of themselves, as a string in the image.
_BANNERS = (
    rb"Linux version \d[^\0\n]{0,200}",
    rb"U-Boot (?:SPL |TPL )?\d{4}\.\d\d[^\0\n]{0,200}",
    rb"BL\d+: v\d[^\0\n]{0,200}",
    rb"BusyBox v\d[^\0\n]{0,200}",
    rb"Zephyr OS build [^\0\n]{0,200}",
    rb"OpenSBI v\d[^\0\n]{0,200}",
)

_SEARCHED = 128 << 20
"""Bytes in which such a string is looked for."""


@click.command(params=[
    click.Argument(["file"], metavar="F", type=click.Path()),
    *(parameter(option) for option in MachineConfig.options.values() if option.is_of_layout),
    click.Option(["--json", "as_json"], is_flag=True, help="Print the facts for machines."),
])  # fmt: skip
def inspect(file: str, as_json: bool, **layout: Any) -> None:
    """Show what the image F is and how `run` loads it, with the same options."""
    facts = gather(file, layout)
    click.echo(json.dumps(facts, indent=2) if as_json else "\n".join(_lines(facts)))


def gather(file: str, layout: dict[str, Any]) -> dict[str, Any]:
    """Everything that `inspect` says about `file` on a machine with the options of `layout`; addresses are numbers.

    Raises:
        ImageError, UsageError: as `run` with the same options.
    """
    from armvcpu.machine.boot.image import GIB, REMEDIES, ImageKind, identify
    from armvcpu.machine.boot.image_file import LOADED, read_file
    from armvcpu.machine.boot.image_linux import unwrap

    config = MachineConfig.of(file, **layout)
    data = read_file(file, max(config.memory, GIB), LOADED)
    inner = unwrap(file, data, config.memory)
    outer, kind = identify(data), identify(inner)
    facts: dict[str, Any] = {"file": file, "size": len(data), "kind": kind.value}
    if outer is not kind:
        facts |= {"wrapped_in": outer.value, "unpacked_size": len(inner)}
    if banner := _banner(inner):
        facts["says"] = banner
    if level := _expected_level(kind, inner):
        facts["expects"] = level
    if kind in (ImageKind.DEVICE_TREE, ImageKind.FIT):
        facts["device_tree"] = _device_tree(file, inner)
    if kind in REMEDIES:
        return facts | {"loads": False, "remedy": spell_names(REMEDIES[kind], spelled)}
    facts |= _loading(_plan(config))
    return facts | {"firmware": outer is ImageKind.RAW and len(data) <= FLASH_SIZE}


def _plan(config: MachineConfig) -> BootPlan:
    """What `run` does with the image, by the same code."""
    from armvcpu.machine.boot.boot import Boot

    return Boot(config, empty_board(config), bytes(32)).plan


def _loading(plan: BootPlan) -> dict[str, Any]:
    from armvcpu.machine.boot.symbols_elf import count_symbols

    image = plan.image
    assert image is not None
    facts: dict[str, Any] = {
        "loads": True,
        "entry": plan.entry,
        "device_tree_at": plan.dtb_addr,
        "notes": image.notes,
        "segments": [{"addr": s.addr, "file_size": len(s.data), "memory_size": s.memory_size} for s in image.segments],
    }
    if image.linux is not None:
        header = image.linux
        facts["linux"] = {
            "text_offset": header.text_offset,
            "image_size": header.image_size,
            "flags": header.flags,
            "page_size": header.page_size,
        }
    if image.elf is not None:
        facts["symbols"] = count_symbols(image.elf)
    return facts


_XEN = b"Xen version %d.%d"
"""Of its own banner."""
_FIP_ALIGNMENT = 0x1000
"""Of Trusted Firmware-A's package of images in a flash image, behind BL1."""


def _expected_level(kind: ImageKind, data: bytes) -> str:
    """At which Exception level the image is to be started, where that can be told; empty where not."""
    from armvcpu.machine.boot.image import ImageKind
    from armvcpu.testing.firmware.fip import MAGIC

    if kind is ImageKind.LINUX_IMAGE:
        if _XEN in data:
            return "EL2 (Xen): run it with --el 2"
        return "EL2, or EL1 (an arm64 Image): --el 2 gives it KVM, and it can't begin at EL3"
    packages = range(_FIP_ALIGNMENT, min(len(data), FLASH_SIZE), _FIP_ALIGNMENT)
    if kind is ImageKind.RAW and any(data.startswith(MAGIC, at) for at in packages):
        return "EL3 (Trusted Firmware-A): run it with --el 3 --firmware"
    return ""


def _banner(data: bytes) -> str | None:
    matches = (re.compile(pattern).search(data, 0, _SEARCHED) for pattern in _BANNERS)
    first = next((match for match in matches if match), None)
    return first[0].decode("utf-8", "replace").strip() if first else None


def _device_tree(file: str, blob: bytes) -> dict[str, Any]:
    from armvcpu.machine.board.devicetree import walk
    from armvcpu.machine.board.devicetree_reader import parse

    root = parse(file, blob).root
    return {
        "model": _strings(root.props.get("model")),
        "compatible": _strings(root.props.get("compatible")),
        "nodes": sum(1 for _ in walk(root)),
        "children": [node.name for node in root.children],
    }


def _strings(value: DtValue) -> list[str]:
    """A property of strings, as it was read from a blob."""
    return value.decode("utf-8", "replace").rstrip("\0").split("\0") if isinstance(value, bytes) else []


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The facts for people: one a line, addresses in hexadecimal."""
    wrapped = f", in a {facts['wrapped_in']}" if "wrapped_in" in facts else ""
    yield f"{facts['file']}: {facts['kind']}{wrapped}, {facts['size']} bytes"
    if "says" in facts:
        yield f"  says     {facts['says']}"
    if "expects" in facts:
        yield f"  expects  {facts['expects']}"
    if "linux" in facts:
        header = facts["linux"]
        yield f"  header   text_offset {header['text_offset']:#x}, image_size {header['image_size']:#x}, " + (
            f"flags {header['flags']:#x}, page size {header['page_size']}"
        )
    if "device_tree" in facts:
        tree = facts["device_tree"]
        yield f"  model    {', '.join(tree['model'] + tree['compatible']) or 'none'}"
        yield f"  nodes    {tree['nodes']}: {_summary(tree['children'])}"
    if not facts["loads"]:
        yield f"  not loaded; {facts['remedy']}"
        return
    yield f"  entry    {facts['entry']:#x}"
    tree_at = facts["device_tree_at"]
    yield "  tree     " + ("none, for which there is no room" if tree_at is None else f"{tree_at:#x}, and in x0")
    yield from (f"  note     {note}" for note in facts["notes"])
    for segment in facts["segments"]:
        end = segment["addr"] + segment["memory_size"] - 1
        yield f"  segment  {segment['addr']:#x} to {end:#x}, {segment['file_size']} bytes from the file"
    if "symbols" in facts:
        yield f"  symbols  {facts['symbols'] if facts['symbols'] is not None else 'damaged'}"
    if facts["firmware"]:
        yield "  or       with --firmware, in flash bank 0, entered at 0x0"


def _summary(names: list[str]) -> str:
    """Node names without unit addresses, equal ones counted: "cpus, virtio_mmio x 32"."""
    counts = Counter(name.partition("@")[0] for name in names)
    return ", ".join(name if count == 1 else f"{name} x {count}" for name, count in counts.items())
