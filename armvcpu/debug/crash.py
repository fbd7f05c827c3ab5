"""The crash report of a machine, put together from what the machine knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.report import CrashReport, build_report
from armvcpu.debug.words import describe_exit

if TYPE_CHECKING:
    from armvcpu.machine.machine import Machine


def crash_report(machine: Machine, reason: str) -> CrashReport:
    """What a firmware developer needs to act on: see `debug.report`."""
    vcpu = machine.vcpu
    last = vcpu.last_exception
    exits = [f"{pc:#x} {describe_exit(reason)}" for pc, reason in machine.last_exits]
    return build_report(
        reason, vcpu.vcpu_id, vcpu.state, machine.engine.registers.read, machine.read_virtual, machine.symbols, exits,
        esr=None if last is None else last[0], far=None if last is None else last[1],
        instructions=machine.instructions,
    )  # fmt: skip
