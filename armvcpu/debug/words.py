"""Events in one line of words, for traces and crash reports: exits, register rows to add, interrupt numbers."""

from __future__ import annotations

from enum import Flag
from typing import TYPE_CHECKING

from armvcpu.arch.registers import Encoding, encoding_from_iss, general_register_name, register_name
from armvcpu.vcpu.exits import SysRegRead, SysRegWrite

if TYPE_CHECKING:
    from armvcpu.vcpu.exits import Exit

_IN_DECIMAL = frozenset(("width", "reg_width", "vector"))


def describe_exit(reason: Exit) -> str:
    """An exit as `MmioWrite addr=0x9000000 width=4 data=0x41`: its class, then its fields as `key=value`.

    A value never has a space in it, but for the reason of FailEntry, which is last.
    """
    return " ".join([type(reason).__name__, *(f"{key}={value}" for key, value in exit_fields(reason).items())])


def exit_fields(reason: Exit) -> dict[str, str | int]:
    """The fields of an exit; decimal numbers are integers, all else is text."""
    fields: dict[str, str | int] = {}
    for name in type(reason).__match_args__:
        value = getattr(reason, name)
        if name == "addr" and isinstance(reason, SysRegRead | SysRegWrite):
            fields["register"] = register_name(encoding_from_iss(value))
        elif value is not None and (value is not False or name != "is_denied"):
            fields[name] = _value(name, value)
    return fields


def _value(name: str, value: object) -> str | int:
    match value:
        case bool():
            return "yes" if value else "no"
        case Flag():
            return (value.name or "0").replace(" ", "")
        case int():
            return general_register_name(value) if name == "reg" else value if name in _IN_DECIMAL else f"{value:#x}"
        case tuple():
            return ",".join(f"{item:#x}" for item in value)
        case _:
            return str(value)


def row_to_add(encoding: int) -> str:
    """The row of `arch/` that would model a system register, ready to paste: its packed encoding as name and key."""
    e = Encoding(encoding)
    return f'SysReg("{register_name(encoding)}", op({e.Op0}, {e.Op1}, {e.CRn}, {e.CRm}, {e.Op2}), RW, TRAPPED)'


def interrupt_name(intid: int) -> str:
    """What an INTID is, as `SPI 1` (IHI 0069 2.2, "INTIDs")."""
    if intid < 16:
        return f"SGI {intid}"
    if intid < 32:
        return f"PPI {intid - 16}"
    if intid < 1020:
        return f"SPI {intid - 32}"
    return "special" if intid < 1024 else f"LPI {intid}" if intid >= 8192 else "reserved"
