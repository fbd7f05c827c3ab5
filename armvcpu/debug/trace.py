"""The tracer: one line per event of the kinds asked for, in a format that scripts may rely on.

    cpu0 0x0000000040080010 main+0x10 mmio write address=0x9000000 width=4 value=0x41 device=pl011.UARTDR
    cpu0 0x0000000040080014 - insn 0xd2800020 # mov x0, #1
    <vcpu> <pc> <symbol or -> <kind> <what> <key>=<value>... [# <words>]

Columns are separated by one space and hold none. The PC is 16 hexadecimal digits, other numbers are as short as they
can be: `0x` before hexadecimal ones, widths and interrupt numbers decimal. New keys may be added behind the ones here.
What stands behind ` # ` is for people and may change.

    kind       what                         keys
    exits      the exit's class             its fields, `register` for a system register's addr
    irq        acknowledge, end             intid
    mmio       read, write                  address width value device
    sysreg     read, write                  register value
    psci       function name, or `other`    conduit id x1 to x6 (until the last that is not 0), result (x0) or exit
    exception  sync, irq, fiq, serror       target vector; of sync and serror: ec esr; where it has one: far
    insn       the instruction word         none; the words are its disassembly
    mem        read, write                  address width value symbol

Any HVC or SMC is traced as psci, `other` being those of other services. The PC of an exception is its ELR, that of a
call the instruction behind it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.arch.esr_words import describe_esr
from armvcpu.arch.psci import PsciStatus, psci_by_id
from armvcpu.arch.registers import register_name
from armvcpu.arch.smccc import FunctionId
from armvcpu.arch.vectors import VectorKind
from armvcpu.debug.disasm import disassemble
from armvcpu.debug.words import describe_exit, interrupt_name
from armvcpu.errors import UsageError
from armvcpu.vcpu.smc import describe_call

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from armvcpu.engine.state import CpuState
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.vcpu.exits import Exit

KINDS: dict[str, str] = {
    "exits": "why run() returned",
    "irq": "interrupts that the guest acknowledges and ends",
    "mmio": "accesses of devices",
    "sysreg": "MRS and MSR of the registers that armvcpu answers for",
    "psci": "HVC and SMC calls",
    "exception": "exceptions the guest takes",
    "insn": "every instruction",
    "mem": "every access of memory",
}
"""The kinds of event that can be traced, and what each shows."""

_VECTOR_KINDS = {
    VectorKind.SYNCHRONOUS: "sync",
    VectorKind.IRQ: "irq",
    VectorKind.FIQ: "fiq",
    VectorKind.SERROR: "serror",
}

_disassemble = lru_cache(maxsize=1 << 16)(disassemble)


def parse_kinds(text: str) -> tuple[frozenset[str], str | None]:
    """The value of --trace, `KIND,...[:FILE]`: the kinds, and the file or None.

    Raises:
        UsageError: a kind is unknown, or one or the file is missing.
    """
    kinds, colon, path = text.partition(":")
    for kind in kinds.split(","):
        if kind not in KINDS:
            raise UsageError(f"no trace kind {kind!r}; the kinds are {', '.join(KINDS)}")
    if colon and not path:
        raise UsageError(f"no file behind the colon of {text!r}; write {kinds}:FILE, or {kinds} to trace to stderr")
    return frozenset(kinds.split(",")), path or None


class Tracer:
    """Hears a vCPU's events (`vcpu.observer.Observer`, and a few of the machine's) and writes those of some kinds.

    `write` gets a line with its newline; `read_code` gives the instruction word at a virtual address, and
    `name_of` the device and register at a physical one, as `pl011.UARTDR` (empty: unknown).
    """

    def __init__(
        self,
        kinds: Collection[str],
        write: Callable[[str], object],
        symbols: Symbols,
        read_code: Callable[[int], int | None],
        name_of: Callable[[int], str] = lambda _address: "",
    ) -> None:
        self.kinds = frozenset(kinds)
        self._write, self._symbols, self._read_code, self._name_of = write, symbols, read_code, name_of

    def _line(self, vcpu_id: int, pc: int, event: str) -> None:
        self._write(f"cpu{vcpu_id} {pc:#018x} {self._symbols.format(pc) or '-'} {event}\n")

    # --- vcpu.observer.Observer

    def exception(self, vcpu_id: int, elr: int, target_el: int, esr: int, far: int | None, vector: int) -> None:
        """The guest takes an exception."""
        if "exception" not in self.kinds:
            return
        kind = VectorKind(vector & 0x180)
        event = f"exception {_VECTOR_KINDS[kind]} target=EL{target_el} vector={vector:#x}"
        if kind in {VectorKind.SYNCHRONOUS, VectorKind.SERROR}:
            event += f" ec={ESR(esr).EC.name} esr={esr:#x}" + ("" if far is None else f" far={far:#x}")
            event += f" # {describe_esr(esr)}{self._undefined(esr, elr)}"
        self._line(vcpu_id, elr, event)

    def sysreg(self, vcpu_id: int, state: CpuState, encoding: int, is_read: bool, value: int) -> None:
        """MRS or MSR of a register that the engine does not have to itself."""
        if "sysreg" in self.kinds:
            event = f"sysreg {_verb(is_read)} register={register_name(encoding)} value={value:#x}"
            self._line(vcpu_id, state.pc, event)

    def call(
        self, vcpu_id: int, state: CpuState, conduit: str, function_id: int, args: Sequence[int], result: object
    ) -> None:
        """An HVC or SMC and what came of it."""
        if "psci" not in self.kinds:
            return
        function = FunctionId(function_id & 0xFFFF_FFFF)
        row = psci_by_id.get(function.identity)
        given = list(args)
        while given and not given[-1]:
            given.pop()
        registers = "".join(f" x{number}={value:#x}" for number, value in enumerate(given, start=1))
        event = f"psci {row.name if row else 'other'} conduit={conduit.lower()} id={function_id:#x}{registers}"
        words = "" if row else f" # {describe_call(function_id)}"
        self._line(vcpu_id, state.pc, f"{event} {_outcome(result, is_psci=row is not None)}{words}")

    def mmio(self, vcpu_id: int, state: CpuState, is_read: bool, address: int, width: int, value: int) -> None:
        """An access of a device."""
        if "mmio" in self.kinds:
            name = self._name_of(address)
            event = f"mmio {_verb(is_read)} address={address:#x} width={width} value={value:#x}"
            self._line(vcpu_id, state.pc, event + (f" device={name}" if name else ""))

    def irq(self, vcpu_id: int, state: CpuState, what: str, intid: int) -> None:
        """The guest acknowledges or ends an interrupt."""
        if "irq" in self.kinds:
            self._line(vcpu_id, state.pc, f"irq {what} intid={intid} # {interrupt_name(intid)}")

    def exit(self, vcpu_id: int, state: CpuState, reason: Exit) -> None:
        """`run()` returns."""
        if "exits" in self.kinds:
            self._line(vcpu_id, state.pc, f"exits {describe_exit(reason)}")

    # --- events of the machine and of the traced engine

    def insn(self, vcpu_id: int, pc: int, word: int | None = None) -> None:
        """The instruction at `pc` is about to run; without its `word` it is read from memory."""
        if "insn" not in self.kinds:
            return
        word = self._read_code(pc) if word is None else word
        event = "insn unreadable" if word is None else f"insn {word:#010x} # {_disassemble(word, pc)}"
        self._line(vcpu_id, pc, event)

    def mem(self, vcpu_id: int, pc: int, is_read: bool, address: int, width: int, value: int | None) -> None:
        """An access of `width` bytes of memory at a virtual address; `value` None where it is not known."""
        if "mem" in self.kinds:
            event = f"mem {_verb(is_read)} address={address:#x} width={width}"
            event += "" if value is None else f" value={value:#x}"
            symbol = self._symbols.format(address)
            self._line(vcpu_id, pc, event + (f" symbol={symbol}" if symbol else ""))

    def _undefined(self, esr: int, pc: int) -> str:
        """Which instruction it is that is not defined."""
        word = self._read_code(pc) if ESR(esr).EC == ExceptionClass.UNKNOWN else None
        return "" if word is None else f": {_disassemble(word, pc)}"


def _verb(is_read: bool) -> str:
    return "read" if is_read else "write"


def _outcome(result: object, *, is_psci: bool) -> str:
    """What a call gave: x0, by its name where it is a status code (negative), or the class of the exit.

    -1 means NOT_SUPPORTED in every service (DEN 0028 5.2), the other codes are each service's own.
    """
    if isinstance(result, tuple | list):
        result = result[0] if result else 0
    if not isinstance(result, int):
        return f"exit={type(result).__name__}"
    x0 = result & 0xFFFF_FFFF_FFFF_FFFF
    status = x0 - (1 << 64)
    if status == PsciStatus.NOT_SUPPORTED or (is_psci and min(PsciStatus) <= status < 0):
        return f"result={PsciStatus(status).name}"
    return f"result={x0:#x}"
