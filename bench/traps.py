"""What a trap costs, by guests/traps.elf with Python answering."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from armvcpu.engine.unicorn_engine import UnicornEngine
from armvcpu.machine.console import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.vcpu.exits import Hypercall

if TYPE_CHECKING:
    from pathlib import Path


def trap_costs(image: Path) -> dict[str, float]:
    """Microseconds of each kind of trap; hvc-exit leaves `run()` and enters it again."""
    console = MemoryConsole()
    with Machine(image, console=console) as machine:
        machine.on_hypercall(0xC600_0001)(lambda vcpu: vcpu.gpr(1))
        machine.on_mmio(0x0B00_0000, 0x1000, lambda _offset, _width: 0, lambda _offset, _width, _value: None)
        vcpu = machine.vcpu
        while True:
            reason = vcpu.run()
            if not isinstance(reason, Hypercall):
                break
            vcpu.set_return_value(0)
    output = console.output.decode()
    frequency = next(float(line.split()[1]) for line in output.splitlines() if line.startswith("FREQUENCY"))
    rows = (line.split() for line in output.splitlines() if line.startswith("TRAP ") and "ticks=" in line)
    return {row[1]: float(row[3].split("=")[1]) / frequency / float(row[2].split("=")[1]) * 1e6 for row in rows}


def engine_creation_ms() -> float:
    """Milliseconds to create and close an engine, not the first of the process."""
    UnicornEngine().close()
    times = []
    for _ in range(9):
        start = time.perf_counter()
        UnicornEngine().close()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def machine_creation_ms(image: Path) -> float:
    """Milliseconds to create and close a machine with an image loaded."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        Machine(image).close()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3
