"""The snapshot options of `armvcpu run`."""

from __future__ import annotations

import os

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome

REACHED = "the guest has printed what --snapshot-at waits for"


class SnapshotFiles(Row):
    """Where to save to, and the text at which the run is to end."""

    save: str | None
    at: str | None

    def check(self) -> None:
        """UsageError for options that can't be."""
        if self.at is not None and self.save is None:
            raise UsageError("--snapshot-at has no effect without --snapshot-save")
        if self.at == "":
            raise UsageError("--snapshot-at waits for no text: give some")
        if self.save is not None:
            _check_place(self.save)

    def listener(self, machine: Machine) -> Callable[[int], None] | None:
        """Who hears what the guest prints, where a text is waited for."""
        if self.at is None:
            return None
        wanted, heard = os.fsencode(self.at), bytearray()

        def hear(byte: int) -> None:
            heard.append(byte)
            del heard[: -len(wanted)]
            if heard == wanted:
                machine.quit(REACHED)

        return hear

    def save_from(self, machine: Machine, outcome: Outcome) -> None:
        """Write the snapshot; UsageError where the guest can't go on, or the host can't write."""
        if self.save is None:
            return
        if not machine.can_go_on:
            raise UsageError(f"no snapshot was written: the guest has ended ({outcome.reason})")
        from armvcpu.machine.snapshots import snapshot_file

        try:
            snapshot = machine.snapshot()
        except OSError as error:  # it takes memory in the form of a file without a name
            raise UsageError(f"--snapshot-save: no snapshot can be taken: {error.strerror}") from error
        try:
            snapshot_file.save(snapshot, self.save)
        finally:
            snapshot.close()


def _check_place(path: str) -> None:
    """UsageError where no file can appear under the name, before the run and not behind it."""
    from armvcpu.machine.files import LONGEST_NAME, LONGEST_PATH  # most runs save none

    directory = os.path.dirname(os.path.abspath(path))
    problem = ""
    name = os.path.basename(path)
    if len(os.fsencode(path)) > LONGEST_PATH or len(os.fsencode(name)) > LONGEST_NAME:
        problem = "its name is too long"
    elif not path or os.path.isdir(path):
        problem = "is no name of a file"
    elif os.path.exists(path) and not os.path.isfile(path):
        problem = "is no regular file"
    elif not os.path.isdir(directory):
        problem = "there is no such directory"
    elif not os.access(directory, os.W_OK | os.X_OK):
        problem = "its directory can't be written"
    if problem:
        raise UsageError(f"--snapshot-save {path or repr(path)}: {problem}; choose another place")
