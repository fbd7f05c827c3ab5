"""What is plugged into the virtio slots of a machine, from its configuration, with the files and programs behind it."""

from __future__ import annotations

import os
from contextlib import nullcontext

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.machine.disk_option import SLOTS, DiskOption, check_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.stream import Stream
    from armvcpu.devices.virtio.console import VirtioConsole
    from armvcpu.devices.virtio.device import VirtioDevice
    from armvcpu.devices.virtio.disk import DiskImage
    from armvcpu.devices.virtio.socket_backend import SocketBackend, Waiting
    from armvcpu.machine.board.network import Network
    from armvcpu.machine.config import MachineConfig


class Peripherals:
    """Disks, network interfaces, a console, and an entropy source, each in a virtio slot.

    As QEMU's board plugs devices that name no bus, each takes the last slot that is free: the first one is in slot 31.
    The order is that of the list above; a disk whose slot is given has it whatever the order.

    Raises:
        UsageError, ImageError: one of them can't be had; nothing is left open.
    """

    def __init__(
        self, config: MachineConfig, stream: Stream, entropy: Callable[[int], bytes], waiting: Waiting = nullcontext
    ) -> None:
        options = [DiskOption.parse(disk) for disk in config.disks]
        self.disks = open_disks(options)
        self._networks: list[Network] = []
        self.console: VirtioConsole | None = None
        self.virtio: dict[int, VirtioDevice] = {}
        """By their slots."""
        self._reserved = {option.slot for option in options}
        try:
            self._add_disks(options)
            if config.networks:
                self._add_networks(config.networks, waiting)
            if config.virtio_console:
                self._add_console(stream)
            if config.rng:
                self._add_entropy(entropy)
        except BaseException:
            self.close()
            raise

    @property
    def sources(self) -> list[SocketBackend]:
        """What wants attention when its descriptor is ready."""
        return [network.backend for network in self._networks]

    def close(self) -> None:
        """Close files, and end programs."""
        close_disks(self.disks)
        for network in self._networks:
            network.close()

    def _plug(self, device: VirtioDevice, slot: int | None = None) -> None:
        """Into a slot, or the last one that nobody has."""
        if slot is None:
            slot = next(each for each in reversed(range(SLOTS)) if each not in self.virtio.keys() | self._reserved)
        self.virtio[slot] = device

    def _add_disks(self, options: Sequence[DiskOption]) -> None:
        if options:
            from armvcpu.devices.virtio.block import VirtioBlock

            for disk, option in zip(self.disks, options, strict=True):
                self._plug(VirtioBlock(disk), option.slot)

    def _add_networks(self, specs: Sequence[str], waiting: Waiting) -> None:
        from armvcpu.devices.virtio.net import VirtioNet
        from armvcpu.machine.board.network import NetworkSpec, open_networks

        self._networks = open_networks(specs, waiting)
        for network, spec in zip(self._networks, specs, strict=True):
            self._plug(VirtioNet(network.backend, NetworkSpec.parse(spec).mac))

    def _add_console(self, stream: Stream) -> None:
        from armvcpu.devices.virtio.console import VirtioConsole

        self.console = VirtioConsole(stream)
        self._plug(self.console)

    def _add_entropy(self, source: Callable[[int], bytes]) -> None:
        from armvcpu.devices.virtio.entropy import VirtioEntropy

        self._plug(VirtioEntropy(source))


def open_disks(options: Sequence[DiskOption]) -> list[DiskImage]:
    """Open every image; UsageError, with none left open, where one cannot be used."""
    if not options:
        return []
    from armvcpu.devices.virtio.disk import DiskImage  # most machines have none

    disks: list[DiskImage] = []
    try:
        for option in options:
            path = option.path
            check_words(path)
            writable = not option.read_only and (not os.path.exists(path) or os.access(path, os.W_OK))
            disks.append(DiskImage(path, read_only=not writable))
    except BaseException:
        close_disks(disks)
        raise
    return disks


def close_disks(disks: Sequence[DiskImage]) -> None:
    """Close them all."""
    for disk in disks:
        disk.close()
