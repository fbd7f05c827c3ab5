"""Reads a flattened device tree, keeping every property's bytes as they are.

Devicetree Specification v0.4, chapter 5. The `fdt` library does not serve here: a user's tree must come through
unchanged, and the library guesses each property's type from its bytes and does not know FDT_NOP, which the trees that
QEMU dumps contain. Any damage ends in ImageError.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from armvcpu.devices.dtnode import DtNode
from armvcpu.errors import ImageError
from armvcpu.machine.board.devicetree import (
    BEGIN_NODE,
    END,
    END_NODE,
    HEADER,
    MAGIC,
    NOP,
    PROP,
    RESERVATION,
    VERSION,
    DeviceTree,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from armvcpu.devices.dtnode import DtValue

MAX_DEPTH = 64
"""Nesting of nodes that is read; real trees have less than ten levels."""
MAX_TOKENS = 1 << 17
"""Beginnings and ends of nodes, properties and FDT_NOPs that are read: several times what the largest boards have.

Each becomes objects of some hundred bytes, so this, and not the length of the file, bounds what a tree takes here.
"""
MAX_NAME = 255
"""Characters of a name. The specification (2.2.1, 2.2.4) has 31, and some boards more.

The names of properties may share their bytes, so without a bound those of a small file would be gigabytes.
"""
MAX_RESERVATIONS = 1024

_CELL = struct.Struct(">I")


def parse(path: object, blob: bytes) -> DeviceTree:
    """Read a flattened blob; property values come back as bytes.

    Raises:
        ImageError: it is not a device tree blob, or a damaged one.
    """
    if blob[:4] != MAGIC.to_bytes(4, "big"):
        raise ImageError(path, "not a device tree blob", "compile the source with `dtc -O dtb`")
    if len(blob) < HEADER.size:
        problem = f"a damaged device tree blob: a header has {HEADER.size} bytes, and this file {len(blob)}"
        raise ImageError(path, problem, "compile it again with `dtc -O dtb`")
    try:
        return _Reader(blob).read()
    except (ValueError, IndexError, struct.error) as error:
        raise ImageError(path, f"a damaged device tree blob ({error})", "compile it again with `dtc -O dtb`") from None


class _Reader:
    """One pass over a blob; ValueError, IndexError or struct.error when it is damaged."""

    def __init__(self, blob: bytes) -> None:
        header = HEADER.unpack_from(blob)
        _, size, self.at, self.strings, self.reservations, _, compatible, self.boot_cpuid_phys, _, _ = header
        if size > len(blob):
            raise ValueError(f"its header says {size} bytes, it has {len(blob)}")
        if compatible > VERSION:
            raise ValueError(f"it needs a reader of version {compatible}")
        self.blob = blob[:size]
        self.tokens = 0

    def read(self) -> DeviceTree:
        if self._token() != BEGIN_NODE:
            raise ValueError("no root node")
        root = self._node(0)
        if self._token() != END:
            raise ValueError("nodes behind the root")
        return DeviceTree(root, tuple(self._reservations()), self.boot_cpuid_phys)

    def _reservations(self) -> Iterator[tuple[int, int]]:
        offset = self.reservations
        end = offset + MAX_RESERVATIONS * RESERVATION.size
        while (entry := RESERVATION.unpack_from(self.blob, offset)) != (0, 0):
            if offset >= end:
                raise ValueError(f"more than {MAX_RESERVATIONS} memory reservations")
            yield entry
            offset += RESERVATION.size

    def _cell(self) -> int:
        (value,) = _CELL.unpack_from(self.blob, self.at)
        self.at += _CELL.size
        return int(value)

    def _token(self) -> int:
        token = NOP
        while token == NOP:
            token = self._cell()
            self.tokens += 1
            if self.tokens > MAX_TOKENS:
                raise ValueError(f"more than {MAX_TOKENS} nodes, properties and FDT_NOPs")
        return token

    def _string(self, offset: int) -> str:
        end = self.blob.find(b"\0", offset, offset + MAX_NAME + 1)
        if end < 0:
            raise ValueError(f"a name of more than {MAX_NAME} characters, or without an end, at offset {offset:#x}")
        string = self.blob[offset:end].decode("ascii")
        if not string.isprintable():
            raise ValueError(f"an unprintable name at offset {offset:#x}")
        return string

    def _node(self, depth: int) -> DtNode:
        if depth > MAX_DEPTH:
            raise ValueError(f"nodes nested more than {MAX_DEPTH} deep")
        name = self._string(self.at)
        self.at = (self.at + len(name) + 1 + 3) & ~3
        props: dict[str, DtValue] = {}
        children: dict[str, DtNode] = {}
        while (token := self._token()) != END_NODE:
            if token == PROP:
                size, name_offset = self._cell(), self._cell()
                if self.at + size > len(self.blob):
                    raise ValueError(f"a property ends behind the blob at {self.at:#x}")
                props[self._string(self.strings + name_offset)] = self.blob[self.at : self.at + size]
                self.at = (self.at + size + 3) & ~3
            elif token == BEGIN_NODE:
                child = self._node(depth + 1)
                children[child.name] = child
            else:
                raise ValueError(f"an unknown token {token:#x} at {self.at - 4:#x}")
        return DtNode(name, props, tuple(children.values()))
