"""`armvcpu machine` against what QEMU 7.2 has: `qemu-system-aarch64 -M virt,dumpdtb=F` and its memory map."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from armvcpu.cli.machine import machine
from armvcpu.errors import UsageError

QEMU = {
    "flash0": (0x0000_0000, 0x0400_0000, []),
    "flash1": (0x0400_0000, 0x0400_0000, []),
    "pl011": (0x0900_0000, 0x1000, [33]),
    "virtio-mmio0": (0x0A00_0000, 0x200, [48]),
    "virtio-mmio31": (0x0A00_3E00, 0x200, [79]),
    "ram": (0x4000_0000, 0x1000_0000, []),
    "pcie-ecam": (0x40_1000_0000, 0x1000_0000, [35, 36, 37, 38]),
}
"""Base, size and INTIDs (SPI n is INTID 32 + n)."""

QEMU_DTS = (
    ("memory@40000000", 'device_type = "memory"', "reg = <0x0 0x40000000 0x0 0x10000000>"),
    ("flash@0", 'compatible = "cfi-flash"', "reg = <0x0 0x0 0x0 0x4000000 0x0 0x4000000 0x0 0x4000000>"),
    ("pl011@9000000", 'compatible = "arm,pl011", "arm,primecell"', "reg = <0x0 0x9000000 0x0 0x1000>",
     "interrupts = <0x0 0x1 0x4>", 'clock-names = "uartclk", "apb_pclk"'),
    ("fw-cfg@9020000", 'compatible = "qemu,fw-cfg-mmio"', "reg = <0x0 0x9020000 0x0 0x18>", "dma-coherent"),
    ("virtio_mmio@a000000", 'compatible = "virtio,mmio"', "interrupts = <0x0 0x10 0x1>", "dma-coherent"),
    ("virtio_mmio@a003e00", "reg = <0x0 0xa003e00 0x0 0x200>", "interrupts = <0x0 0x2f 0x1>"),
    ("pcie@10000000", 'compatible = "pci-host-ecam-generic"', "reg = <0x40 0x10000000 0x0 0x10000000>",
     "bus-range = <0x0 0xff>"),
    ("psci", 'method = "hvc"', "cpu_suspend = <0xc4000001>", "cpu_off = <0x84000002>", "cpu_on = <0xc4000003>"),
    ("apb-pclk", 'compatible = "fixed-clock"', "clock-frequency = <0x16e3600>"),
    ("cpu@0", 'compatible = "arm,cortex-a72"', "reg = <0x0>"),
    ("chosen", 'stdout-path = "/pl011@9000000"'),
)  # fmt: skip


@pytest.fixture
def run():
    """The output of `armvcpu machine ...`."""
    return lambda *words: CliRunner().invoke(machine, words, catch_exceptions=False).output


def test_json_has_qemus_addresses_and_interrupts(run):
    """Every device is where firmware for QEMU's board expects it."""
    slots = {slot["name"]: (slot["base"], slot["size"], slot["intids"]) for slot in json.loads(run("--json"))}
    assert {name: slots[name] for name in QEMU} == QEMU
    assert len(slots) == 10 + 32


def test_table_is_in_order_of_address(run):
    """One line for each, with base, end, size and SPIs."""
    lines = run().splitlines()[1:]
    bases = [int(line.split()[0], 16) for line in lines]
    assert bases == sorted(bases)
    assert "     0x9000000       0x9000fff        4K  1          pl011" in lines
    assert "  0x4010000000    0x401fffffff      256M  3-6        pcie-ecam" in lines


@pytest.mark.parametrize("node", QEMU_DTS, ids=lambda node: node[0])
def test_dts_has_qemus_nodes(run, node):
    """Each node with its compatible, reg and interrupts."""
    name, *properties = node
    body = run("--dts").lower().partition(f" {name} {{")[2].partition("}")[0]
    assert [line for line in properties if line.lower() not in body] == []


def test_pcie_windows_are_qemus(run):
    """I/O, 32-bit and 64-bit memory (IEEE 1275 PCI binding: space, PCI address, CPU address, size)."""
    words = " ".join(run("--dts").lower().partition("ranges = <")[2].partition(">")[0].split())
    assert words == (
        "0x1000000 0x0 0x0 0x0 0x3eff0000 0x0 0x10000 "
        "0x2000000 0x0 0x10000000 0x0 0x10000000 0x0 0x2eff0000 "
        "0x3000000 0x80 0x0 0x80 0x0 0x80 0x0"
    )


def test_options_change_what_is_shown(run):
    """`--memory`, `--cpu-model`, `--cpus`, `--gic`: of QEMU's `-M virt,gic-version=2 -smp 2` these lines, too."""
    assert "reg = <0x0 0x40000000 0x0 0x80000000>" in run("--dts", "--memory", "2G")
    assert 'compatible = "arm,cortex-a53"' in run("--dts", "--cpu-model", "a53")
    two = run("--dts", "--gic", "2", "--cpus", "2").lower()
    assert [line for line in ("cpu@1 {", 'compatible = "arm,cortex-a15-gic"', "v2m@8020000 {") if line not in two] == []
    assert "cpu@1 {" not in run("--dts")
    slots = {slot["name"]: slot["base"] for slot in json.loads(run("--json", "--gic", "2"))}
    assert slots["gicc"] == 0x0801_0000


def test_ram_and_devices_of_the_users_are_shown(run):
    """`--ram` and `--device`, and that what RAM covers is not there."""
    options = ("--ram", "0x80000000:64M", "--ram", "0x0:64M", "--device", "pl011@0x1c090000,spi=99")
    lines = run(*options).splitlines()[1:]
    assert "    0x80000000      0x83ffffff       64M             ram" in lines
    assert "    0x1c090000      0x1c090fff        4K  99         pl011-1c090000" in lines
    assert not [line for line in lines if line.endswith("flash0")]
    assert "memory@80000000 {" in run("--dts", *options)


def test_disks_are_looked_at_as_run_does(run, tmp_path):
    """A tree has every slot, whatever is in it; a disk that can't be used is refused."""
    (tmp_path / "disk").write_bytes(bytes(512))
    assert run("--dts", "--disk", str(tmp_path / "disk")) == run("--dts")
    with pytest.raises(UsageError, match="none"):
        run("--disk", str(tmp_path / "none"))


@pytest.mark.parametrize("words", [("--cpu-model", "m1"), ("--memory", "0"), ("--memory", "3"), ("--dts", "--json")])
def test_what_cannot_be_is_refused(run, words):
    """As `run` refuses it."""
    with pytest.raises(UsageError):
        run(*words)


def test_board_without_the_entropy_source_is_shown(run):
    """`--no-rng`, which is a flag that is on unless it is said; the board is as large without it."""
    assert run("--no-rng") == run()
    assert run("--no-rng", "--dts").startswith("/dts-v1/")
