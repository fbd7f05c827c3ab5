"""The kinds of arguments: numbers, addresses with symbols and registers in them, CPUs, levels, names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from armvcpu.arch.registers import by_name
from armvcpu.debug.monitor.command import Kind
from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from armvcpu.debug.monitor.view import View
    from armvcpu.vcpu.registers import Registers

_U64 = (1 << 64) - 1
_TERM = re.compile(r"\s*([+-]?)\s*([^\s+-]+)")
MOST_WORDS = 2000
"""Names that a completion gives at most: a kernel has a hundred thousand symbols."""


def number(text: str, what: str = "a number") -> int:
    """A number in any of C's bases; UsageError for what is none."""
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return int(text, 10)  # 010 is ten
    except ValueError:
        raise UsageError(f"{text!r} is not {what}: write 4096, 0x1000 or 0b101") from None


def address(view: View, text: str, registers: Registers | None = None) -> int:
    """An address or value of 64 bits: numbers, symbols, and registers as `$sp`, with + and - between them.

    `registers`: those of another CPU than the chosen one.
    """
    registers = view.registers if registers is None else registers
    total, at = 0, 0
    if not text.strip():
        raise UsageError("give an address: a number, a symbol or a register as $pc, with + and - between them")
    while at < len(text):
        term = _TERM.match(text, at)
        if term is None or (at and not term[1]):
            raise UsageError(f"{text!r} is not an address: numbers, symbols and $registers with + and - between them")
        value = _term(view, term[2], registers)
        total += -value if term[1] == "-" else value
        at = term.end()
    return total & _U64


def _term(view: View, word: str, registers: Registers) -> int:
    if word[0].isdigit():
        return number(word)
    if word[0] == "$":
        return registers[word[1:]] & _U64
    try:
        return view.machine.symbols.address(word)
    except UsageError:
        if word in registers:
            return registers[word] & _U64
        raise


def _cpu(view: View, text: str) -> int:
    index = number(text.removeprefix("cpu"), "a CPU")
    count = len(view.machine.cpus)
    if not 0 <= index < count:
        raise UsageError(f"there is no CPU {index}: this machine has {'CPU 0' if count == 1 else f'0 to {count - 1}'}")
    return index


def _level(view: View, text: str) -> int:
    level = number(text.lower().removeprefix("el"), "an Exception level")
    highest = view.machine.config.el
    if not 0 <= level <= highest:
        raise UsageError(f"the guest has no EL{level}: its levels are EL0 to EL{highest}")
    return level


def _count(_view: View, text: str) -> int:
    count = number(text, "a count")
    if not 1 <= count <= 1 << 32:
        raise UsageError(f"{text} is no count: 1 or more")
    return count


def one_of(what: str, *words: str) -> Kind:
    """One of these words, or enough of it to tell."""

    def read(_view: View, text: str) -> str:
        found = [word for word in words if word.startswith(text.lower())]
        if text.lower() in words:
            return text.lower()
        if len(found) != 1:
            raise UsageError(f"{text!r} is no {what}: {', '.join(words)}")
        return found[0]

    return Kind(read, lambda _view, _word: words)


def _register(view: View, text: str) -> str:
    name = text.removeprefix("$")
    if name not in view.registers:
        near = did_you_mean(name.upper(), [each.name for each in view.registers], 3)
        raise UsageError(
            f"this CPU has no register {name!r}: x0 to x30, sp, pc, pstate, v0 to v31, or Arm's names{near}"
        )
    return name


# --- completion -----------------------------------------------------------------------------------------------


def _registers(view: View, _word: str) -> Iterator[str]:
    yield from ("sp", "lr", "fp")
    highest = view.machine.config.el
    for register in view.registers:
        if (row := by_name.get(register.name)) is not None and row.level > highest:
            continue
        is_general = register.name[0] in "XV" and register.name[1:].isdigit()
        yield register.name.lower() if is_general or register.name in {"PC", "PSTATE"} else register.name


def _addresses(view: View, word: str) -> Iterator[str]:
    """What the term that is being typed may be."""
    cut = max(word.rfind("+"), word.rfind("-")) + 1
    before, term = word[:cut], word[cut:]
    if term.startswith("$"):
        yield from (f"{before}${name}" for name in _registers(view, term))
    elif term:
        yield from (f"{before}{name}" for name in _symbols(view, term))


def _symbols(view: View, word: str) -> Iterable[str]:
    names = (name for name in view.machine.symbols.names() if name.startswith(word))
    return (name for _, name in zip(range(MOST_WORDS), names, strict=False))


def _cpus(view: View, _word: str) -> Iterable[str]:
    return (str(cpu.index) for cpu in view.machine.cpus)


def _levels(view: View, _word: str) -> Iterable[str]:
    return (f"el{level}" for level in range(view.machine.config.el + 1))


def _devices(view: View, _word: str) -> Iterable[str]:
    return (slot.name for slot in view.machine.board.slots)


def _snapshots(view: View, _word: str) -> Iterable[str]:
    return view.snapshots


ADDRESS = Kind(address, _addresses)
PLACE = Kind(lambda _view, text: text, _addresses)
"""An address with more behind it, which the command reads."""
NUMBER = Kind(lambda _view, text: number(text))
VALUE = Kind(lambda view, text: address(view, text.removeprefix("=").strip()), _addresses)
COUNT = Kind(_count)
CPU = Kind(_cpu, _cpus)
LEVEL = Kind(_level, _levels)
REGISTER = Kind(_register, _registers)
SYMBOL = Kind(lambda _view, text: text, _symbols)
DEVICE = Kind(lambda _view, text: text, _devices)
SNAPSHOT = Kind(lambda _view, text: text, _snapshots)
TEXT = Kind(lambda _view, text: text)
