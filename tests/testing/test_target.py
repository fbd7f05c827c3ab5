"""A machine under test: talking with it, running it to a place, asserting what it did, and faults."""

from __future__ import annotations

import re
import time

import pytest
import raw_guest as raw
from pexpect import EOF, TIMEOUT

from armvcpu.errors import UsageError
from armvcpu.testing.target.target import NotReachedError, Target

GUESTS = "guests/bin"
MIB = 1 << 20
PSCI_VERSION = 0x8400_0000


# --- expect and send ------------------------------------------------------------------------------------------


def test_expect_finds_a_pattern_and_what_stood_before(boot):
    """As pexpect's: a regular expression, its groups, the text before it."""
    target = boot("hello")
    assert target.expect(["nothing like that", r"memory .* (\d+) MiB"]) == 1
    assert target.talk.match[1] == "256"
    assert "Hello from armvcpu's guest." in target.before


def test_a_guest_stands_still_while_nobody_waits(boot):
    """It runs as far as the pattern, and not to its end."""
    target = boot("hello")
    target.expect_exact("Hello")
    assert target.talk.outcome is None
    assert target.finish().ok


def test_the_guests_end_is_an_eof_with_its_reason(boot):
    """A pattern that never comes is found out as soon as the guest ends."""
    target = boot("hello")
    with pytest.raises(EOF, match="powered off"):
        target.expect_exact("Good bye")
    assert target.expect_exact(["Good bye", EOF]) == 1


def test_silence_is_a_timeout_by_the_hosts_clock(boot):
    """The guest waits for input."""
    target = boot("echo")
    target.expect_exact("echo")
    start = time.monotonic()
    with pytest.raises(TIMEOUT):
        target.expect_exact("never", timeout=0.2)
    assert 0.2 <= time.monotonic() - start < 2
    assert "never" not in str(target.talk)


def test_silence_is_a_timeout_by_the_guests_clock(boot):
    """Seconds of CNTVCT_EL0."""
    target = boot("echo")
    target.expect_exact("echo")
    start = target.guest_seconds()
    with pytest.raises(TIMEOUT):
        target.expect_exact("never", timeout=30, guest_timeout=0.2)
    assert 0.2 <= target.guest_seconds() - start < 2


def test_nothing_that_is_typed_is_lost(boot):
    """However much more than the UART's FIFO holds."""
    target = boot("echo")
    target.expect_exact("echo")
    lines = [f"line {number} of many" for number in range(100)]
    for line in lines:
        target.sendline(line)
    for line in lines:
        target.expect_exact(line, timeout=5)


# --- places ---------------------------------------------------------------------------------------------------


def test_by_the_instruction_clock_a_conversation_repeats(boot):
    """Found, answered and counted at the same instruction, also where the guest prints no line and polls."""
    runs = []
    for _ in range(2):
        target = boot("echo", clock="instructions")
        target.expect(r"quit powers off\s+")
        counts = [target.instructions]
        target.sendline("one")
        target.expect("one")
        counts.append(target.instructions)
        target.sendline("quit")
        assert target.finish(timeout=30).ok
        runs.append([*counts, target.instructions, target.output])
    assert runs[0] == runs[1]
    assert runs[0][0] < runs[0][1] < runs[0][2]


def test_a_symbol_is_reached_before_its_first_instruction(boot):
    """And the guest goes on from there as if nothing had been."""
    target = boot("smccc")
    target.run_until(symbol="main", timeout=5)
    assert target.register("pc") == target.symbol("main").address
    assert target.finish().ok


def test_a_place_is_reached_as_often_as_asked(boot):
    """`count` arrivals; the one that it stands at does not count."""
    target = boot(raw.mov(3, 0), raw.add(3, 3, 1), 0x17FF_FFFF)  # the ADD in an endless loop
    target.run_until(address=raw.BASE + 16, count=5, timeout=5)
    assert target.register("x3") == 4


def test_a_place_that_is_not_reached_says_how_it_ended(boot):
    """And can be waited for again."""
    target = boot("smccc")
    target.run_until(symbol="main", timeout=5)
    with pytest.raises(NotReachedError, match="main was not reached: the guest powered off"):
        target.run_until(symbol="main", timeout=5)


def test_an_exit_is_waited_for(boot):
    """By the name of its class."""
    target = boot("wfi")
    target.run_until(exit="Halt", timeout=5)
    assert target.recorder.exits["Halt"] == 1


def test_an_exit_that_is_none_is_told(boot):
    with pytest.raises(UsageError, match=r"no exit 'Halted'; there are .*Halt"):
        boot("wfi").run_until(exit="Halted")


@pytest.mark.parametrize("bit", [-1, 64])
def test_a_register_has_64_bits(boot, bit):
    with pytest.raises(UsageError, match="a register has the bits 0 to 63"):
        boot("wfi").flip_register_bit("x0", bit)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"image": 3}, "image = 3: give the name of a file"),
        ({"memory": 0.5}, "memory = 0.5: give a number of bytes"),
        ({"cpus": True}, "cpus = True: give a number"),
        ({"reboot": "no"}, "reboot = 'no': give true or false"),
        ({"append": 3}, "append = 3: give text"),
        ({"disks": "x.img"}, "disks = 'x.img': give a tuple, each of it the name of a file"),
        ({"networks": 3}, "networks = 3: give a tuple, each of it text"),
    ],
)
def test_an_option_of_the_wrong_type_is_told(options, words):
    """By its name, and with what it is to be."""
    with pytest.raises(UsageError, match=words):
        Target(**{"image": "guests/bin/hello.elf", **options})


def test_text_on_the_console_is_a_place(boot):
    """As it stands, or a regular expression; the guest stands still there, and goes on."""
    target = boot("hello")
    target.run_until(pattern="from armvcpu's")
    target.run_until(pattern=re.compile(r"memory .* (\d+) MiB"))
    assert target.talk.match[1] == "256"
    assert target.talk.outcome is None
    with pytest.raises(NotReachedError, match="'good bye' was not reached: the guest powered off"):
        target.run_until(pattern="good bye")
    echo = boot("echo")
    with pytest.raises(NotReachedError, match=r"'nev\.r' was not reached: time-out"):
        echo.run_until(pattern=re.compile("nev.r"), timeout=0.2)


def test_a_count_of_instructions_is_a_place(boot):
    """Exactly that many more, from wherever it stands."""
    target = boot(raw.mov(3, 0), raw.add(3, 3, 1), raw.branch(-1))
    target.run_until(instructions=5)
    assert (target.register("x3"), target.register("pc")) == (1, raw.BASE + 20)
    target.run_until(instructions=1)
    assert target.register("pc") == raw.BASE + 16
    target.run_until(instructions=1000, count=3)
    assert target.register("x3") == 1501
    with pytest.raises(UsageError, match="give 1 or more"):
        target.run_until(instructions=0)
    short = boot(raw.psci(raw.SYSTEM_OFF))
    with pytest.raises(NotReachedError, match="the end of 6 instructions was not reached: the guest powered off"):
        short.run_until(instructions=6)


def test_a_place_in_flash_is_reached(tmp_path):
    """As one in RAM, though nothing can be written there; and what lies between two is counted exactly."""
    path = tmp_path / "firmware.bin"
    path.write_bytes(raw.image(raw.mov(3, 0), raw.add(3, 3, 1), raw.NOP, raw.NOP, raw.branch(-3)))
    with Target(firmware=path) as target:
        target.run_until(address=16, count=5, timeout=5)
        assert (target.register("x3"), target.register("pc")) == (4, 16)
        target.symbols.address = {"add": 16, "branch": 28}.__getitem__
        assert target.count_instructions("add", "branch", timeout=5) == 3
        assert target.count_instructions("branch", "add", timeout=5) == 1
        target.run_until(instructions=40, timeout=5)
        assert target.register("x3") == 17


def test_an_exit_at_the_place_that_is_left_is_dealt_with(boot):
    """The HVC that powers off is executed on the way to the next arrival."""
    target = boot(raw.psci(raw.SYSTEM_OFF))
    target.run_until(address=raw.BASE + 16, timeout=5)
    with pytest.raises(NotReachedError, match="the guest powered off"):
        target.run_until(address=raw.BASE + 16, timeout=5)


def test_instructions_of_a_loop_are_counted_exactly(boot):
    """Also with traps on the way, and where both places are one."""
    target = boot(raw.mov(0, PSCI_VERSION), raw.HVC, raw.mrs(1, "ID_AA64PFR0_EL1"), raw.NOP, raw.branch(-7))
    target.symbols.address = {"call": raw.BASE + 16, "nop": raw.BASE + 24}.__getitem__
    assert target.count_instructions("call", "nop", timeout=5) == 2
    assert target.count_instructions("nop", "call", timeout=5) == 6
    assert target.count_instructions("call", "call", timeout=5) == 8


def test_instructions_between_two_symbols_are_counted_exactly(tmp_path, boot):
    """Each of them once."""
    target = boot(raw.mov(0, 1), raw.NOP, raw.NOP, raw.HVC)
    target.symbols.address = {"start": raw.BASE, "end": raw.BASE + 24}.__getitem__
    target.set_register("pc", raw.BASE - 4)
    target.write(raw.BASE - 4, raw.NOP.to_bytes(4, "little"))
    assert target.count_instructions("start", "end", timeout=5) == 6


def test_one_place_must_be_named(boot):
    """Neither none nor two."""
    target = boot("hello")
    with pytest.raises(UsageError, match="one of symbol"):
        target.run_until()


# --- what it did ----------------------------------------------------------------------------------------------


def test_calls_are_kept_with_their_answers(boot):
    """PSCI_VERSION by both conduits."""
    target = boot("smccc")
    assert target.finish().ok
    calls = target.calls(PSCI_VERSION)
    assert {call.conduit for call in calls} == {"hvc", "smc"}
    assert all(call.result == (0x1_0001,) for call in calls)


def test_exceptions_are_found_by_the_function_that_took_them(boot):
    """ELR lies in it."""
    target = boot("exceptions")
    assert target.finish().ok
    symbols = {target.symbols.format(taken.elr).split("+")[0] for taken in target.recorder.exceptions}
    assert all(target.exceptions_at(symbol) for symbol in symbols)
    assert len(symbols) > 3


def test_traffic_to_a_device(boot):
    """Register names, directions and values."""
    target = boot("hello", exact_mmio=True)
    assert target.finish().ok
    written = bytes(a.value & 0xFF for a in target.mmio("pl011") if a.name == "pl011.UARTDR" and not a.is_read)
    assert b"Hello from armvcpu" in written


def test_traffic_needs_exact_accesses(boot):
    """One clear line."""
    with pytest.raises(UsageError, match="exact_mmio=True"):
        boot("hello").mmio("pl011")


def test_memory_by_address_and_registers(boot):
    """Little-endian, written and read back; what does not fit is refused."""
    target = boot("hello")
    cell = target.at(0x4100_0000)
    cell.u32 = 0x1234_5678
    assert ((cell + 1).u16, cell.u8, cell.u64) == (0x3456, 0x78, 0x1234_5678)
    with pytest.raises(UsageError, match="8 bits"):
        cell.u8 = 256
    target.set_register("x5", 9)
    assert (target.register("x5"), target.register("VBAR_EL1")) == (9, 0)
    with pytest.raises(UsageError, match="no register 'x99'"):
        target.register("x99")


# --- faults ---------------------------------------------------------------------------------------------------


def test_a_bit_flips_in_memory_and_in_a_register(boot):
    """And nothing else changes."""
    target = boot("hello")
    target.at(0x4100_0000).u64 = 0
    target.at(0x4100_0000).flip(13)
    target.flip_register_bit("x7", 63)
    assert (target.at(0x4100_0000).u64, target.register("x7")) == (1 << 13, 1 << 63)


def test_an_serror_is_taken_when_it_is_not_masked(boot):
    """EC 0x2F, by the vector at 0x380 of VBAR_EL1 (DDI 0487 D1.3.1); PSTATE.A masks it until then."""
    target = boot(raw.mov(9, raw.BASE + 0x800), 0xD518_C009, 0xD503_44FF, 0x1400_0000)  # VBAR; DAIFClr #4; b .
    target.inject_serror(iss=0x11)
    assert target.register("pc") == raw.BASE + 0x800 + 0x380
    assert target.register("ESR_EL1") == 0x2F << 26 | 1 << 25 | 0x11


def test_an_serror_that_stays_masked_is_said_so(boot):
    """PSTATE.A is set after reset."""
    target = boot(0x1400_0000)
    with pytest.raises(NotReachedError, match=r"PSTATE\.A"):
        target.inject_serror(timeout=0.05)


def test_a_poisoned_page_aborts(boot):
    """A synchronous external abort, DFSC 0x10, until it is healed."""
    target = boot(raw.mov(3, 0x4100_0000), raw.store(1, 3), raw.NOP, 0x17FF_FFFE)  # b to the STR
    heal = target.poison(0x4100_0010)
    target.run(timeout=0.3)
    assert target.recorder.exceptions[0].esr & 0x3F == 0x10
    heal()
    target.at(0x4100_0000).u64 = 5
    assert target.at(0x4100_0000).u64 == 5


def test_a_snapshot_takes_the_conversation_back(boot):
    """What is said after the return is what is expected."""
    target = boot("echo")
    target.expect_exact("echo")
    snapshot = target.snapshot()
    for _ in range(2):
        target.sendline("first")
        target.expect_exact("first", timeout=5)
        target.restore(snapshot)


def test_a_machine_that_cannot_be_made_holds_nothing(tmp_path):
    """Also while somebody keeps the error: its disk can be used at once."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(4096))
    with pytest.raises(UsageError, match="no such file") as kept:
        Target("/nowhere", disks=(disk,))
    Target("guests/bin/hello.elf", disks=(disk,)).close()
    assert kept.traceback
