"""Commands about the board: its memory map, its devices' state, its power key."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from armvcpu.errors import UsageError, did_you_mean
from armvcpu.machine.kinds import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.board.virt import Slot

MOST_BYTES = 32
"""So many of a long field are shown."""


def info_mtree(view: View) -> str:
    """RAM, flash, devices and what scripts have put there, by address."""
    rows = sorted(_rows(view), key=lambda row: (row[0], row[1]))
    return "\n".join(
        f"{base:#018x} to {base + size - 1:#018x} {format_size(size):>9}  {what}" for base, size, what in rows
    )


def _rows(view: View) -> Iterator[tuple[int, int, str]]:
    machine = view.machine
    where = machine.board.memory_map()
    for region in (where.ram, *where.more, *where.secure):
        yield region.base, region.size, region.name
    for first, last in _runs(machine.board.slots):
        what = first.name if first is last else f"{first.name} to {last.name.removeprefix('virtio-mmio')}, empty"
        yield first.base, last.base + last.size - first.base, f"{what}{' (Secure only)' if first.is_secure else ''}"
    known = [(slot.base & -4096, slot.base + slot.size) for slot in machine.board.slots]
    for window in machine.parts.bus.windows:
        if not any(low <= window.base < high for low, high in known):
            yield window.base, window.size, "a script's device (on_mmio)"
    for piece in machine.board.pcie_windows:
        yield piece.cpu_addr, piece.size, "PCIe window, empty"


def _runs(slots: Sequence[Slot]) -> Iterator[tuple[Slot, Slot]]:
    """(first, last) of those that have one device: empty virtio slots side by side do, and all others are alone."""
    for _, group in groupby(slots, lambda slot: id(slot.device)):
        run = list(group)
        yield run[0], run[-1]


def info_devices(view: View, name: str | None) -> str:
    """All of them, or one with its state."""
    slots = view.machine.board.slots
    if name is None:
        return "\n".join(_line(view, slot) for slot in slots)
    slot = next((each for each in slots if each.name == name), None)
    if slot is None:
        raise UsageError(f"there is no device {name!r}{did_you_mean(name, [each.name for each in slots], 3)}")
    state = slot.device.state()
    if hasattr(slot.device, "device"):
        state = {"device": type(slot.device.device).__name__, **state}
    return "\n".join([_line(view, slot), *(f"  {line}" for line in _fields("", state))])


def _line(view: View, slot: Slot) -> str:
    shared = view.machine.board.gic.shared
    lines = [f"SPI {spi} {'high' if shared.line >> (32 + spi) & 1 else 'low'}" for spi in slot.spis]
    inside = getattr(slot.device, "device", None)
    what = type(slot.device if inside is None else inside).__name__
    return f"{slot.name:14} {slot.base:#014x}  {what:24} {', '.join(lines)}".rstrip()


def _fields(prefix: str, value: Any) -> Iterator[str]:
    """A state as lines `name value`; what is in it is under its name and a dot."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _fields(f"{prefix}.{key}" if prefix and prefix != "values" else str(key), each)
    elif isinstance(value, list | tuple):
        if value and not any(value):
            yield f"{prefix} all 0"
        for number, each in enumerate(value):
            if each:
                yield from _fields(f"{prefix}[{number}]", each)
    else:
        yield f"{prefix} {_shown(value)}"


def _shown(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        shown = bytes(value[:MOST_BYTES]).hex(" ")
        return f"{shown or 'none'}{f' ... {len(value)} bytes' if len(value) > MOST_BYTES else ''}"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:#x}" if isinstance(value, int) else str(value)


def power_key(view: View, position: str | None) -> str:
    """Down, or up again."""
    if position == "up":
        view.machine.release_power_key()
    else:
        view.machine.press_power_key()
    return ""
