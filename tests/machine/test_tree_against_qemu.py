"""The board's device tree, property by property, against `qemu-system-aarch64 -M virt,dumpdtb=F` (7.2).

A difference is a failure unless it is one of those below, each with its reason.
"""

from __future__ import annotations

import subprocess

import fdt
import pytest

from armvcpu.machine.board.devicetree import render, with_boot
from armvcpu.machine.board.empty import empty_board
from armvcpu.machine.config import MachineConfig
from armvcpu.testing.firmware import programs

QEMU = "qemu-system-aarch64"
OPTIONS = {1: "", 2: ",virtualization=on", 3: ",virtualization=on,secure=on"}
REFERRING = {"interrupt-parent": 1, "clocks": None, "gpios": 1, "msi-parent": 1}
"""Properties that begin with so many phandles; None: nothing else is in them."""
NODES_OF_QEMU = ("/platform-bus@c000000", "/cpus/cpu-map", "/intc@8000000/its@8080000")
"""A bus for devices of the command line's, a topology that says nothing, and a GICv3's ITS, which there is not."""
POWER_KEY = ("/pl061@9030000", "/gpio-keys")
"""Not in QEMU's tree with `-bios`, where ACPI has the key; here it is always there."""
LEFT_OUT = {
    "phandle": "numbers are each one's own",
    "rng-seed": "another one each time",
    "kaslr-seed": "rng-seed has what a kernel needs",
    "interrupt-map": "by phandles; test_machine_command.py looks at PCIe",
    "msi-map": "of the ITS",
    "dma-coherent": "of PCIe and virtio: no cache is there",
}


def dump(tmp_path, el: int, gic: int, cpus: int) -> fdt.FDT:
    blob, firmware = tmp_path / "qemu.dtb", tmp_path / "firmware"
    firmware.write_bytes(bytes(4096))
    board = f"virt,gic-version={gic},dumpdtb={blob}{OPTIONS[el]}"
    words = [programs.path(QEMU), "-M", board, "-cpu", "cortex-a72", "-smp", str(cpus), "-m", "256", "-nographic"]
    if el == 3:  # else its own PSCI is named in nodes of the CPUs
        words += ["-bios", str(firmware)]
    subprocess.run(words, check=True, timeout=60, capture_output=True, stdin=subprocess.DEVNULL)
    return fdt.parse_dtb(blob.read_bytes())


def ours(el: int, gic: int, cpus: int) -> fdt.FDT:
    board = empty_board(MachineConfig.of_board(el=el, gic=gic, cpus=cpus, cpu_model="a72"))
    return fdt.parse_dtb(render(with_boot(board.device_tree(), memory=(0x4000_0000, 0x1000_0000))))


def described(tree: fdt.FDT) -> dict[str, dict[str, object]]:
    """By path: properties by name, phandles as the paths of the nodes."""
    nodes = {(f"{path}/{node.name}" if path != "/" else f"/{node.name}"): node for path, node in walk(tree)}
    paths = {prop.value: path for path, node in nodes.items() for prop in node.props if prop.name == "phandle"}

    def said(prop: fdt.Property) -> object:
        data = list(getattr(prop, "data", ()))
        if prop.name in REFERRING:
            count = REFERRING[prop.name]
            return [paths.get(each, each) if count is None or at < count else each for at, each in enumerate(data)]
        return data

    return {
        path: {prop.name: said(prop) for prop in node.props if prop.name not in LEFT_OUT}
        for path, node in nodes.items()
    }


def walk(tree: fdt.FDT):
    for path, nodes, _ in tree.walk("/"):
        for node in nodes:
            yield path, node


@pytest.mark.parametrize("cpus", [1, 3])
@pytest.mark.parametrize("gic", [2, 3])
@pytest.mark.parametrize("el", [1, 2, 3])
def test_the_tree_is_qemus(tmp_path, el, gic, cpus):
    """For each level that a guest may start at: psci's conduit, Secure devices, frames of the GIC, interrupts."""
    theirs, own = described(dump(tmp_path, el, gic, cpus)), described(ours(el, gic, cpus))
    missing = [path for path in theirs if path not in own and not path.startswith(NODES_OF_QEMU)]
    more = [path for path in own if path not in theirs and not (el == 3 and path.startswith(POWER_KEY))]
    different = {
        f"{path} {name}": (theirs[path].get(name), own[path].get(name))
        for path in theirs.keys() & own.keys()
        for name in theirs[path].keys() | own[path].keys()
        if theirs[path].get(name) != own[path].get(name)
    }
    assert (missing, more, different) == ([], [], {})
