"""The crash report of a machine, put together from what the machine knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.debug.report import CrashReport, build_report
from armvcpu.debug.words import describe_exit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.vcpu import Aarch64VCpu


def crash_report(
    vcpu: Aarch64VCpu, symbols: Symbols, last_exits: Iterable[tuple[int, Exit]], instructions: int | None, reason: str
) -> CrashReport:
    """What a firmware developer needs to act on: see `debug.report`. `last_exits` are (PC, exit), the latest last."""
    last, engine = vcpu.last_exception, vcpu.engine
    exits = [f"{pc:#x} {describe_exit(each)}" for pc, each in last_exits]
    return build_report(
        reason, vcpu.vcpu_id, vcpu.state, engine.registers.read, engine.memory.read_virtual, symbols, exits,
        esr=None if last is None else last[0], far=None if last is None else last[1], instructions=instructions,
    )  # fmt: skip
