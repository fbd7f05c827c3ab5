"""The firmware configuration device of QEMU's boards, by which firmware gets its kernel: docs/specs/fw_cfg of QEMU.

    +0x00  data      the next bytes of the selected item, in the order of memory, 1 to 8 at once
    +0x08  selector  16 bits, big-endian
    +0x10  DMA       address of a control structure, 64 bits, big-endian; its lower half starts the transfer

Items are bytes by number; those with a name stand in the directory, item 0x19.

A transfer of ordinary size, as of a kernel, is complete before the guest goes on: drivers rely on that, as U-Boot
2025.01, whose compiler has made one look at the control word of a loop that waits. What is longer than AT_ONCE goes on
in pieces (devices/budget.py), and the control word is not zero before the last one.
"""

from __future__ import annotations

import struct

from armvcpu.arch.static import TYPE_CHECKING, Any
from armvcpu.devices.budget import SLICE, Pause
from armvcpu.devices.device import Device, DtNode, Wires, reg_cells
from armvcpu.devices.dma import BadAddress

if TYPE_CHECKING:
    from collections.abc import Mapping

SIGNATURE, ID, NB_CPUS, MAX_CPUS, DIRECTORY, FIRST_FILE = 0x00, 0x01, 0x05, 0x0F, 0x19, 0x20
KERNEL, INITRD, CMDLINE = (0x08, 0x11), (0x0B, 0x12), (0x14, 0x15)
"""Item of the size, 32 bits little-endian, and item of the data."""
HAS_DMA = 0b11  # the traditional interface and DMA
DMA_SIGNATURE = int.from_bytes(b"QEMU CFG", "big")
ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16
CONTROL = struct.Struct(">IIQ")
"""Control (its upper half selects an item), length, address."""
ENTRY = struct.Struct(">IHH56s")
LONGEST_NAME = 55
"""Bytes; the directory has room for one more, a NUL."""
AT_ONCE = 256 << 20
"""Bytes of a transfer that are copied before the guest and the run loop go on: some 0.1 s."""
BOOT_ORDER = "bootorder"
"""The file that names boot devices, in order; QEMU's boards always have it, empty where none was asked for."""


class FwCfg(Device):
    """The device of a machine with `cpus` CPUs, over `items` by number and files by name."""

    size = 0x18

    def __init__(self, cpus: int = 1, wires: Wires | None = None) -> None:
        self.items: dict[int, bytes] = {
            SIGNATURE: b"QEMU",
            ID: HAS_DMA.to_bytes(4, "little"),
            NB_CPUS: cpus.to_bytes(2, "little"),
            MAX_CPUS: cpus.to_bytes(2, "little"),
        }
        self.add_files({BOOT_ORDER: b""})
        self._running: tuple[int, int, int] | None = None
        super().__init__(wires)

    def connect(self, wires: Wires) -> None:
        """Memory, and a pause after which a long transfer goes on."""
        self._memory = wires.memory
        self._pause = Pause(wires, self._go_on)

    def add_files(self, files: Mapping[str, bytes]) -> None:
        """Have these in the directory, and no others."""
        names = sorted(files)
        rows = [
            ENTRY.pack(len(files[name]), FIRST_FILE + index, 0, name.encode()[:LONGEST_NAME])
            for index, name in enumerate(names)
        ]
        self.items[DIRECTORY] = len(names).to_bytes(4, "big") + b"".join(rows)
        for index, name in enumerate(names):
            self.items[FIRST_FILE + index] = files[name]

    def add_boot(self, contents: Mapping[str, bytes]) -> None:
        """What firmware boots: `kernel`, `initrd` and `cmdline`, as far as they are there."""
        for name, (size, data) in {"kernel": KERNEL, "initrd": INITRD, "cmdline": CMDLINE}.items():
            if name in contents:
                self.items[size] = len(contents[name]).to_bytes(4, "little")
                self.items[data] = contents[name]

    def reset(self) -> None:
        """The signature is selected."""
        super().reset()
        self._selected, self._at, self._dma_high = SIGNATURE, 0, 0
        self._stop()

    # --- registers

    def read(self, offset: int, width: int) -> int:
        """The next bytes of the item, or the DMA interface's signature."""
        if offset < 8:
            return int.from_bytes(self._take(width), "little")
        if offset >= 0x10:
            return int.from_bytes(DMA_SIGNATURE.to_bytes(8, "big")[offset - 0x10 :][:width], "little")
        return 0

    def write(self, offset: int, width: int, value: int) -> None:
        """Select an item, or start a transfer."""
        swapped = int.from_bytes(value.to_bytes(width, "little"), "big")
        if offset == 0x08 and width == 2:
            self._select(swapped)
        elif offset == 0x10 and width == 4:
            self._dma_high = swapped
        elif offset == 0x14 and width == 4:
            address, self._dma_high = self._dma_high << 32 | swapped, 0
            self._transfer(address)
        elif offset == 0x10 and width == 8:
            self._transfer(swapped)

    def name_of(self, offset: int) -> str:
        """The register at an offset."""
        return ".data" if offset < 8 else ".selector" if offset < 0x10 else ".dma"

    def _select(self, item: int) -> None:
        self._selected, self._at = item & 0x3FFF, 0

    def _take(self, size: int) -> bytes:
        data = self.items.get(self._selected, b"")[self._at : self._at + size]
        self._at += size
        return data.ljust(size, b"\0")

    # --- DMA

    def _transfer(self, address: int) -> None:
        """Carry out a control structure; its control word becomes 0, or ERROR where memory is none."""
        try:
            block = self._memory.view(address, CONTROL.size)
        except BadAddress:
            return  # there is nowhere to say so
        control, length, target = CONTROL.unpack(block)
        if control & SELECT:
            self._select(control >> 16)
        self._stop()
        if control & READ and not control & WRITE and length:
            self._read_on(address, length, target, AT_ONCE)
        else:
            if control & SKIP and not control & (READ | WRITE):
                self._at += length
            self._finish(address, ERROR if control & WRITE else 0)  # no item can be written

    def _read_on(self, address: int, length: int, target: int, most: int = SLICE) -> None:
        """The next piece of what the control structure at `address` has still to read, `length` bytes to `target`."""
        try:
            self._memory.view(target, length)
        except BadAddress:
            self._finish(address, ERROR)
            return
        size = min(length, most)
        self._memory.view(target, size, is_written=True)[:] = self._take(size)
        if size == length:
            self._finish(address, 0)
        else:
            self._running = address, length - size, target + size
            self._pause.begin()

    def _finish(self, address: int, control: int) -> None:
        self._memory.view(address, CONTROL.size, is_written=True)[:4] = control.to_bytes(4, "big")

    def _stop(self) -> None:
        """No transfer is at work."""
        self._running = None
        self._pause.end()

    def _go_on(self) -> None:
        transfer, self._running = self._running, None
        if transfer is not None:
            self._read_on(*transfer)

    # --- device tree and snapshot

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode:
        """The node of binding `qemu,fw-cfg-mmio`."""
        del interrupts
        return DtNode(
            f"fw-cfg@{base:x}",
            {"compatible": "qemu,fw-cfg-mmio", "reg": reg_cells((base, self.size)), "dma-coherent": None},
        )

    def state(self) -> dict[str, Any]:
        """What is selected, how far it has been read, and the transfer that is at work."""
        return {
            **super().state(), "selected": self._selected, "at": self._at, "dma_high": self._dma_high,
            "transfer": list(self._running or ()), "pause": self._pause.state(),
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        super().load_state(state)
        self._selected, self._at, self._dma_high = state["selected"], state["at"], state["dma_high"]
        transfer = state["transfer"]
        self._running = (transfer[0], transfer[1], transfer[2]) if transfer else None
        self._pause.load_state(state["pause"])
