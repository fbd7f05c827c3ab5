"""The register map and its decode: rights, widths, sub-word and wide accesses, arrays, snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from armvcpu.devices.device import Device, Register, reg_cells, unconnected
from armvcpu.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


class Toy(Device):
    """Every kind of row once, with a log of the handlers' calls."""

    PLAIN = Register(0x00, reset=0xA0, mask=0xFF0F)
    STATUS = Register(0x04, ro=True, reset=7)
    CLEAR = Register(0x04, wo=True)
    POP = Register(0x08, reset=0x1234_5678)
    LIMITED = Register(0x0C, mask=0xF0)
    WIDE = Register(0x10, width=8)
    BYTES = Register(0x18, width=1, count=4)
    WORDS = Register(0x20, count=3, reset=5, mask=0xFFFF_FFFE)
    SPARSE = Register(0x40, count=2, stride=0x10)

    def __init__(self) -> None:
        self.log: list[tuple[str, int, int]] = []
        super().__init__()

    def write_CLEAR(self, value: int) -> None:
        self.log.append(("CLEAR", value, 0))

    def read_POP(self) -> int:
        self.log.append(("POP", 0, 0))
        return 0xCAFE_F00D

    def write_POP(self, value: int) -> None:
        self.log.append(("POP", value, 0))

    def write_LIMITED(self, value: int) -> None:
        self.log.append(("LIMITED", value, 0))

    def read_SPARSE(self, index: int) -> int:
        return 0x100 + index

    def write_SPARSE(self, value: int, index: int) -> None:
        self.log.append(("SPARSE", value, index))


@pytest.fixture
def toy() -> Toy:
    return Toy()


def test_a_register_value_is_an_attribute_of_its_name(toy: Toy) -> None:
    """The class has the row, an instance the stored value."""
    assert isinstance(Toy.PLAIN, Register)
    assert toy.PLAIN == 0xA0
    assert toy.WORDS == [5, 5, 5]


def test_storage_keeps_what_the_mask_lets_through(toy: Toy) -> None:
    """Bits outside the mask stay as reset made them."""
    toy.write(0x00, 4, 0xFFFF_FFFF)
    assert toy.read(0x00, 4) == 0xFFAF


def test_a_handler_receives_the_bits_of_the_mask(toy: Toy) -> None:
    """A write method need not mask again."""
    toy.write(0x0C, 4, 0xFFFF_FFFF)
    assert toy.log == [("LIMITED", 0xF0, 0)]


def test_read_only_and_write_only_registers_share_an_offset(toy: Toy) -> None:
    """Each access finds the register that allows it."""
    toy.write(0x04, 4, 1)
    assert toy.log == [("CLEAR", 1, 0)]
    assert toy.read(0x04, 4) == 7


def test_access_rights_turn_away_the_other_access() -> None:
    """A write-only register reads as zero, a read-only one keeps its value."""

    class Rights(Device):
        RO = Register(0x0, ro=True, reset=3)
        WO = Register(0x4, wo=True, reset=3)

    device = Rights()
    device.write(0x0, 4, 9)
    device.write(0x4, 4, 9)
    assert (device.read(0x0, 4), device.read(0x4, 4), device.WO) == (3, 0, 9)


@pytest.mark.parametrize(
    ("offset", "width", "value"),
    [(0x08, 1, 0x0D), (0x09, 1, 0xF0), (0x0B, 1, 0xCA), (0x08, 2, 0xF00D), (0x0A, 2, 0xCAFE)],
)
def test_a_narrow_read_takes_its_bytes_of_one_whole_read(toy: Toy, offset: int, width: int, value: int) -> None:
    """The register's read method is called once, whatever the width."""
    assert toy.read(offset, width) == value
    assert toy.log == [("POP", 0, 0)]


@pytest.mark.parametrize(
    ("offset", "width", "value", "whole"),
    [(0x08, 1, 0xAB, 0x1234_56AB), (0x0A, 2, 0xABCD, 0xABCD_5678), (0x0B, 1, 0xAB, 0xAB34_5678)],
)
def test_a_narrow_write_keeps_the_other_stored_bytes(toy: Toy, offset: int, width: int, value: int, whole: int) -> None:
    """The write method gets the whole register, made without a call of the read method."""
    toy.write(offset, width, value)
    assert toy.log == [("POP", whole, 0)]


def test_a_wide_register_takes_all_widths(toy: Toy) -> None:
    """A 64-bit register has two 32-bit halves."""
    toy.write(0x10, 8, 0x1122_3344_5566_7788)
    toy.write(0x14, 4, 0xAABB_CCDD)
    assert toy.read(0x10, 8) == 0xAABB_CCDD_5566_7788
    assert toy.read(0x10, 4) == 0x5566_7788


def test_eight_bytes_over_narrower_registers_are_two_accesses_ascending(toy: Toy) -> None:
    """The lower register is accessed first; each half by its own rights."""
    toy.write(0x08, 8, 0x0000_00FF_1111_1111)
    assert toy.log == [("POP", 0x1111_1111, 0), ("LIMITED", 0xF0, 0)]
    assert toy.read(0x00, 8) == 7 << 32 | 0xA0


def test_four_bytes_over_byte_registers_are_four_accesses(toy: Toy) -> None:
    """Byte registers can be accessed as a word."""
    toy.write(0x18, 4, 0x4433_2211)
    assert toy.BYTES == [0x11, 0x22, 0x33, 0x44]
    assert toy.read(0x18, 4) == 0x4433_2211


def test_an_array_passes_its_index_last(toy: Toy) -> None:
    """`stride` apart elements are told apart, and nothing is claimed between them."""
    toy.write(0x50, 4, 0x77)
    assert toy.log == [("SPARSE", 0x77, 1)]
    assert [toy.read(at, 4) for at in (0x40, 0x44, 0x50, 0x60)] == [0x100, 0, 0x101, 0]


def test_an_array_stores_each_element(toy: Toy) -> None:
    """Also when only a byte of it is written."""
    toy.write(0x24, 4, 0x0102_0304)
    toy.write(0x29, 1, 0x66)
    assert toy.WORDS == [5, 0x0102_0305, 0x6605]
    assert toy.read(0x24, 2) == 0x0305


@pytest.mark.parametrize(("offset", "width"), [(0x02, 4), (0x11, 2), (0x0C, 8), (0x00, 3), (0x00, 16)])
def test_an_unaligned_access_or_odd_width_claims_nothing(toy: Toy, offset: int, width: int) -> None:
    """Such an access reads as zero and changes nothing."""
    before = toy.state()
    toy.write(offset, width, (1 << 8 * width) - 1)
    assert toy.read(offset, width) == 0
    assert (toy.log, toy.state()) == ([], before)


def test_a_subclass_decides_about_unclaimed_accesses() -> None:
    """`unclaimed_read` and `unclaimed_write` see what no register allows."""

    class Bus(Toy):
        LATER = Register(0x90)

        def unclaimed_read(self, offset: int, width: int) -> int:
            return (1 << 8 * width) - 1

        def unclaimed_write(self, offset: int, width: int, value: int) -> None:
            self.log.append(("unclaimed", value, offset))

    bus = Bus()
    bus.write(0x80, 2, 0xBEEF)
    bus.write(0x88, 8, 0xCAFE)
    assert (bus.read(0x80, 4), bus.read(0x38, 8)) == (0xFFFF_FFFF, (1 << 64) - 1)
    assert bus.log == [("unclaimed", 0xBEEF, 0x80), ("unclaimed", 0xCAFE, 0x88)]


def test_an_unclaimed_access_leaves_no_trace_in_memory(toy: Toy) -> None:
    """A guest that sweeps the space cannot make the decode table grow."""
    for offset in range(0x80, 0x1000, 4):
        toy.read(offset, 4)
        toy.write(offset, 4, 0)
    assert toy._readers == {}
    assert toy._writers == {}


def test_a_bound_access_follows_a_reset(toy: Toy) -> None:
    """Binding happens once; what is bound is the register, not its value."""
    toy.write(0x24, 4, 1)
    assert toy.read(0x24, 4) == 1
    toy.reset()
    assert toy.read(0x24, 4) == 5


def test_state_is_a_copy_and_loads_back(toy: Toy) -> None:
    """A snapshot does not change with the device, nor the device with the snapshot."""
    toy.write(0x20, 4, 7)
    saved = toy.state()
    toy.write(0x20, 4, 9)
    assert saved["values"]["WORDS"] == [7, 5, 5]
    toy.load_state(saved)
    toy.write(0x24, 4, 3)
    assert saved["values"]["WORDS"] == [7, 5, 5]
    assert toy.read(0x20, 4) == 7


def test_registers_are_inherited() -> None:
    """A subclass adds to its base's map."""

    class More(Toy):
        EXTRA = Register(0x60, reset=1)

    assert More().read(0x60, 4) == 1
    assert More().read(0x04, 4) == 7
    assert "EXTRA" not in Toy.REGISTERS


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x00, ".PLAIN"), (0x3, ".PLAIN"), (0x04, ".STATUS"), (0x14, ".WIDE"), (0x18, ".BYTES[0]"), (0x1B, ".BYTES[3]"),
        (0x24, ".WORDS[1]"), (0x50, ".SPARSE[1]"), (0x54, "+0x54"), (0x1C, "+0x1c"),
    ],
)  # fmt: skip
def test_a_register_is_named_whatever_its_width(toy: Toy, offset: int, name: str) -> None:
    """By each of its bytes, an element with its number; between registers it is the offset."""
    assert toy.name_of(offset) == name


def test_an_array_may_begin_with_another_number() -> None:
    """As GICD_IROUTER<n>, where n is an INTID from 32 on (IHI 0069 12.9)."""

    class Routes(Device):
        ROUTE = Register(0x100, width=8, count=2, first=32)

    assert (Routes().name_of(0x100), Routes().name_of(0x10C)) == (".ROUTE[32]", ".ROUTE[33]")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (lambda: Register(0x0, width=3), "of 3 bytes at 0x0"),
        (lambda: Register(-4), "of 4 bytes at -0x4"),
        (lambda: Register(0x2), "of 4 bytes at 0x2"),
        (lambda: Register(0x0, count=0), "count=0"),
        (lambda: Register(0x0, width=8, count=2, stride=4), "stride=4"),
        (lambda: Register(0x0, count=2, stride=6), "stride=6"),
        (lambda: Register(0x0, width=1, reset=0x100), "reset=0x100"),
        (lambda: Register(0x0, width=1, mask=0x1FF), "mask=0x1ff"),
        (lambda: Register(0x0, ro=True, wo=True), "ro=True, wo=True"),
    ],
)
def test_a_row_that_no_access_could_find_is_refused(row: Callable[[], Register[int]], said: str) -> None:
    """Where it is declared."""
    with pytest.raises(UsageError, match=said):
        row()


def test_rows_that_overlap_are_refused() -> None:
    """Where both can be read or both written, in subclasses too; but one may stand between an array's elements."""
    with pytest.raises(UsageError, match=r"^More\.HIGH at 0x14 overlaps WIDE$"):
        type("More", (Toy,), {"HIGH": Register(0x14)})
    with pytest.raises(UsageError, match=r"^More\.MIDDLE at 0x50 overlaps SPARSE\[1\]$"):
        type("More", (Toy,), {"MIDDLE": Register(0x50, ro=True)})
    more: type[Device] = type("More", (Toy,), {"BETWEEN": Register(0x44, reset=9), "PLAIN": Register(0x00, reset=8)})
    assert (more().read(0x44, 4), more().read(0x00, 4)) == (9, 8)


def test_a_register_beyond_the_device_is_refused() -> None:
    """When the device is made, since devices may have a size each."""
    big: type[Device] = type("Big", (Device,), {"LAST": Register(0x1000)})
    with pytest.raises(UsageError, match=r"^Big: its size is 0x1000, its registers end at 0x1004$"):
        big()
    assert type("Bigger", (big,), {"size": 0x2000})().read(0x1000, 4) == 0


@pytest.mark.parametrize("handler", ["write_CTRL", "read_CTRL"])
def test_a_handler_without_its_register_is_refused(handler: str) -> None:
    """It would never be called; a method in small letters is something else."""
    rows = {"CTL": Register(0x0), handler: lambda *_: 0, "read_file": lambda *_: 0}
    with pytest.raises(UsageError, match=f"^Odd.{handler}: there is no register CTRL$"):
        type("Odd", (Device,), rows)


@pytest.mark.parametrize("width", [1, 4, 8])
def test_a_register_that_reads_as_no_number_is_an_error(width: int) -> None:
    """In one line, at each access until it is one."""

    class Forgetful(Device):
        DATA = Register(0x0)
        MORE = Register(0x4)
        answer: object = None

        def read_DATA(self) -> object:
            return self.answer

    device = Forgetful()
    for device.answer in (None, "x", 1.5):
        with pytest.raises(
            UsageError, match=r"^what reads DATA, .*Forgetful\.read_DATA \(.*\), gave .*: return a number$"
        ):
            device.read(0x0, width)
    device.answer = 7
    assert device.read(0x0, width) == 7


def test_a_register_needs_a_constructed_device() -> None:
    """A subclass that uses a register before `Device.__init__` is told so."""
    with pytest.raises(AttributeError, match="PLAIN is used before"):
        print(Toy.__new__(Toy).PLAIN)


def test_reg_cells_split_64_bit_values() -> None:
    """Base and size take two cells each (Devicetree Specification 2.3.6)."""
    assert reg_cells((0x40_1000_0000, 0x1000)) == (0x40, 0x1000_0000, 0, 0x1000)


def test_a_plain_device_has_no_node_and_an_open_line() -> None:
    """The defaults say nothing and do nothing."""
    assert Toy().dt_node(0, ()) is None
    unconnected(True)
