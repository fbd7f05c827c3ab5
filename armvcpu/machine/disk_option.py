"""What `--disk` says: F[,ro][,slot=N]. It stands beside kinds.py, since more than the machine itself reads it."""

from __future__ import annotations

import os

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError, named

if TYPE_CHECKING:
    from armvcpu.machine.kinds import PathLike

READ_ONLY, SLOT = "ro", "slot="
SLOTS = 32
"""The virtio slots of the board."""


class DiskOption(Row):
    """A disk's file, and how it is plugged in."""

    path: str
    read_only: bool = False
    """Was that asked for? It is too where the file can't be written."""
    slot: int | None = None
    """Which virtio slot it takes; None for the next one that is free."""

    @classmethod
    def parse(cls, given: PathLike) -> DiskOption:
        """Read it; UsageError where the slot is none. A comma before anything else is part of the file's name."""
        path, read_only, slot = os.fspath(given), False, None
        while True:
            head, _, word = path.rpartition(",")
            if head and word == READ_ONLY:
                read_only = True
            elif head and word.startswith(SLOT):
                slot = _slot(word.removeprefix(SLOT), given)
            else:
                return cls(path, read_only, slot)
            path = head

    def __str__(self) -> str:
        """What `parse` reads."""
        return self.path + f",{READ_ONLY}" * self.read_only + (f",{SLOT}{self.slot}" if self.slot is not None else "")


def check_words(path: str) -> None:
    """UsageError, with the first wrong word, where `path` is no file, but one is before a comma of it: F of F,foo."""
    word, head = None, path
    while not os.path.exists(head):
        head, _, behind = head.rpartition(",")
        if not head:
            return
        if behind != READ_ONLY and not behind.startswith(SLOT):
            word = behind
    if word is not None:
        raise UsageError(f"{named('disks')} {path}: {word!r} is no word for a disk; there are {READ_ONLY} and {SLOT}N")


def split_disk(text: str) -> tuple[str, str, str]:
    """As `Option.split` has it: nothing stands before the name."""
    path = DiskOption.parse(text).path
    return "", path, text[len(path) :]


def recorded_slot(behind: str) -> str:
    """What a recording has of that: the slot. Read-only is a disk also where the host's file is."""
    slot = DiskOption.parse(f"disk{behind}").slot
    return "" if slot is None else f",{SLOT}{slot}"


def _slot(text: str, given: PathLike) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 3 or int(text) >= SLOTS:
        raise UsageError(f"{named('disks')} {given}: slot={text}: give 0 to {SLOTS - 1}")
    return int(text)
