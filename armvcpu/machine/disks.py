"""The disks and other virtio devices of a machine, from its configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from armvcpu.devices.virtio_device import VirtioDevice
    from armvcpu.devices.virtio_disk import DiskImage
    from armvcpu.machine.config import PathLike

READ_ONLY = ",ro"


def open_disks(paths: Sequence[PathLike]) -> list[DiskImage]:
    """Open every image; ImageError, with none left open, where one cannot be used."""
    if not paths:
        return []
    from armvcpu.devices.virtio_disk import DiskImage  # noqa: PLC0415  most machines have none

    disks: list[DiskImage] = []
    try:
        for given in paths:
            path = os.fspath(given)
            name = path.removesuffix(READ_ONLY)
            writable = name == path and (not os.path.exists(name) or os.access(name, os.W_OK))
            disks.append(DiskImage(name, read_only=not writable))
    except BaseException:
        close_disks(disks)
        raise
    return disks


def close_disks(disks: Sequence[DiskImage]) -> None:
    """Close them all."""
    for disk in disks:
        disk.close()


def virtio_devices(disks: Sequence[DiskImage]) -> list[VirtioDevice]:
    """What the first virtio slots hold: an entropy source, then the disks in their order."""
    from armvcpu.devices.virtio_entropy import VirtioEntropy  # noqa: PLC0415

    devices: list[VirtioDevice] = [VirtioEntropy()]
    if disks:
        from armvcpu.devices.virtio_block import VirtioBlock  # noqa: PLC0415

        devices += [VirtioBlock(disk) for disk in disks]
    return devices
