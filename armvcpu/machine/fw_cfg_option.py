"""What `--fw-cfg` says: NAME=FILE, NAME,file=FILE or NAME,string=TEXT; and `name=` before it, as QEMU's option has."""

from __future__ import annotations

from armvcpu.arch.rows import Row
from armvcpu.devices.fw_cfg import LONGEST_NAME
from armvcpu.errors import UsageError, named

USERS = "opt/"
"""Where names belong that are a user's own; firmware and boards have the others (docs/specs/fw_cfg of QEMU)."""


class FwCfgOption(Row):
    """An item of the firmware configuration device: its name, and a file or the text that it holds."""

    name: str
    file: str | None = None
    text: str = ""

    @classmethod
    def parse(cls, given: str) -> FwCfgOption:
        """Read it; UsageError where it is none of the forms, or the name can't be."""
        name, comma, rest = given.removeprefix("name=").partition(",")
        if comma and rest.startswith("string="):
            found = cls(name, None, rest.removeprefix("string="))
        elif comma and rest.startswith("file="):
            found = cls(name, rest.removeprefix("file="))
        else:
            name, _, file = given.partition("=")
            found = cls(name, file)
        if not found.name or found.file == "" or (comma and given.startswith("name=") and found.name == "name"):
            raise UsageError(f"{named('fw_cfg')} {given}: give NAME=FILE or NAME,string=TEXT, opt/x=data.bin say")
        if not found.name.isascii() or not found.name.isprintable() or len(found.name) > LONGEST_NAME:
            raise UsageError(f"{named('fw_cfg')} {given}: a name has up to {LONGEST_NAME} characters of ASCII")
        return found


def check_fw_cfg(options: tuple[str, ...]) -> None:
    """UsageError for one that can't be, or two with one name."""
    names = [FwCfgOption.parse(each).name for each in options]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{named('fw_cfg')}: two of them are called {name}")
