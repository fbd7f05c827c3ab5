"""The snapshot options of `armvcpu run`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from armvcpu.machine.console_stdio import StdioConsole
    from armvcpu.machine.machine import Machine
    from armvcpu.machine.outcome import Outcome

REACHED = "the guest has printed what --snapshot-at waits for"


@dataclass(frozen=True, slots=True)
class SnapshotFiles:
    """Where to load from, where to save to, and the text at which the run is to end."""

    load: str | None
    save: str | None
    at: str | None

    def load_into(self, machine: Machine) -> None:
        """Check the options, and go on from the snapshot to load."""
        if self.at is not None and self.save is None:
            raise UsageError("--snapshot-at has no effect without --snapshot-save")
        if self.at == "":
            raise UsageError("--snapshot-at waits for no text: give some")
        if self.save is not None and not os.path.isdir(os.path.dirname(os.path.abspath(self.save))):
            raise UsageError(f"{self.save}: there is no such directory for --snapshot-save")
        if self.load is not None:
            from armvcpu.machine import snapshot_file  # noqa: PLC0415  most runs need none

            machine.restore(snapshot_file.load(self.load))

    def watch(self, console: StdioConsole, machine: Machine) -> None:
        """Listen to what the guest prints, where a text is waited for."""
        if self.at is None:
            return
        wanted, heard = self.at.encode(), bytearray()

        def hear(byte: int) -> None:
            heard.append(byte)
            del heard[: -len(wanted)]
            if heard == wanted:
                machine.quit(REACHED)

        console.listener = hear

    def save_from(self, machine: Machine, outcome: Outcome) -> Outcome:
        """Write the snapshot, where the guest can still go on."""
        if self.save is None:
            return outcome
        if not machine.can_go_on:
            raise UsageError(f"no snapshot was written: the guest has ended ({outcome.reason})")
        from armvcpu.machine import snapshot_file  # noqa: PLC0415

        snapshot = machine.snapshot()
        snapshot_file.save(snapshot, self.save)
        snapshot.close()
        return outcome
