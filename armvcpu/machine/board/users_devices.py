"""The devices that an option puts on a board beside its own: `--device pl011@0x1c090000,spi=5`."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.pl011 import Pl011
from armvcpu.devices.pl031 import Pl031
from armvcpu.devices.pl061 import Pl061
from armvcpu.errors import UsageError, named
from armvcpu.machine.layout import parse_device

if TYPE_CHECKING:
    from armvcpu.devices.device import Device
    from armvcpu.devices.stream import Stream
    from armvcpu.machine.board.virt import Board
    from armvcpu.machine.config import MachineConfig


def add_devices(board: Board, config: MachineConfig) -> None:
    """Put them on the board. A PL011 is on the console, as the board's own is.

    Raises:
        UsageError: the address or the SPI is another device's, memory's, or none.
    """
    for text in config.board_devices:
        given = parse_device(text)
        device = _make(given.kind, board.wiring.stream)
        option = f"{named('board_devices')} {text}"
        memory = board.memory_map()
        there = (memory.ram, *memory.more, *memory.flash, *memory.secure, *memory.devices)
        if other := next((each for each in there if each.overlaps(given.base, device.size)), None):
            raise UsageError(f"{option}: {other} is there; give another address")
        try:
            board.add(device, given.base, given.spi, f"{given.kind}-{given.base:x}")
        except UsageError as error:
            raise UsageError(f"{option}: {error.said(named)}") from error


def _make(kind: str, stream: Stream) -> Device:
    if kind == "pl011":
        return Pl011(stream)
    return Pl031() if kind == "pl031" else Pl061()
