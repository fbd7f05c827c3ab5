"""Where a call passes its arguments and its result: the AAPCS64 (Arm IHI 0055), 6.8 and 6.9.

Stages A to C of 6.8.2, whose rules C.1 to C.17 the code names. NGRN, NSRN and NSAA are the standard's: the next general
and SIMD register, and the next stacked argument's address. Arguments of `...` have no names and are not asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from armvcpu.debug.dwarf.kinds import ArrayType, Base, Encoding, Record, Type, Void
from armvcpu.debug.dwarf.place import InMemory, InRegisters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from armvcpu.debug.dwarf.place import Memory, Place

REGISTERS = 8
"""X0 to X7, V0 to V7."""
LARGEST_IN_REGISTERS = 16
LARGEST_AGGREGATE = 4
"""Members of a Homogeneous Floating-point Aggregate (5.9.5)."""


class Named(Protocol):
    """Registers by name."""

    def __getitem__(self, name: str) -> int:
        """Its value."""
        ...


class Frame(Protocol):
    """The registers that arguments are in, as `Aarch64VCpu` has them."""

    def gpr(self, index: int) -> int:
        """Xn."""
        ...

    @property
    def registers(self) -> Named:
        """`V0`, `SP`."""
        ...


class Where:
    """One argument's place: `first` registers X or V, each with `size` bytes; or `offset` bytes from SP."""

    def __init__(self, words: str, place: Callable[[Frame, Memory], Place], general: int | None = None) -> None:
        self.words, self.place, self.general = words, place, general
        """`general` is n where the bytes are those of Xn alone."""

    def __repr__(self) -> str:
        return self.words


def in_general(first: int, size: int) -> Where:
    """In Xn and, of more than 8 bytes, the next one."""
    if size <= 8:
        return Where(f"x{first}", lambda cpu, memory: InRegisters(memory, cpu.gpr(first).to_bytes(8, "little")), first)

    def place(cpu: Any, memory: Memory) -> InRegisters:
        return InRegisters(memory, (cpu.gpr(first) | cpu.gpr(first + 1) << 64).to_bytes(16, "little"))

    return Where(f"x{first}:x{first + 1}", place)


def in_vector(first: int, count: int, size: int) -> Where:
    """In `count` V registers, the lowest `size` bytes of each."""
    names = [f"V{n}" for n in range(first, first + count)]

    def place(cpu: Frame, memory: Memory) -> InRegisters:
        parts = (cpu.registers[name].to_bytes(16, "little")[:size] for name in names)
        return InRegisters(memory, b"".join(parts))

    return Where(":".join(names).lower(), place)


def by_reference(where: Where) -> Where:
    """Where the argument's own place has the address of a copy."""

    def place(cpu: Frame, memory: Memory) -> InMemory:
        return InMemory(memory, int.from_bytes(where.place(cpu, memory).read(0, 8), "little"))

    return Where(f"at {where.words}", place)


def on_stack(offset: int) -> Where:
    """At SP + `offset` when the function is entered."""
    return Where(f"sp+{offset:#x}", lambda cpu, memory: InMemory(memory, cpu.registers["SP"] + offset))


def constant(value: int) -> Where:
    """Nowhere: the compiler knows the value."""
    data = (value & (1 << 64) - 1).to_bytes(8, "little")
    return Where(str(value), lambda _cpu, memory: InRegisters(memory, data))


class _Allocation:
    """Stage A: nothing is allocated yet."""

    def __init__(self) -> None:
        self.ngrn = self.nsrn = self.nsaa = 0

    def of(self, kind: Type) -> Where:
        """Stages B and C for the next argument."""
        bare = kind.bare
        elements = aggregate_of(bare)
        if elements is None and _is_referenced(bare):  # B.4, and the C++ ABI's non-trivial classes
            return by_reference(self._general(8, 8))
        if elements is not None:  # C.1 to C.6
            return self._vector(bare, *elements)
        return self._general(bare.size, bare.alignment, is_composite=bare.is_composite)

    def _vector(self, kind: Type, count: int, size: int) -> Where:
        if self.nsrn + count <= REGISTERS:
            first, self.nsrn = self.nsrn, self.nsrn + count
            return in_vector(first, count, size)
        self.nsrn = REGISTERS
        return self._stacked(kind.size, kind.alignment)

    def _general(self, size: int, alignment: int, *, is_composite: bool = False) -> Where:
        if not size:  # an empty structure of C
            return constant(0)
        words = (size + 7) // 8
        if alignment >= 16 and words == 2:  # C.8, C.10
            self.ngrn += self.ngrn % 2
        if self.ngrn + words <= REGISTERS:  # C.9, C.11, C.12
            first, self.ngrn = self.ngrn, self.ngrn + words
            return in_general(first, size)
        self.ngrn = REGISTERS  # C.13
        return self._stacked(size, alignment)

    def _stacked(self, size: int, alignment: int) -> Where:
        align = 16 if alignment >= 16 else 8  # C.14
        start = (self.nsaa + align - 1) // align * align
        self.nsaa = start + (size + 7) // 8 * 8
        return on_stack(start)


def _is_referenced(kind: Type) -> bool:
    by_reference = isinstance(kind, Record) and kind.passed_by_reference
    return by_reference or (kind.is_composite and kind.size > LARGEST_IN_REGISTERS)


def arguments(kinds: Iterable[Type]) -> list[Where]:
    """Where each argument is when the function is entered."""
    allocation = _Allocation()
    return [allocation.of(kind) for kind in kinds]


def result(kind: Type) -> tuple[Where | None, bool]:
    """Where a result is when the function returns (6.9); True: at the address that X8 had at its entry."""
    if isinstance(kind.bare, Void):
        return None, False
    if aggregate_of(kind.bare) is None and _is_referenced(kind.bare):
        return None, True
    return _Allocation().of(kind), False


def aggregate_of(kind: Type) -> tuple[int, int] | None:
    """(members, bytes of each) of what is passed in V registers: a float, a short vector, an HFA or HVA; else None."""
    if isinstance(kind, Record) and kind.passed_by_reference:
        return None
    found = _elements(kind.bare)
    if not found or len(found) > LARGEST_AGGREGATE or len(set(found)) > 1:
        return None
    return len(found), found[0][0]


_NO_VECTOR = [(0, False), (1, False)]
"""What spoils an aggregate: two that differ."""


def _elements(kind: Type) -> list[tuple[int, bool]]:
    """(bytes, is a vector) of each floating-point or vector member."""
    if isinstance(kind, Base) and kind.encoding is Encoding.FLOAT:
        return [(kind.size, False)]
    if isinstance(kind, ArrayType):
        if kind.is_vector:
            return [(kind.size, True)]
        return _elements(kind.element.bare) * min(kind.count, LARGEST_AGGREGATE + 1)
    if isinstance(kind, Record) and not any(member.bits for member in kind.members):
        return _members(kind)
    return _NO_VECTOR


def _members(kind: Record) -> list[tuple[int, bool]]:
    parts = [_elements(member.type.bare) for member in kind.members]
    flat = [each for part in parts for each in part]
    if kind.is_union and len(set(flat)) <= 1:  # they lie over each other
        return max(parts, key=len, default=[])
    return flat[: LARGEST_AGGREGATE + 1]
