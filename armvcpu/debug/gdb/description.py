"""The target description: every register of a vCPU by its Arm name, as gdb numbers and shows them.

GDB manual, appendix G (Target Descriptions) and G.5.1 (AArch64 Features). The first two features are gdb's own, in the
order that it has for them; the third is ours, with the system registers of `vcpu.registers`, in a group that
`info registers system` shows. gdb never saves and restores those when it calls a function of the guest's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import quoteattr

from armvcpu.arch.pstate import PState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from armvcpu.vcpu.register_rows import Register

SYSTEM_FEATURE = "org.armvcpu.aarch64.system"
SYSTEM_GROUP = "system"
_FLAGS = ("SP", 0, 0), ("EL", 2, 3), *(
    (name, field.lo, field.hi)
    for name in ("nRW", "F", "I", "A", "D", "SSBS", "IL", "SS", "PAN", "UAO", "DIT", "TCO", "V", "C", "Z", "N")
    for field in (getattr(PState, name),)
)  # fmt: skip
"""Fields of PSTATE."""
_LANES = (
    ("d", 64, "ieee_double"), ("s", 32, "ieee_single"), ("h", 16, None), ("b", 8, None), ("q", 128, None),
)  # fmt: skip
"""Of a vector register: how gdb calls lanes of so many bits, and their type as floating point."""


class Shown(NamedTuple):
    """A register as gdb has it: its name there and here, and how many bytes it takes in a packet."""

    name: str
    ours: str
    size: int


class Description:
    """Of the vCPUs of one machine, which all have the same registers."""

    def __init__(self, rows: Iterable[Register]) -> None:
        system = [row for row in rows if row.name not in _ELSEWHERE]
        self.core = [
            *(Shown(f"x{n}", f"X{n}", 8) for n in range(31)),
            Shown("sp", "SP", 8),
            Shown("pc", "PC", 8),
            Shown("cpsr", "PSTATE", 4),
        ]
        self._fpu = [
            *(Shown(f"v{n}", f"V{n}", 16) for n in range(32)),
            Shown("fpsr", "FPSR", 4),
            Shown("fpcr", "FPCR", 4),
        ]
        self._system = [Shown(row.name, row.name, row.bits // 8) for row in system]
        self.in_g = [*self.core, *self._fpu]
        """Those that the packets g and G have."""
        self.registers = [*self.in_g, *self._system]
        """By gdb's numbers."""
        self._xml: str | None = None

    @property
    def xml(self) -> str:
        """The document."""
        if self._xml is None:
            self._xml = "".join(f"{line}\n" for line in self._lines())
        return self._xml

    def _lines(self) -> Iterator[str]:
        yield '<?xml version="1.0"?>'
        yield '<!DOCTYPE target SYSTEM "gdb-target.dtd">'
        yield '<target version="1.0">'
        yield "<architecture>aarch64</architecture>"
        yield '<feature name="org.gnu.gdb.aarch64.core">'
        yield '<flags id="cpsr_flags" size="4">'
        for name, first, last in _FLAGS:  # from the lowest bit up
            yield f'<field name="{name}" start="{first}" end="{last}"/>'
        yield "</flags>"
        kinds = {"sp": "data_ptr", "pc": "code_ptr", "cpsr": "cpsr_flags"}
        for number, each in enumerate(self.core):
            yield _register(each, kinds.get(each.name, "int"), number)
        yield "</feature>"
        yield '<feature name="org.gnu.gdb.aarch64.fpu">'
        yield from _vector_types()
        for number, each in enumerate(self._fpu, len(self.core)):
            yield _register(each, "aarch64v" if each.size == 16 else "int", number)
        yield "</feature>"
        yield f'<feature name="{SYSTEM_FEATURE}">'
        for number, each in enumerate(self._system, len(self.in_g)):
            yield _register(each, "uint64", number, f' group="{SYSTEM_GROUP}" save-restore="no"')
        yield "</feature>"
        yield "</target>"


_ELSEWHERE = {"PC", "PSTATE", "FPSR", "FPCR", *(f"X{n}" for n in range(31)), *(f"V{n}" for n in range(32))}
"""Registers of the first two features, by their names here."""


def _register(shown: Shown, kind: str, number: int, more: str = "") -> str:
    return f'<reg name={quoteattr(shown.name)} bitsize="{8 * shown.size}" type="{kind}" regnum="{number}"{more}/>'


def _vector_types() -> Iterator[str]:
    """Each size of lanes as a vector of floating point, unsigned and signed numbers; and one union of them all."""
    for name, bits, floating in _LANES:
        count = 128 // bits
        kinds = [("u", f"uint{bits}"), ("s", f"int{bits}")]
        if floating is not None:
            kinds.insert(0, ("f", floating))
        for letter, kind in kinds:
            yield f'<vector id="v{name}{letter}" type="{kind}" count="{count}"/>'
        yield f'<union id="vn{name}">'
        for letter, _ in kinds:
            yield f'<field name="{letter}" type="v{name}{letter}"/>'
        yield "</union>"
    yield '<union id="aarch64v">'
    for name, _, _ in _LANES:
        yield f'<field name="{name}" type="vn{name}"/>'
    yield "</union>"
