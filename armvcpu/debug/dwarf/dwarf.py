"""The functions of a guest, by address and by name: of all files whose symbols are known."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from armvcpu.debug.dwarf.file import DwarfFile
    from armvcpu.debug.dwarf.function import Function
    from armvcpu.machine.boot.symbols import Symbols

_LOG = logging.getLogger(__name__)


class Dwarf:
    """What DWARF says of the files that symbols are from. A damaged file is told of once, and left out from then on."""

    def __init__(self, symbols: Symbols) -> None:
        self._symbols = symbols
        self._files: dict[int, DwarfFile | None] = {}

    def function_at(self, address: int) -> Function | None:
        """The function whose code has a 64-bit address, virtual or physical; None where no DWARF tells."""
        return self._find(address)[0]

    def function_from(self, address: int) -> Function | None:
        """The function whose first instruction is at a 64-bit address, wherever it has been moved."""
        found, linked = self._find(address)
        return found if found is not None and found.low == linked else None

    def _find(self, address: int) -> tuple[Function | None, int]:
        """The function that has an address, and that address as it was linked."""
        for data, linked in self._symbols.places(address):
            try:
                file = self._file(data)
                if file is not None and (found := file.function_at(linked)):
                    assert found.prototype  # damage shows here, and not in a trap
                    return found, linked
            except Exception as damage:  # whatever damaged DWARF makes of its reader
                self._give_up(data, damage)
        return None, address

    def function(self, name: str) -> Function | None:
        """The function that a symbol is; None where it is none, or no DWARF tells of it.

        Raises:
            UsageError: there is no such symbol.
        """
        return self.function_from(self._symbols.address(name))

    @property
    def has_functions(self) -> bool:
        """Does any of the files have DWARF that can be read?"""
        for data in self._symbols.elf_files():
            try:
                file = self._file(data)
            except Exception as damage:
                self._give_up(data, damage)
                continue
            if file is not None and file.has_functions:
                return True
        return False

    def _file(self, data: bytes) -> DwarfFile | None:
        if id(data) not in self._files:  # the symbols keep the bytes
            from armvcpu.debug.dwarf.file import DwarfFile  # its reader takes 50 ms to load

            # No section is called otherwise, compressed ones neither.
            self._files[id(data)] = DwarfFile(data) if b"debug_info" in data else None
        return self._files[id(data)]

    def _give_up(self, data: bytes, damage: Exception) -> None:
        self._files[id(data)] = None
        why = str(UsageError(f"{type(damage).__name__}: {damage}"))
        _LOG.warning("the DWARF of an ELF file cannot be used, its functions have no types: %s", why)
