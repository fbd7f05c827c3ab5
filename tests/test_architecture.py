"""docs/architecture.md is true: its walks are what is called, and its examples of additions work.

An addition is made to a copy of the package, where the document says, and the program below it run with that.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.devices.deadline import NEVER

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text()
EXAMPLES = dict(re.findall(r"^### \.\.\. ([^\n]+)\n(.*?)(?=^### |\Z)", TEXT, re.DOTALL | re.MULTILINE))
ADDITION = re.compile(
    r"In `(armvcpu/[^`]+)`, before the (?:first )?line `([^`]+)`:\n\n```python\n(.*?)^```\n", re.DOTALL | re.MULTILINE
)
PROGRAM = re.compile(r"^```python\n((?:(?!^```).)*)^```\n\n```text\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
WALKS = dict(re.findall(r"^```walk (\w+)\n(.*?)^```\n", TEXT, re.DOTALL | re.MULTILINE))
HVC, WFI, SYSTEM_OFF = 0xD400_0002, 0xD503_207F, 0x8400_0008


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_addition_works_as_it_is_told(name, tmp_path):
    """The program prints what stands below it."""
    shutil.copytree(ROOT / "armvcpu", tmp_path / "armvcpu", ignore=shutil.ignore_patterns("__pycache__"))
    for file, place, code in ADDITION.findall(EXAMPLES[name]):
        path = tmp_path / file
        lines = path.read_text().splitlines(keepends=True)
        at = next(number for number, line in enumerate(lines) if line.strip().startswith(place))
        path.write_text("".join([*lines[:at], code, *lines[at:]]))
    ((program, printed),) = PROGRAM.findall(EXAMPLES[name])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{program}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", printed)


def test_the_device_that_is_added_outlasts_snapshots_and_resets():
    """Nothing is to come in a state from before COUNT was written or after a reset; what waits goes along."""
    names: dict[str, Any] = {}
    program = PROGRAM.findall(EXAMPLES["a device"])[0][0]
    exec(compile(program.partition("\n\n\nwith ")[0], "architecture.md", "exec", 0, dont_inherit=True), names)
    base, spi = 0x0B00_0000, 100
    with Machine("guests/bin/hello.elf") as machine, Machine("guests/bin/hello.elf") as other:
        device, twin = names["Countdown"](), names["Countdown"]()
        machine.add_device(device, base, spi)
        other.add_device(twin, base, spi)
        before = machine.snapshot()
        device.write(0, 4, 1_000_000)
        waits = machine.snapshot()
        device.deadline.due()
        pending = machine.snapshot()
        machine.restore(before)
        assert (device.deadline.moment, machine.board.gic.shared.line >> 32 + spi & 1) == (NEVER, 0)
        other.restore(waits)
        assert 0 < twin.deadline.moment - twin.clock.ns() <= 1_000_000_000
        other.restore(pending)
        assert other.board.gic.shared.line >> 32 + spi & 1
        other.reset()
        assert (twin.deadline.moment, other.board.gic.shared.line >> 32 + spi & 1) == (NEVER, 0)


def test_every_addition_has_an_example():
    """Those that are made most often."""
    assert list(EXAMPLES) == ["a device", "a system register", "a CPU model", "an SMCCC service", "an exit"]


# --- the walks ------------------------------------------------------------------------------------------------


def stores(*accesses: tuple[int, int, int]) -> list[int]:
    """Instructions that store (address, value, width)."""
    code: list[int] = []
    for address, value, width in accesses:
        code += [*raw.mov(1, address), *raw.mov(2, value), raw.store(2, 1, width)]
    return code


def timer() -> list[int]:
    """The virtual timer's PPI enabled, 32 ms set, and a wait for it."""
    frame = 0x080A_0000 + 0x1_0000  # GICR_*: the SGI frame of CPU 0
    gic = stores(
        (0x0800_0000, 0x13, 4), (frame + 0x80, 1 << 27, 4), (frame + 0x41B, 0x80, 1), (frame + 0x100, 1 << 27, 4)
    )
    for name, value in (
        ("ICC_PMR_EL1", 0xFF),
        ("ICC_IGRPEN1_EL1", 1),
        ("CNTV_TVAL_EL0", 2_000_000),
        ("CNTV_CTL_EL0", 1),
    ):
        gic += [*raw.mov(2, value), raw.msr(name, 2)]
    return [*gic, WFI]


def virtio() -> list[int]:
    """The legacy entropy source, alone and so in slot 31, asked for 64 bytes (VIRTIO 1.2, 4.2.4)."""
    slot, queue, buffer = 0x0A00_3E00, 0x4100_0000, 0x4100_4000
    return stores(
        (slot + 0x70, 3, 4), (slot + 0x28, 4096, 4), (slot + 0x30, 0, 4), (slot + 0x38, 8, 4), (slot + 0x3C, 4096, 4),
        (slot + 0x40, queue >> 12, 4), (slot + 0x70, 7, 4),
        (queue, buffer, 8), (queue + 8, 64, 4), (queue + 12, 2, 2),  # a descriptor that the device writes
        (queue + 8 * 16 + 4, 0, 2), (queue + 8 * 16 + 2, 1, 2),  # the available ring: one, descriptor 0
        (slot + 0x50, 0, 4),
    )  # fmt: skip


CODE = {
    "hvc": [*raw.mov(0, 0xC600_0001), HVC],
    "mmio": stores((raw.UART, ord("A"), 4)),
    "timer": timer(),
    "virtio": virtio(),
    "stop": [0xD503_201F],
    "run": [],
}


class Client:
    """Has the guest go on."""

    def stopped(self, stop):
        """At the breakpoint."""

    def ended(self, outcome):
        """It is over."""
        return False


def called_by(machine: Machine) -> list[str]:
    """The functions that a run calls, in their order."""
    names: list[str] = []

    def note(frame, event, _argument):
        if event == "call":
            names.append(frame.f_code.co_qualname.rpartition("<locals>.")[2])

    sys.setprofile(note)
    try:
        assert machine.run(timeout=10).ok
    finally:
        sys.setprofile(None)
    return names


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_goes_as_it_is_told(walk, tmp_path):
    """Every step is called after the one before, and stands in the file that the document names."""
    image = tmp_path / "guest.bin"
    image.write_bytes(raw.image([*CODE[walk], *raw.psci(SYSTEM_OFF)]))
    with Machine(image) as machine:

        @machine.on_hypercall(0xC600_0001)
        def answer(_vcpu):
            return 0

        if walk == "stop":
            machine.debugger.breakpoints.add(raw.BASE + 4)
            machine.debugger.attach(Client())
        called = iter(called_by(machine))
    for line in WALKS[walk].splitlines():
        name, file, *_ = [*line.split(), ""]
        assert name in called, f"{name} is not called there"
        if file.endswith(".py"):
            assert f"def {name.rpartition('.')[2]}(" in (ROOT / "armvcpu" / file).read_text()


def test_there_are_six_walks():
    """Of what every newcomer asks about."""
    assert WALKS.keys() == CODE.keys()


def test_the_files_of_the_native_part_are_those_that_are_told():
    """In docs/engine.md each of its sources and headers stands in the table once."""
    table = (ROOT / "docs" / "engine.md").read_text().partition("| file | what it has |\n")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+\.[ch])`", row.split("|")[1])]
    assert sorted(named) == sorted(path.name for path in (ROOT / "armvcpu" / "engine" / "shim").glob("*.[ch]"))
