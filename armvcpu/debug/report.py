"""The crash report: what a firmware developer wants to know when the guest can go no further, or hangs.

A `CrashReport` is plain data, which `gather.py` makes of a stopped vCPU: `render()` prints it, `as_dict()` is it for
--json. What happened and what to do about it are its first two lines, and its last two as well, since some 40 lines of
detail come in between. Of a guest that hangs, `render_short()` tells where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.arch.esr import ESR
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.pstate import describe_pstate, el
from armvcpu.arch.rows import Row
from armvcpu.debug.disasm import disassemble

if TYPE_CHECKING:
    from collections.abc import Iterator

_FRAMES, _EXITS = 8, 4  # as many are printed
_WIDTH = 10
LOOP = "it is in an endless exception loop"
"""What became of a guest whose handler takes an exception itself, again and again."""


class CodeLine(NamedTuple):
    """One instruction; `marker` is `=>` at the one the listing is about, else empty."""

    address: int
    word: int
    marker: str

    @property
    def text(self) -> str:
        """In words, which are looked for when they are shown: what knows them takes a tenth of a second to load."""
        return disassemble(self.word, self.address)


class Frame(NamedTuple):
    """One line of a backtrace; `symbol` as `main+0x1c`, empty where none is known."""

    pc: int
    symbol: str


class Place(NamedTuple):
    """A frame with the line of the source, as `main.c:12`, empty where that is not known."""

    pc: int
    symbol: str
    source: str

    def __str__(self) -> str:
        return f"{self.pc:#018x} {self.symbol} {self.source}".rstrip()


class FaultReport(Row):
    """The first exception that the guest has not returned from; `instruction` is empty where it can't be read."""

    esr: int
    far: int | None
    elr: int
    pstate: int
    sp: int
    word: int | None
    instruction: str
    loaded: str
    """The instruction that was loaded there, where memory has another one by now, else empty."""
    place: Place
    caller: Place | None
    """Where the last call was, for one at a place that has no code."""

    @property
    def headline(self) -> str:
        """What happened, where, and by which instruction."""
        at = f"at {self.place.pc:#x}" + _named(self.place)
        called = "" if self.caller is None else f", called from {self.caller.pc:#x}{_named(self.caller)}"
        far = "" if self.far is None else f", FAR {self.far:#018x}"
        loaded = f" (loaded as {self.loaded})" if self.loaded else ""
        instruction = f": {self.instruction}{loaded}," if self.instruction else ""
        return f"{describe_esr(self.esr)}{instruction} {at}{called}{far}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": ESR(self.esr).EC.name,
            "el": el(self.pstate),
            "esr": f"{self.esr:#x}",
            "words": describe_esr(self.esr),
            "far": None if self.far is None else f"{self.far:#x}",
            "elr": f"{self.elr:#x}",
            "sp": f"{self.sp:#x}",
            "instruction": self.instruction or None,
            "loaded": self.loaded or None,
            "symbol": self.place.symbol,
            "source": self.place.source,
            "called_from": None if self.caller is None else _as_dict(self.caller),
        }


class CrashReport(Row):
    """A stopped vCPU. `esr` and `far` are of the exception that it took last; registers are 64 bits wide."""

    reason: str
    vcpu_id: int
    pc: int
    pstate: int
    fault: FaultReport | None
    """The first exception that the guest has not returned from; None where it has returned from all."""
    is_endless: bool
    """Has that become a loop of exceptions?"""
    esr: int | None
    far: int | None
    registers: dict[str, int]  # x0 to x30, sp
    level: int  # whose registers those are: the fault's, else that of the last exception
    system_registers: dict[str, int]  # those that gather.py has for a level, by name
    code_at: str  # which register `code` is around: the fault's ELR, PC, or the first of ELR_ELx and x30; or none
    code: list[CodeLine]
    backtrace: list[Place]  # from the fault, or PC
    place: Place  # of PC
    elr: Place | None  # of ELR_ELx, where the guest has taken an exception
    last_exits: list[str]
    hint: str  # what to do next, one line; empty where nothing is obvious
    instructions: int | None = None  # executed since the start, where they are counted
    state: str = ""  # the level and Security state of a guest that has EL2 or EL3, else empty
    walk: tuple[str, ...] = ()  # where the fault's address leads, likewise

    @property
    def cause(self) -> str:
        """What happened, in one line: where it has become a loop of exceptions, the one that it began with."""
        return (
            f"{self.fault.headline}; since then {LOOP}" if self.fault is not None and self.is_endless else self.reason
        )

    @property
    def cause_at(self) -> Place:
        """Where that was: of a loop of exceptions not PC, which is somewhere in the loop."""
        return self.fault.place if self.fault is not None and self.is_endless else self.place

    @property
    def headlines(self) -> tuple[str, str]:
        """What happened, and what to do about it or else why it is the end."""
        after = "" if self.instructions is None else f" after {self.instructions} instructions"
        stopped = f"armvcpu: cpu{self.vcpu_id}{self._where} stopped{after}: "
        if self.fault is None:
            return stopped + self.reason, f"armvcpu: {self.hint or f'it is at {self.pc:#x}{_named(self.place)}'}"
        if self.is_endless:
            return stopped + self.fault.headline, f"armvcpu: {self.hint or self.reason}"
        return stopped + self.reason, f"armvcpu: {self.hint or f'it handles: {self.fault.headline}'}"

    @property
    def _where(self) -> str:
        return f" at {self.state}" if self.state else ""

    def own(self, name: str) -> int:
        """A system register of `level`, by its name without that."""
        return self.system_registers[f"{name}_EL{self.level}"]

    def render(self) -> str:
        """The report as text, with a newline at its end."""
        lines = [*self.headlines]
        for label, rows in self._sections():
            lines += _labelled(label, rows)
        return "\n".join([*lines, *self.headlines]) + "\n"

    def render_short(self) -> str:
        """Where a guest is that hangs, with a newline at its end: PC, the last exception, and who called whom."""
        place = f"{self.pc:#x}{f' {self.place.symbol} {self.place.source}'.rstrip()}"
        lines = [f"armvcpu: {self.reason}; PC {place}{self._where}"]
        if self.fault is not None:
            lines += _labelled("handles", [self.fault.headline])
        if self.elr is not None:
            guest_esr = self.own("ESR")
            lines += _labelled(f"ESR_EL{self.level}", [f"{guest_esr:#010x} {describe_esr(guest_esr)}"])
            lines += _labelled(f"ELR_EL{self.level}", [str(self.elr)])
        lines += _labelled("backtrace", self._backtrace_rows())
        return "\n".join([*lines, *_labelled("hint", [self.hint] if self.hint else [])]) + "\n"

    def as_dict(self) -> dict[str, Any]:
        """The report for JSON; addresses and register values as hexadecimal text, which no reader rounds."""
        what, why = self.headlines
        return {
            "reason": self.reason,
            "what": what.removeprefix("armvcpu: "),
            "why": why.removeprefix("armvcpu: "),
            "vcpu": self.vcpu_id,
            "pc": f"{self.pc:#x}",
            "symbol": self.place.symbol,
            "source": self.place.source,
            "pstate": f"{self.pstate:#x}",
            "el": el(self.pstate),
            "state": self.state or None,
            "walk": list(self.walk),
            "fault": None if self.fault is None else self.fault.as_dict(),
            "esr": None if self.esr is None else f"{self.esr:#x}",
            "exception": None if self.esr is None else describe_esr(self.esr, self.far),
            "far": None if self.far is None else f"{self.far:#x}",
            "elr": None if self.elr is None else f"{self.elr.pc:#x}",
            "registers": {name: f"{value:#x}" for name, value in self.registers.items()},
            "system_registers": {name: f"{value:#x}" for name, value in self.system_registers.items()},
            "code_at": self.code_at,
            "code": [
                {
                    "address": f"{line.address:#x}",
                    "word": f"{line.word:#010x}",
                    "text": line.text,
                    "marker": line.marker,
                }
                for line in self.code
            ],
            "backtrace": [_as_dict(frame) for frame in self.backtrace],
            "last_exits": list(self.last_exits),
            "hint": self.hint,
            "instructions": self.instructions,
        }

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        """(label of the first row, rows), in the order they are printed."""
        guest_esr, fault = self.own("ESR"), self.fault
        if fault is not None:
            yield "reason", [self.reason]
            taken = f", taken to EL{self.level}" if self.state else ""
            yield "exception", [f"{fault.esr:#010x} {describe_esr(fault.esr)}, at EL{el(fault.pstate)}{taken}"]
            yield "ELR", [str(fault.place)]
            if fault.far is not None:
                yield "FAR", [f"{fault.far:#018x}"]
                yield "walk", list(self.walk)
        if guest_esr not in {0, fault and fault.esr}:
            yield f"ESR_EL{self.level}", [f"{guest_esr:#010x} {describe_esr(guest_esr)}"]
            yield f"ELR_EL{self.level}", [] if self.elr is None else [str(self.elr)]
        yield "PC", [str(self.place)]
        state = f", {self.state}" if self.state else ""
        yield "PSTATE", [f"{self.pstate:#010x} {describe_pstate(self.pstate)}{state}"]
        yield "code", self._code_rows()
        yield "registers", _columns(self.registers, 3)
        yield "system", _columns(self.system_registers, 2)
        yield "backtrace", self._backtrace_rows()
        yield "exits", self.last_exits[-_EXITS:]

    def _backtrace_rows(self) -> list[str]:
        frames = [f"#{number} {frame}" for number, frame in enumerate(self.backtrace)]
        more = len(frames) - _FRAMES
        return frames[:_FRAMES] + ([f"... and {more} more"] if more > 0 else [])

    def _code_rows(self) -> list[str]:
        rows = [f"{line.marker:2} {line.address:#018x} {line.word:08x} {line.text}" for line in self.code]
        match self.code_at:
            case "PC" | "ELR":
                return rows
            case "":
                return [f"there is no memory at PC, ELR_EL{self.level} and x30"]
            case "x30":
                return ["there is no memory at PC; the last call, by x30:", *rows]
            case name:
                return [f"there is no memory at PC; around {name}:", *rows]


def _named(place: Place) -> str:
    """` in main+0x1c (main.c:12)`, as far as it is known."""
    return (f" in {place.symbol}" if place.symbol else "") + (f" ({place.source})" if place.source else "")


def _as_dict(place: Place) -> dict[str, str]:
    return {**place._asdict(), "pc": f"{place.pc:#x}"}


def _labelled(label: str, rows: list[str]) -> list[str]:
    return [f"{label if number == 0 else '':{_WIDTH - 1}} {row}".rstrip() for number, row in enumerate(rows)]


def _columns(values: dict[str, int], count: int) -> list[str]:
    width = max(map(len, values))
    cells = [f"{name:{width}} {value:#018x}" for name, value in values.items()]
    return ["  ".join(cells[at : at + count]) for at in range(0, len(cells), count)]
