"""Who hears where the guest's execution goes: branches, changes of the Exception level, and requests to devices.

The engine has one listener of each kind; here are any number of them. Nothing is told, and nothing costs, without one.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.devices.virtio.queue import Virtqueue
    from armvcpu.engine.api import Engine
    from armvcpu.machine.board.virt import Board

    Branched = Callable[[int, int], None]
    """PC and word of a branch that is about to be executed."""
    Changed = Callable[[int, int], None]
    """IRQ_TAKEN, FIQ_TAKEN or RETURNED (engine/api.py), and the level before."""
    Requested = Callable[[str, int, int, int | None], None]
    """The device, its queue, the chain's head; the bytes that were written, or None of a chain that is new."""


class Flow:
    """The listeners of one machine."""

    def __init__(self, engine: Engine) -> None:
        self._listen = engine.listen
        self._branches: list[tuple[int, Branched]] = []
        self._levels: list[Changed] = []
        self._requests: list[Requested] = []

    def hear_branches(self, kinds: int, heard: Branched) -> None:
        """Call `heard` before each branch of these kinds, and perhaps of others. Not while running."""
        self._set_branches([*self._branches, (kinds, heard)])

    def hear_levels(self, heard: Changed) -> None:
        """Call `heard` behind each interrupt that the guest takes, and each ERET."""
        self._set_levels([*self._levels, heard])

    def hear_requests(self, heard: Requested, board: Board) -> None:
        """Call `heard` of each chain of buffers that a virtio device is given, and that it gives back."""
        self._set_requests([*self._requests, heard], board)

    def ignore(self, heard: Branched | Changed | Requested, board: Board) -> None:
        """Call it no more."""
        if any(each == heard for _, each in self._branches):
            self._set_branches([(kinds, each) for kinds, each in self._branches if each != heard])
        if heard in self._levels:
            self._set_levels([each for each in self._levels if each != heard])
        if heard in self._requests:
            self._set_requests([each for each in self._requests if each != heard], board)

    def _set_branches(self, listeners: list[tuple[int, Branched]]) -> None:
        self._branches = listeners
        kinds = 0
        for each, _ in listeners:
            kinds |= each
        self._listen.hear_branches(kinds, self._branch if listeners else None)

    def _branch(self, pc: int, word: int) -> None:
        for _, heard in self._branches:  # another list once somebody ignores them
            heard(pc, word)

    def _set_levels(self, listeners: list[Changed]) -> None:
        self._levels = listeners
        self._listen.hear_levels(self._level if listeners else None)

    def _level(self, what: int, before: int) -> None:
        for heard in self._levels:
            heard(what, before)

    def _set_requests(self, listeners: list[Requested], board: Board) -> None:
        self._requests = listeners
        for device, number, queue in _queues(board):
            queue.watch(partial(self._request, device, number) if listeners else None)

    def _request(self, device: str, queue: int, head: int, written: int | None) -> None:
        for heard in self._requests:
            heard(device, queue, head, written)


def _queues(board: Board) -> Iterator[tuple[str, int, Virtqueue]]:
    from armvcpu.devices.virtio.transport import VirtioTransport  # who hears of no requests may have no such device

    for slot in board.slots:
        if isinstance(slot.device, VirtioTransport):
            for number, queue in enumerate(slot.device.queues):
                yield slot.name, number, queue
