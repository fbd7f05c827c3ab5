"""When devices are in the engine, and what handlers of MMIO a machine takes."""

from __future__ import annotations

from struct import pack

import pytest
import raw_guest as raw
from image_bytes import make_linux

from armvcpu import Machine, MemoryConsole
from armvcpu.errors import UsageError

PAGE, TABLE = 0x1000, 0x2000
ERASED = 0x0240_0000
"""In flash bank 0, which nothing was loaded into."""
RAM_BLOCK = 0x4000_0000 | 1 << 10 | 3 << 8 | 1 << 2 | 1
"""1 GiB of Normal memory at EL1: AF, inner shareable, attribute 1."""
DEVICE_BLOCK = 1 << 10 | 1
TCR_39_BITS = 2 << 32 | 1 << 23 | 25
MMU_ON = 0x30D0_0801


def linux(*words: int | list[int]) -> bytes:
    """An Image whose code follows its header, with an identity map at TABLE beyond its start."""
    data = make_linux(size=TABLE)
    code = raw.flat(*words)
    data = pack("<I", raw.branch(16)) + data[4:64] + pack(f"<{len(code)}I", *code)
    return data.ljust(TABLE, b"\0") + pack("<QQ", DEVICE_BLOCK, RAM_BLOCK).ljust(PAGE, b"\0")


def mmu_on(base: int) -> list[int]:
    """Turn the MMU on with the map of an image at `base`."""
    settings = {"TTBR0_EL1": base + TABLE, "TCR_EL1": TCR_39_BITS, "MAIR_EL1": 0xFF00}
    words = [word for name, value in settings.items() for word in (*raw.mov(9, value), raw.msr(name, 9))]
    return [*words, raw.ISB, *raw.mov(9, MMU_ON), raw.msr("SCTLR_EL1", 9), raw.ISB]


def access(value: int) -> list[int]:
    """Store to the hole and load from it."""
    return [*raw.mov(1, raw.HOLE), *raw.mov(2, value), raw.store(2, 1, 4), raw.load(3, 1, 4)]


@pytest.fixture
def console():
    return MemoryConsole()


@pytest.mark.parametrize("has_mmu", [False, True])
def test_a_handler_serves_a_kernel_too(tmp_path, has_mmu):
    """A Linux Image gets a device at a hole, by stage 2 while its MMU is off, and without once it is on."""
    base = 0x4020_0000
    before = mmu_on(base) if has_mmu else []
    path = tmp_path / "Image"
    path.write_bytes(linux(before, access(5), raw.psci(raw.SYSTEM_OFF)))
    stored = []
    with Machine(path) as machine:
        assert machine.plan.entry == base
        machine.on_mmio(raw.HOLE, PAGE, lambda offset, _width: offset + 7, lambda *written: stored.append(written))
        outcome = machine.run(timeout=20)
        assert (outcome.status, stored, machine.vcpu.gpr(3)) == (0, [(0, 4, 5)], 7)


def test_a_hole_of_a_kernel_is_zero(tmp_path):
    """Without stage 2 nothing traps: reads as zero, ignores writes."""
    path = tmp_path / "Image"
    path.write_bytes(linux(mmu_on(0x4020_0000), access(5), raw.psci(raw.SYSTEM_OFF)))
    with Machine(path) as machine:
        assert (machine.run(timeout=20).status, machine.vcpu.gpr(3)) == (0, 0)


@pytest.mark.parametrize(("clock", "comes"), [("host", [raw.UART]), ("instructions", [])])
def test_devices_come_to_the_engine_when_they_are_used(tmp_path, console, clock, comes):
    """A guest pays for what it touches; where runs repeat, nothing comes by a fault that a snapshot would not have."""
    path = tmp_path / "guest.bin"
    path.write_bytes(raw.image(raw.print_text("x"), raw.psci(raw.SYSTEM_OFF)))
    mapped = []
    with Machine(path, console=console, clock=clock) as machine:
        assert (machine.space.translate(ERASED) is None) == (clock == "host")
        map_io = machine.engine.memory.map_io
        machine.engine.memory.map_io = lambda base, *others: (mapped.append(base), map_io(base, *others))
        assert machine.run(timeout=20).ok
    assert (mapped, console.output) == (comes, b"x")


@pytest.mark.parametrize("options", [{}, {"exact_mmio": True}])
@pytest.mark.parametrize(
    ("base", "size", "words"),
    [
        (raw.UART, PAGE, "overlaps another one"),
        (0x4100_0000, PAGE, "overlaps the mapping"),
        (1 << 41, PAGE, "address"),
        (raw.HOLE + 8, PAGE, "multiples of 4096"),
        (raw.HOLE, 0, "one of 0 bytes"),
    ],
)
def test_a_handler_can_be_refused(tmp_path, options, base, size, words):
    """Where something is, or nothing can be."""
    path = tmp_path / "guest.bin"
    path.write_bytes(raw.image(raw.psci(raw.SYSTEM_OFF)))
    with Machine(path, **options) as machine:
        with pytest.raises(UsageError, match=words):
            machine.on_mmio(base, size, lambda *_: 0, lambda *_: None)
        assert machine.run(timeout=20).ok


def test_code_in_a_device_is_an_external_abort(tmp_path):
    """Whether the device has been used before or not: IFSC 0b010000, DDI 0487 D17.2.37."""
    for before in ([], [*raw.mov(1, 0x0901_0000), raw.load(2, 1, 4)]):
        path = tmp_path / "guest.bin"
        vector = [raw.mrs(5, "ESR_EL1"), *raw.psci(raw.SYSTEM_OFF)]
        path.write_bytes(raw.image(raw.set_vectors(), before, raw.mov(4, 0x0901_0000), raw.br(4), vector=vector))
        with Machine(path) as machine:
            assert machine.run(timeout=20).ok
            assert machine.vcpu.gpr(5) == 0x8600_0010
