"""How many instructions a machine has executed since power-on, where that is known."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.engine.api import Engine


class Count:
    """The count of all CPUs together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_known = True

    @property
    def value(self) -> int | None:
        """Instructions; None where a run has not been counted."""
        return self._engine.instructions if self._is_known else None

    @property
    def executed(self) -> int:
        """The engine's own count, which stands still while nobody counts."""
        return self._engine.instructions

    def begin(self, *, is_wanted: bool) -> None:
        """A run begins; without counting, what is executed from here on is not known."""
        if is_wanted:
            self._engine.count_instructions()
        else:
            self._is_known = False

    def restart(self, instructions: int | None) -> None:
        """Go on counting from here."""
        self._is_known = instructions is not None
        self._engine.instructions = instructions or 0
