"""Translated code: forgotten after the host has changed memory, or when what a translator goes by has changed."""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.engine.handle import Handle


class Code:
    """That of one engine."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.is_stale = False

    def invalidate(self, address: int | None = None, size: int = 1) -> None:
        """Forget what was translated from a range of physical addresses, at once; without one all, before the next run.

        Nothing is too early: a block that runs goes on to its end. A range is in the log of written pages, too.
        """
        if address is None:
            self.is_stale = True
        else:
            self._handle.shim.written(self._handle.engine, address, size)

    def drain(self) -> None:
        """Outside of a run: forget what is stale."""
        if self.is_stale:
            self.is_stale = False
            self._handle.shim.forget_all(self._handle.engine)
