"""A board to be looked at: nothing is in flash, its console leads nowhere, and no CPU is there to execute anything."""

from __future__ import annotations

from types import MappingProxyType

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.deadline import Schedule
from armvcpu.devices.stream import Stream
from armvcpu.devices.wires import StoppedClock
from armvcpu.machine.board.interrupts import Lines
from armvcpu.machine.board.ram import users_ram
from armvcpu.machine.board.users_devices import add_devices
from armvcpu.machine.board.virt import FLASH_SIZE, Board, Wiring, virt_board

if TYPE_CHECKING:
    from collections.abc import Mapping

    from armvcpu.devices.virtio.device import VirtioDevice
    from armvcpu.machine.config import MachineConfig

_NOTHING: Mapping[int, VirtioDevice] = MappingProxyType({})


def empty_board(config: MachineConfig, virtio: Mapping[int, VirtioDevice] = _NOTHING) -> Board:
    """The board that these options describe, with `virtio` plugged in, by slots.

    Raises:
        UsageError: as a machine's.
    """
    wiring = Wiring(
        Stream(discard), (_Erased(), _Erased()), Lines(config.cpus, config.el), Schedule(), StoppedClock(), None,
        virtio, config.virtio_version, config.gic, config.el,
    )  # fmt: skip
    board = virt_board(config.memory, wiring, config.cpu_model, users_ram(config))
    add_devices(board, config)
    return board


def discard(_byte: int) -> None:
    """Nobody reads the console."""


class _Erased:
    """The contents of a flash bank that nobody programs."""

    is_missed = False

    def __len__(self) -> int:
        return FLASH_SIZE

    def __getitem__(self, where: slice) -> bytes:
        start, stop, _ = where.indices(FLASH_SIZE)
        return b"\xff" * (stop - start)

    def put(self, offset: int, data: bytes) -> None:
        """Nothing is kept."""

    def changes(self) -> dict[int, bytes]:
        """None."""
        return {}

    def load_changes(self, changes: dict[int, bytes]) -> None:
        """None."""

    def show(self, shown: bool) -> None:
        """To nobody."""
