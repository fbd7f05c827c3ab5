"""What is plugged into the virtio slots of a machine, from its configuration, with the files and programs behind it."""

from __future__ import annotations

import os

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.devices.stream import Stream
    from armvcpu.devices.virtio.console import VirtioConsole
    from armvcpu.devices.virtio.device import VirtioDevice
    from armvcpu.devices.virtio.disk import DiskImage
    from armvcpu.devices.virtio.socket_backend import SocketBackend
    from armvcpu.machine.board.network import Network
    from armvcpu.machine.config import MachineConfig
    from armvcpu.machine.kinds import PathLike

READ_ONLY = ",ro"


class Peripherals:
    """An entropy source, then the disks in their order, the network interfaces, the console.

    Raises:
        UsageError, ImageError: one of them can't be had; nothing is left open.
    """

    def __init__(self, config: MachineConfig, stream: Stream, entropy: Callable[[int], bytes]) -> None:
        from armvcpu.devices.virtio.entropy import VirtioEntropy

        self.disks = open_disks(config.disks)
        self._networks: list[Network] = []
        self.console: VirtioConsole | None = None
        self.virtio: list[VirtioDevice] = [VirtioEntropy(entropy)]
        try:
            self._add_disks()
            if config.networks:
                self._add_networks(config.networks)
            if config.virtio_console:
                self._add_console(stream)
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

    def _add_disks(self) -> None:
        if self.disks:
            from armvcpu.devices.virtio.block import VirtioBlock

            self.virtio += [VirtioBlock(disk) for disk in self.disks]

    def _add_networks(self, specs: Sequence[str]) -> None:
        from armvcpu.devices.virtio.net import VirtioNet
        from armvcpu.machine.board.network import NetworkSpec, open_networks

        self._networks = open_networks(specs)
        for network, spec in zip(self._networks, specs, strict=True):
            self.virtio.append(VirtioNet(network.backend, NetworkSpec.parse(spec).mac))

    def _add_console(self, stream: Stream) -> None:
        from armvcpu.devices.virtio.console import VirtioConsole

        self.console = VirtioConsole(stream)
        self.virtio.append(self.console)


def open_disks(paths: Sequence[PathLike]) -> list[DiskImage]:
    """Open every image; ImageError, with none left open, where one cannot be used."""
    if not paths:
        return []
    from armvcpu.devices.virtio.disk import DiskImage  # most machines have none

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
