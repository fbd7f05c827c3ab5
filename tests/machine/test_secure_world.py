"""Guests at EL3 on the Secure board: what they reach, what Non-secure software does not. DDI 0487 D1.1, D7.1."""

from __future__ import annotations

import pytest
from fdt import parse_dtb
from raw_guest import BASE, ERET, FOREVER, ISB, NOP, branch, flat, image, load, mov, mrs, msr, print_text, store

from armvcpu import Machine
from armvcpu.errors import ArmvcpuError
from armvcpu.machine.outcome import Ending
from armvcpu.machine.snapshots import snapshot_file

SECURE_RAM, SECURE_UART, SECURE_GPIO, FLASH0, FLASH1 = 0x0E00_0000, 0x0904_0000, 0x090B_0000, 0, 0x0400_0000
NS, RW, HCE = 1, 1 << 10, 1 << 8
EL2H = 0x3C9
VECTOR = 0x200
"""Synchronous, from the present level with SP_ELx (D1.3.2)."""
SPACE = 0x600
"""Where, behind the image's beginning, vectors and Non-secure code lie, each in as many bytes."""
ABORTED = 0x9600_0010
"""ESR_EL2: a Data Abort of the same level, synchronous External abort, a read; ISV is 0 there."""


@pytest.fixture
def start(tmp_path):
    def start(*words, **options):
        (tmp_path / "guest.bin").write_bytes(image(*words))
        return Machine(tmp_path / "guest.bin", **{"el": 3, **options})

    return start


def at_el2(*words: int | list[int]) -> list[int]:
    """Code for EL3: have EL2 execute these words in Non-secure state; its exceptions leave ESR in X20, FAR in X21."""
    code = flat(
        mov(0, NS | RW | HCE | 0x30), msr("SCR_EL3", 0), mov(0, BASE + 2 * SPACE), msr("ELR_EL3", 0),
        mov(0, BASE + 0x800), msr("VBAR_EL2", 0), mov(0, EL2H), msr("SPSR_EL3", 0), ISB, ERET,
    )  # fmt: skip
    code += [NOP] * ((0x800 + VECTOR) // 4 - len(code))
    code += flat(mrs(20, "ESR_EL2"), mrs(21, "FAR_EL2"), FOREVER)
    code += [NOP] * (2 * SPACE // 4 - len(code))
    return code + flat(*words, FOREVER)


def gprs(machine: Machine, *numbers: int) -> list[int]:
    with machine:
        machine.run(max_instructions=2000)
        return [machine.vcpu.gpr(n) for n in numbers]


def test_el3_has_secure_ram(start):
    """All 16 MiB of it."""
    words = [*mov(1, SECURE_RAM), *mov(2, SECURE_RAM + (16 << 20) - 8), *mov(3, 0x1234_5678_9ABC_DEF0)]
    words += [store(3, 1), store(3, 2), load(20, 1), load(21, 2), load(22, 1, 4), FOREVER]
    assert gprs(start(*words), 20, 21, 22) == [0x1234_5678_9ABC_DEF0, 0x1234_5678_9ABC_DEF0, 0x9ABC_DEF0]


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("address", [SECURE_RAM, SECURE_RAM + (16 << 20) - 4, SECURE_UART, SECURE_GPIO, FLASH0])
def test_a_non_secure_access_of_what_is_secure_aborts(start, address, clock):
    """A synchronous External abort, at the level that made it, since SCR_EL3.EA is 0."""
    found = gprs(start(*at_el2(mov(1, address), load(22, 1, 4)), clock=clock), 20, 21)
    assert found == [ABORTED, address]


@pytest.mark.parametrize("address", [FLASH1, 0x4000_0000, 0x0900_0018])
def test_a_non_secure_access_of_anything_else_does_not(start, address):
    """Flash bank 1, RAM, the first UART."""
    assert gprs(start(*at_el2(mov(1, address), load(22, 1, 4), mov(23, 7))), 20, 23) == [0, 7]


def test_both_worlds_print_on_the_console(start):
    """EL3 by its UART and the other one."""
    words = [*mov(1, SECURE_UART), *mov(2, ord("s")), store(2, 1, 1), *print_text("S"), FOREVER]
    with start(*words) as machine:
        machine.run(max_instructions=200)
        assert machine.console.output == b"sS"


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize(("line", "reason"), [(0, "powered off"), (1, "asked for a reset")])
def test_the_secure_gpio_ends_the_run(start, line, reason, clock):
    """QEMU's `gpio-pwr`: how Trusted Firmware-A serves SYSTEM_OFF and SYSTEM_RESET."""
    words = [*mov(1, SECURE_GPIO), *mov(2, 0xFF), *mov(3, 1 << line), store(3, 1, 4)]
    words += [0x9110_0021, store(3, 1, 4), 0xD110_0021]  # GPIODIR: ADD X1, X1, #0x400, and back
    words += [*mov(4, SECURE_GPIO + (4 << line)), store(2, 4, 4), FOREVER]
    with start(*words, reboot=False, clock=clock) as machine:
        outcome = machine.run(timeout=20)
        assert (outcome.ending, reason in outcome.reason) == (Ending.POWERED_OFF, True)


def test_a_reset_by_the_secure_gpio_starts_anew(start):
    """RAM stays, devices and CPUs do not: the second time the guest switches off."""
    words = [*mov(5, SECURE_RAM), load(6, 5), *mov(7, 1), store(7, 5)]
    words += [*mov(1, SECURE_GPIO), *mov(2, 0xFF), *mov(4, SECURE_GPIO + 0x3FC), *mov(8, SECURE_GPIO + 0x400)]
    words += [0xCB06_00E3, 0x9100_0463, store(3, 8, 4), store(2, 4, 4), FOREVER]  # SUB X3, X7, X6; ADD X3, X3, #1
    with start(*words) as machine:
        outcome = machine.run(timeout=20)
        assert (outcome.ending, machine.vcpu.gpr(6)) == (Ending.POWERED_OFF, 1)


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_firmware_starts_at_el3_in_secure_flash(tmp_path, clock):
    """As `-bios` with `secure=on`: it reads itself, programs bank 1, and finds the device tree at the start of RAM."""
    words = [mrs(20, "CurrentEL"), 0x1000_0015, load(22, 21, 4), *mov(1, 0x4000_0000), load(23, 1, 4), FOREVER]
    (tmp_path / "firmware.bin").write_bytes(image(*words))
    with Machine(firmware=tmp_path / "firmware.bin", el=3, clock=clock) as machine:
        machine.run(max_instructions=200)
        found = [machine.vcpu.gpr(n) for n in (20, 21, 22, 23)]
    assert found == [0xC, 4, 0x1000_0015, 0xEDFE_0DD0]


def test_secure_firmware_has_seeds_of_its_own(start):
    """/secure-chosen, as QEMU's: another rng-seed than /chosen's, and kaslr-seed; others in the next machine."""

    def seeds() -> list[bytes]:
        with start(FOREVER) as machine:
            tree = parse_dtb(machine.read(machine.plan.dtb_addr, 16 << 10))
        places = (("rng-seed", "/chosen"), ("rng-seed", "/secure-chosen"), ("kaslr-seed", "/secure-chosen"))
        return [b"".join(word.to_bytes(4, "big") for word in tree.get_property(*place).data) for place in places]

    first, second = seeds(), seeds()
    assert [len(seed) for seed in first] == [32, 32, 8]
    assert len({*first, *second}) == 6


def test_an_image_is_loaded_into_secure_ram(tmp_path):
    """`--load-address`, as of a BL31 that starts by itself."""
    (tmp_path / "bl31").write_bytes(image(mrs(20, "CurrentEL"), branch(0)))
    with Machine(tmp_path / "bl31", el=3, load_address=SECURE_RAM + 0x1000) as machine:
        machine.run(max_instructions=100)
        assert (machine.vcpu.gpr(20), machine.vcpu.state.pc) == (0xC, SECURE_RAM + 0x1004)


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_a_snapshot_has_secure_ram_and_devices(start, tmp_path, clock):
    """Returned to in the same machine, and from a file in another one."""
    words = [*mov(1, SECURE_RAM), *mov(2, 0x1234), store(2, 1), *mov(1, SECURE_UART + 0x38), *mov(2, 0x50)]
    words += [store(2, 1, 4), FOREVER]
    options = {"clock": clock}
    with start(*words, **options) as machine:
        machine.run(max_instructions=100)
        snapshot = machine.snapshot()
        snapshot_file.save(snapshot, tmp_path / "snapshot")
        machine.write(SECURE_RAM, bytes(8))
        machine.bus.find(SECURE_UART).write(0x38, 4, 0)
        machine.restore(snapshot)
        assert state_of(machine) == (0x1234, 0x50)
    with start(*words, snapshot=tmp_path / "snapshot", **options) as machine:
        assert state_of(machine) == (0x1234, 0x50)


def state_of(machine: Machine) -> tuple[int, int]:
    """The first word of Secure RAM, and the Secure UART's UARTIMSC."""
    memory = int.from_bytes(machine.read(SECURE_RAM, 8), "little")
    return memory, machine.bus.find(SECURE_UART).read(0x38, 4)


def test_runs_of_both_worlds_repeat(start):
    """By the instruction clock: aborts, counts, memory, to the instruction."""

    def run() -> tuple[int, list[int], str]:
        with start(*at_el2(mov(1, SECURE_RAM), mrs(23, "CNTPCT_EL0"), load(22, 1, 4)), clock="instructions") as machine:
            machine.run(max_instructions=3000)
            return machine.instructions, [machine.vcpu.gpr(n) for n in range(31)], machine.vcpu.dump()

    assert run() == run()


def test_the_secure_uart_may_have_a_file_of_its_own(start, tmp_path):
    """Every character, also those of no text; the console has the first UART's only."""
    words = [
        *mov(1, SECURE_UART),
        *flat(*([*mov(2, ord(each)), store(2, 1, 1)] for each in "a\n\xff")),
        *print_text("b"),
    ]
    with start(*words, FOREVER, secure_console=tmp_path / "secure.log") as machine:
        machine.run(max_instructions=300)
        assert (tmp_path / "secure.log").read_bytes()[:2] == b"a\n"
        assert machine.console.output == b"b"
    assert (tmp_path / "secure.log").read_bytes() == b"a\n\xff"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"el": 2, "secure_console": "x"}, "secure_console without el 3 has no effect"),
        ({"secure_console": "no/such/directory/x"}, "cannot be written: No such file or directory"),
        ({"secure_console": "/dev/full"}, "cannot be written: No space left on device"),
    ],
)
def test_a_file_that_cannot_have_it_is_told(start, options, problem):
    """At once, or when the rest of it is written."""
    words = [*mov(1, SECURE_UART), *mov(2, 10), store(2, 1, 1), FOREVER]
    with pytest.raises(ArmvcpuError, match=problem), start(*words, **options) as machine:
        machine.run(max_instructions=300)


@pytest.mark.parametrize("clock", ["host", "instructions"])
@pytest.mark.parametrize("el", [2, 3])
def test_firmware_programs_its_variables(tmp_path, el, clock):
    """Bank 1, which is a file, without a stage 2 of ours: commands to the chips, and reads of memory again."""
    words = [*mov(1, FLASH1), *mov(2, 0x40_0040), store(2, 1, 4), *mov(3, 0x1234_5678), store(3, 1, 4)]
    words += [*mov(2, 0xFF_00FF), store(2, 1, 4), *([load(20, 1, 4)] * 12), FOREVER]
    (tmp_path / "firmware").write_bytes(image(*words))
    with Machine(firmware=tmp_path / "firmware", vars=tmp_path / "vars", el=el, clock=clock) as machine:
        machine.run(max_instructions=200)
        assert machine.vcpu.gpr(20) == 0x1234_5678
    with (tmp_path / "vars").open("rb") as kept:
        assert kept.read(8) == (0x1234_5678).to_bytes(4, "little") + b"\xff" * 4
