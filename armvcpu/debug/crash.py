"""The crash report of a machine, put together from what the machine knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.arch.esr import ESR, ExceptionClass
from armvcpu.debug.gather import build_report
from armvcpu.debug.surroundings import Descriptor, Surroundings
from armvcpu.debug.words import describe_exit
from armvcpu.devices.pcie_ecam import Space
from armvcpu.machine.board.virt import PCIE_WINDOWS
from armvcpu.machine.watching.regimes import regime, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from armvcpu.debug.report import CrashReport
    from armvcpu.engine.api import Fault
    from armvcpu.machine.boot.symbols import Symbols
    from armvcpu.machine.parts import Parts
    from armvcpu.vcpu.exits import Exit
    from armvcpu.vcpu.vcpu import Aarch64VCpu


def crash_report(
    parts: Parts, symbols: Symbols, physical: Callable[[int], int], last_exits: Iterable[tuple[int, Exit]], reason: str
) -> CrashReport:
    """What a firmware developer needs to act on: see `debug.report`. `last_exits` are (PC, exit), the latest last."""
    vcpu, engine = parts.turns.cpu.vcpu, parts.engine
    last, is_endless = vcpu.last_exception, engine.is_endless
    return build_report(
        reason, vcpu.vcpu_id, vcpu.state, engine.registers.read, engine.memory.read_virtual, symbols,
        _surroundings(parts, vcpu, physical), [f"{pc:#x} {describe_exit(each)}" for pc, each in last_exits],
        fault=_fault(vcpu, is_endless=is_endless), is_endless=is_endless, last=last,
        level=engine.last_exception.el or max(1, vcpu.state.el),
        instructions=parts.count.value,
    )  # fmt: skip


def _fault(vcpu: Aarch64VCpu, *, is_endless: bool) -> Fault | None:
    """A system call that has not returned is no fault, unless its handler is."""
    fault = vcpu.first_fault
    return None if fault is not None and not is_endless and ESR(fault.esr).EC == ExceptionClass.SVC64 else fault


def _surroundings(parts: Parts, vcpu: Aarch64VCpu, physical: Callable[[int], int]) -> Surroundings:
    config, board, read = parts.config, parts.board, parts.engine.memory.read_virtual
    is_flash = board.memory_map().is_flash
    window = next(each for each in PCIE_WINDOWS if each.space is Space.MEMORY_32)
    # By the instruction clock, and for Linux, all devices are mapped from the start.
    is_told = not parts.clock.repeats and not parts.boot.plan.is_linux
    return Surroundings(
        is_memory=lambda address: read(address & ~3, 4) is not None,
        physical=physical,
        descriptor=lambda address: _descriptor(parts, address),
        loaded=lambda address: _loaded(parts, address),
        name_of=board.name_of,
        is_flash=is_flash,
        had_commands=lambda address: any(
            bank.had_commands and 0 <= address - bank.base < len(bank) for bank in parts.memory.flash
        ),
        ram_ends=tuple(piece.end for piece in parts.memory.layout.pieces),
        highest=config.el,
        is_linux=parts.boot.plan.is_linux,
        state=_state(parts, vcpu),
        walk=lambda address, level: tuple(_walked(parts, address, level)),
        is_secure_memory=lambda address: any(base <= address < base + size for base, size in board.secure_ranges),
        gic=config.gic,
        cpu_model=config.cpu_model,
        semihosting=config.semihosting,
        runs_from_flash=is_flash(parts.boot.plan.entry),
        refused_smc=vcpu.refused_smc,
        pcie_touched=is_told and parts.space.translate(window.cpu_addr) is not None,
    )


def _descriptor(parts: Parts, address: int) -> Descriptor | None:
    doubleword, read = parts.memory.doubleword, parts.engine.registers.read
    level = parts.turns.cpu.vcpu.state.el
    seen = walk(address, regime(level, parts.config.el, read), read, doubleword).descriptors
    return Descriptor(seen[-1], doubleword(seen[-1]) or 0) if seen else None


def _state(parts: Parts, vcpu: Aarch64VCpu) -> str:
    """The level, and with EL3 the Security state of those below; empty of a guest that has EL1 only."""
    if parts.config.el == 1:
        return ""
    level = f"EL{vcpu.state.el}"
    if parts.config.el == 2 or vcpu.state.el == 3:
        return level
    return f"Secure {level}" if vcpu.processor.is_secure else f"Non-secure {level}"


def _walked(parts: Parts, address: int, level: int) -> Iterator[str]:
    """A line for each stage, and one for what is there."""
    read = parts.engine.registers.read
    found = walk(address, regime(level, parts.config.el, read), read, parts.memory.doubleword)
    tables = f"{len(found.descriptors)} descriptors" if found.descriptors else "no tables"
    is_last = not found.regime.has_stage2
    to = "nothing" if found.ipa is None else f"{'physical' if is_last else 'intermediate'} {found.ipa:#x}"
    yield f"virtual {address:#x} in {found.regime}: {tables}{_last(found.descriptors)}, {to}"
    if not is_last and found.ipa is not None:
        to = "nothing" if found.physical is None else f"physical {found.physical:#x}"
        yield f"intermediate {found.ipa:#x} in stage 2: {len(found.stage2)} descriptors{_last(found.stage2)}, {to}"
    if found.physical is not None:
        device = parts.board.name_of(found.physical)
        what = device or ("memory" if parts.memory.holds(found.physical) else "nothing")
        yield f"physical {found.physical:#x}: {what}"


def _last(descriptors: tuple[int, ...]) -> str:
    return f", the last at {descriptors[-1]:#x}" if descriptors else ""


def _loaded(parts: Parts, address: int) -> int | None:
    """Linux patches itself as it starts, so of it nothing is said."""
    plan = parts.boot.plan
    if plan.is_linux:
        return None
    for addr, data in plan.writes:
        if 0 <= address - addr <= len(data) - 4:
            return int.from_bytes(data[address - addr : address - addr + 4], "little")
    return None
