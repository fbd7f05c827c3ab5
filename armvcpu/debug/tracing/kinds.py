"""The kinds of event that can be traced, and what --trace says of them.

    kind       what                         keys
    exits      the exit's class             its fields, `register` for a system register's addr
    irq        acknowledge, end             intid; device, of an SPI that one has
    mmio       read, write                  address width value device
    sysreg     read, write                  register value
    psci       function name, or `other`    conduit id x1 to x6 (until the last that is not 0), result (x0) or exit
    exception  sync, irq, fiq, serror       target vector; of sync and serror: ec esr; where it has one: far
    insn       the instruction word         none; the words are its disassembly
    mem        read, write                  address width value symbol
    level      irq, fiq, eret               from to; PC is where the guest goes on
    request    available, used              device queue head; written, of those used
    call       call, return                 from depth x0 to x3; to depth x0. PC is the function's first instruction,
                                            the words are the call with its arguments, or the result, indented
    branch     jump, conditional, call,     target symbol
               return

Any HVC or SMC is traced as psci, `other` being those of other services. The PC of an exception is its ELR, that of a
call the instruction behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable

KINDS: dict[str, str] = {
    "exits": "why run() returned",
    "irq": "interrupts that the guest acknowledges and ends",
    "mmio": "accesses of devices",
    "sysreg": "MRS and MSR of the registers that armvcpu answers for",
    "psci": "HVC and SMC calls",
    "exception": "exceptions the guest takes",
    "insn": "every instruction",
    "mem": "every access of memory",
    "level": "interrupts that the guest takes, and returns from exceptions",
    "request": "what virtio devices are asked for",
    "call": "calls of functions and returns, with arguments",
    "branch": "branches that are taken",
}
"""The kinds of event that can be traced, and what each shows."""


def parse_kinds(text: str) -> tuple[frozenset[str], str | None]:
    """The value of --trace, `KIND,...[:FILE]`: the kinds, and the file or None.

    Raises:
        UsageError: a kind is unknown, or one or the file is missing.
    """
    kinds, colon, path = text.partition(":")
    check_kinds(kinds.split(","))
    if colon and not path:
        raise UsageError(f"no file behind the colon of {text!r}; write {kinds}:FILE, or {kinds} to trace to stderr")
    return frozenset(kinds.split(",")), path or None


def check_kinds(kinds: Iterable[str]) -> None:
    """UsageError for one that there is not."""
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(f"no trace kind {kind!r}; the kinds are {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
