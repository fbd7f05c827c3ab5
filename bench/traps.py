"""What a trap costs, by guests/traps.elf with Python answering, and what it costs to put another vCPU on a CPU."""

from __future__ import annotations

import statistics
import struct
import time
from typing import TYPE_CHECKING

from armvcpu import Aarch64PerCpu, Aarch64VCpu, Aarch64VCpuCreateConfig, Aarch64VCpuSetupConfig
from armvcpu.machine.console.port import MemoryConsole
from armvcpu.machine.machine import Machine
from armvcpu.vcpu.exits import Hypercall
from bench.pairs import run
from bench.rows import Single

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRAPS = {
    # of the guest: what it is, at most, and whether QEMU has the same
    "svc": ("SVC and ERET", 0.45, True),
    "hvc-hook": ("HVC, answered by Python inside the trap", 0.8, False),
    "mmio": ("load from a device in Python", None, False),
    "register": ("register answered by Python", 0.25, False),
    "sysreg": ("register that is constant", 0.01, True),
    "timer": ("timer interrupt: set, taken, acknowledged, ended", 3.0, True),
}
TO_EL2 = {
    # of the guest that is a hypervisor: what it is, and at most
    "el2-hvc": ("HVC to the guest's own EL2, and ERET", 0.6),
    "el2-exit": ("the same with every register kept", None),
    "el2-abort": ("a load that its stage 2 has nothing for, likewise", None),
}
RAM, LOOP = 0x8000_0000, (0xD400_0002, 0x17FF_FFFF)  # hvc #0; b back to it
TURNS = 20_000


def traps(rounds: int, image: Path, qemu: list[str]) -> Iterator[Single]:
    """Microseconds of each kind, and of a switch."""
    ours = [_costs(image) for _ in range(rounds)]
    theirs = [_times(run([*qemu, "-kernel", str(image)]).output) for _ in range(rounds)]
    for key, (name, limit, is_comparable) in TRAPS.items():
        other = statistics.median(each[key] for each in theirs) if is_comparable else None
        yield Single(f"trap: {name}", statistics.median(each[key] for each in ours), "µs", limit, other)
    turns = [_hvc_and_switch() for _ in range(rounds)]
    yield Single("trap: HVC, for which run() returns", statistics.median(hvc for hvc, _ in turns), "µs", 2.5)
    yield Single("context switch of two vCPUs", statistics.median(switch for _, switch in turns), "µs", 3.0)


def levels(rounds: int, image: Path, armvcpu: str, qemu: list[str]) -> Iterator[Single]:
    """Microseconds from EL1 to a hypervisor that is the guest's own and back; in turns with QEMU's."""
    pairs = [
        (_times(run([armvcpu, "run", str(image), "--el", "2"]).output), _times(run(_with_el2(qemu, image)).output))
        for _ in range(rounds)
    ]
    for key, (name, limit) in TO_EL2.items():
        ours, theirs = (statistics.median(times[key] for times in side) for side in zip(*pairs, strict=True))
        yield Single(f"level: {name}", ours, "µs", limit, theirs)


def _with_el2(qemu: list[str], image: Path) -> list[str]:
    return [f"{word},virtualization=on" if word.startswith("virt") else word for word in qemu] + ["-kernel", str(image)]


def _costs(image: Path) -> dict[str, float]:
    """Of each kind; the register that Python answers by a machine of its own, the others have none to ask."""
    return _run_traps(image) | {"register": _run_traps(image, answers_register=True)["register"]}


def _run_traps(image: Path, *, answers_register: bool = False) -> dict[str, float]:
    console = MemoryConsole()
    with Machine(image, console=console) as machine:
        machine.on_hypercall(0xC600_0001)(lambda vcpu: vcpu.gpr(1))
        machine.on_mmio(0x0B00_0000, 0x1000, lambda _offset, _width: 0, lambda _offset, _width, _value: None)
        if answers_register:
            machine.on_sysreg("ID_AA64AFR0_EL1", lambda: 0)
        outcome = machine.run(timeout=120)
    if not outcome.ok:
        raise RuntimeError(f"{image} ended otherwise: {outcome}")
    return _times(console.output.decode())


def _times(output: str) -> dict[str, float]:
    """`TRAP svc count=N ticks=T` lines as microseconds each."""
    frequency = next(float(line.split()[1]) for line in output.splitlines() if line.startswith("FREQUENCY"))
    rows = (line.split() for line in output.splitlines() if line.startswith("TRAP ") and "ticks=" in line)
    return {row[1]: float(row[3].split("=")[1]) / frequency / float(row[2].split("=")[1]) * 1e6 for row in rows}


def _hvc_and_switch() -> tuple[float, float]:
    """Microseconds of an HVC that leaves run(), and of what two vCPUs in turn take besides; without a machine."""
    memory = memoryview(bytearray(4096))
    memory[: 4 * len(LOOP)] = struct.pack(f"<{len(LOOP)}I", *LOOP)
    pcpu = Aarch64PerCpu()
    pcpu.hardware_enable()
    pcpu.engine.memory.map_ram(RAM, memory)
    vcpus = [Aarch64VCpu(0, number, Aarch64VCpuCreateConfig(mpidr_el1=number)) for number in range(2)]
    for vcpu in vcpus:
        vcpu.setup(Aarch64VCpuSetupConfig())
        vcpu.set_entry(RAM)
    switching = _seconds_of_turns(pcpu, vcpus)
    vcpus[0].bind(pcpu)
    start = time.perf_counter()
    for _ in range(TURNS):
        _turn(vcpus[0])
    staying = time.perf_counter() - start
    vcpus[0].unbind()
    pcpu.hardware_disable()
    return staying / TURNS * 1e6, (switching - staying) / TURNS * 1e6


def _seconds_of_turns(pcpu: Aarch64PerCpu, vcpus: list[Aarch64VCpu]) -> float:
    for vcpu in vcpus:  # the first one sets the registers up
        vcpu.bind(pcpu)
        _turn(vcpu)
        vcpu.unbind()
    start = time.perf_counter()
    for number in range(TURNS):
        vcpu = vcpus[number % 2]
        vcpu.bind(pcpu)
        _turn(vcpu)
        vcpu.unbind()
    return time.perf_counter() - start


def _turn(vcpu: Aarch64VCpu) -> None:
    if not isinstance(vcpu.run(), Hypercall):
        raise TypeError("the guest did something else than HVC")
    vcpu.set_return_value(0)


def cpu_creation_ms() -> float:
    """Milliseconds to make a physical CPU, an engine with EL2 set up, and to free it; not the first of the process."""
    return statistics.median(_creation_seconds() for _ in range(10)) * 1e3


def _creation_seconds() -> float:
    start = time.perf_counter()
    pcpu = Aarch64PerCpu()
    pcpu.hardware_enable()
    pcpu.hardware_disable()
    return time.perf_counter() - start


def machine_creation_ms(image: Path) -> float:
    """Milliseconds to create and close a machine with an image loaded."""
    times = []
    for _ in range(9):
        start = time.perf_counter()
        Machine(image).close()
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3
