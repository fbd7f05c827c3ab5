"""Breakpoints and watchpoints (Z and z), any number of each kind, and the conditions that come with them.

Software and hardware breakpoints are the same here: nothing is written into the guest's code, so both may be in flash,
and the guest never sees one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.gdb.agent import BadExpression, Expression
from armvcpu.debug.gdb.guest import Refused
from armvcpu.debug.gdb.state import Malformed, address_in, bytes_in, number
from armvcpu.debug.gdb.stops import Reason

if TYPE_CHECKING:
    from armvcpu.debug.gdb.state import State

_KINDS = {
    b"0": Reason.SOFTWARE_BREAKPOINT,
    b"1": Reason.HARDWARE_BREAKPOINT,
    b"2": Reason.WRITE,
    b"3": Reason.READ,
    b"4": Reason.ACCESS,
}
_IS_READ = {Reason.READ, Reason.ACCESS}
_IS_WRITE = {Reason.WRITE, Reason.ACCESS}


class PointPackets:
    """Those of one session."""

    def __init__(self, state: State) -> None:
        self._state, self._guest = state, state.guest
        self._points: dict[tuple[Reason, int, int], object] = {}
        """By kind, address, and size of what is watched: what the guest has for it."""
        self.packets = {b"Z": self._add, b"z": self._take_back}

    def _add(self, rest: bytes) -> bytes:
        where, *more = rest.split(b";", 1)
        point = kind, address, size = _point(where)
        old = self._points.pop(point, None)
        if old is not None:  # it may have another condition now
            self._guest.remove(old)
        if kind in _IS_READ | _IS_WRITE:
            made = self._guest.add_watchpoint(address, size, read=kind in _IS_READ, write=kind in _IS_WRITE)
        else:
            made = self._guest.add_breakpoint(address, _conditions(more[0]) if more else [])
        self._points[point] = made
        return b"OK"

    def _take_back(self, rest: bytes) -> bytes:
        made = self._points.pop(_point(rest.split(b";", 1)[0]), None)
        if made is not None:
            self._guest.remove(made)
        return b"OK"

    def remove_all(self) -> None:
        """None is left."""
        while self._points:
            self._guest.remove(self._points.popitem()[1])

    def breakpoint_at(self, address: int) -> Reason:
        """Which kind gdb has there."""
        kinds = (Reason.SOFTWARE_BREAKPOINT, Reason.HARDWARE_BREAKPOINT)
        return next((kind for kind in kinds if (kind, address, 0) in self._points), Reason.NONE)

    def watched(self, address: int, *, is_write: bool) -> Reason:
        """Which kind of watchpoint gdb has at an address that is accessed."""
        kinds = _IS_WRITE if is_write else _IS_READ
        for kind, begin, size in self._points:
            if kind in kinds and begin <= address < begin + size:
                return kind
        return Reason.NONE


def _point(text: bytes) -> tuple[Reason, int, int]:
    kind, *where = text.split(b",")
    if kind not in _KINDS or len(where) != 2:
        raise Malformed
    address, size = address_in(where[0]), number(where[1])
    reason = _KINDS[kind]
    if reason in _IS_READ | _IS_WRITE:
        if not size or size >> 32 or address + size >> 64:
            raise Malformed
        return reason, address, size
    if address % 4:
        raise Refused(f"{address:#x} is no address of an instruction")
    return reason, address, 0


def _conditions(text: bytes) -> list[Expression]:
    """`X<length>,<bytecode>` once or several times, and after `cmds:` commands, which gdb carries out itself."""
    found = []
    for each in text.split(b";"):
        if each.startswith(b"cmds:"):
            raise Refused("commands of breakpoints are gdb's here: set dprintf-style gdb")
        if not each:
            continue
        if not each.startswith(b"X"):
            raise Malformed
        for one in each[1:].split(b"X"):
            length, _, digits = one.partition(b",")
            code = bytes_in(digits)
            if len(code) != number(length):
                raise Malformed
            found.append(_expression(code))
    return found


def _expression(code: bytes) -> Expression:
    try:
        return Expression(code)
    except BadExpression as error:
        raise Refused(f"the condition {error}; set breakpoint condition-evaluation host") from error
