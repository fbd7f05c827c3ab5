"""RAM and devices where the user says so, beside the board's own: images for other boards than `virt` run there."""

from __future__ import annotations

import pytest
import raw_guest as asm
from conversation import Conversation
from image_bytes import load, make_elf

from armvcpu.devices.dma import BadAddress
from armvcpu.errors import UsageError
from armvcpu.machine.board.ram import Piece, RamLayout
from armvcpu.machine.layout import BoardDevice, Ram, parse_device, parse_ram
from armvcpu.machine.machine import Machine
from armvcpu.machine.snapshots import snapshot_file
from armvcpu.testing.target.target import Target
from armvcpu.vcpu.stage2.mapping import RWX

MIB = 1 << 20
BASE, SIZE = 0x8000_0000, 4 * MIB
RAM = f"{BASE:#x}:4M"
UART = 0x1C09_0000
FR, RXFE = 0x18, 4
"""UARTFR, and the bit that says that nothing has been received (Arm DDI 0183 3.3.3)."""
SOC = {"load_address": BASE, "ram": [RAM], "board_devices": [f"pl011@{UART:#x},spi=100"]}


def say(text: str, uart: int = UART) -> list[int]:
    return asm.flat(asm.mov(1, uart), *([*asm.mov(2, ord(each)), asm.store(2, 1, 1)] for each in text))


@pytest.fixture
def image(tmp_path):
    """A file of these instructions: image(words, ...)."""

    def make(*words, name="image", **more):
        (tmp_path / name).write_bytes(asm.image(*words, **more))
        return tmp_path / name

    return make


def finish(machine: Machine) -> str:
    outcome = machine.run(timeout=20)
    assert outcome.status == 0, outcome.report
    return machine.console.output.decode()


def chosen(machine: Machine) -> str:
    """The device tree as text, roughly."""
    return machine.read(machine.plan.x0, 8192).decode("latin-1")


@pytest.mark.parametrize("clock", ["host", "instructions"])
def test_an_image_for_another_board_runs(image, clock):
    """RAM at 0x8000_0000 and a PL011 at 0x1C09_0000, as on Arm's Versatile Express boards."""
    with Machine(image(say("soc"), asm.psci(asm.SYSTEM_OFF)), clock=clock, **SOC) as machine:
        assert machine.plan.entry == BASE
        assert finish(machine) == "soc"


def test_an_elf_file_for_another_board_runs(tmp_path):
    """Segments in both RAMs, one of them zeroed."""
    code = asm.image(say("elf"), asm.psci(asm.SYSTEM_OFF))
    elf = make_elf(load(BASE, code), load(0x4100_0000, b"data"), load(BASE + SIZE - 64, b"", memsz=64), entry=BASE)
    (tmp_path / "f").write_bytes(elf)
    with Machine(tmp_path / "f", ram=[RAM], board_devices=SOC["board_devices"]) as machine:
        assert (machine.read(0x4100_0000, 4), machine.read(BASE + SIZE - 64, 64)) == (b"data", bytes(64))
        assert finish(machine) == "elf"


def test_its_uart_has_what_is_typed(image):
    """The first PL011 of the user's is the console, for the tree's stdout-path and for the keyboard."""
    wait = [*asm.mov(1, UART + FR), asm.load(3, 1, 4), 0x3727_FFE3]  # tbnz w3, #4, back to the load
    echo = [*asm.mov(1, UART), asm.load(2, 1, 4), asm.store(2, 1, 4)]
    guest = image(say("?"), wait, echo, wait, echo, asm.psci(asm.SYSTEM_OFF))
    with Conversation(guest, **SOC) as conversation:
        conversation.expect("?")
        conversation.console.feed(b"ab")
        assert conversation.end(20).status == 0
        assert conversation.console.output == b"?ab"
        assert f"/pl011@{UART:x}" in chosen(conversation.machine)


def test_its_interrupt_is_the_one_that_was_asked_for(image):
    """SPI 100 is INTID 132: the line of a PL011 whose received character is unmasked."""
    with Machine(image(asm.FOREVER), **SOC) as machine:
        (slot,) = machine.board.added
        slot.device.write(0x38, 4, 0x10)  # UARTIMSC.RXIM
        slot.device.receive(b"x")
        assert machine.board.gic.distributor.read(0x200 + 132 // 32 * 4, 4) == 1 << 132 % 32  # GICD_ISPENDR4


def test_tree_and_listing_have_them(image):
    """Memory and device nodes, none of which has an interrupt that it was not given, or a label twice."""
    devices = ["pl061@0x1c000000", "pl031@0x1c001000,spi=99"]
    with Machine(image(asm.FOREVER), ram=[RAM, "0x1000:8K"], board_devices=devices) as machine:
        tree = chosen(machine)
        for name in (f"memory@{BASE:x}", "memory@1000", "memory@40000000", "pl061@1c000000", "pl031@1c001000"):
            assert f"{name}\0" in tree
        assert machine.name_of(0x1C00_1000) == "pl031-1c001000.RTCDR"


def test_ram_wins_over_flash_and_devices(image):
    """What it covers is not on the board: neither there nor in the tree, and a line says so."""
    ram = ["0x0:4M", "0x09000000:64K", "0x20000000:1M"]
    guest = image(say("here", UART), asm.psci(asm.SYSTEM_OFF))
    with Machine(guest, ram=ram, board_devices=SOC["board_devices"], load_address=0x1000) as machine:
        assert {slot.name for slot in machine.board.covered} == {"flash0", "pl011", "pcie-ecam"}
        tree, said = chosen(machine), "\n".join(machine.plan.description)
        assert "flash@4000000\0" in tree
        assert not [name for name in ("flash@0\0", "pl011@9000000\0", "pcie@") if name in tree]
        assert "not on this board, since RAM is there: flash0 at 0x0" in said
        machine.write(0x0900_0000, b"memory")
        assert (machine.read(0x0900_0000, 6), machine.name_of(0x0900_0000)) == (b"memory", "")
        assert finish(machine) == "here"


def test_a_board_without_a_uart_says_none(image):
    """No stdout-path leads to a device that is not there."""
    with Machine(image(asm.psci(asm.SYSTEM_OFF)), ram=["0x09000000:4K"]) as machine:
        assert "stdout-path" not in chosen(machine)
        assert finish(machine) == ""


STORES = [*asm.mov(1, BASE + 0x5000), *asm.mov(2, 0x1234), asm.store(2, 1), *asm.mov(1, 0x4200_0000), asm.store(2, 1)]


def test_pages_that_are_written_are_known(image):
    """By the guest, by devices and by the host, each by its own address."""
    with Machine(image(STORES, asm.psci(asm.SYSTEM_OFF)), ram=[RAM, "0xC0000000:12K"]) as machine:
        machine.dirty_pages()
        finish(machine)
        machine.memory.view(0xC000_1000, 8, is_written=True)[:] = b"by a DMA"
        machine.memory.noted.add((0xC000_2000, 8))
        machine.write(BASE + SIZE - 4, b"host")
        assert machine.dirty_pages() == [
            (0x4200_0000, 4096), (BASE + 0x5000, 4096), (BASE + SIZE - 4096, 4096), (0xC000_1000, 8192)
        ]  # fmt: skip


def test_snapshots_have_it(image, tmp_path):
    """In memory and in a file; one of a machine with other RAM is refused."""
    guest = image(say("a"), STORES, say("b"), asm.psci(asm.SYSTEM_OFF))
    with Machine(guest, **SOC) as machine:
        machine.run(max_instructions=10)
        machine.write(BASE + 0x6000, b"before")
        snapshot = machine.snapshot()
        snapshot_file.save(snapshot, tmp_path / "snapshot")
        for _ in range(2):
            machine.write(BASE + 0x6000, b"after!")
            finish(machine)
            assert machine.read(BASE + 0x5000, 2) == b"\x34\x12"
            machine.restore(snapshot)
            assert (machine.read(BASE + 0x5000, 2), machine.read(BASE + 0x6000, 6)) == (bytes(2), b"before")
    with Machine(guest, snapshot=tmp_path / "snapshot", **SOC) as again:
        assert again.read(BASE + 0x6000, 6) == b"before"
        finish(again)
        assert again.read(BASE + 0x5000, 2) == b"\x34\x12"
    with pytest.raises(UsageError, match="its ram are"):
        Machine(guest, snapshot=tmp_path / "snapshot", **{**SOC, "ram": [f"{BASE:#x}:8M"]})


def test_watches_and_calls_reach_it(image):
    """A watch on a variable there, and a call of a function there."""
    with Target(image(STORES, asm.FOREVER, [0xD280_0540, 0xD65F_03C0]), **SOC) as target:  # mov x0, #42; ret
        with target.watch(BASE + 0x5000, 8) as watch:
            target.run(max_instructions=200)
            assert [access.value for access in watch.accesses] == [0x1234]
        assert target.call(BASE + 4 * (len(STORES) + 1)) == 42


def test_code_of_two_rams_at_one_address_is_not_mixed_up(image):
    """A page of the guest's leads to one RAM and then to the other: what was translated of the first is not executed.

    Unicorn numbers RAM so that two pieces overlap (`shim_number_ram`); translations are found by these numbers.
    """
    page, function = 0xA000_0000, lambda n: (0xD280_0000 | n << 5).to_bytes(4, "little") + b"\xc0\x03\x5f\xd6"
    with Machine(image(asm.FOREVER), ram=[RAM]) as machine:
        machine.run(max_instructions=10)
        places = {1: 0x4010_0000, 2: BASE + 0x10_0000}
        for number, physical in places.items():
            machine.write(physical, function(number))
        for number in (1, 2, 1):
            machine.space.map_linear(page, places[number], 4096, RWX)
            assert machine.call(page) == number
            machine.space.unmap(page, 4096)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ram": ["0x80000000"]}, "ram 0x80000000: give BASE:SIZE, 0x80000000:64M say"),
        ({"ram": ["here:64M"]}, "ram here:64M: 'here' is no address"),
        ({"ram": ["0x80000000:big"]}, "ram 0x80000000:big: 'big' is no size"),
        ({"ram": ["0x80000800:64M"]}, "base and size are multiples of 4096 bytes"),
        ({"ram": ["0x80000000:0"]}, "of one page at least"),
        ({"ram": ["0x4f000000:64M"]}, r"ram 0x4f000000:64M overlaps RAM of memory \(0x40000000 to 0x4fffffff\)"),
        ({"ram": ["0x80000000:64M", "0x83fff000:8K"]}, "ram 0x83fff000:8K overlaps ram 0x80000000:64M"),
        ({"ram": ["0xff00000000:8G"]}, "guest-physical addresses have 40 bits"),
        ({"ram": ["0x08000000:4K"]}, r"covers the interrupt controller \(gicd at 0x8000000\)"),
        ({"ram": ["0x0:4K"], "firmware": __file__}, "covers the flash bank of firmware; leave one out"),
        ({"ram": ["0x07fff000:4K"], "vars": "none"}, "covers the flash bank of vars; leave one out"),
        ({"board_devices": ["pl011"]}, r"board_devices pl011: give NAME@ADDRESS\[,spi=N\]"),
        ({"board_devices": ["pl012@0x1c000000"]}, "no device 'pl012'; there are pl011, pl031, pl061"),
        ({"board_devices": ["pl011@x"]}, "'x' is no address"),
        ({"board_devices": ["pl011@0x1c000000,irq=5"]}, "'irq=5' is no interrupt; write spi=5"),
        ({"board_devices": ["pl011@0x1c000000,spi=1"]}, "SPI 1 is that of pl011"),
        ({"board_devices": ["pl011@0x1c000000,spi=9999"]}, "board_devices pl011@0x1c000000,spi=9999: "),
        ({"board_devices": ["pl011@0x1c000800"]}, "the address is a multiple of 4096"),
        ({"board_devices": ["pl011@0x40000000"]}, "RAM .* is there; give another address"),
        ({"board_devices": ["pl011@0x0a000000"]}, "virtio-mmio0 .* is there"),
        ({"board_devices": ["pl011@0x04000000"]}, "flash bank 1 .* is there"),
        ({"board_devices": ["pl011@0x1c000000", "pl031@0x1c000000"]}, "pl011-1c000000 .* is there"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(image, options, words):
    """It names the option as given, and what is in the way."""
    with pytest.raises(UsageError, match=words) as refusal:
        Machine(image(asm.FOREVER), **options)
    assert "\n" not in str(refusal.value)


def test_texts_are_read():
    """As the command line has them."""
    assert parse_ram("0x80000000:64M") == Ram(0x8000_0000, 64 * MIB)
    assert parse_device("pl031@0x1000") == BoardDevice("pl031", 0x1000)
    assert parse_device("pl011@0x1000,spi=7") == BoardDevice("pl011", 0x1000, 7)


class TestLayout:
    """Pieces of one buffer."""

    LAYOUT = RamLayout(0x4000_0000, MIB, (Ram(0x8000_0000, 4096), Ram(0x4010_0000, MIB), Ram(0x1000, 4096)))

    def test_the_boards_ram_comes_first_and_neighbours_are_one(self):
        assert self.LAYOUT.pieces == (
            Piece(0x4000_0000, 2 * MIB, 0),
            Piece(0x1000, 4096, 2 * MIB),
            Piece(0x8000_0000, 4096, 2 * MIB + (256 << 10)),
        )
        assert self.LAYOUT.size == 2 * MIB + (256 << 10) + 4096

    @pytest.mark.parametrize(
        ("address", "size", "offset"),
        [
            (0x4000_0000, 2 * MIB, 0), (0x400F_FFFF, 2, MIB - 1), (0x1004, 4, 2 * MIB + 4),
            (0x8000_0000, 4096, 0x24_0000), (0x3FFF_FFFF, 1, -1), (0x401F_FFFF, 2, -1), (0, 1, -1), (0x1FFF, 2, -1),
            (0x4000_0000, -1, -1),
        ],
    )  # fmt: skip
    def test_addresses_lead_into_the_buffer(self, address, size, offset):
        assert self.LAYOUT.offset(address, size) == offset

    def test_ranges_of_the_buffer_are_addresses_again(self):
        whole = list(self.LAYOUT.addresses(0, self.LAYOUT.size))
        assert whole == [(piece.base, piece.size) for piece in self.LAYOUT.pieces]
        assert list(self.LAYOUT.addresses(2 * MIB - 16, 2 * MIB + 16)) == [(0x401F_FFF0, 16), (0x1000, 16)]


def test_dma_ends_where_ram_ends(image):
    """A device's access is to RAM as a whole, or to none of it."""
    with Machine(image(asm.FOREVER), ram=[RAM, f"{BASE + SIZE:#x}:4K"]) as machine:
        assert len(machine.memory.view(BASE + SIZE - 8, 16)) == 16
        with pytest.raises(BadAddress):
            machine.memory.view(BASE + SIZE + 4088, 16)
