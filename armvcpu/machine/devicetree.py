"""Device trees: `DtNode` data to a flattened blob, and what booting adds to a tree.

Devicetree Specification v0.4, chapter 5 (flattened format) and sections 3.4 and 3.6 (/memory, /chosen). The
`fdt` library encodes. The board's own tree and one that a user gives (`devicetree_reader`) go the same way.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from armvcpu.devices.dtnode import DtNode, Ref
from armvcpu.errors import ImageError, InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from armvcpu.devices.dtnode import DtValue

VERSION = 17


class DeviceTree(NamedTuple):
    """A tree with the blob's two other contents: memory reservations (address, size) and the boot CPU."""

    root: DtNode
    reservations: tuple[tuple[int, int], ...] = ()
    boot_cpuid_phys: int = 0


def render(tree: DeviceTree) -> bytes:
    """The flattened blob of `tree`, each `Ref` resolved to the phandle of the node it names.

    Raises:
        InternalError: a `Ref` names no node, or two nodes have one label.
    """
    import fdt  # noqa: PLC0415  a run that only asks for help does not need it

    phandles = _assign_phandles(tree.root)
    library: Any = fdt  # it has no types
    blob = library.FDT(entries=[{"address": base, "size": size} for base, size in tree.reservations])
    blob.header.version = VERSION
    blob.header.boot_cpuid_phys = tree.boot_cpuid_phys
    blob.root = _encode_node(tree.root, phandles, library)
    encoded: bytes = blob.to_dtb()
    return encoded


def to_dts(blob: bytes) -> str:
    """Device-tree source of a blob that `render` made."""
    import fdt  # noqa: PLC0415  a run that only asks for help does not need it

    text: str = fdt.parse_dtb(blob).to_dts()
    return text


def _assign_phandles(root: DtNode) -> dict[str, int]:
    """Label to phandle; numbers that nodes already have are kept and not used again."""
    taken = {phandle for node in walk(root) if (phandle := _own_phandle(node)) is not None}
    free = (number for number in range(1, 1 << 31) if number not in taken)
    phandles: dict[str, int] = {}
    for node in walk(root):
        if node.label is None:
            continue
        if node.label in phandles:
            raise InternalError(f"two device-tree nodes have the label {node.label!r}")
        own = _own_phandle(node)
        phandles[node.label] = next(free) if own is None else own
    return phandles


def _own_phandle(node: DtNode) -> int | None:
    return _single_cell(node.props.get("phandle"))


def _single_cell(value: DtValue) -> int | None:
    """The number in a property of one cell, as a machine writes it or as it is read from a blob."""
    if isinstance(value, tuple) and len(value) == 1 and isinstance(value[0], int):
        return value[0]
    if isinstance(value, bytes) and len(value) == 4:
        return int.from_bytes(value, "big")
    return None


def walk(root: DtNode) -> Iterator[DtNode]:
    """`root` and every node below it, parents first."""
    yield root
    for child in root.children:
        yield from walk(child)


def _encode_node(node: DtNode, phandles: dict[str, int], fdt: Any) -> Any:
    encoded = fdt.Node(node.name or "/")
    props: Mapping[str, DtValue] = node.props
    if node.label is not None:
        props = {**props, "phandle": (phandles[node.label],)}
    for name, value in props.items():
        encoded.append(fdt.PropBytes(name, data=encode_value(value, phandles)))
    for child in node.children:
        encoded.append(_encode_node(child, phandles, fdt))
    return encoded


def encode_value(value: DtValue, phandles: Mapping[str, int]) -> bytes:
    """A property value as it stands in the blob."""
    match value:
        case None:
            return b""
        case bytes():
            return value
        case str():
            return value.encode() + b"\0"
        case list():
            return b"".join(string.encode() + b"\0" for string in value)
    try:
        cells = [phandles[cell.label] if isinstance(cell, Ref) else cell for cell in value]
    except KeyError as error:
        raise InternalError(f"the device tree refers to {error}, which no node has as its label") from None
    return struct.pack(f">{len(cells)}I", *cells)


def with_boot(
    tree: DeviceTree,
    *,
    memory: tuple[int, int],
    bootargs: str | None = None,
    initrd: tuple[int, int] | None = None,
    chosen: Mapping[str, DtValue] | None = None,
    path: object = "the device tree",
) -> DeviceTree:
    """`tree` with the machine's `memory` (base, size) and what /chosen tells the guest.

    Like QEMU, memory nodes in the tree are replaced, and /chosen keeps what is not given here: stdout-path,
    and bootargs when `bootargs` is None. `initrd` is (start, end); `chosen` are further properties,
    and `path` names the tree in errors.

    Raises:
        ImageError: the root's #address-cells or #size-cells cannot express the memory.
    """
    address, size = (_cells(tree.root, name) for name in ("#address-cells", "#size-cells"))
    if not (1 <= address <= 2 and 1 <= size <= 2) or sum(memory) >> 32 * address or memory[1] >> 32 * size:
        problem = f"its #address-cells {address} and #size-cells {size} cannot express {memory[1]:#x} bytes of RAM"
        raise ImageError(path, problem, "give its root 2 of each")
    props: dict[str, DtValue] = dict(chosen or {})
    if bootargs is not None:
        props["bootargs"] = bootargs
    if initrd is not None:
        props["linux,initrd-start"], props["linux,initrd-end"] = (end.to_bytes(4 * address, "big") for end in initrd)
    reg = memory[0].to_bytes(4 * address, "big") + memory[1].to_bytes(4 * size, "big")
    kept = [node for node in tree.root.children if node.name.partition("@")[0] not in ("memory", "chosen")]
    old = next((node for node in tree.root.children if node.name == "chosen"), DtNode("chosen"))
    new = old.replace(props={**old.props, **props})
    memory_node = DtNode(f"memory@{memory[0]:x}", {"device_type": "memory", "reg": reg})
    return tree._replace(root=tree.root.replace(children=(new, memory_node, *kept)))


def _cells(root: DtNode, name: str) -> int:
    """`#address-cells` or `#size-cells` of the root: 2 and 1 if not given (Devicetree Spec. 2.3.5)."""
    given = _single_cell(root.props.get(name))
    return given if given is not None else {"#address-cells": 2, "#size-cells": 1}[name]
