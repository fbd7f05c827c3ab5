"""Semihosting as a guest makes its calls: it waits for a character, and has a command line.

Arm 100863, SYS_READC and SYS_READ: neither has an answer that says "none yet"; fewer characters than asked for mean the
end of the input.
"""

from __future__ import annotations

import json
import struct
import threading
from typing import TYPE_CHECKING

import pytest
import raw_guest as raw

from armvcpu import Machine
from armvcpu.machine.outcome import Ending

if TYPE_CHECKING:
    from pathlib import Path

READC, READ, OPEN = 7, 6, 1
DATA = raw.BASE + 0x400
VIRTUAL_TIMER = 27
ENABLE_GROUP_1, UNMASK_ALL, UNMASK_IRQ = "ICC_IGRPEN1_EL1", "ICC_PMR_EL1", 0xD503_42FF
"""MSR DAIFClr, #2 unmasks IRQ."""


def call(operation: int, parameter: int = 0) -> list[int]:
    """One semihosting call."""
    return [*raw.mov(0, operation), *raw.mov(1, parameter), raw.HLT_SEMIHOSTING]


def show(register: int = 0) -> list[int]:
    """The low byte of a register to the UART."""
    return [*raw.mov(2, raw.UART), raw.store(register, 2, 1)]


def guest(tmp_path: Path, *words: int | list[int], data: bytes = b"", handler: list[int] | None = None) -> Path:
    """The words, SYSTEM_OFF, `data` at DATA and the IRQ vector's code."""
    image = raw.image(*words, raw.psci(raw.SYSTEM_OFF)).ljust(0x400, b"\0") + data
    if handler is not None:
        code = raw.flat(handler)
        image = image.ljust(0xA80, b"\0") + struct.pack(f"<{len(code)}I", *code)
    path = tmp_path / "reads.bin"
    path.write_bytes(image)
    return path


@pytest.fixture
def two_characters(tmp_path):
    """It shows two characters, each as soon as it has read it."""
    return guest(tmp_path, call(READC), show(), call(READC), show())


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_readc_waits(two_characters, clock):
    """The guest takes no time of the host's meanwhile, and goes on where it was."""
    with Machine(two_characters, semihosting=True, clock=clock) as machine:
        assert machine.run(timeout=0.2).ending is Ending.LIMIT
        exits = len(machine.last_exits)
        machine.console.feed(b"a")
        assert machine.run(timeout=0.2).ending is Ending.LIMIT
        assert (machine.console.output, len(machine.last_exits)) == (b"a", exits + 1)
        machine.console.feed(b"b")
        assert machine.run(timeout=20).ok
        assert machine.console.output == b"ab"


def test_what_is_typed_ends_the_wait_at_once(two_characters):
    """From another thread, as a terminal does."""
    with Machine(two_characters, semihosting=True) as machine:
        timer = threading.Timer(0.1, machine.console.feed, [b"xy"])
        timer.start()
        assert machine.run(timeout=20).ok
        timer.join()
        assert machine.console.output == b"xy"


def test_the_uart_does_not_keep_what_semihosting_reads(two_characters):
    """Typed before the guest asks: the UART is offered it first, and has room for one."""
    with Machine(two_characters, semihosting=True) as machine:
        machine.console.feed(b"12")
        assert machine.run(timeout=20).ok
        assert machine.console.output == b"12"


def test_the_end_of_the_input_is_minus_one(two_characters):
    """After what has been typed."""
    with Machine(two_characters, semihosting=True) as machine:
        machine.console.feed(b"z")
        machine.console.end_input()
        assert machine.run(timeout=20).ok
        assert machine.console.output == b"z\xff"


def test_read_of_the_console_waits_for_something(tmp_path):
    """Not for all that it asks for: a short answer. At the end of the input it is none."""
    block = struct.pack("<3Q", DATA + 0x40, 0, 3) + struct.pack("<3Q", 1, DATA + 0x80, 100)
    image = guest(
        tmp_path, call(OPEN, DATA), call(READ, DATA + 24), show(), call(READ, DATA + 24), show(),
        data=block.ljust(0x40, b"\0") + b":tt\0",
    )  # fmt: skip
    with Machine(image, semihosting=True) as machine:
        assert machine.run(timeout=0.1).ending is Ending.LIMIT
        machine.console.feed(b"line\nrest")
        assert machine.run(timeout=20).ok
        assert machine.console.output == bytes([100 - 5, 100 - 4])
        assert machine.memory.read(DATA + 0x80, 4) == b"rest"


@pytest.mark.parametrize(("append", "words"), [(None, ""), ("one two", " one two")])
def test_the_command_line_begins_with_the_image(tmp_path, append, words):
    """SYS_GET_CMDLINE: argv[0] is the program, as on QEMU's board with -kernel and -append."""
    image = guest(tmp_path, call(0x15, DATA), data=struct.pack("<2Q", DATA + 16, 0x300))
    with Machine(image, semihosting=True, append=append) as machine:
        assert machine.run(timeout=20).ok
        address, size = struct.unpack("<2Q", machine.memory.read(DATA, 16))
        assert machine.memory.read(address, size + 1).decode() == f"{image}{words}\0"


def timer_guest(tmp_path: Path, *, unmask: bool) -> Path:
    """Its virtual timer expires after 1 ms; the handler shows `!`, switches the timer off and returns."""
    gicr = 0x080A_0000 + 0x1_0000
    enable = [*raw.mov(3, gicr + 0x100), *raw.mov(4, 1 << VIRTUAL_TIMER), raw.store(4, 3, 4),
              *raw.mov(3, gicr + 0x80), *raw.mov(4, 0xFFFF_FFFF), raw.store(4, 3, 4),
              *raw.mov(3, 0x0800_0000), *raw.mov(4, 0x12), raw.store(4, 3, 4),
              *raw.mov(4, 0xFF), raw.msr(UNMASK_ALL, 4), *raw.mov(4, 1), raw.msr(ENABLE_GROUP_1, 4)]  # fmt: skip
    arm = [*raw.mov(4, 62_500), raw.msr("CNTV_TVAL_EL0", 4), *raw.mov(4, 1), raw.msr("CNTV_CTL_EL0", 4)]
    handler = [raw.mrs(5, "ICC_IAR1_EL1"), *raw.mov(6, 0), raw.msr("CNTV_CTL_EL0", 6), *raw.mov(6, ord("!")),
               *raw.mov(7, raw.UART), raw.store(6, 7, 1), raw.msr("ICC_EOIR1_EL1", 5), raw.ERET]  # fmt: skip
    return guest(
        tmp_path, raw.set_vectors(), enable, arm, UNMASK_IRQ if unmask else raw.NOP, call(READC), show(),
        handler=handler,
    )  # fmt: skip


@pytest.mark.parametrize(("unmask", "shown"), [(True, b"!"), (False, b"")])
def test_an_interrupt_is_taken_while_the_guest_waits(tmp_path, unmask, shown):
    """One that PSTATE masks ends nothing, and doesn't have the call made over and over."""
    with Machine(timer_guest(tmp_path, unmask=unmask), semihosting=True) as machine:
        assert machine.run(timeout=0.3).ending is Ending.LIMIT
        assert (machine.console.output, len(machine.last_exits) < 4) == (shown, True)
        machine.console.feed(b"k")
        assert machine.run(timeout=20).ok
        assert machine.console.output == shown + b"k"


def test_a_snapshot_of_a_guest_that_waits(two_characters):
    """It asks again, and may be told something else."""
    with Machine(two_characters, semihosting=True) as machine:
        machine.run(timeout=0.1)
        snapshot = machine.snapshot()
        for typed in (b"ab", b"cd"):
            machine.console.feed(typed)
            assert machine.run(timeout=20).ok
            machine.restore(snapshot)
        assert machine.console.output == b"abcd"


def test_a_recording_has_the_end_of_the_input(two_characters, tmp_path):
    """So that a repetition hears of it at the same moment."""
    recording = tmp_path / "recording"
    with Machine(two_characters, semihosting=True, clock="instructions", record=recording) as machine:
        machine.run(timeout=0.1)
        machine.console.feed(b"q")
        machine.run(timeout=0.1)
        machine.console.end_input()
        assert machine.run(timeout=20).ok
        counted = machine.instructions
    assert [json.loads(line)["input"] for line in recording.read_text().splitlines()[1:3]] == ["q", ""]
    with Machine(two_characters, semihosting=True, clock="instructions", replay=recording) as machine:
        assert machine.run(timeout=20).ok
        assert (machine.console.output, machine.instructions) == (b"q\xff", counted)
