"""Device trees: `DtNode` data to a flattened blob, and what booting adds to a tree.

Devicetree Specification v0.4, chapter 5 (flattened format) and sections 3.4 and 3.6 (/memory, /chosen). The board's own
tree and one that a user gives (`devicetree_reader`) go the same way. The `fdt` library, which the tests read with, is
not used to encode: it took most of the time that a machine needs before its engine is there.
"""

from __future__ import annotations

import struct

from armvcpu.arch.rows import Row
from armvcpu.arch.static import TYPE_CHECKING
from armvcpu.devices.dtnode import DtNode, Ref
from armvcpu.errors import ImageError, InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from armvcpu.devices.dtnode import DtValue

VERSION = 17
MAGIC = 0xD00DFEED
BEGIN_NODE, END_NODE, PROP, NOP, END = 1, 2, 3, 4, 9

# magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, version, last_comp_version,
# boot_cpuid_phys, size_dt_strings, size_dt_struct
HEADER = struct.Struct(">10I")
RESERVATION = struct.Struct(">QQ")
_PROPERTY = struct.Struct(">3I")  # the token, the length of the value, the offset of the name


SHARED_NAMES = 4096
"""Bytes of the strings block in which a name is looked for; in a user's tree of many names that would take for ever."""


class DeviceTree(Row):
    """A tree with the blob's two other contents: memory reservations (address, size) and the boot CPU."""

    root: DtNode
    reservations: tuple[tuple[int, int], ...] = ()
    boot_cpuid_phys: int = 0


def render(tree: DeviceTree) -> bytes:
    """The flattened blob of `tree`, each `Ref` resolved to the phandle of the node it names.

    Raises:
        InternalError: a `Ref` names no node, or two nodes have one label.
    """
    return _Encoder(_assign_phandles(tree.root)).encode(tree)


def to_dts(blob: bytes) -> str:
    """Device-tree source of a blob that `render` made."""
    import fdt

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


class _Encoder:
    """Writes one blob: header, reservations, structure block and strings block, in this order (5.1)."""

    def __init__(self, phandles: dict[str, int]) -> None:
        self._phandles = phandles
        self._structure = bytearray()
        self._strings = bytearray()
        self._offsets: dict[str, int] = {}
        """Of the names of properties, in the strings block."""

    def encode(self, tree: DeviceTree) -> bytes:
        """The whole blob."""
        reservations = b"".join(RESERVATION.pack(*entry) for entry in (*tree.reservations, (0, 0)))
        self._node(tree.root)
        self._structure += END.to_bytes(4, "big")
        structure_at = HEADER.size + len(reservations)
        strings_at = structure_at + len(self._structure)
        header = HEADER.pack(
            MAGIC, strings_at + len(self._strings), structure_at, strings_at, HEADER.size,
            VERSION, VERSION - 1, tree.boot_cpuid_phys, len(self._strings), len(self._structure),
        )  # fmt: skip
        return b"".join((header, reservations, self._structure, self._strings))

    def _node(self, node: DtNode) -> None:
        self._structure += BEGIN_NODE.to_bytes(4, "big")
        self._add(node.name.encode("ascii") + b"\0")
        for name, value in node.props.items():
            if name != "phandle" or node.label is None:
                self._property(name, encode_value(value, self._phandles))
        if node.label is not None:
            self._property("phandle", self._phandles[node.label].to_bytes(4, "big"))
        for child in node.children:
            self._node(child)
        self._structure += END_NODE.to_bytes(4, "big")

    def _property(self, name: str, value: bytes) -> None:
        offset = self._offsets.get(name)
        if offset is None:
            offset = self._offsets[name] = self._place(name.encode("ascii") + b"\0")
        self._structure += _PROPERTY.pack(PROP, len(value), offset)
        self._add(value)

    def _place(self, name: bytes) -> int:
        """Where a name is in the strings block, if only as the end of a longer one; it is added where it is not."""
        offset = self._strings.find(name) if len(self._strings) < SHARED_NAMES else -1
        if offset < 0:
            offset = len(self._strings)
            self._strings += name
        return offset

    def _add(self, data: bytes) -> None:
        """Data with zeroes up to the next multiple of 4."""
        self._structure += data
        self._structure += bytes(-len(data) % 4)


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
    more: Sequence[tuple[int, int]] = (),
    bootargs: str | None = None,
    initrd: tuple[int, int] | None = None,
    chosen: Mapping[str, DtValue] | None = None,
    path: object = "the device tree",
) -> DeviceTree:
    """`tree` with the machine's `memory` (base, size), and `more` of it, and what /chosen tells the guest.

    Like QEMU, memory nodes in the tree are replaced, and /chosen keeps what is not given here: stdout-path,
    and bootargs when `bootargs` is None. `initrd` is (start, end); `chosen` are further properties,
    and `path` names the tree in errors.

    Raises:
        ImageError: the root's #address-cells or #size-cells cannot express the memory.
    """
    address, size = cells_of(tree.root, "#address-cells", 2), cells_of(tree.root, "#size-cells", 1)
    for each in (memory, *more):
        if not (1 <= address <= 2 and 1 <= size <= 2) or sum(each) >> 32 * address or each[1] >> 32 * size:
            problem = f"its #address-cells {address} and #size-cells {size} cannot express {each[1]:#x} bytes of RAM"
            raise ImageError(path, problem, "give its root 2 of each")
    props: dict[str, DtValue] = dict(chosen or {})
    if bootargs is not None:
        props["bootargs"] = bootargs
    if initrd is not None:
        props["linux,initrd-start"], props["linux,initrd-end"] = (end.to_bytes(4 * address, "big") for end in initrd)
    kept = [node for node in tree.root.children if node.name.partition("@")[0] not in ("memory", "chosen")]
    old = next((node for node in tree.root.children if node.name == "chosen"), DtNode("chosen"))
    new = old.replace(props={**old.props, **props})
    nodes = (
        DtNode(
            f"memory@{at:x}",
            {"device_type": "memory", "reg": at.to_bytes(4 * address, "big") + length.to_bytes(4 * size, "big")},
        )
        for at, length in (memory, *more)
    )
    return tree.replace(root=tree.root.replace(children=(new, *nodes, *kept)))


def cells_of(node: DtNode, name: str, default: int) -> int:
    """`#address-cells` or `#size-cells` of a node; by default a node has 2 and 1 (Devicetree Spec. 2.3.5)."""
    given = _single_cell(node.props.get(name))
    return default if given is None else given
