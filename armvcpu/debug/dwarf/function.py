"""A function: its parameters and its result, as values that are read from a CPU."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from armvcpu.debug.dwarf.calls import arguments, result
from armvcpu.debug.dwarf.kinds import Base, Encoding, Enumeration, PointerType
from armvcpu.debug.dwarf.place import InMemory
from armvcpu.debug.dwarf.values import EnumValue, Pointer, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from armvcpu.debug.dwarf.calls import Frame, Where
    from armvcpu.debug.dwarf.kinds import Type
    from armvcpu.debug.dwarf.place import Memory

    Reader = Callable[[Frame, Memory], Any]


class Parameter:
    """One parameter: its name, its type, and where it is when the function is entered."""

    def __init__(self, name: str, type: Type, where: Where) -> None:
        self.name, self.type, self.where = name, type, where

    @cached_property
    def read(self) -> Reader:
        """Gives the value, called with the vCPU on the function's first instruction and the memory."""
        return reader(self.type, self.where)

    def __repr__(self) -> str:
        return f"{self.type.name} {self.name} in {self.where}"


class Function:
    """One function of an ELF file; addresses as it was linked. `file` and `line` are of its declaration."""

    def __init__(
        self,
        name: str,
        low: int,
        high: int,
        parameters: Callable[[], list[tuple[str, Type, Where | None]]],
        returns: Callable[[], Type],
        *,
        is_variadic: bool = False,
    ) -> None:
        self.name, self.low, self.high, self.is_variadic = name, low, high, is_variadic
        self._parameters, self._returns = parameters, returns

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """In their order; those of `...` have no names."""
        given = self._parameters()
        places = arguments(kind for _, kind, _ in given)
        return tuple(
            Parameter(name, kind, place if known is None else known)
            for (name, kind, known), place in zip(given, places, strict=True)
        )

    @cached_property
    def returns(self) -> Type:
        """The type of its result."""
        return self._returns()

    def arguments(self, cpu: Frame, memory: Memory) -> dict[str, Any]:
        """Every parameter's value by its name; the vCPU is on the function's first instruction."""
        return {parameter.name: parameter.read(cpu, memory) for parameter in self.parameters}

    @cached_property
    def read_result(self) -> Callable[[Frame, Memory, int], Any]:
        """Gives the result, called with the vCPU where it has returned to, the memory, and what X8 was at its entry."""
        where, is_indirect = result(self.returns)
        if is_indirect:
            kind = self.returns
            return lambda _cpu, memory, x8: kind.load(InMemory(memory, x8))
        if where is None:
            return lambda _cpu, _memory, _x8: None
        read = reader(self.returns, where)
        return lambda cpu, memory, _x8: read(cpu, memory)

    @property
    def prototype(self) -> str:
        """As C would declare it, nearly: `void *malloc(size_t size)`."""
        names = [_declared(parameter.type, parameter.name) for parameter in self.parameters]
        inside = ", ".join(names + ["..."] * self.is_variadic) or "void"
        return _declared(self.returns, f"{self.name}({inside})")

    def call(self, cpu: Frame, memory: Memory) -> str:
        """`strlen(s=0x40081000 "hello")`: the call that the vCPU is about to execute."""
        return f"{self.name}({written(self.arguments(cpu, memory))})"

    def __repr__(self) -> str:
        return f"<Function {self.prototype} at {self.low:#x}>"


def _declared(kind: Type, name: str) -> str:
    return f"{kind.name}{'' if kind.name.endswith(('*', '&')) else ' '}{name}".rstrip()


def written(arguments: Mapping[str, Any]) -> str:
    """Arguments in print: `size=32, name=0x40081000 "hello"`."""
    return ", ".join(f"{name}={shown(value)}" for name, value in arguments.items())


def reader(kind: Type, where: Where) -> Reader:
    """What reads a value of a type: where it is a number in one X register, without a copy of its bytes."""
    read = None if where.general is None else _reader_of_general(kind.bare, where.general)
    return read or (lambda cpu, memory: kind.load(where.place(cpu, memory)))


def _reader_of_general(kind: Type, number: int) -> Reader | None:
    if not kind.size:  # of damaged DWARF
        return None
    mask = (1 << 8 * kind.size) - 1  # what is above is unspecified (AAPCS64 6.8.2)
    if isinstance(kind, PointerType):
        return lambda cpu, memory: Pointer(cpu.gpr(number), kind, memory)
    if isinstance(kind, Enumeration) and not kind.is_signed:
        names = kind.names
        return lambda cpu, _memory: EnumValue(cpu.gpr(number) & mask, names)
    if isinstance(kind, Base) and kind.is_signed:
        sign = 1 << 8 * kind.size - 1
        return lambda cpu, _memory: ((cpu.gpr(number) & mask) ^ sign) - sign
    if isinstance(kind, Base) and kind.encoding is Encoding.UNSIGNED:
        return lambda cpu, _memory: cpu.gpr(number) & mask
    return None
