"""A file of text that a run writes beside the guest's output: a trace, a recording.

That it can't be opened is told at once. That it can't be written, as on a full disk, is told when it is closed: how the
guest ends is of use without the rest of it. From the first error on nothing more is written.
"""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager, suppress

from armvcpu.arch.static import IO, TYPE_CHECKING, Any, Self
from armvcpu.errors import ArmvcpuError, words_of
from armvcpu.machine.console.host_writer import HostFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.kinds import PathLike


class OutputFile:
    """The file at `path`, opened anew: of text, or, without an `encoding`, of bytes.

    `explain` makes the error of what the host says where it refuses.

    `through` makes of the open file another one, whose contents it changes and puts there, and which closes it.

    Raises:
        ArmvcpuError: as `explain` has it; the file can't be opened.
    """

    def __init__(
        self,
        path: PathLike,
        patience: Patience,
        explain: Callable[[str], ArmvcpuError],
        encoding: str | None = "utf-8",
        through: Callable[[IO[bytes]], IO[bytes]] | None = None,
    ) -> None:
        self._explain = explain
        self._failure: ArmvcpuError | None = None
        with self._explained():
            file = open_output(path, patience)
            inner = file if through is None else through(file)
            self._file: IO[Any] = inner if encoding is None else io.TextIOWrapper(inner, encoding, "backslashreplace")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What the host refuses: a directory that is not there, a full disk, a reader that has gone."""
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
            raise self._explain(words_of(error)) from error

    def write(self, text: str | bytes, *, at_once: bool = False) -> None:
        """Write it; `at_once`, so that it is not lost with the process."""
        if self._failure is not None:
            return
        try:
            with self._explained():
                self._file.write(text)
                if at_once:
                    self._file.flush()
        except ArmvcpuError as failure:
            self._failure = failure
            with suppress(OSError):
                self._file.close()

    def check(self) -> None:
        """Raise the error of what could not be written until now."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Write the rest; the error of what could not be written."""
        try:
            with self._explained():
                self._file.close()
        except ArmvcpuError as failure:
            self._failure = self._failure or failure
        self.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_output(path: PathLike, patience: Patience) -> IO[bytes]:
    """Open a file to write it anew: a regular one as `open` does, a FIFO or terminal with patience.

    To open a FIFO waits for its reader, as it does for every program.

    Raises:
        OSError: the host refuses.
    """
    with patience.waiting():
        file = open(path, "wb", buffering=0)  # noqa: SIM115  the caller's
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return io.BufferedWriter(file)
    return io.BufferedWriter(HostFile(file.fileno(), patience, file))
