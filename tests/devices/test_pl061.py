"""PL061 (Arm DDI 0190): each register, both kinds of interrupt, and the power-off key."""

from __future__ import annotations

import pytest

from armvcpu.devices.device import DtNode, Ref, Wires
from armvcpu.devices.pl061 import Pl061

GPIODATA, GPIODIR, GPIOIS, GPIOIBE, GPIOIEV, GPIOIE = 0x3FC, 0x400, 0x404, 0x408, 0x40C, 0x410
GPIORIS, GPIOMIS, GPIOIC, GPIOAFSEL = 0x414, 0x418, 0x41C, 0x420


class Bench:
    """A GPIO controller with its line recorded."""

    def __init__(self) -> None:
        self.levels: list[bool] = []
        self.gpio = Pl061(Wires(self.levels.append))

    def __getitem__(self, offset: int) -> int:
        return self.gpio.read(offset, 4)

    def __setitem__(self, offset: int, value: int) -> None:
        self.gpio.write(offset, 4, value)


@pytest.fixture
def bench() -> Bench:
    return Bench()


IDS = {
    0xFE0: 0x61, 0xFE4: 0x10, 0xFE8: 0x04, 0xFEC: 0, 0xFF0: 0x0D, 0xFF4: 0xF0, 0xFF8: 0x05, 0xFFC: 0xB1,
}  # fmt: skip


@pytest.mark.parametrize(("offset", "value"), [*((at, 0) for at in range(0x3FC, 0x424, 4)), *IDS.items()])
def test_reset_values(bench: Bench, offset: int, value: int) -> None:
    """Table 3-1, with all inputs low."""
    assert bench[offset] == value


@pytest.mark.parametrize("offset", [GPIODIR, GPIOIS, GPIOIBE, GPIOIEV, GPIOIE, GPIOAFSEL])
def test_registers_have_eight_bits(bench: Bench, offset: int) -> None:
    """One for each line (3.3)."""
    bench[offset] = 0xFFFF_FFFF
    assert bench[offset] == 0xFF


@pytest.mark.parametrize("offset", [GPIORIS, GPIOMIS, *IDS])
def test_read_only_registers_keep_their_value(bench: Bench, offset: int) -> None:
    """Writes are ignored."""
    before = bench[offset]
    bench[offset] = 0xA5
    assert bench[offset] == before


def test_the_address_selects_the_lines(bench: Bench) -> None:
    """Address bits [9:2] mask both reads and writes of GPIODATA (3.3.1)."""
    bench[GPIODIR] = 0xFF
    bench[0x0F << 2] = 0xFF
    bench[0x81 << 2] = 0x80
    assert (bench[GPIODATA], bench[0x88 << 2], bench[0]) == (0x8E, 0x88, 0)


def test_inputs_cannot_be_written(bench: Bench) -> None:
    """Until the line becomes an output (3.3.1, 3.3.2)."""
    bench.gpio.press(0)
    bench[GPIODATA] = 0x06
    assert bench[GPIODATA] == 0x01
    bench[GPIODIR] = 0x03
    assert bench[GPIODATA] == 0x02


@pytest.mark.parametrize(
    ("both", "event", "expected"), [(0, 0, [0, 8]), (0, 8, [8, 8]), (8, 0, [8, 8]), (8, 8, [8, 8])]
)
def test_an_edge_is_latched(bench: Bench, both: int, event: int, expected: list[int]) -> None:
    """GPIOIBE takes both edges, GPIOIEV chooses one (3.3.4, 3.3.5)."""
    bench[GPIOIBE], bench[GPIOIEV] = both, event
    seen = []
    for change in (bench.gpio.press, bench.gpio.release):
        change()
        seen.append(bench[GPIORIS])
    assert seen == expected


def test_an_edge_interrupts_until_it_is_cleared(bench: Bench) -> None:
    """GPIOIE, GPIOMIS and GPIOIC (3.3.6 to 3.3.9)."""
    bench[GPIOIEV] = 8
    bench.gpio.press()
    assert (bench[GPIORIS], bench[GPIOMIS], bench.levels) == (8, 0, [])
    bench[GPIOIE] = 8
    assert (bench[GPIOMIS], bench.levels) == (8, [True])
    bench.gpio.press()
    bench[GPIOIC] = 0xF7
    assert bench[GPIORIS] == 8
    bench[GPIOIC] = 8
    assert (bench[GPIORIS], bench.levels) == (0, [True, False])


@pytest.mark.parametrize(("event", "expected"), [(0x08, [False, True, False]), (0x00, [True, False, True])])
def test_a_level_interrupts_as_long_as_it_lasts(bench: Bench, event: int, expected: list[bool]) -> None:
    """Clearing has no effect on it (3.3.3, 3.3.9)."""
    bench[GPIOIS], bench[GPIOIEV], bench[GPIOIE] = 8, event, 8
    seen = []
    for change in (lambda: None, bench.gpio.press, bench.gpio.release):
        change()
        bench[GPIOIC] = 8
        seen.append(bench[GPIOMIS] == 8)
    assert seen == expected


def test_a_level_leaves_nothing_behind(bench: Bench) -> None:
    """Edges are neither seen while levels are sensed nor remembered from before (3.3.3)."""
    bench[GPIOIEV] = 8
    bench.gpio.press()
    bench.gpio.release()
    bench[GPIOIS] = 8
    assert bench[GPIORIS] == 0
    bench.gpio.press()
    bench.gpio.release()
    assert bench[GPIORIS] == 0


def test_outputs_do_not_interrupt(bench: Bench) -> None:
    """Only inputs are watched (2.3.4)."""
    bench[GPIODIR], bench[GPIOIE], bench[GPIOIEV] = 8, 8, 8
    bench.gpio.press()
    bench[GPIOIS] = 8
    assert (bench[GPIORIS], bench.levels) == (0, [])


def test_a_snapshot_keeps_key_edges_and_outputs(bench: Bench) -> None:
    """And asserts the line again."""
    bench[GPIOIE] = bench[GPIOIEV] = 8
    bench[GPIODIR] = bench[GPIODATA] = 1
    bench.gpio.press()
    other = Bench()
    other.gpio.load_state(bench.gpio.state())
    assert (other[GPIODATA], other[GPIOMIS], other.levels) == (9, 8, [True])


def test_device_tree_nodes() -> None:
    """As QEMU 7.2 has them for the `virt` board."""
    gpio = Pl061()
    assert gpio.dt_node(0x903_0000, (7,)) == DtNode(
        "pl061@9030000",
        {
            "clock-names": "apb_pclk",
            "clocks": (Ref("apb-pclk"),),
            "interrupts": (0, 7, 4),
            "gpio-controller": None,
            "#gpio-cells": (2,),
            "compatible": ["arm,pl061", "arm,primecell"],
            "reg": (0, 0x903_0000, 0, 0x1000),
        },
        label="gpio",
    )
    key = {"gpios": (Ref("gpio"), 3, 0), "linux,code": (0x74,), "label": "GPIO Key Poweroff"}
    assert gpio.keys_node() == DtNode("gpio-keys", {"compatible": "gpio-keys"}, (DtNode("poweroff", key),))


def test_whoever_watches_hears_of_the_lines_that_are_driven(bench: Bench) -> None:
    """Outputs as GPIODATA and GPIODIR make them, when they change (3.3.1, 3.3.2)."""
    driven: list[int] = []
    bench.gpio.watch(driven.append)
    bench[GPIODATA] = 0x81
    bench[GPIODIR] = 0x01
    bench[GPIODATA] = 0x81
    bench[GPIODIR] = 0x80
    bench.gpio.reset()
    assert driven == [0x01, 0x80, 0]
