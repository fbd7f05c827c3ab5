"""A file of its own for what the Secure UART sends, which otherwise goes where the first UART's characters go."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.errors import ImageError
from armvcpu.machine.console.output_file import OutputFile

if TYPE_CHECKING:
    from armvcpu.machine.console.patience import Patience
    from armvcpu.machine.kinds import PathLike

_LINE_FEED = 10


class SecureOutput:
    """The file at `path`, made anew. What has a line's end is not lost with the process.

    Raises:
        ImageError: the host can't write it, or, from `close`, could not write some of it.
    """

    def __init__(self, path: PathLike, patience: Patience) -> None:
        self._path = path
        self._file = OutputFile(path, patience, self._unwritable, "latin-1")

    def _unwritable(self, said: str) -> ImageError:
        return ImageError(self._path, f"cannot be written: {said}", "choose another place")

    def put(self, byte: int) -> None:
        """One character from the guest, 0 to 255."""
        self._file.write(chr(byte), at_once=byte == _LINE_FEED)

    def close(self) -> None:
        """Write the rest."""
        self._file.close()
