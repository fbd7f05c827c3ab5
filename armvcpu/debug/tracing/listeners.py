"""Who hears what a vCPU does: a class for each kind of event that `vcpu.observer` tells; kinds.py has their keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.psci import PsciStatus, psci_by_id
from armvcpu.arch.registers import register_name
from armvcpu.arch.smccc import FunctionId
from armvcpu.arch.vectors import VectorKind
from armvcpu.debug.tracing.code import disassemble_once
from armvcpu.debug.words import exit_fields, interrupt_name
from armvcpu.vcpu.observer import Observer
from armvcpu.vcpu.smc import describe_call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from armvcpu.debug.tracing.event import Event
    from armvcpu.debug.tracing.guest import TracedGuest
    from armvcpu.engine.state import CpuState
    from armvcpu.vcpu.exits import Exit

    Emit = Callable[[Event], None]

VECTOR_KINDS = {
    VectorKind.SYNCHRONOUS: "sync",
    VectorKind.IRQ: "irq",
    VectorKind.FIQ: "fiq",
    VectorKind.SERROR: "serror",
}


class Listener(Observer):
    """One that makes an event of what it hears, and hands it on."""

    def __init__(self, guest: TracedGuest, emit: Emit) -> None:
        self._guest, self._emit = guest, emit

    def _tell(
        self, vcpu: int, state: CpuState, kind: str, what: str, keys: dict[str, str | int], words: str = ""
    ) -> None:
        self._emit(self._guest.event(vcpu, state.el, state.pc, kind, what, keys, words))


class Exits(Listener):
    """`run()` returns."""

    def exit(self, vcpu_id: int, state: CpuState, reason: Exit) -> None:
        """One line each."""
        self._tell(vcpu_id, state, "exits", type(reason).__name__, exit_fields(reason))


class Interrupts(Listener):
    """The guest acknowledges or ends one."""

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        """One line each."""
        keys: dict[str, str | int] = {"intid": intid}
        if device := self._guest.interrupts_of(intid):
            keys["device"] = device
        self._tell(vcpu_id, state, "irq", what, keys, interrupt_name(intid))


class DeviceAccesses(Listener):
    """Loads and stores of devices."""

    def mmio(self, vcpu_id: int, state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        """One line each."""
        keys: dict[str, str | int] = {"address": f"{address:#x}", "width": width, "value": f"{value:#x}"}
        if name := self._guest.name_of(address):
            keys["device"] = name
        self._tell(vcpu_id, state, "mmio", "read" if is_read else "write", keys)


class RegisterAccesses(Listener):
    """MRS and MSR of registers that the engine does not have to itself."""

    def sysreg(self, vcpu_id: int, state: CpuState, encoding: int, is_read: bool, value: int) -> None:
        """One line each."""
        keys: dict[str, str | int] = {"register": register_name(encoding), "value": f"{value:#x}"}
        self._tell(vcpu_id, state, "sysreg", "read" if is_read else "write", keys)


class Calls(Listener):
    """HVC and SMC, and what came of them."""

    def call(
        self, vcpu_id: int, state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        """One line each."""
        row = psci_by_id.get(FunctionId(function_id & 0xFFFF_FFFF).identity)
        given = list(args)
        while given and not given[-1]:
            given.pop()
        keys: dict[str, str | int] = {"conduit": conduit.lower(), "id": f"{function_id:#x}"}
        keys |= {f"x{number}": f"{value:#x}" for number, value in enumerate(given, start=1)}
        keys |= _outcome(result, is_psci=row is not None)
        words = "" if row else describe_call(function_id)
        self._tell(vcpu_id, state, "psci", row.name if row else "other", keys, words)


class Exceptions(Listener):
    """Those that the guest takes."""

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        """One line each; PC is the ELR."""
        kind = VectorKind(vector & 0x180)
        keys: dict[str, str | int] = {"target": f"EL{target_el}", "vector": f"{vector:#x}"}
        words = ""
        if kind in {VectorKind.SYNCHRONOUS, VectorKind.SERROR}:
            keys |= {"ec": ESR(esr).EC.name, "esr": f"{esr:#x}"}
            if far is not None:
                keys["far"] = f"{far:#x}"
            words = describe_esr(esr) + self._undefined(esr, elr)
        self._emit(self._guest.event(vcpu_id, target_el, elr, "exception", VECTOR_KINDS[kind], keys, words))

    def _undefined(self, esr: int, pc: int) -> str:
        """Which instruction it is that is not defined."""
        word = self._guest.read_code(pc) if ESR(esr).EC == ExceptionClass.UNKNOWN else None
        return "" if word is None else f": {disassemble_once(word, pc)}"


LISTENERS: dict[str, Callable[[TracedGuest, Emit], Observer]] = {
    "exits": Exits,
    "irq": Interrupts,
    "mmio": DeviceAccesses,
    "sysreg": RegisterAccesses,
    "psci": Calls,
    "exception": Exceptions,
}
"""By the kind."""


def _outcome(result: object, *, is_psci: bool) -> dict[str, str | int]:
    """What a call gave: x0, by its name where it is a status code (negative), or the class of the exit.

    -1 means NOT_SUPPORTED in every service (DEN 0028 5.2), the other codes are each service's own.
    """
    if isinstance(result, tuple | list):
        result = result[0] if result else 0
    if not isinstance(result, int):
        return {"exit": type(result).__name__}
    x0 = result & 0xFFFF_FFFF_FFFF_FFFF
    status = x0 - (1 << 64)
    if status == PsciStatus.NOT_SUPPORTED or (is_psci and min(PsciStatus) <= status < 0):
        return {"result": PsciStatus(status).name}
    return {"result": f"{x0:#x}"}
