"""What a hypervisor is to start, as nodes of /chosen: `module@ADDRESS`, as QEMU's guest-loader writes them.

The binding is that of Xen (docs/misc/arm/device-tree/booting.txt: "multiboot,module"), of which Xen's boot on Arm and
others' make use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from armvcpu.devices.dtnode import DtNode
from armvcpu.machine.board.devicetree import cells_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from armvcpu.devices.dtnode import DtValue
    from armvcpu.machine.board.devicetree import DeviceTree
    from armvcpu.machine.layout import Module


def with_modules(tree: DeviceTree, modules: Iterable[tuple[Module, int]]) -> DeviceTree:
    """`tree` with a node in /chosen for each of the modules, whose sizes in bytes are given.

    /chosen gets cells of its own, two each, where it has none: a parent's are not inherited (Devicetree Spec. 2.3.5).
    """
    old = next((node for node in tree.root.children if node.name == "chosen"), DtNode("chosen"))
    own = {"#address-cells": (2,), "#size-cells": (2,)}
    address, size = (cells_of(old, name, 2) for name in own)
    nodes = tuple(_node(module, length, address, size) for module, length in modules)
    names = {node.name for node in nodes}
    kept = tuple(node for node in old.children if node.name not in names)
    chosen = old.replace(props={**own, **old.props}, children=(*kept, *nodes))
    others = tuple(node for node in tree.root.children if node.name != "chosen")
    return tree.replace(root=tree.root.replace(children=(chosen, *others)))


def _node(module: Module, length: int, address: int, size: int) -> DtNode:
    at = module.load.address
    props: dict[str, DtValue] = {
        "compatible": ["multiboot,module", f"multiboot,{module.kind}"],
        "reg": at.to_bytes(4 * address, "big") + length.to_bytes(4 * size, "big"),
    }
    if module.bootargs is not None:
        props["bootargs"] = module.bootargs
    return DtNode(f"module@{at:x}", props)
