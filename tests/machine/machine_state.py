"""All that a machine is made of, as one number: whether two of them are the same to the last bit."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from armvcpu.arch.psci import AffinityState
from armvcpu.machine.snapshots.snapshot import slots_with_state

if TYPE_CHECKING:
    from armvcpu import Machine
    from armvcpu.machine.running.cpu import Cpu


def digest(machine: Machine) -> str:
    """Of RAM, each CPU's registers, its timers and what it does, devices, interrupt controller, clock and turns."""
    parts, engine = machine.parts, machine.engine
    found = hashlib.sha256(machine.memory.ram)
    for cpu in parts.turns.cpus:
        found.update(repr(_cpu(machine, cpu)).encode())
    devices = [slot.device.state() for slot in slots_with_state(parts.board)]
    time = (
        parts.clock.state(),
        parts.turns.state(),
        parts.turns.cpu.index,
        [moment for _, moment in parts.schedule.state()],
    )
    where = engine.instructions, engine.entries, engine.rest
    found.update(repr((devices, parts.board.gic.state(), time, where)).encode())
    return found.hexdigest()


def _cpu(machine: Machine, cpu: Cpu) -> object:
    timers = [(timer.ctl, timer.cval, timer.level) for timer in cpu.time.timers.values()]
    does = int(cpu.power), cpu.waiting, cpu.pending_start, cpu.time.count(), timers, cpu.time.pmu.state()
    if cpu.power is AffinityState.OFF:
        return does
    registers = cpu.vcpu.registers.save()  # those of a level above the guest's tell how it came here: HPFAR_EL2 say
    above = f"_EL[{machine.config.el + 1}-9]|_EL12"
    own = sorted((name, value) for name, value in registers.items() if not re.search(above, name))
    return does, own, cpu.vcpu.state.exclusive, cpu.vcpu.past
