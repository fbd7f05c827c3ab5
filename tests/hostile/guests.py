"""Guests: words that are no program, and drivers that write anything to any device."""

from __future__ import annotations

import time
from functools import cache
from struct import pack
from typing import TYPE_CHECKING

from mutate import number
from raw_guest import ERET, add, branch, flat, image, mov, mrs, msr, set_vectors

from armvcpu import Machine
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

RAM = 0x4000_0000
CODE = RAM + 0x80000
RINGS = RAM + 0x10_0000
LONGEST = 0.5
"""Seconds for one access of a device, the host being busy otherwise too: it has a budget of far less."""


SKIP = [mrs(10, "ELR_EL1"), add(10, 10, 4), msr("ELR_EL1", 10), ERET]
"""A vector that goes on behind an access which aborted, or a word that is UNDEFINED."""
SYSTEM_SPACE = 0xD500_0000, 0x3F_FFFF
EXCEPTIONS = 0xD400_0000, 0xFF_FFFF
BRANCHES = 0xD600_0000, 0xFF_FFFF
ATOMICS = 0x0800_0000, 0xC0FF_FFFF
STORES = 0x3800_0000, 0xC0FF_FFFF
FLOATING_POINT = 0x0E00_0000, 0xD1FF_FFFF
ANY = 0, 0xFFFF_FFFF
"""Groups of instructions (DDI 0487 C4.1), as the bits that all have and those that are free."""


def words(rng: Random, directory: Path) -> str:
    """Random instructions, of some groups more than of others, over registers that point everywhere."""
    groups = rng.choices((SYSTEM_SPACE, EXCEPTIONS, BRANCHES, ATOMICS, STORES, FLOATING_POINT, ANY), k=3)
    code = [fixed | rng.getrandbits(32) & free for fixed, free in rng.choices(groups, k=rng.choice((16, 256, 2048)))]
    start = flat(set_vectors(), mov(0, 3 << 20), msr("CPACR_EL1", 0))
    for register in range(31):
        start += mov(
            register, rng.choice((number(rng), CODE + rng.getrandbits(12), 0x0900_0000, RAM + rng.getrandbits(23)))
        )
    start.append(branch(0x1000 // 4 - len(start)))
    path = directory / "words.bin"
    path.write_bytes(image(start, vector=SKIP).ljust(0x1000, b"\0") + pack(f"<{len(code)}I", *code))
    options = {"cpu_model": rng.choice(("a72", "a53", "max")), "gic": rng.choice((2, 3)), "cpus": rng.choice((1, 2))}
    with Machine(path, memory="16M", clock=rng.choice(("host", "instructions")), **options) as machine:  # type: ignore[arg-type]
        outcome = machine.run(timeout=5, max_instructions=20_000)
        if outcome.ending is Ending.CRASHED:
            assert outcome.report
        return outcome.ending.name.lower()


@cache
def _machine(gic: int, version: int) -> Machine:
    program = f"/dev/shm/hostile-image-{gic}-{version}"
    disk = f"/dev/shm/hostile-disk-{gic}-{version}"
    with open(program, "wb") as file:
        file.write(pack("<I", 0xD503_207F))
    with open(disk, "wb") as file:
        file.truncate(64 << 20)
    return Machine(
        program, gic=gic, virtio_version=version, virtio_console=True, memory="64M", disks=(f"{disk},ro",)
    )  # type: ignore[arg-type]  # fmt: skip


def devices(rng: Random, directory: Path) -> str:
    """Hundreds of accesses of registers of all devices, with rings of virtio in memory that are nearly right."""
    del directory
    machine = _machine(rng.choice((2, 3)), rng.choice((1, 2)))
    slots = machine.board.slots
    for _ in range(30):
        at = RINGS + rng.randrange(0, 0x3000, 2)
        target = rng.choice((RINGS + rng.getrandbits(14), number(rng)))
        machine.write(at, pack("<QIHH", target, number(rng, 32), rng.getrandbits(4), rng.randrange(9)))
    slot = rng.choice(slots)
    for _ in range(300):
        if rng.random() < 0.1:
            slot = rng.choice(slots)
        width = rng.choice((1, 2, 4, 4, 4, 8))
        offset = rng.randrange(0, max(width, min(slot.device.size, rng.choice((0x100, 0x1000, 1 << 26)))), width)
        address = slot.base + offset
        window = machine.bus.find(address)
        assert window is not None
        start = time.monotonic()
        if rng.random() < 0.6:
            value = rng.choice((number(rng, 8 * width), RINGS >> rng.choice((0, 12)) & (1 << 8 * width) - 1, 1, 0xF))
            window.write(address - window.base, width, value & (1 << 8 * width) - 1)
        else:
            window.read(address - window.base, width)
        taken = time.monotonic() - start
        assert taken < LONGEST, f"{slot.name} at {address:#x}: {taken:.2f} s"
    machine.run(timeout=0.02)
    if rng.random() < 0.05:
        machine.reset()
    return "served"
