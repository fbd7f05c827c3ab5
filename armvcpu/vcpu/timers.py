"""The timers of a CPU: which there are by its Exception levels, and the registers that each is reached by.

DDI 0487 D11.2 and D17.11. Who may access what (CNTHCTL_EL2, CNTKCTL_EL1, SCR_EL3.ST) is the engine's to check before
anybody is asked here, and so is what the names of EL1's timers mean where EL2 is the host (shim/vhe.c).
"""

from __future__ import annotations

from armvcpu.arch.registers import by_name
from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.vcpu.timer import GuestTimer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Access = tuple[int, Callable[[], int], Callable[[int], bool]]
    """A register's encoding, and who answers for its two directions; a write says whether `due` may be another."""

PARTS = ("CTL", "CVAL", "TVAL")


class TimerKind(Row):
    """One timer: CNT`name`_CTL_`suffix` and so on, of a CPU that has `level`; its interrupt is the PPI `intid`."""

    name: str
    suffix: str
    intid: int
    level: int = 1
    needs_vhe: bool = False

    def encoding(self, part: str) -> int:
        """That of one of its registers."""
        return by_name[f"CNT{self.name}_{part}_{self.suffix}"].encoding


VIRTUAL = TimerKind("V", "EL0", 27)
PHYSICAL = TimerKind("P", "EL0", 30)
HYP_PHYSICAL = TimerKind("HP", "EL2", 26, level=2)
HYP_VIRTUAL = TimerKind("HV", "EL2", 28, level=2, needs_vhe=True)
SECURE_PHYSICAL = TimerKind("PS", "EL1", 29, level=3)
KINDS = (VIRTUAL, PHYSICAL, HYP_PHYSICAL, HYP_VIRTUAL, SECURE_PHYSICAL)
"""The PPIs are those of Arm's Base System Architecture (DEN 0094, PPI assignments)."""


class GuestTimers:
    """All timers of one CPU with the levels up to `el`, with or without the Virtualization Host Extensions.

    `count` is the physical count, `line` gives the interrupt line of an INTID.
    """

    def __init__(
        self, count: Callable[[], int], line: Callable[[int], Callable[[bool], None]], el: int = 1, *,
        has_vhe: bool = False,
    ) -> None:  # fmt: skip
        kinds = [kind for kind in KINDS if kind.level <= el and (has_vhe or not kind.needs_vhe)]
        self._by_kind = {kind: GuestTimer(count, line(kind.intid)) for kind in kinds}
        self.each = tuple(self._by_kind.values())
        self.by_name = {kind.name: timer for kind, timer in self._by_kind.items()}
        """V, P, HP, HV, PS, as far as there are any."""
        self.virtual, self.physical = self._by_kind[VIRTUAL], self._by_kind[PHYSICAL]

    def registers(self) -> Iterator[Access]:
        """Of all of them."""
        for kind, timer in self._by_kind.items():
            yield kind.encoding("CTL"), timer.read_ctl, timer.write_ctl
            yield kind.encoding("CVAL"), timer.read_cval, timer.write_cval
            yield kind.encoding("TVAL"), timer.read_tval, timer.write_tval

    def update(self) -> None:
        """Time has passed."""
        for timer in self.each:
            timer.update()

    def due(self) -> int | None:
        """The physical count at which the next one changes, where one does."""
        first = None
        for timer in self.each:
            if timer.is_armed and (first is None or timer.due < first):
                first = timer.due
        return first

    def reset(self) -> None:
        """As after reset: all disabled, and CNTVOFF_EL2 is 0."""
        self.virtual.offset = 0
        for timer in self.each:
            timer.reset()
