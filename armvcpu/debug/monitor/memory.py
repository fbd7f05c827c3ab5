"""Commands about memory: to look at it as gdb's `x` does, to write it, to disassemble it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from armvcpu.debug.disasm import disassemble as disassemble_word
from armvcpu.errors import UsageError
from armvcpu.machine.watching.regimes import regime, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from armvcpu.debug.monitor.view import View
    from armvcpu.machine.running.cpu import Cpu

    Read = Callable[[int, int], bytes]

PAGE = 4096
SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
FORMATS = "xduotacsi"
MOST_BYTES = 1 << 16
"""As many as one command shows."""
MOST_LETTERS = 200
"""Of a string; what comes behind is the next one, as gdb has it."""
_U64 = (1 << 64) - 1
_FORMAT = re.compile(rf"([0-9]{{0,9}})([{FORMATS}bhwg]*)")
_PRINTABLE = range(0x20, 0x7F)


# --- reading --------------------------------------------------------------------------------------------------


def sysreg_of(cpu: Cpu) -> Callable[[int], int]:
    """Reads a system register of a CPU, loaded or not, by its encoding."""
    return cpu.vcpu.system_registers.read


def read_virtual(view: View, address: int, size: int) -> bytes | None:
    """`size` bytes at a virtual address of the chosen CPU, or None where any of it is not memory."""
    cpu, highest, memory = view.cpu, view.machine.config.el, view.machine.memory
    sysreg, data = sysreg_of(cpu), b""
    of = regime(cpu.vcpu.state.el if cpu.vcpu.has_state else highest, highest, sysreg)
    while size > 0:
        piece = min(size, PAGE - address % PAGE)
        physical = walk(address, of, sysreg, memory.doubleword).physical
        if physical is None or not (memory.holds(physical) and memory.holds(physical + piece - 1)):
            return None
        data += memory.read(physical, piece)
        address, size = address + piece & _U64, size - piece
    return data


def _virtual(view: View, address: int, size: int) -> bytes:
    data = read_virtual(view, address, size)
    if data is not None:
        return data
    raise UsageError(f"no memory is behind the virtual address {address:#x}: `translate {address:#x}` says why")


def _physical(view: View, address: int, size: int) -> bytes:
    memory = view.machine.memory
    if size and memory.holds(address) and memory.holds(address + size - 1):
        return memory.read(address, size)
    if name := view.machine.name_of(address):
        device = name.partition(".")[0].partition("+")[0]
        raise UsageError(f"{address:#x} is {name}: reading would act on it; `info devices {device}` shows its state")
    raise UsageError(f"no memory is at the physical address {address:#x}")


# --- x and xp -------------------------------------------------------------------------------------------------


class Format(NamedTuple):
    """What `x/FORMAT` says: how many, how they are shown, how many bytes each has."""

    number: int
    letter: str
    size: int


def parse_format(text: str) -> Format:
    """As gdb's; UsageError for another."""
    found = _FORMAT.fullmatch(text)
    letters = "" if found is None else found[2]
    shown = [letter for letter in letters if letter in FORMATS]
    sizes = [letter for letter in letters if letter in SIZES]
    if found is None or len(shown) > 1 or len(sizes) > 1 or len(letters) != len(shown) + len(sizes):
        raise UsageError(
            f"/{text} is no format: a count, one of x d u o t a c s i, and b, h, w or g for 1, 2, 4 or 8 bytes"
        )
    letter = shown[0] if shown else "x"
    own = {"a": 8, "c": 1, "s": 1, "i": 4}.get(letter)
    size = own if own is not None else SIZES[sizes[0]] if sizes else 4
    count = int(found[1] or 1)
    if not 1 <= count <= MOST_BYTES // size:
        raise UsageError(f"/{text}: from 1 to {MOST_BYTES // size} at once")
    return Format(count, letter, size)


def examine(view: View, form: str, address: int | None) -> str:
    """`x`."""
    return _examine(view, form, address, lambda at, size: _virtual(view, at, size))


def examine_physical(view: View, form: str, address: int | None) -> str:
    """`xp`."""
    return _examine(view, form, address, lambda at, size: _physical(view, at, size))


def _examine(view: View, form: str, address: int | None, read: Read) -> str:
    how, at = parse_format(form), view.next_address if address is None else address
    if how.letter == "s":
        return _strings(view, at, how.number, read)
    data = read(at, how.number * how.size)
    view.next_address = at + len(data) & _U64
    if how.letter == "i":
        return "\n".join(_instructions(view, at, data))
    a_line = 1 if how.letter == "a" else 16 // how.size if how.letter == "x" else 8
    lines = []
    for start in range(0, how.number, a_line):
        values = [
            int.from_bytes(data[n * how.size : (n + 1) * how.size], "little")
            for n in range(start, min(start + a_line, how.number))
        ]
        shown = " ".join(_shown(view, value, how) for value in values)
        lines.append(f"{at + start * how.size & _U64:#018x}: {shown}")
    return "\n".join(lines)


def _shown(view: View, value: int, how: Format) -> str:
    bits = 8 * how.size
    shown: dict[str, Callable[[], str]] = {
        "d": lambda: str(value - (value >> bits - 1 << bits)),
        "u": lambda: str(value),
        "o": lambda: f"{value:#o}",
        "t": lambda: f"{value:0{bits}b}",
        "a": lambda: f"{value:#018x} {view.machine.symbols.format(value)}",
        "c": lambda: f"{value} {chr(value)!r}" if value in _PRINTABLE else f"{value} '\\x{value:02x}'",
        "x": lambda: f"{value:#0{bits // 4 + 2}x}",
    }
    return shown[how.letter]().rstrip()


def _strings(view: View, at: int, count: int, read: Read) -> str:
    lines = []
    for _ in range(count):
        text, start = bytearray(), at
        while len(text) < MOST_LETTERS and (byte := read(at, 1)[0]):
            text.append(byte)
            at = at + 1 & _U64
        is_cut = len(text) == MOST_LETTERS
        at = at + (not is_cut) & _U64
        shown = text.decode("latin-1").encode("unicode_escape").decode()
        lines.append(f'{start:#018x}: "{shown}"{"..." if is_cut else ""}')
    view.next_address = at
    return "\n".join(lines)


# --- disassembly ----------------------------------------------------------------------------------------------


def disassemble(view: View, address: int | None, count: int | None) -> str:
    """From an address on, or from PC."""
    at = view.registers["pc"] if address is None else address
    at &= ~3
    if not 1 <= (count or 8) <= MOST_BYTES // 4:
        raise UsageError(f"{count} instructions: from 1 to {MOST_BYTES // 4} at once")
    data = _virtual(view, at, 4 * (count or 8))
    view.next_address = at + len(data) & _U64
    return "\n".join(_instructions(view, at, data))


def instruction_at(view: View, pc: int) -> str:
    """The one at PC, or that there is none."""
    data = read_virtual(view, pc, 4)
    if data is None:
        return f"=> {pc:#018x}: no memory is there"
    return next(_instructions(view, pc, data))


def _instructions(view: View, at: int, data: bytes) -> Iterator[str]:
    pc = view.registers["pc"]
    for offset in range(0, len(data) & ~3, 4):
        address, word = at + offset & _U64, data[offset : offset + 4]
        name = view.machine.symbols.format(address)
        mark = "=>" if address == pc else "  "
        where = f"{address:#018x}{f' <{name}>' if name else ''}"
        yield f"{mark} {where}: {int.from_bytes(word, 'little'):08x}  {disassemble_word(word, address)}"


# --- writing --------------------------------------------------------------------------------------------------


def write(view: View, address: int, value: int, size: int | None) -> str:
    """At a virtual address."""
    data = _bytes_of(value, size)
    cpu, highest = view.cpu, view.machine.config.el
    sysreg = sysreg_of(cpu)
    of = regime(cpu.vcpu.state.el if cpu.vcpu.has_state else highest, highest, sysreg)
    places = []
    for n in range(len(data)):
        physical = walk(address + n & _U64, of, sysreg, view.machine.memory.doubleword).physical
        if physical is None or not view.machine.memory.is_ram(physical, 1):
            raise UsageError(f"no RAM is behind the virtual address {address + n & _U64:#x}")
        places.append(physical)
    for physical, byte in zip(places, data, strict=True):
        view.machine.write(physical, bytes((byte,)))
    return ""


def write_physical(view: View, address: int, value: int, size: int | None) -> str:
    """At a physical address."""
    view.machine.write(address, _bytes_of(value, size))
    return ""


def _bytes_of(value: int, size: int | None) -> bytes:
    size = 4 if size is None else size
    if size not in SIZES.values():
        raise UsageError(f"{size} bytes: write 1, 2, 4 or 8")
    if not -(1 << 8 * size - 1) <= value < 1 << 8 * size:
        raise UsageError(f"{value:#x} does not fit into {size} bytes")
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")
