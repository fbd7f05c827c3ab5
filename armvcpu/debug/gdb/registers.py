"""Packets about registers: g and G for the general and vector registers, p and P for any one by its number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.gdb.state import Malformed, bytes_in, number

if TYPE_CHECKING:
    from armvcpu.debug.gdb.description import Shown
    from armvcpu.debug.gdb.state import State


class RegisterPackets:
    """Those of one session."""

    def __init__(self, state: State) -> None:
        self._state, self._guest = state, state.guest
        self.packets = {b"g": self._read_all, b"G": self._write_all, b"p": self._read, b"P": self._write}

    def _read_all(self, _rest: bytes) -> bytes:
        return b"".join(self._value(register) for register in self._guest.description.in_g)

    def _write_all(self, rest: bytes) -> bytes:
        data, registers = bytes_in(rest), self._guest.description.in_g
        if len(data) > sum(each.size for each in registers):
            raise Malformed
        at = 0
        for register in registers:
            if at + register.size > len(data):
                break
            value = int.from_bytes(data[at : at + register.size], "little")
            at += register.size
            if value != self._guest.read_register(self._state.chosen, register):
                self._guest.write_register(self._state.chosen, register, value)
        return b"OK"

    def _read(self, rest: bytes) -> bytes:
        return self._value(self._register(rest))

    def _write(self, rest: bytes) -> bytes:
        which, _, value = rest.partition(b"=")
        register, data = self._register(which), bytes_in(value)
        if len(data) != register.size:
            raise Malformed
        self._guest.write_register(self._state.chosen, register, int.from_bytes(data, "little"))
        return b"OK"

    def _register(self, text: bytes) -> Shown:
        registers, which = self._guest.description.registers, number(text)
        if which >= len(registers):
            raise Malformed
        return registers[which]

    def _value(self, register: Shown) -> bytes:
        value = self._guest.read_register(self._state.chosen, register)
        mask = (1 << 8 * register.size) - 1
        return (value & mask).to_bytes(register.size, "little").hex().encode()
