"""Coverage of one machine: the engine's records, from when it is asked for until nobody wants it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.coverage.blocks import BlockReader
from armvcpu.debug.coverage.coverage import Coverage
from armvcpu.debug.coverage.pauses import few_pauses
from armvcpu.debug.coverage.placing import Places
from armvcpu.debug.coverage.program import programs_of, read_program

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.engine.api import BlockRecords
    from armvcpu.machine.kinds import PathLike
    from armvcpu.machine.parts import Parts


class Covering:
    """Counts what a machine executes; `coverage` is up to date whenever it is asked, until `end` or the machine's end.

    `files` are further ELF files. ImageError where one can't be used.
    """

    def __init__(self, parts: Parts, files: Iterable[PathLike] = ()) -> None:
        self.coverage = Coverage(self.update)
        programs = [*programs_of(parts.config, parts.boot, parts.board.memory_map())]
        programs += [read_program(path) for path in files]
        self._places = {self.coverage.know(program): Places(program) for program in programs}
        self._records: BlockRecords | None = parts.engine.records
        self._records.begin()
        self._reader = BlockReader(self._records)
        self._forget = parts.held.callback(self.end)

    def end(self) -> None:
        """What the machine executes from here on is not counted; may be called twice."""
        if self._records is None:
            return
        self._forget()
        self.update()
        self._records.end()
        self._records = None
        if self._reader.lost:
            import logging  # 7 ms

            logging.getLogger(__name__).warning(
                "coverage is not complete: the guest has made more new code than there is room for; "
                "%d times a block of it was executed",
                self._reader.lost,
            )

    def update(self) -> None:
        """Take what the machine has executed since the last time."""
        if self._records is None:
            return
        with few_pauses():
            blocks = self._reader.take()
            for key, places in self._places.items():
                self.coverage.tally(key).add(places.place(blocks))
