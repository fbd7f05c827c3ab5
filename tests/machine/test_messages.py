"""Words for mistakes: they name what is in the way, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from raw_guest import BASE, HVC, UART, image, mov, mrs

from armvcpu import Machine
from armvcpu.errors import UsageError

HELLO = Path(__file__).parents[2] / "guests" / "bin" / "hello.elf"
DEVICE = (lambda _offset, _width: 0), (lambda _offset, _width, _value: None)
MISTAKES = {
    "device as entry": (
        {"entry": UART}, r"entry 0x9000000: pl011 \(0x9000000 to 0x9000fff\) is there, and no memory: give .* of RAM",
    ),
    "hole as entry": ({"entry": 0x0B00_0000}, "entry 0xb000000: nothing is there, and no memory"),
    "one text for several": ({"disks": "d.img"}, r"give a tuple, each of it the name of a file, as \['d.img'\]"),
    "megabytes as a name": ({"append": b"a" * (1 << 20)}, r"append = b'a{40,80}\.\.\.: give text$"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_options(mistake):
    options, words = MISTAKES[mistake]
    with pytest.raises(UsageError, match=words) as error:
        Machine(HELLO, **options)
    assert len(str(error.value)) < 200


def test_tree_that_is_shorter_than_a_header(tmp_path):
    path = tmp_path / "tree.dtb"
    path.write_bytes(bytes.fromhex("d00dfeed"))
    with pytest.raises(UsageError, match="a damaged device tree blob: a header has 40 bytes, and this file 4"):
        Machine(HELLO, dtb=path)


def test_segment_behind_ram_may_have_ram_there(tmp_path):
    data = bytearray(HELLO.read_bytes())
    for at in range(64, 64 + 56 * int.from_bytes(data[56:58], "little"), 56):
        data[at + 24 + 3] = 0x80 | data[at + 24 + 3] & 0x3F  # p_paddr
    path = tmp_path / "far.elf"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"or give RAM there: ram 0x80000000:1M"):
        Machine(path)


def test_device_over_another_says_which():
    with Machine(HELLO) as machine, pytest.raises(UsageError, match="overlaps another one, at 0x9000000 to 0x9000fff"):
        machine.on_mmio(UART, 0x1000, *DEVICE)


def test_device_over_ram_says_so():
    with Machine(HELLO) as machine, pytest.raises(UsageError, match=r"overlaps .* which is memory or another device's"):
        machine.on_mmio(BASE, 0x1000, *DEVICE)


def test_handler_of_a_symbol_is_named_so():
    with Machine(HELLO) as machine, pytest.raises(UsageError, match=r"on_symbol\('main'\) is a function, not 5"):
        machine.on_symbol("main")(5)


def test_reset_address_is_zero(tmp_path):
    """RVBAR_EL1 is that of the highest level that guests see, EL1: flash, as on QEMU's board."""
    path, seen = tmp_path / "guest.bin", []
    path.write_bytes(image(mov(1, 0x123), mrs(1, "RVBAR_EL1"), mov(0, 0xC600_0001), HVC))

    def stop(vcpu, *_arguments):
        seen.append(vcpu.gpr(1))
        raise KeyboardInterrupt

    with Machine(path) as machine:
        machine.on_hypercall(0xC600_0001)(stop)
        with pytest.raises(KeyboardInterrupt):
            machine.run(timeout=5)
    assert seen == [0]
