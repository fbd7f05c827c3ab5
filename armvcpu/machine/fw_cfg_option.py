"""What `--fw-cfg` says: NAME=FILE, NAME,file=FILE or NAME,string=TEXT; and `name=` before it, as QEMU's option has."""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.fw_cfg import LONGEST_NAME
from armvcpu.errors import UsageError, named

if TYPE_CHECKING:
    from armvcpu.machine.kinds import PathLike

USERS = "opt/"
"""Where names belong that are a user's own; firmware and boards have the others (docs/specs/fw_cfg of QEMU)."""


class FwCfgOption(Row):
    """An item of the firmware configuration device: its name, and a file or the text that it holds."""

    name: str
    file: str | None = None
    text: str = ""

    @classmethod
    def parse(cls, value: PathLike) -> FwCfgOption:
        """Read it; UsageError where it is none of the forms, or the name can't be."""
        given = str(value)
        found = cls._read(given)
        comma = "," in given.removeprefix("name=")
        if not found.name or found.file == "" or (comma and given.startswith("name=") and found.name == "name"):
            raise UsageError(f"{named('fw_cfg')} {given}: give NAME=FILE or NAME,string=TEXT, opt/x=data.bin say")
        if not found.name.isascii() or not found.name.isprintable() or len(found.name) > LONGEST_NAME:
            raise UsageError(f"{named('fw_cfg')} {given}: a name has up to {LONGEST_NAME} characters of ASCII")
        return found

    @classmethod
    def _read(cls, given: str) -> FwCfgOption:
        name, comma, rest = given.removeprefix("name=").partition(",")
        if comma and rest.startswith("string="):
            return cls(name, None, rest.removeprefix("string="))
        if comma and rest.startswith("file="):
            return cls(name, rest.removeprefix("file="))
        name, _, file = given.partition("=")
        return cls(name, file)

    @classmethod
    def split(cls, given: str) -> tuple[str, str, str]:
        """As `Option.split` has it: the item's name stands before the file's, and a text names no file."""
        file = cls._read(given).file or ""
        return given.removesuffix(file), file, ""


def check_fw_cfg(options: tuple[PathLike, ...]) -> None:
    """UsageError for one that can't be, or two with one name."""
    names = [FwCfgOption.parse(each).name for each in options]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{named('fw_cfg')}: two of them are called {name}")
