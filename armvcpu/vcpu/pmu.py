"""The Performance Monitors of a vCPU: a cycle counter and six event counters, in registers that Python answers.

DDI 0487 D17.5 has the registers; this is PMUv3 as Armv8.0 has it, without EL2, EL3 and AArch32: PMCR_EL0.LC is RES1, so
the cycle counter overflows at 64 bits, and the event counters at 32. A cycle is a nanosecond of the machine's time, as
on QEMU's board. Two events are counted, CPU_CYCLES and SW_INCR: those that an Armv8.0 PMU must have, but for
INST_RETIRED, which nothing here tells. A filter that leaves out one of EL1 and EL0 has no effect on cycles, since
nobody notes how many each has used; one that leaves out both stops them.
"""

from __future__ import annotations

from functools import partial

from armvcpu.arch.registers import by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.engine.api import word_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.vcpu.sysreg import ReadRegister, WriteRegister

_PMSELR, _PMUSERENR = (by_name[name].encoding for name in ("PMSELR_EL0", "PMUSERENR_EL0"))
COUNTERS, CYCLE = 6, 31
"""PMCR_EL0.N, and the bit and selection of PMCCNTR_EL0."""
SW_INCR, CPU_CYCLES = 0x00, 0x11
"""The common events (DDI 0487, "The PMU event number space") that PMCEID0_EL0 shows."""
ENABLE, RESET_EVENTS, RESET_CYCLES, _LC = 1, 2, 4, 1 << 6
_CONTROLS = 0x39  # PMCR_EL0.E, D, X and DP
_NOT_EL1, _NOT_EL0 = 1 << 31, 1 << 30
_FILTER = _NOT_EL1 | _NOT_EL0
_TYPE = _FILTER | 0x3FF
_IMPLEMENTED = 1 << CYCLE | (1 << COUNTERS) - 1
_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_WRAPS = (*(1 << 32 for _ in range(COUNTERS)), *(0 for _ in range(COUNTERS, CYCLE)), 1 << 64)


class Pmu:
    """One vCPU's. `now` tells the time in ns, `level` the exception level, `show_user` is told PMUSERENR_EL0.

    `line` is the overflow interrupt, a level; `on_change` is called when `deadline` may have changed.
    """

    def __init__(
        self,
        identity: int,
        now: Callable[[], int],
        level: Callable[[], int],
        show_user: Callable[[int], object],
        line: Callable[[bool], object],
        on_change: Callable[[], object],
    ) -> None:
        self._identity, self._now, self._level, self._show_user = identity & 0xFFFF_0000, now, level, show_user
        self._line, self._on_change = line, on_change
        self._raised = False
        self.deadline: int | None = None
        """When the next counter overflows whose interrupt is enabled, ns; None where none will."""
        self._since = now()
        self._selection, self._access = word_of(0x1F), word_of(0xF)
        self.words = {_PMSELR: self._selection, _PMUSERENR: self._access}
        """Registers that the engine keeps itself: hypervisors write them at each switch."""
        self._clear()

    def _clear(self) -> None:
        self._control = self._enabled = self._interrupts = self._overflowed = self._selection[0] = self._access[0] = 0
        self._counts, self._types = [0] * 32, [0] * 32

    def reset(self) -> None:
        """As after power-on: nothing counts, and no interrupt."""
        self._clear()
        self._changed()

    def _next_overflow(self) -> int | None:
        if not self._control & ENABLE or not self._interrupts & self._enabled:
            return None
        left = [_WRAPS[n] - self._counts[n] for n in self._timed() if self._interrupts >> n & 1]
        return self._since + min(left) if left else None

    def update(self) -> None:
        """Time has passed: has a counter overflowed?"""
        if self._interrupts:
            self._advance()
            self._signal()
            self.deadline = self._next_overflow()

    def state(self) -> list[int]:
        """All of it, now."""
        self._advance()
        return [
            self._control, self._enabled, self._interrupts, self._overflowed, self._selection[0], self._access[0],
            int(self._raised), *self._counts, *self._types,
        ]  # fmt: skip

    def load_state(self, state: list[int]) -> None:
        """Return to what `state()` gave, with an interrupt controller that has been told of the level already."""
        self._control, self._enabled, self._interrupts, self._overflowed, self._selection[0], self._access[0] = state[
            :6
        ]
        self._raised = bool(state[6])
        self._counts, self._types = list(state[7:39]), list(state[39:71])
        self._since = self._now()
        self._show_user(self._access[0])
        self.deadline = self._next_overflow()
        self._on_change()

    # --- counting ---------------------------------------------------------------------------------------------

    def _timed(self) -> Iterator[int]:
        """The counters that time moves."""
        for n in (*range(COUNTERS), CYCLE):
            kind = self._types[n]
            counts_cycles = n == CYCLE or kind & 0x3FF == CPU_CYCLES
            if self._enabled >> n & 1 and counts_cycles and kind & _FILTER != _FILTER:
                yield n

    def _advance(self) -> None:
        """Count the time since the last call."""
        now = self._now()
        elapsed, self._since = now - self._since, now
        if self._control & ENABLE and self._enabled and elapsed > 0:
            for n in self._timed():
                self._add(n, elapsed)

    def _add(self, n: int, amount: int) -> None:
        count = self._counts[n] + amount
        if count >= _WRAPS[n]:
            count %= _WRAPS[n]
            self._overflowed |= 1 << n
        self._counts[n] = count

    def _signal(self) -> None:
        """The interrupt's level: an overflow whose interrupt is enabled, while PMCR_EL0.E is set (D17.5)."""
        raised = bool(self._control & ENABLE and self._overflowed & self._interrupts)
        if raised != self._raised:
            self._raised = raised
            self._line(raised)

    def _changed(self) -> None:
        self._signal()
        self.deadline = self._next_overflow()
        self._on_change()

    # --- registers --------------------------------------------------------------------------------------------

    def registers(self) -> Iterator[tuple[int, ReadRegister | None, WriteRegister | None]]:
        """Each register's packed encoding, who reads and who writes it."""
        for kind, field in (("PMCNTEN", "_enabled"), ("PMINTEN", "_interrupts"), ("PMOVS", "_overflowed")):
            read = partial(self._read_bits, field)
            suffix = "EL1" if kind == "PMINTEN" else "EL0"
            clear = f"{kind}CLR_{suffix}"
            yield by_name[f"{kind}SET_{suffix}"].encoding, read, partial(self._set_bits, field)
            yield by_name[clear].encoding, read, partial(self._clear_bits, field)
        yield by_name["PMCR_EL0"].encoding, self._read_control, self._write_control
        yield by_name["PMSWINC_EL0"].encoding, None, self._increment
        yield _PMSELR, lambda: self._selected, self._select
        yield _PMUSERENR, lambda: self._access[0], self._write_user
        yield by_name["PMCEID0_EL0"].encoding, lambda: 1 << SW_INCR | 1 << CPU_CYCLES, None
        yield by_name["PMCEID1_EL0"].encoding, lambda: 0, None
        yield by_name["PMXEVTYPER_EL0"].encoding, lambda: self._types[self._selected], self._write_selected_type
        yield by_name["PMXEVCNTR_EL0"].encoding, self._read_selected_count, self._write_selected_count
        counters = [(f"PMEVCNTR{n}_EL0", f"PMEVTYPER{n}_EL0", n) for n in range(COUNTERS)]
        for count, kind, n in (*counters, ("PMCCNTR_EL0", "PMCCFILTR_EL0", CYCLE)):
            yield by_name[count].encoding, partial(self._read_count, n), partial(self._write_count, n)
            yield by_name[kind].encoding, partial(self._read_type, n), partial(self._write_type, n)

    def _read_bits(self, field: str) -> int:
        if field == "_overflowed":
            self._advance()
        return int(getattr(self, field))

    def _set_bits(self, field: str, value: int) -> None:
        self._advance()
        setattr(self, field, getattr(self, field) | value & _IMPLEMENTED)
        self._changed()

    def _clear_bits(self, field: str, value: int) -> None:
        self._advance()
        setattr(self, field, getattr(self, field) & ~value)
        self._changed()

    def _read_control(self) -> int:
        return self._identity | COUNTERS << 11 | _LC | self._control

    def _write_control(self, value: int) -> None:
        self._advance()
        self._control = value & _CONTROLS
        if value & RESET_EVENTS:
            self._counts[:COUNTERS] = [0] * COUNTERS
        if value & RESET_CYCLES:
            self._counts[CYCLE] = 0
        self._changed()

    def _increment(self, value: int) -> None:
        """PMSWINC_EL0: of the counters named, those that are enabled and count SW_INCR at this level."""
        if not self._control & ENABLE:
            return
        self._advance()
        without = _NOT_EL1 if self._level() else _NOT_EL0
        for n in range(COUNTERS):
            kind = self._types[n]
            if value & self._enabled & 1 << n and kind & 0x3FF == SW_INCR and not kind & without:
                self._add(n, 1)
        self._signal()

    @property
    def _selected(self) -> int:
        return self._selection[0]

    def _select(self, value: int) -> None:
        self._selection[0] = value & 0x1F

    def _write_user(self, value: int) -> None:
        self._access[0] = value & 0xF
        self._show_user(self._access[0])

    def _read_count(self, n: int) -> int:
        self._advance()
        return self._counts[n]

    def _write_count(self, n: int, value: int) -> None:
        self._advance()
        self._counts[n] = value & (_U64 if n == CYCLE else _U32)
        self._changed()

    def _read_type(self, n: int) -> int:
        return self._types[n]

    def _write_type(self, n: int, value: int) -> None:
        self._advance()
        self._types[n] = value & (_FILTER if n == CYCLE else _TYPE)
        self._changed()

    def _read_selected_count(self) -> int:
        """CONSTRAINED UNPREDICTABLE for what is no event counter: it reads as zero, and ignores writes."""
        return self._read_count(self._selected) if self._selected < COUNTERS else 0

    def _write_selected_count(self, value: int) -> None:
        if self._selected < COUNTERS:
            self._write_count(self._selected, value)

    def _write_selected_type(self, value: int) -> None:
        if self._selected < COUNTERS or self._selected == CYCLE:
            self._write_type(self._selected, value)
