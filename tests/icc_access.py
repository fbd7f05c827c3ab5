"""A guest's MRS and MSR of ICC_* registers by their names, for the tests of both kinds of CPU interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.registers import by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class IccAccess:
    """The registers of one interface, as it says them."""

    def __init__(self, rows: Iterable[tuple[int, Callable[[], int] | None, Callable[[int], None] | None]]) -> None:
        self.rows = {encoding: (read, write) for encoding, read, write in rows}

    def _row(self, name: str) -> tuple[Callable[[], int] | None, Callable[[int], None] | None]:
        return self.rows.get(by_name[f"ICC_{name}_EL1"].encoding, (None, None))

    def get(self, name: str) -> int | None:
        """MRS; None where it is UNDEFINED."""
        read = self._row(name)[0]
        return None if read is None else read()

    def set(self, name: str, value: int) -> bool:
        """MSR; False where it is UNDEFINED."""
        write = self._row(name)[1]
        if write is None:
            return False
        write(value)
        return True
