"""What of a machine's physical address space is memory, what is a device, and what has been loaded where."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypedDict

from armvcpu.debug.page.text import plain
from armvcpu.devices.flash import Flash
from armvcpu.machine.layout import parse_load, parse_module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.machine.boot.image import Segment
    from armvcpu.machine.parts import Parts


class Region(TypedDict):
    """A range of physical addresses. `kind` is ram, flash, device or loaded; a loaded one lies inside memory."""

    kind: str
    name: str
    base: int
    size: int
    note: str


def memory_map(parts: Parts) -> list[Region]:
    """All there is, by rising addresses; what is loaded behind the memory that it lies in."""
    found = [*_memory(parts), *_devices(parts), *_loaded(parts)]
    return sorted(found, key=lambda region: (region["base"], -region["size"], region["kind"] == "loaded"))


def _memory(parts: Parts) -> Iterator[Region]:
    there = parts.board.memory_map()
    for region in (there.ram, *there.more, *there.secure):
        yield Region(kind="ram", name=region.name, base=region.base, size=region.size, note="")
    for region in there.flash:
        yield Region(kind="flash", name=region.name, base=region.base, size=region.size, note="")


def _devices(parts: Parts) -> Iterator[Region]:
    for slot in parts.board.slots:
        if isinstance(slot.device, Flash):
            continue
        notes = [f"SPI {_numbers(slot.spis)}"] if slot.spis else []
        notes += ["Secure only"] if slot.is_secure else []
        yield Region(kind="device", name=plain(slot.name), base=slot.base, size=slot.size, note=", ".join(notes))


def _numbers(spis: tuple[int, ...]) -> str:
    return str(spis[0]) if len(spis) == 1 else f"{spis[0]} to {spis[-1]}"


def _loaded(parts: Parts) -> Iterator[Region]:
    for segment in parts.boot.plan.segments:
        name = _name(parts, segment)
        note = f"entered at {parts.boot.plan.entry:#x}" if _has(segment, parts.boot.plan.entry) else ""
        yield Region(kind="loaded", name=plain(name), base=segment.addr, size=segment.memory_size, note=note)


def _name(parts: Parts, segment: Segment) -> str:
    """Which file it is from, as the plan put it there."""
    plan, config = parts.boot.plan, parts.config
    files = {load.address: load.path for load in (parse_load(str(each)) for each in config.loads)}
    files |= {each.load.address: each.load.path for each in (parse_module(str(text)) for text in config.modules)}
    if segment.addr == plan.dtb_addr:
        return "device tree"
    if segment.addr in files:
        return os.path.basename(files[segment.addr])
    if plan.image is not None and any(_has(each, segment.addr) for each in plan.image.segments):
        return os.path.basename(str(config.image))
    if parts.board.memory_map().is_flash(segment.addr):
        return os.path.basename(str(config.firmware or config.image))
    return os.path.basename(str(config.initrd)) if config.initrd is not None else "loaded"


def _has(segment: Segment, address: int) -> bool:
    return segment.addr <= address < segment.addr + max(segment.memory_size, 1)
