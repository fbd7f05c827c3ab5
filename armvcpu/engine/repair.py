"""Syndromes that the engine loses, rebuilt from the instruction at PC."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from armvcpu.engine.unicorn_engine import UnicornEngine


def repair_syndrome(engine: UnicornEngine, syndrome: int, target: int) -> tuple[int, int]:
    """(syndrome, target EL) of an exception whose syndrome has no IL bit."""
    return syndrome or 0x0200_0000, target or 1
