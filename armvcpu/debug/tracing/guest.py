"""What is asked about a guest while it is traced: names, code, moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.tracing.event import Event, Places, no_moment

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.tracing.event import Moment
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.parts import Parts


def _nothing(_number: int) -> str:
    return ""


class TracedGuest(NamedTuple):
    """The answers, as functions."""

    places: Places
    read_code: Callable[[int], int | None]
    """The instruction word at a virtual address, or None."""
    name_of: Callable[[int], str] = _nothing
    """The device and register at a guest-physical address, as `pl011.UARTDR`; empty: unknown."""
    interrupts_of: Callable[[int], str] = _nothing
    """The device that has an INTID; empty: none."""
    moment: Moment = no_moment

    @classmethod
    def of(cls, parts: Parts, symbols: Symbols, *, timed: bool = True) -> TracedGuest:
        """Those of a machine; `timed`: with moments."""
        clock, count = parts.clock, parts.count
        devices = {32 + spi: slot.name for slot in parts.board.slots for spi in slot.spis}

        def moment() -> tuple[int, int | None]:
            return clock.ns() - clock.began, count.value

        return cls(
            Places(symbols),
            parts.engine.memory.fetch_word,
            parts.board.name_of,
            lambda intid: devices.get(intid, ""),
            moment if timed else no_moment,
        )

    def event(
        self, vcpu: int, el: int, pc: int, kind: str, what: str, keys: dict[str, str | int], words: str = ""
    ) -> Event:
        """One that happens now."""
        ns, instructions = self.moment()
        return Event(vcpu, el, pc, self.places.name(pc), kind, what, keys, words, ns, instructions)
