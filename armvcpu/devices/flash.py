"""One bank of NOR flash that holds still: reads give its contents, writes are ignored.

The machine maps the contents as memory for reads, so that code can be fetched from them at full speed; only
writes, and reads of what the machine did not map, come here. Limit: no command is answered, not even a query
(JEDEC JESD68, Common Flash Interface), so a driver that probes takes the bank for a ROM. A command set would
live in `write`; while the bank is not in read-array mode, the machine must then not map it.
"""

from __future__ import annotations

from typing import Protocol

from armvcpu.devices.device import Device, DtNode, reg_cells


class Contents(Protocol):
    """A sequence of bytes."""

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice, /) -> bytes | bytearray | memoryview: ...


class Flash(Device):
    """A bank over `contents`, bytes that belong to the machine; as large as they are.

    A board describes its equal, consecutive banks in one device-tree node. `banks_in_node` says how many of
    them this bank's node covers: 1 only itself, 2 also the next one, 0 leaves it to the bank before.
    """

    def __init__(self, contents: Contents, *, banks_in_node: int = 1) -> None:
        self.contents = contents
        self.size = len(contents)
        self.banks_in_node = banks_in_node
        super().__init__()

    def read(self, offset: int, width: int) -> int:
        """Read `width` bytes at `offset` of the contents; zero beyond their end."""
        return int.from_bytes(self.contents[offset : offset + width], "little")

    def write(self, offset: int, width: int, value: int) -> None:
        """Nothing changes."""
        del offset, width, value

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode | None:
        """The node of binding `cfi-flash` (`mtd-physmap`): two 16-bit chips side by side in each bank."""
        del interrupts
        if not self.banks_in_node:
            return None
        banks = [(base + bank * self.size, self.size) for bank in range(self.banks_in_node)]
        return DtNode(f"flash@{base:x}", {"compatible": "cfi-flash", "reg": reg_cells(*banks), "bank-width": (4,)})
