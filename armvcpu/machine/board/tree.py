"""The device tree of a `virt` board: the nodes of its slots' devices, and those that belong to no device."""

from __future__ import annotations

from armvcpu.arch.psci import psci_by_name
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.dtnode import IRQ_TYPE_LEVEL_HIGH, DtNode, DtValue, Ref, reg_cells, spi_cells
from armvcpu.devices.gic.gicv3 import Gicv3
from armvcpu.machine.board.devicetree import DeviceTree

if TYPE_CHECKING:
    from armvcpu.machine.board.virt import Board, Slot

TIMER_PPIS, PMU_PPI, GIC_PPI = (13, 14, 11, 10), 7, 1
"""PPI numbers start at INTID 16; GIC_PPI is the first cell of their interrupt specifiers (binding `arm,gic-v3`)."""

_TREES: dict[tuple[int, type, str, int], DeviceTree] = {}
"""The trees that have been made, by what they depend on."""


def board_tree(board: Board) -> DeviceTree:
    """The tree of a board, one object for all boards like it; memory and boot arguments come with the image."""
    if board.added or board.covered:
        return _make_tree(board)
    kind = (len(board.mpidrs), type(board.gic), board.cpu_compatible, board.wiring.el)
    tree = _TREES.get(kind)
    if tree is None:
        tree = _TREES[kind] = _make_tree(board)
    return tree


def _make_tree(board: Board) -> DeviceTree:
    devices = tuple(node for slot in board.slots if (node := _node(slot, is_added=slot in board.added)) is not None)
    props: dict[str, DtValue] = {
        "compatible": "linux,dummy-virt",
        "model": "linux,dummy-virt",
        "interrupt-parent": (Ref("gic"),),
        "#address-cells": (2,),
        "#size-cells": (2,),
    }
    devices_there = [slot.device for slot in board.slots]
    uart = next((slot for slot in board.slots if slot.device is board.console), None)
    chosen = DtNode("chosen", {} if uart is None else {"stdout-path": f"/pl011@{uart.base:x}"})
    own = (chosen, _cpus(board), *_psci(board), _timer(board), _pmu(board), _clock(), *_secure(board))
    keys = (board.gpio.keys_node(),) if board.gpio in devices_there else ()
    return DeviceTree(DtNode("", props, (*own, *devices, *keys)))


def _node(slot: Slot, *, is_added: bool) -> DtNode | None:
    """What a device says of itself; of one that a user has added and that says nothing, where it is."""
    node = slot.device.dt_node(slot.base, slot.spis)
    if node is None and not is_added:
        return None
    if node is not None:
        return _of_several(node, slot) if is_added else _of_secure(node) if slot.is_secure else node
    props: dict[str, DtValue] = {"compatible": f"armvcpu,{slot.name}", "reg": reg_cells((slot.base, slot.size))}
    if slot.spis:
        props["interrupts"] = spi_cells(slot.spis)
    return DtNode(f"{slot.name}@{slot.base:x}", props)


def _of_several(node: DtNode, slot: Slot) -> DtNode:
    """A node of a kind that the board has too: no other one's label, and no interrupt where it has none."""
    props = {name: value for name, value in node.props.items() if name != "interrupts" or slot.spis}
    return node.replace(props=props, label=None)


def _of_secure(node: DtNode) -> DtNode:
    from armvcpu.machine.board.secure import secure_node  # most boards have no Secure world

    return secure_node(node)


def _secure(board: Board) -> tuple[DtNode, ...]:
    if board.wiring.el < 3:
        return ()
    from armvcpu.machine.board.secure import secure_nodes  # as above

    return secure_nodes(board)


def _cpus(board: Board) -> DtNode:
    has_method = len(board.mpidrs) > 1 and board.wiring.el < 3
    method: dict[str, DtValue] = {"enable-method": "psci"} if has_method else {}
    cpus = tuple(
        DtNode(f"cpu@{mpidr:x}", {"device_type": "cpu", "compatible": board.cpu_compatible, "reg": (mpidr,), **method})
        for mpidr in board.mpidrs
    )
    return DtNode("cpus", {"#address-cells": (1,), "#size-cells": (0,)}, cpus)


def _psci(board: Board) -> tuple[DtNode, ...]:
    """The node of binding `arm,psci`: HVC to us at EL2, though SMC is answered as well; SMC where EL2 is the guest's.

    Where EL3 is the guest's as well, so is PSCI, and firmware adds what it has.
    """
    if board.wiring.el == 3:
        return ()

    def number(name: str) -> tuple[int, ...]:
        row = psci_by_name[name]
        return (row.smc64 or row.smc32,)

    props: dict[str, DtValue] = {
        "compatible": ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"],
        "method": "hvc" if board.wiring.el == 1 else "smc",
        "cpu_suspend": number("CPU_SUSPEND"),
        "cpu_off": number("CPU_OFF"),
        "cpu_on": number("CPU_ON"),
        "migrate": number("MIGRATE"),
    }
    return (DtNode("psci", props),)


def _timer(board: Board) -> DtNode:
    """The node of binding `arm,armv8-timer`: secure, physical, virtual and hypervisor timer, PPIs as levels."""
    flags = _ppi_flags(board)
    return DtNode(
        "timer",
        {
            "compatible": ["arm,armv8-timer", "arm,armv7-timer"],
            "always-on": None,
            "interrupts": tuple(cell for ppi in TIMER_PPIS for cell in (GIC_PPI, ppi, flags)),
        },
    )


def _pmu(board: Board) -> DtNode:
    """The node of binding `arm,pmu`: the overflow interrupt, a PPI as level."""
    return DtNode("pmu", {"compatible": "arm,armv8-pmuv3", "interrupts": (GIC_PPI, PMU_PPI, _ppi_flags(board))})


def _ppi_flags(board: Board) -> int:
    """A level; with a GICv2 a mask of the CPUs as well, bits 15:8 (binding `arm,gic`)."""
    mask = 0 if isinstance(board.gic, Gicv3) else (1 << len(board.mpidrs)) - 1 << 8
    return IRQ_TYPE_LEVEL_HIGH | mask


def _clock() -> DtNode:
    """The clock that the PrimeCell devices name."""
    return DtNode(
        "apb-pclk",
        {
            "compatible": "fixed-clock",
            "#clock-cells": (0,),
            "clock-frequency": (24_000_000,),
            "clock-output-names": "clk24mhz",
        },
        label="apb-pclk",
    )
