"""What the Secure world of a `virt` board has to itself, as QEMU's with `secure=on`: slots and device-tree nodes.

Non-secure accesses to any of it abort (`Board.secure_ranges`). The nodes tell Non-secure software that it is not for
them: `status` is disabled, while `secure-status`, which Secure software reads, is okay (binding `arm/secure`).
"""

from __future__ import annotations

from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.dtnode import DtNode, Ref, reg_cells
from armvcpu.devices.pl011 import Pl011
from armvcpu.devices.pl061 import Pl061
from armvcpu.machine.board.virt import Slot

if TYPE_CHECKING:
    from armvcpu.devices.dtnode import DtValue
    from armvcpu.devices.gic.gicv2 import Gicv2
    from armvcpu.devices.gic.gicv3 import Gicv3
    from armvcpu.machine.board.devicetree import DeviceTree
    from armvcpu.machine.board.virt import Board, Wiring

UART_BASE, UART_SPI = 0x0904_0000, 8
GPIO_BASE, GPIO_SPI = 0x090B_0000, 0
UART, GPIO = "secure-pl011", "secure-pl061"
"""The names of their slots."""
POWER_OFF, RESET = 0, 1
"""The GPIO's lines: the board is switched off, or starts anew, when one of them is driven high."""
_KASLR_SIZE = 8
_GPIO_LABEL = "secure-gpio"
_STATUS: dict[str, DtValue] = {"status": "disabled", "secure-status": "okay"}


def secure_slots(wiring: Wiring, gic: Gicv2 | Gicv3) -> list[Slot]:
    """The UART, whose characters go where those of the board's first one go if nobody says otherwise, and the GPIO."""
    uart = Pl011(wiring.secure_stream or wiring.stream, wiring.wires(gic, UART_SPI))
    gpio = Pl061(wiring.wires(gic, GPIO_SPI))
    return [
        Slot(UART, UART_BASE, uart, (UART_SPI,), is_secure=True),
        Slot(GPIO, GPIO_BASE, gpio, (GPIO_SPI,), is_secure=True),
    ]


def secure_gpio(board: Board) -> Pl061 | None:
    """That of a board, where it has one."""
    device = next((slot.device for slot in board.slots if slot.name == GPIO), None)
    return device if isinstance(device, Pl061) else None


def secure_node(node: DtNode) -> DtNode:
    """The node of a Secure device."""
    kind, at, address = node.name.partition("@")
    name = f"secflash{at}{address}" if kind == "flash" else node.name
    return node.replace(name=name, props={**node.props, **_STATUS}, label=node.label and _GPIO_LABEL)


def with_seed(tree: DeviceTree, seed: bytes) -> DeviceTree:
    """The tree with rng-seed and kaslr-seed in /secure-chosen, SEED_SIZE bytes in all."""
    seeds: dict[str, DtValue] = {"rng-seed": seed[:-_KASLR_SIZE], "kaslr-seed": seed[-_KASLR_SIZE:]}
    nodes = (
        node.replace(props={**node.props, **seeds}) if node.name == "secure-chosen" else node
        for node in tree.root.children
    )
    return tree.replace(root=tree.root.replace(children=tuple(nodes)))


def secure_nodes(board: Board) -> tuple[DtNode, ...]:
    """What is no device's: Secure RAM, the GPIO's lines, and what Secure firmware is told at boot."""
    nodes = [
        DtNode(f"secram@{ram.base:x}", {"device_type": "memory", "reg": reg_cells((ram.base, ram.size)), **_STATUS})
        for ram in board.secure_ram
    ]
    there = {slot.name for slot in board.slots}
    if GPIO in there:
        for name, line in (("gpio-poweroff", POWER_OFF), ("gpio-restart", RESET)):
            nodes.append(DtNode(name, {"compatible": name, "gpios": (Ref(_GPIO_LABEL), line, 0), **_STATUS}))
    if UART in there:
        nodes.append(DtNode("secure-chosen", {"stdout-path": f"/pl011@{UART_BASE:x}"}))
    return tuple(nodes)
