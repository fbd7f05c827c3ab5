"""One bank of NOR flash with the Intel command set: Intel StrataFlash 28F128J3 datasheet (290667), 4.0; JESD68.

    0xFF        read array              0x70        read status           0x50   clear status
    0x90        read identifiers        0x98        CFI query
    0x40, 0x10  program a word: then the data       0xE8   write to buffer: count - 1, the data, 0xD0
    0x20        erase a block: then 0xD0            0x60   lock bits: then 0x01 (set) or 0xD0 (clear)

In read-array mode the machine maps the contents as memory, so that code runs from them at full speed; a write, which
stage 2 traps, comes here and takes the bank out of it: `Contents.show(False)`. The bank is mapped again when it is in
that mode and read for a while, or at once where no fetch of code would trap, since stage 2 is the guest's own.
Programming only clears bits, and reaches the contents at once, so that they are at every moment what a power cut would
leave. Nothing takes time: the status is always "ready". Where the host can't keep what is programmed (a full disk
behind a file), the chip reports that programming or erasing failed, SR.4 or SR.5, and the array is as it was.
"""

from __future__ import annotations

from armvcpu.arch.static import Any, Protocol
from armvcpu.devices.device import Device, DtNode, reg_cells
from armvcpu.devices.flash_query import BLOCK, BUFFER, IDENTIFIERS, on_both_chips, query_table

ARRAY, STATUS, IDENTIFY, QUERY = 0xFF, 0x70, 0x90, 0x98
PROGRAM, ERASE, BUFFERED, LOCK, CLEAR_STATUS, CONFIRM = (0x40, 0x10), 0x20, 0xE8, 0x60, 0x50, 0xD0
READY, ERASE_ERROR, PROGRAM_ERROR = 0x80, 0x20, 0x10
"""Status bits; an error of a command sequence sets both of the errors (datasheet, "Status Register Definitions")."""
READS_TO_MAP = 8
"""So many reads of the array in a row, each a trap, are reason to map it again."""


class Contents(Protocol):
    """The bytes of a bank, which outlive the device."""

    @property
    def is_missed(self) -> bool:
        """Does code in them find nothing, with nobody told, while they are not shown?"""

    def __len__(self) -> int: ...

    def __getitem__(self, where: slice, /) -> bytes | bytearray | memoryview: ...

    def put(self, offset: int, data: bytes, /) -> None:
        """Replace bytes, all of them in one block of the chips; OSError, and none is, where that fails."""

    def changes(self) -> dict[int, bytes]:
        """What differs from the start, for a snapshot."""

    def load_changes(self, changes: dict[int, bytes], /) -> None:
        """Return to what `changes()` gave."""

    def show(self, shown: bool, /) -> None:
        """The guest may read them as memory (True), or every access must come to the device (False).

        At first it may. Whoever never maps them has nothing to do.
        """


class Flash(Device):
    """A bank over `contents`, as large as they are.

    A board describes its equal, consecutive banks in one device-tree node. `banks_in_node` says how many of
    them this bank's node covers: 1 only itself, 2 also the next one, 0 leaves it to the bank before.
    """

    def __init__(self, contents: Contents, *, banks_in_node: int = 1) -> None:
        self.contents = contents
        self.size = len(contents)
        self.banks_in_node = banks_in_node
        self._query = query_table(self.size)
        self._is_mapped = True
        super().__init__()

    def reset(self) -> None:
        """Read-array mode; the contents stay."""
        super().reset()
        self._mode, self._status, self._setup = ARRAY, READY, 0
        self._buffer_left, self._buffer = 0, dict[int, bytes]()
        self._array_reads = 0
        self.show_array()

    @property
    def is_array(self) -> bool:
        """Do reads give the contents?"""
        return self._mode == ARRAY and not self._setup

    def show_array(self) -> bool:
        """Have the contents mapped again, where that is right: a fetch of an instruction wants it."""
        if self.is_array and not self._is_mapped:
            self._is_mapped = True
            self.contents.show(True)
        return self.is_array

    def hide_array(self) -> None:
        """Have every access come to the device."""
        if self._is_mapped:
            self._is_mapped = False
            self.contents.show(False)

    # --- reads

    def read(self, offset: int, width: int) -> int:
        """Read `width` bytes at `offset`: the contents, the status, or what the chips tell of themselves."""
        if self.is_array:
            self._array_reads += 1
            if self._array_reads >= READS_TO_MAP:
                self.show_array()
            return int.from_bytes(self.contents[offset : offset + width], "little")
        if self._setup or self._mode == STATUS:
            return on_both_chips(self._status, width)
        step = offset >> 2 & 0xFF
        if self._mode == IDENTIFY:
            return on_both_chips(IDENTIFIERS[step] if step < len(IDENTIFIERS) else 0, width)
        return on_both_chips(self._query[step] if step < len(self._query) else 0, width)

    # --- writes

    def write(self, offset: int, width: int, value: int) -> None:
        """A command, or what a command waits for."""
        self._array_reads = 0
        self.hide_array()
        if self._setup:
            self._go_on(offset, width, value)
        else:
            self._begin(value & 0xFF)
        if self.contents.is_missed:
            self.show_array()

    def _begin(self, command: int) -> None:
        if command in PROGRAM or command in {ERASE, BUFFERED, LOCK}:
            self._setup, self._mode = command, STATUS
            self._buffer_left, self._buffer = -1, {}
        elif command == CLEAR_STATUS:
            self._status, self._mode = READY, ARRAY
        elif command in {STATUS, IDENTIFY, QUERY}:
            self._mode = command
        else:
            self._mode = ARRAY

    def _go_on(self, offset: int, width: int, value: int) -> None:
        """The second cycle of a command, or a later one."""
        setup = self._setup
        if setup in PROGRAM:
            self._setup = 0
            self._program(offset, value.to_bytes(width, "little"))
        elif setup == BUFFERED:
            self._fill(offset, width, value)
        else:
            self._setup = 0
            confirmed = value & 0xFF == CONFIRM
            if setup == ERASE and confirmed:
                start = offset & -BLOCK
                self._put(start, b"\xff" * min(BLOCK, self.size - start), ERASE_ERROR)
            elif not confirmed and (setup == ERASE or value & 0xFF != 0x01):
                self._status |= ERASE_ERROR | PROGRAM_ERROR

    def _fill(self, offset: int, width: int, value: int) -> None:
        """Write to buffer: the count less one, so many words of the bus, and the confirmation."""
        if self._buffer_left < 0:
            self._buffer_left = (value & 0xFFFF) + 1
            if self._buffer_left * width > BUFFER:
                self._setup = 0
                self._status |= ERASE_ERROR | PROGRAM_ERROR
        elif self._buffer_left:
            self._buffer[offset] = value.to_bytes(width, "little")
            self._buffer_left -= 1
        else:
            self._setup = 0
            if value & 0xFF == CONFIRM:
                self._program_buffer()
            else:
                self._status |= ERASE_ERROR | PROGRAM_ERROR

    def _program_buffer(self) -> None:
        """What follows on one another at once, since each piece may be a write to a file."""
        start, run = 0, b""
        for at, data in sorted(self._buffer.items()):
            if run and (at != start + len(run) or at % BLOCK == 0):
                self._program(start, run)
                run = b""
            start, run = (start, run + data) if run else (at, data)
        if run:
            self._program(start, run)

    def _program(self, offset: int, data: bytes) -> None:
        """Bits go from 1 to 0 only."""
        before = self.contents[offset : offset + len(data)]
        self._put(offset, bytes(old & new for old, new in zip(before, data, strict=False)), PROGRAM_ERROR)

    def _put(self, offset: int, data: bytes, error: int) -> None:
        try:
            self.contents.put(offset, data)
        except OSError:
            self._status |= error

    # --- device tree and snapshot

    def dt_node(self, base: int, interrupts: tuple[int, ...]) -> DtNode | None:
        """The node of binding `cfi-flash` (`mtd-physmap`): two 16-bit chips side by side in each bank."""
        del interrupts
        if not self.banks_in_node:
            return None
        banks = [(base + bank * self.size, self.size) for bank in range(self.banks_in_node)]
        return DtNode(f"flash@{base:x}", {"compatible": "cfi-flash", "reg": reg_cells(*banks), "bank-width": (4,)})

    def state(self) -> dict[str, Any]:
        """The chips' mode, and what of the contents has changed."""
        return {
            **super().state(), "mode": self._mode, "status": self._status, "setup": self._setup,
            "buffer_left": self._buffer_left, "buffer": dict(self._buffer), "changes": self.contents.changes(),
        }  # fmt: skip

    def load_state(self, state: dict[str, Any]) -> None:
        """Return to a state that `state()` gave."""
        super().load_state(state)
        self._mode, self._status, self._setup = state["mode"], state["status"], state["setup"]
        self._buffer_left, self._buffer = state["buffer_left"], dict(state["buffer"])
        self.contents.load_changes(state["changes"])
        if self.is_array:
            self.show_array()
        else:
            self.hide_array()
