"""Device trees that have been rendered before: a process that makes many machines renders their tree once.

Two machines of a kind differ in the seeds of /chosen, which are put into the finished blob.
"""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.board.devicetree import render, with_boot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.devices.dtnode import DtValue
    from armvcpu.machine.board.devicetree import DeviceTree

MOST = 16
_Key = tuple[object, ...]


class _Kept(Row):
    tree: DeviceTree  # held, so that no other one can have its id
    blob: bytes
    seeds: Mapping[str, bytes]


_BLOBS: dict[_Key, _Kept] = {}


def rendered(
    tree: DeviceTree,
    memory: tuple[int, int],
    more: tuple[tuple[int, int], ...],
    bootargs: str | None,
    initrd: tuple[int, int] | None,
    chosen: Mapping[str, DtValue],
) -> bytes:
    """What `render(with_boot(tree, ...))` gives."""
    seeds = {name: value for name, value in chosen.items() if isinstance(value, bytes) and len(value) >= 16}
    others = tuple((name, repr(value)) for name, value in chosen.items() if name not in seeds)
    key = (id(tree), memory, more, bootargs, initrd, others, tuple((name, len(value)) for name, value in seeds.items()))
    kept = _BLOBS.get(key)
    if kept is None:
        booted = with_boot(tree, memory=memory, more=more, bootargs=bootargs, initrd=initrd, chosen=chosen)
        kept = _Kept(tree, render(booted), seeds)
        if len(_BLOBS) >= MOST:
            _BLOBS.clear()
        if all(kept.blob.count(seed) == 1 for seed in seeds.values()):
            _BLOBS[key] = kept
        return kept.blob
    blob = kept.blob
    for name, seed in seeds.items():
        blob = blob.replace(kept.seeds[name], seed)
    return blob
