"""What a hook returns, put where the guest's function has its result (AAPCS64 6.9): in X0, or in V0."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armvcpu.debug.dwarf.kinds import FLOATS, Base, Encoding
from armvcpu.errors import UsageError, no_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from armvcpu.debug.dwarf.function import Function
    from armvcpu.vcpu.vcpu import Aarch64VCpu

_MASK = (1 << 64) - 1


def set_result(vcpu: Aarch64VCpu, answer: object, typed: Function | None, what: str, hook: Callable[..., Any]) -> None:
    """The function's result is `answer`; without DWARF, or where it has none by its type, it is a number in X0.

    Raises:
        UsageError: it is no number, or the result is of a type that is none.
    """
    kind = None if typed is None else typed.returns.bare
    if isinstance(kind, Base) and kind.encoding is Encoding.FLOAT and kind.size in FLOATS:
        if not isinstance(answer, int | float):
            raise no_number(what, answer, hook)
        vcpu.registers["V0"] = int.from_bytes(_packed(FLOATS[kind.size], answer, what), "little")
        return
    if kind is not None and (kind.is_composite or kind.size > 8):
        assert typed is not None
        raise UsageError(f"{what}: its result is of type {typed.returns.name}, which can't be given: return None")
    if not isinstance(answer, int):
        raise no_number(what, answer, hook)
    vcpu.set_gpr(0, answer & _MASK)


def _packed(shape: str, answer: float, what: str) -> bytes:
    from struct import pack  # few scripts give one

    try:
        return pack(shape, answer)
    except OverflowError:
        raise UsageError(f"{what}: {answer} is more than the function's type has room for") from None
