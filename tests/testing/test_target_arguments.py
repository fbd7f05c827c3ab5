"""What a test gives wrong is a UsageError of one line, and the guest is where it was."""

from __future__ import annotations

import re

import pytest
import raw_guest as raw

from armvcpu.errors import UsageError
from armvcpu.testing.target.target import Target

RAM = raw.BASE
NUMBER = "is a number, not"
INFINITE, NAN = float("inf"), float("nan")


@pytest.fixture
def target(boot):
    """A guest that does nothing."""
    return boot(raw.mov(3, 0x4100_0000), raw.store(3, 3), raw.psci(raw.SYSTEM_OFF))


@pytest.mark.parametrize("timeout", [None, -1, NAN, "1", True])
def test_a_machines_patience_is_seconds(timeout):
    """Without one, `expect` would have to wait for ever."""
    with pytest.raises(UsageError, match=f"^timeout = {timeout!r}: give seconds$"):
        Target("guests/bin/hello.elf", timeout=timeout)


@pytest.mark.parametrize(
    ("size", "said"),
    [(-1, "-0x1 does not fit"), (1 << 70, "does not fit"), (1 << 62, "bytes of RAM and flash"), ("8", NUMBER)],
)  # fmt: skip
def test_a_watch_is_of_memory_that_there_is(target, size, said):
    """A range without an end would be walked page by page."""
    with pytest.raises(UsageError, match=said):
        target.watch(RAM, size)


@pytest.mark.parametrize("address", [-1, 1 << 64, "nowhere to be seen", 1.5, None, True])
def test_an_address_has_64_bits(target, address):
    """Text is a symbol where one can be given."""
    with pytest.raises(UsageError):
        target.watch(address)
    for use in (target.at, target.poison, lambda at: target.run_until(address=at)):
        if address is not None or use in (target.at, target.poison):
            with pytest.raises(UsageError, match=r"an address (is a number|has 64 bits)"):
                use(address)


def test_a_range_ends_where_addresses_do(target):
    """Nothing is cut to 64 bits."""
    for use in (target.at((1 << 64) - 4).read, target.at(RAM).read):
        with pytest.raises(UsageError):
            use(1 << 40)
    with pytest.raises(UsageError, match=r"^0x8 bytes at 0xfffffffffffffffc"):
        print(target.at((1 << 64) - 4).u64)
    with pytest.raises(UsageError):
        target.at(RAM) + (1 << 64)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({"read": ""}, "no symbol"),
        ({"write": 1.5}, NUMBER),
        ({"pattern": 5}, "pattern = 5: give text or a compiled regular expression"),
        ({"pattern": b"=>"}, "pattern = b'=>': give text"),
        ({"instructions": "5"}, NUMBER),
        ({"instructions": -1}, "instructions = -1: give 1 or more"),
        ({"exit": 5}, "no exit 5; there are"),
        ({"address": RAM, "count": 0}, "count = 0: give 1 or more"),
        ({"address": RAM, "count": 1.5}, NUMBER),
        ({"address": RAM, "timeout": -1}, "timeout = -1: give seconds"),
        ({"address": RAM, "timeout": NAN}, "timeout = nan: give seconds"),
    ],
)
def test_a_place_is_one_that_can_be_reached(target, place, said):
    """It is said before the guest runs."""
    with pytest.raises(UsageError, match=said):
        target.run_until(**place)
    assert target.register("pc") == RAM


@pytest.mark.parametrize(
    ("fault", "arguments", "said"),
    [
        ("flip_register_bit", ("x0", "1"), NUMBER),
        ("flip_register_bit", ("x0", 64), "bits 0 to 63"),
        ("inject_serror", (1 << 25,), "ISS has 25 bits"),
        ("inject_serror", (0, -1), "timeout = -1"),
        ("lose_interrupt", ("27",), NUMBER),
        ("lose_interrupt", (27, 1.5), NUMBER),
        ("lose_interrupt", (27, 1, "0"), NUMBER),
        ("raise_interrupt", (40.5,), NUMBER),
        ("fail_disk", ("0",), NUMBER),
    ],
)
def test_a_fault_is_one_that_there_is(target, fault, arguments, said):
    """Nothing is injected."""
    with pytest.raises(UsageError, match=said):
        getattr(target, fault)(*arguments)
    assert target.finish().ok


@pytest.mark.parametrize(("faults", "said"), [({"sectors": 3}, "sectors is"), ({"count": 0}, "give 1 or more")])
def test_a_disk_fails_in_sectors_that_can_be_counted(boot, tmp_path, faults, said):
    """A fault that could never happen is a mistake."""
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(4096))
    target = boot(raw.psci(raw.SYSTEM_OFF), disks=(disk,))
    with pytest.raises(UsageError, match=said):
        target.fail_disk(**faults)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda at: at.write("text"), "'text' is no bytes"),
        (lambda at: at.flip(-1), "a bit has 64 bits"),
        (lambda at: at.flip("1"), NUMBER),
        (lambda at: setattr(at, "u32", "1"), "'1' is no number"),
        (lambda at: at.string(-1), "does not fit"),
        (lambda at: at.read(-1), "does not fit"),
    ],
)
def test_memory_takes_bytes_and_numbers(target, change, said):
    """And keeps what it has."""
    before = target.at(RAM).read(64)
    with pytest.raises(UsageError, match=said):
        change(target.at(RAM))
    assert target.at(RAM).read(64) == before


@pytest.mark.parametrize("letter", ["", "é", "ß", "ab", "1", None, 3])
def test_only_some_keys_have_a_control_character(target, letter):
    """Nothing is typed."""
    with pytest.raises(UsageError, match=re.escape(f"there is no Ctrl-{letter}: give one of @ABC")):
        target.sendcontrol(letter)
    assert target.typed.take(10) == b""


def test_keys_with_control(target):
    """ASCII's 0x00 to 0x1F, and DEL."""
    for letter in "cC@[\\]^_?":
        target.sendcontrol(letter)
    assert target.typed.take(20) == b"\x03\x03\x00\x1b\x1c\x1d\x1e\x1f\x7f"


def test_only_text_and_bytes_are_typed(target):
    """By lines only text."""
    for send, what in ((target.send, 5), (target.send, None), (target.sendline, b"x"), (target.sendline, 5)):
        with pytest.raises(UsageError):
            send(what)
    assert target.typed.take(10) == b""


def test_the_guests_own_seconds_are_seconds(target):
    """As the host's."""
    with pytest.raises(UsageError, match="guest_timeout = -1: give seconds"):
        target.expect("=>", guest_timeout=-1)
